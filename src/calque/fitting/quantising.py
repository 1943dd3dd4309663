"""Training of discrete codes: straight through, with a moving codebook, and a prior that follows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from calque.errors import ConfigError
from calque.fitting.latents import blur
from calque.fitting.objective import Batch, Objective
from calque.models import Generator, QuantisedAutoencoder

DEAD = 0.05  # of a code's fair share of events, below which it is given another place


class Quantising(Objective):
    """−log p(x | codes) + commitment · |z − code|² (van den Oord et al. 2017, arXiv:1711.00937, eq. 3).

    The decoder's gradient goes past the codes to the encoder. A code moves to the exponential average of the vectors
    that it stood for, of which a share `keep` is kept at each step (their appendix A.1); one that is hardly chosen
    is put on a vector of the batch. A second player, `prior`, maximises the probability of the codes of
    real events. Negative weights would push codes away without bound, and are refused.
    """

    generator: QuantisedAutoencoder
    turns = ("generator", "prior")
    unsound = "a code would flee from the rows with negative weights"
    chosen: Tensor
    total: Tensor

    def __init__(self, generator: Generator, *, commitment: float = 0.25, keep: float = 0.99) -> None:
        super().__init__(generator)
        if not isinstance(generator, QuantisedAutoencoder):
            raise ConfigError(f"codes are trained in a quantised autoencoder, not in a {type(generator).__name__}")
        if commitment <= 0 or not 0 <= keep < 1:
            raise ConfigError(f"commitment = {commitment:g} and keep = {keep:g}: the first has to be above zero, the "
                              "second in [0, 1)")
        self.commitment, self.keep = commitment, keep
        self.register_buffer("chosen", torch.zeros(generator.slots, generator.codes))
        self.register_buffer("total", torch.zeros_like(generator.codebook))
        self.encoded = torch.empty(0)

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Encoder with decoder, and the prior."""
        generator = self.generator
        return {"generator": [*generator.encoder.parameters(), *generator.decoder.parameters()],
                "prior": list(generator.prior.parameters())}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events, in nats."""
        if player == "prior":
            self.generator.eval()  # the codes that will be drawn: no dropout, running batch statistics
            codes = self.codes(batch)
            self.generator.train()
            return -batch.mean(self.generator.prior.log_prob(codes, batch.context).sum(1))
        encoded = self.generator.encode(batch.x, batch.context)
        self.encoded = encoded.detach()
        vectors = self.generator.vectors(self.generator.nearest(encoded))
        inputs = self.generator.inputs(straight_through(encoded, vectors), batch.context)
        likelihood = self.generator.decoder.log_prob(batch.x, inputs).sum(1)
        distance = (encoded - vectors).square().sum((1, 2))
        return self.commitment * batch.mean(distance) - batch.mean(likelihood)

    @torch.no_grad()
    def codes(self, batch: Batch) -> Tensor:
        """Codes (B, slots) of events."""
        return self.generator.nearest(self.generator.encode(batch.x, batch.context))

    @torch.no_grad()
    def after(self, player: str, step: int) -> None:
        """Move the codebook to where the last vectors (B, slots, depth) were."""
        if player == "prior":
            return
        own = one_hot(self.generator.nearest(self.encoded), self.generator.codes).float().permute(1, 2, 0)
        self.chosen.lerp_(own.sum(2), 1 - self.keep)
        self.total.lerp_(own @ self.encoded.transpose(0, 1), 1 - self.keep)
        self.revive(len(self.encoded) / self.generator.codes)
        self.generator.codebook.copy_(self.total / self.chosen[..., None])

    def revive(self, fair: float) -> None:
        """Put codes that stand for hardly any events on vectors of the batch, in order, with a fair share to begin."""
        dead = self.chosen < DEAD * fair
        order = (dead.cumsum(1) - 1).clamp(min=0) % len(self.encoded)
        there = self.encoded.transpose(0, 1)[torch.arange(len(dead), device=dead.device)[:, None], order]
        self.total.copy_(torch.where(dead[..., None], fair * there, self.total))
        self.chosen.masked_fill_(dead, fair)

    @torch.no_grad()
    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Both terms of the bound in nats, how many codes are in use in the poorest slot, and measures of blur."""
        self.generator.eval()
        codes = self.codes(batch)
        inputs = self.generator.inputs(self.generator.vectors(codes), batch.context)
        likelihood = self.generator.decoder.log_prob(batch.x, inputs).sum(1)
        nats = -self.generator.prior.log_prob(codes, batch.context).sum(1)
        middle = self.generator.decoder.sample(torch.zeros_like(batch.x), inputs)
        told = {"bound/reconstruction": -float(batch.mean(likelihood)), "bound/prior": float(batch.mean(nats)),
                "codes/perplexity": float(perplexity(codes, self.generator.codes).min()),
                **blur(self.generator, middle, batch)}
        self.generator.train()
        return told


def straight_through(encoded: Tensor, vectors: Tensor) -> Tensor:
    """The vectors, with the gradient of what they replace."""
    return encoded + (vectors - encoded).detach()


def perplexity(codes: Tensor, number: int) -> Tensor:
    """exp(entropy) of the codes (B, slots) in each slot: how many codes are in use, if all were used alike.

    >>> perplexity(torch.tensor([[0, 1], [1, 1], [2, 1], [3, 1]]), 8)
    tensor([4., 1.])
    """
    shares = one_hot(codes, number).float().mean(0)
    return torch.exp(-torch.xlogy(shares, shares).sum(1))
