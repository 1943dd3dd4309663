"""The evidence lower bound: plain, in the note's weighting, with a stronger or a limited latent channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.fitting.latents import blur, column_means, usage
from calque.fitting.objective import Batch, Objective
from calque.models import Autoencoder, Generator
from calque.models.generator import beside


class Variational(Objective):
    """reconstruction · (−log likelihood) + beta · KL (Kingma & Welling 2013, arXiv:1312.6114; Higgins et al. 2017).

    With the `bernoulli` likelihood `reconstruction` is the 2018 note's factor x (1000). Against collapse, each latent
    dimension has `free` nats at no cost (Kingma et al. 2016, arXiv:1606.04934), and beta grows from zero in `warmup`
    steps. With a `capacity` C in nats it is that which grows, and the second term is beta · |KL − C| (Burgess et al.
    2018, arXiv:1804.03599). A prior's auxiliary flow is a second player, `prior`: it maximises the density of the
    posterior's draws. All terms are means over events, and signed weights give the means of the density that they
    stand for.
    """

    generator: Autoencoder
    signed = True

    def __init__(self, generator: Generator, *, reconstruction: float = 1.0, beta: float = 1.0,
                 free: float = 0.0, capacity: float | None = None, warmup: int = 0) -> None:
        super().__init__(generator)
        if not isinstance(generator, Autoencoder):
            raise ConfigError(f"a variational objective trains an autoencoder, not a {type(generator).__name__}")
        if capacity is not None and free:
            raise ConfigError(f"free = {free:g} is for a KL that is lowered, and capacity = {capacity:g} holds it; "
                              "leave one of them out of fit.objective")
        self.reconstruction, self.beta, self.free = reconstruction, beta, free
        self.capacity, self.warmup = capacity, warmup
        self.turns = ("generator",) if generator.prior.auxiliary is None else ("generator", "prior")

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """The autoencoder, and what is fitted to its posterior."""
        auxiliary = self.generator.prior.auxiliary
        if auxiliary is None:
            return super().players
        apart = {id(parameter) for parameter in auxiliary.parameters()}
        own = [parameter for parameter in self.generator.parameters() if id(parameter) not in apart]
        return {"generator": own, "prior": list(auxiliary.parameters())}

    def noise(self, player: str) -> dict[str, int]:
        """The reparameterisation's normals."""
        return {"latent": self.generator.latent}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events, in nats."""
        if player == "prior":
            return self.prior_loss(batch)
        mean, log_variance, latent = self.posterior(batch)
        likelihood = self.generator.decoder.log_prob(batch.x, beside(latent, batch.context)).sum(1)
        divergence = self.generator.prior.divergence(mean, log_variance, latent, batch.context)
        return self.price(divergence, latent, batch, step) - self.reconstruction * batch.mean(likelihood)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance of the latent normals, and a draw of each, (B, L)."""
        mean, log_variance = self.generator.encode(batch.x, batch.context)
        return mean, log_variance, mean + torch.exp(0.5 * log_variance) * batch.noise["latent"]

    def price(self, divergence: Tensor, latent: Tensor, batch: Batch, step: int) -> Tensor:
        """What the latent vectors with their KL, both (B, L), cost."""
        grown = self.grown(step)
        if self.capacity is not None:
            return self.beta * (batch.mean(divergence.sum(1)) - self.capacity * grown).abs()
        return self.beta * grown * column_means(divergence, batch).clamp(min=self.free).sum()

    def grown(self, step: int) -> float:
        """How far the warmup has come, above zero and up to one."""
        return min(1.0, (step + 1) / max(1, self.warmup))

    def prior_loss(self, batch: Batch) -> Tensor:
        """−⟨log density⟩ of draws from the posterior under the auxiliary prior."""
        assert self.generator.prior.auxiliary is not None
        self.generator.eval()  # what will be encoded: no dropout, running batch statistics
        with torch.no_grad():
            latent = self.posterior(batch)[2]
        self.generator.train()
        return -batch.mean(self.generator.prior.auxiliary.log_prob(latent, batch.context).sum(1))

    @torch.no_grad()
    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Both terms of the bound in nats, KL per latent dimension, active units, and measures of blur."""
        self.generator.eval()
        mean, log_variance, latent = self.posterior(batch)
        inputs = beside(latent, batch.context)
        divergence = self.generator.prior.divergence(mean, log_variance, latent, batch.context)
        likelihood = self.generator.decoder.log_prob(batch.x, inputs).sum(1)
        middle = self.generator.decoder.sample(torch.zeros_like(batch.x), inputs)
        bound = {"bound/reconstruction": -float(batch.mean(likelihood)),
                 "bound/kl": float(batch.mean(divergence.sum(1)))}
        told = {**bound, **usage(mean, divergence, batch), **blur(self.generator, middle, batch)}
        self.generator.train()
        return told
