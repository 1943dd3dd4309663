"""Expectation and maximisation: mixtures are solved, without gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.fitting.objective import Objective
from calque.models import GaussianMixture, Generator

Rows = tuple[Tensor, Tensor, Tensor]
BLOCK = 4096  # rows whose distances to all components stay in the cache


class Expectation(Objective):
    """Weighted expectation-maximisation in double precision (Dempster, Laird & Rubin 1977).

    Of `starts` beginnings at centres far apart (k-means++: Arthur & Vassilvitskii 2007), each followed for `trial`
    iterations, the likeliest goes on until the mean log density gains less than `tolerance`. `floor` is added to
    every variance, in prepared units, so that no component shrinks to a point.
    """

    turns = ()
    generator: GaussianMixture

    def __init__(self, generator: Generator, *, starts: int = 4, trial: int = 10, iterations: int = 300,
                 tolerance: float = 1e-5, floor: float = 1e-6) -> None:
        super().__init__(generator)
        if not isinstance(generator, GaussianMixture):
            raise ConfigError(f"expectation-maximisation fits a mixture, not a {type(generator).__name__}")
        if starts < 1 or floor <= 0:
            raise ConfigError(f"starts = {starts} and floor = {floor:g} fit no mixture; both have to be above zero")
        self.starts, self.trial, self.iterations = starts, trial, iterations
        self.tolerance, self.floor = tolerance, floor

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Nobody plays."""
        return {}

    @torch.no_grad()
    def solve(self, x: Tensor, context: Tensor, weights: Tensor) -> None:
        """Fit the mixture to events (N, D), context (N, C) and weights (N,)."""
        rows = x.double(), context.double(), weights.double()
        tried = [self.started(rows) for _ in range(self.starts)]
        scores = [self.follow(mixture, rows, self.trial) for mixture in tried]
        mixture = tried[scores.index(max(scores))]
        self.follow(mixture, rows, self.iterations)
        self.generator.load_state_dict(mixture.state_dict())

    def started(self, rows: Rows) -> GaussianMixture:
        """A mixture whose components are the rows nearest to centres far apart."""
        mixture = copy.deepcopy(self.generator).double()
        x, context, weights = rows
        mixture.hot = ((context == 0) | (context == 1)).all(0)  # as categories are encoded; numbers have other values
        points = torch.cat([context, x], 1)
        centres = far_apart(points, weights, mixture.components)
        moments = Moments(mixture)
        for part in blocks(points, *rows):
            nearest = torch.cdist(part[0], centres).argmin(1)
            moments.add(nn.functional.one_hot(nearest, mixture.components) * part[3][:, None], *part[1:3])
        moments.give(self.floor)
        return mixture

    def follow(self, mixture: GaussianMixture, rows: Rows, iterations: int) -> float:
        """Improve a mixture until it stands still; returns its last score."""
        score = -torch.inf
        for _ in range(iterations):
            before, score = score, self.improve(mixture, rows)
            if score - before < self.tolerance:
                break
        return score

    def improve(self, mixture: GaussianMixture, rows: Rows) -> float:
        """One iteration; returns the weighted mean log density of events with context before it."""
        moments, total = Moments(mixture), 0.0
        for x, context, weights in blocks(*rows):
            joint = mixture.log_weights(context) + mixture.log_parts(x, context)
            moments.add(joint.softmax(1) * weights[:, None], x, context)
            total += float(weights @ joint.logsumexp(1))
        moments.give(self.floor)
        return total / float(rows[2].sum())


class Moments:
    """Weighted sums over rows that determine each component."""

    def __init__(self, mixture: GaussianMixture) -> None:
        self.mixture, count = mixture, mixture.components
        width, empty = mixture.context + mixture.size, mixture.mean.new_zeros
        self.counts, self.levels = empty(count), empty(count, mixture.context)
        self.first, self.second = empty(count, width), empty(count, width, width)

    def add(self, shares: Tensor, x: Tensor, context: Tensor) -> None:
        """Add rows that belong to the components by shares (B, K)."""
        both = torch.cat([self.mixture.numbers(context), x], 1)
        self.counts += shares.sum(0)
        self.levels += shares.T @ context
        self.first += shares.T @ both
        for share, second in zip(shares.T, self.second, strict=True):
            second.addmm_((share[:, None] * both).T, both)

    def give(self, floor: float) -> None:
        """Set the mixture to these moments; an empty component stays, with no share."""
        counts = (self.counts + 10 * torch.finfo(self.counts.dtype).eps)[:, None]
        mean = self.first / counts
        spread = self.second / counts[:, :, None] - mean[:, :, None] * mean[:, None]
        covariance = spread + floor * torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
        self.mixture.become(self.counts / self.counts.sum(), self.levels / counts, mean, covariance)


def far_apart(points: Tensor, weights: Tensor, count: int) -> Tensor:
    """Centres (count, D) among points (N, D): each next is drawn by weight times squared distance to the others."""
    chosen, distance = [], torch.ones_like(weights)
    for number in range(count):
        reached = (weights * distance).cumsum(0)
        place = torch.searchsorted(reached, torch.rand(1, dtype=reached.dtype).to(reached) * reached[-1], right=True)
        chosen.append(points[place.clamp(max=len(points) - 1)])
        nearest = (points - chosen[-1]).square().sum(1)
        distance = torch.minimum(distance, nearest) if number else nearest
    return torch.cat(chosen)


def blocks(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """The same rows of all, piece by piece."""
    return zip(*(torch.split(tensor, BLOCK) for tensor in tensors), strict=True)
