"""How columns are laid before a network: to unit spread, or by their ranks to a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.scores import share_below

Numbers = NDArray[np.float64]


class Inputs(Protocol):
    """A map of rows (N, D) to inputs (N, C), learnt from rows with weights."""

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> Inputs:
        """Learn from rows (N, D) with weights (N,)."""

    def __call__(self, values: Numbers) -> Numbers:
        """Map rows (N, D)."""


@dataclass(frozen=True)
class AsTheyAre:
    """Nothing done: for columns that a view has scaled."""

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> AsTheyAre:
        """Learn nothing."""
        return cls()

    def __call__(self, values: Numbers) -> Numbers:
        """Rows (N, D) as they are."""
        return values


@dataclass(frozen=True)
class Standardised:
    """Mean zero and unit spread in every column."""

    mean: Numbers
    spread: Numbers

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> Standardised:
        """Learn weighted means and spreads; a column without spread stays as it is."""
        mean = np.average(values, axis=0, weights=weights)
        spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
        return cls(mean, np.where(spread > 0, spread, 1.0))

    def __call__(self, values: Numbers) -> Numbers:
        """Map rows (N, D) to (N, D)."""
        return (values - self.mean) / self.spread


@dataclass(frozen=True)
class Ranked:
    """Every column twice: its weighted ranks as a Gaussian, and arcsinh of the column about its median.

    Ranks know no heavy tail, and put a gap on both sides of a value that many rows share; beyond the rows that were
    learnt from, and in holes between them, only the second tells values apart.
    """

    values: Numbers
    weights: Numbers
    median: Numbers
    width: Numbers

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> Ranked:
        """Learn ranks, medians and half the central 68 % of each column (its standard deviation where that is 0)."""
        order = np.argsort(values, axis=0)
        cumulative = np.cumsum(weights[order], axis=0) / weights.sum()
        low, median, high = (np.take_along_axis(values, np.take_along_axis(order, place[None], 0), 0)[0]
                             for place in (np.sum(cumulative < share, axis=0) for share in (0.16, 0.5, 0.84)))
        spread = Standardised.of(values, weights).spread
        return cls(values, weights, median, np.where(high > low, (high - low) / 2, spread))

    def __call__(self, values: Numbers) -> Numbers:
        """Map rows (N, D) to (N, 2 D)."""
        from scipy.special import ndtri

        edge = 0.5 / len(self.values)
        shares = np.stack([share_below(points, known, self.weights)
                           for points, known in zip(values.T, self.values.T, strict=True)], axis=1)
        stretched = np.arcsinh((values - self.median) / self.width)
        return np.concatenate([ndtri(np.clip(shares, edge, 1 - edge)), stretched], axis=1)
