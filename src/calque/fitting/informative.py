"""The bound with a price on the whole of the latent vectors, rather than on each event's."""

from __future__ import annotations

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.fitting.objective import Batch
from calque.fitting.variational import Variational
from calque.models import Generator
from calque.models.priors import Normal


class Informative(Variational):
    """−log likelihood + (1 − alpha) · KL + (alpha + strength − 1) · MMD² (Zhao et al. 2017, arXiv:1706.02262, eq. 6).

    `strength` is the paper's λ; alpha = 0 and strength = 1 give the evidence bound back. MMD² is between the latent
    vectors of all events and the standard normal, with the kernel exp(−|z − z'|²/2L) of L latent dimensions. Under
    a context it is between pairs (z, c): latent vectors that are normal together, but not for each context, would
    be drawn with the wrong one. Signed weights are sound here too: MMD² is a sum over pairs of events, and a pair has
    the product of its signs.
    """

    def __init__(self, generator: Generator, *, reconstruction: float = 1.0, alpha: float = 0.0,
                 strength: float = 10.0, warmup: int = 0) -> None:
        super().__init__(generator, reconstruction=reconstruction, beta=1 - alpha, warmup=warmup)
        if not isinstance(self.generator.prior, Normal):
            raise ConfigError("an infovae's latent vectors are matched to standard normals; set fit.model.prior = "
                              '"normal"')
        if alpha + strength < 1 or alpha > 1:
            raise ConfigError(f"alpha = {alpha:g} and strength = {strength:g} reward a distance; alpha is at most 1, "
                              "and both add up to 1 or more")
        self.distance = alpha + strength - 1

    def price(self, divergence: Tensor, latent: Tensor, batch: Batch, step: int) -> Tensor:
        """What each event's KL costs, and all latent vectors together."""
        together = self.grown(step) * self.distance * mismatch(latent, batch)
        return super().price(divergence, latent, batch, step) + together


def mismatch(latent: Tensor, batch: Batch) -> Tensor:
    """Unbiased MMD² between pairs (z, c) of a batch and the same contexts with standard normal z.

    The expectations over normals are exact: E k(z, n) = (L/(L+1))^(L/2) exp(−|z|²/(2(L+1))) and
    E k(n, n') = (L/(L+2))^(L/2).
    """
    size = latent.shape[1]
    near = (size / (size + 1)) ** (size / 2) * torch.exp(-latent.square().sum(1) / (2 * (size + 1)))
    pairs = kernel(latent, size) - near[:, None] - near + (size / (size + 2)) ** (size / 2)
    if batch.context.shape[1]:
        pairs = pairs * kernel(batch.context, batch.context.shape[1])
    weight = torch.ones_like(near) if batch.weight is None else batch.weight
    others = pairs @ weight - pairs.diagonal() * weight
    return batch.mean(others) / (len(latent) - 1)


def kernel(x: Tensor, width: float) -> Tensor:
    """exp(−|x − x'|²/2w) between all rows (B, B)."""
    lengths = x.square().sum(1)
    return torch.exp((x @ x.T - 0.5 * lengths[:, None] - 0.5 * lengths) / width)
