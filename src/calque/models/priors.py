"""What an autoencoder's latent vectors are drawn from, and how far a posterior is from it."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.conditionals import Conditionals


class Prior(nn.Module):
    """p(z | c) of latent vectors (B, L); `settings` names what its constructor takes beside the sizes.

    `auxiliary` parameters, if any, are fitted apart from the bound, to the posterior's draws.
    """

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, latent: int, context: int) -> None:
        super().__init__()
        self.auxiliary: Conditionals | None = None

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Standard normals (B, L) → latent vectors (B, L)."""
        raise NotImplementedError

    def normals(self, latent: Tensor, context: Tensor) -> Tensor:
        """Latent vectors (B, L) → the normals that make them: the inverse of `sample`."""
        raise NotImplementedError

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor, context: Tensor) -> Tensor:
        """KL (B, L) from the prior to a posterior of which `latent` is a draw; sums to the event's KL, in nats.

        Exact where there is a closed form, else the unbiased estimate log q(z | x) − log p(z) of the one draw.
        """
        raise NotImplementedError


class Normal(Prior):
    """Standard normals (Kingma & Welling 2013, arXiv:1312.6114)."""

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """As they come."""
        return noise

    def normals(self, latent: Tensor, context: Tensor) -> Tensor:
        """As they are."""
        return latent

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor, context: Tensor) -> Tensor:
        """½ (μ² + σ² − 1 − ln σ²)."""
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class Flow(Prior):
    """A learnt autoregressive flow, given the context (Chen et al. 2016, arXiv:1611.02731, section 3.2)."""

    def __init__(self, latent: int, context: int) -> None:
        super().__init__(latent, context)
        self.conditionals = Conditionals(latent, context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Through the flow, dimension by dimension."""
        return self.conditionals.sample(noise, context)

    def normals(self, latent: Tensor, context: Tensor) -> Tensor:
        """Back through the flow, at once."""
        return self.conditionals.normals(latent, context)[0]

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor, context: Tensor) -> Tensor:
        """log q(z_k | x) − log p(z_k | z_1 … z_{k−1}) of the draw."""
        pull = (latent - mean) * torch.exp(-0.5 * log_variance)
        density = -0.5 * (pull.square() + log_variance + math.log(2 * math.pi))
        return density - self.conditionals.log_prob(latent, context)


class Chain(Prior):
    """AR(1): z_t = α z_{t−1} + √(1 − α²) ε_t, which no independent posterior can match (arXiv:1901.03416, section 2.2).

    α is set by `rate`, the least KL in nats that any posterior N(μ, diag σ²) of an event then has:
    ½ ((L − 2) ln(1 + α²) − ln(1 − α²)). The posteriors' mixture is no AR(1); draws come from an auxiliary
    autoregressive flow, fitted to it, as in the paper.
    """

    settings = ("rate",)

    def __init__(self, latent: int, context: int, rate: float = 1.0) -> None:
        super().__init__(latent, context)
        if latent < 2 or rate <= 0:
            raise ConfigError(f"fit.model.latent = {latent} and rate = {rate:g} make no chain; it takes two latent "
                              "dimensions or more, and a rate above zero")
        self.alpha = correlation(rate, latent)
        self.auxiliary: Conditionals = Conditionals(latent, context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """From the auxiliary flow."""
        return self.auxiliary.sample(noise, context)

    def normals(self, latent: Tensor, context: Tensor) -> Tensor:
        """Back through the auxiliary flow."""
        return self.auxiliary.normals(latent, context)[0]

    def divergence(self, mean: Tensor, log_variance: Tensor, latent: Tensor, context: Tensor) -> Tensor:
        """The exact KL of each step, given the one before."""
        variance, squared = log_variance.exp(), self.alpha**2
        first = 0.5 * (mean[:, :1].square() + variance[:, :1] - 1 - log_variance[:, :1])
        expected = (variance[:, 1:] + squared * variance[:, :-1] + (mean[:, 1:] - self.alpha * mean[:, :-1]).square())
        later = 0.5 * (expected / (1 - squared) - 1 - log_variance[:, 1:] + math.log(1 - squared))
        return torch.cat([first, later], dim=1)


def least_rate(alpha: float, latent: int) -> float:
    """The smallest KL in nats between independent normals and a stationary AR(1) of so many steps.

    >>> round(least_rate(0.5, 2), 4)
    0.1438
    """
    return 0.5 * ((latent - 2) * math.log1p(alpha**2) - math.log1p(-(alpha**2)))


def correlation(rate: float, latent: int) -> float:
    """α of the AR(1) whose least KL is `rate`, by bisection.

    >>> round(correlation(0.1438, 2), 3)
    0.5
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle < 1 and least_rate(middle, latent) < rate else (low, middle)
    return low


PRIORS: dict[str, type[Prior]] = {"normal": Normal, "flow": Flow, "chain": Chain}
