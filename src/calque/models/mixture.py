"""Mixture of Gaussians: the baseline that every network has to beat."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.generator import Generator
from calque.table import Layout

MOST = 200_000_000  # numbers of covariances: 0.8 GB, and six times that for a fit


class GaussianMixture(Generator):
    """Components with full covariances, of events and context together, given the context (EM: Dempster et al. 1977).

    A context column is a number, normal in each component and correlated with the event, or (`hot`) one level of
    a category, for which each component has a share: x | c is then again a mixture, in closed form, whose weights and
    means follow c. The first normal of the noise chooses the component, through its distribution function;
    the others are mapped linearly. Prepare columns to unit width.
    """

    has_density = True
    hot: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, components: int = 32) -> None:
        super().__init__(layout, context)
        if components < 1:
            raise ConfigError(f"fit.model.components = {components} makes no mixture; it needs one or more")
        if components * self.size**2 > MOST:
            needed = 4e-9 * components * self.size**2
            raise ConfigError(f"a Gaussian of {self.size} numbers needs {needed:.3g} GB for its covariance, a fit "
                              "several times that; learn fewer columns, or take a network (kind = 'two-step')")
        self.components, self.noise = components, 1 + self.size
        self.log_shares = nn.Parameter(torch.full((components,), -math.log(components)))
        self.log_levels = nn.Parameter(torch.zeros(components, context))
        self.centre = nn.Parameter(torch.randn(components, context))
        self.whiten = nn.Parameter(torch.eye(context).repeat(components, 1, 1))
        self.mean = nn.Parameter(torch.randn(components, self.size))
        self.slope = nn.Parameter(torch.randn(components, self.size, context))
        self.width = nn.Parameter(torch.eye(self.size).repeat(components, 1, 1))
        self.register_buffer("hot", torch.zeros(context, dtype=torch.bool))

    @torch.no_grad()
    def become(self, shares: Tensor, levels: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Take shares (K,), levels' shares (K, C), and means (K, C + D) and covariances of context and event."""
        lower, tiny = torch.linalg.cholesky(covariance), torch.finfo(torch.float32).tiny
        given, event = slice(self.context), slice(self.context, None)
        whiten = torch.linalg.inv(lower[:, given, given])
        for own, value in ((self.log_shares, shares.clamp(min=tiny).log()), (self.log_levels, levels.clamp(tiny).log()),
                           (self.centre, mean[:, given]), (self.mean, mean[:, event]), (self.whiten, whiten),
                           (self.slope, lower[:, event, given] @ whiten), (self.width, lower[:, event, event])):
            own.copy_(value)

    def numbers(self, context: Tensor) -> Tensor:
        """The context (B, C) with zeros for what is no number."""
        return context.masked_fill(self.hot, 0)

    def log_weights(self, context: Tensor) -> Tensor:
        """Log density (B, K) of each component and the context (B, C) together."""
        pulls = torch.einsum("kij,bkj->bki", self.whiten, self.numbers(context)[:, None] - self.centre)
        constant = self.whiten.diagonal(dim1=1, dim2=2).log().sum(1) - 0.5 * self.context * math.log(2 * math.pi)
        levels = (context * self.hot) @ self.log_levels.T
        return self.log_shares + levels + constant - 0.5 * pulls.square().sum(2)

    def log_parts(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B, K) of events in each component, given the context."""
        shift = torch.einsum("kij,bkj->bki", self.slope, self.numbers(context)[:, None] - self.centre)
        away = (x[:, None] - self.mean - shift).permute(1, 2, 0)
        pulls = torch.linalg.solve_triangular(self.width, away, upper=False)
        constant = self.width.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * self.size * math.log(2 * math.pi)
        densities: Tensor = -0.5 * pulls.square().sum(1).T - constant
        return densities

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, 1 + D) and (B, C) → (B, D)."""
        reached = self.log_weights(context).softmax(1).cumsum(1)
        uniform = torch.special.ndtr(noise[:, :1])
        chosen = (reached < uniform).sum(1).clamp(max=self.components - 1)  # rounding may end the sum below one
        away = self.numbers(context) - self.centre[chosen]
        events = torch.empty_like(noise[:, 1:])
        for component in range(self.components):  # row by row, wide events would take a matrix each
            rows = torch.nonzero(chosen == component)[:, 0]
            events[rows] = (self.mean[component] + away[rows] @ self.slope[component].T
                            + noise[rows, 1:] @ self.width[component].T)
        return events

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,)."""
        return torch.logsumexp(self.log_weights(context).log_softmax(1) + self.log_parts(x, context), 1)
