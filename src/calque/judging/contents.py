"""Cells of equal probability, what samples hold in them, and how far apart they are without their noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.samples import Sample

Numbers = NDArray[np.float64]

EDGES = 4  # one row of so many makes the cells, the others are compared
LEAST_ROWS = 8  # cells with fewer rows are not split


@dataclass(frozen=True)
class Cells:
    """Cells of about equal probability: a binary tree of splits at medians, column after column.

    Node i splits into 2i + 1 (value ≤ cut) and 2i + 2; a node that cannot be split has an infinite cut. In one
    column the cells are intervals in rising order.
    """

    columns: NDArray[np.intp]
    cuts: Numbers

    @classmethod
    def of(cls, sample: Sample, depth: int, order: NDArray[np.intp]) -> Cells:
        """Split rows `depth` times, each time in the next column of `order`; at most 2^depth cells."""
        nodes, weights = 2**depth - 1, np.abs(sample.weights)  # any cells will do, as long as they are well filled
        columns, cuts = np.zeros(nodes, dtype=np.intp), np.full(nodes, np.inf)
        place = np.zeros(len(sample), dtype=np.intp)
        for level in range(depth):
            column = order[level % len(order)]
            for node in range(2**level - 1, 2 ** (level + 1) - 1):
                inside = place == node
                columns[node], cuts[node] = column, median(sample.values[inside, column], weights[inside])
            place = descend(place, sample.values, columns, cuts)
        return cls(columns, cuts)

    def __len__(self) -> int:
        return len(self.cuts) + 1

    def place(self, values: Numbers) -> NDArray[np.intp]:
        """Cell of each row (N, D)."""
        place = np.zeros(len(values), dtype=np.intp)
        while len(place) and place[0] < len(self.cuts):  # all rows are on one level
            place = descend(place, values, self.columns, self.cuts)
        return place - len(self.cuts)

    @property
    def edges(self) -> Numbers:
        """Inner edges of the intervals of one column."""
        return np.sort(self.cuts[np.isfinite(self.cuts)])


def descend(place: NDArray[np.intp], values: Numbers, columns: NDArray[np.intp], cuts: Numbers) -> NDArray[np.intp]:
    """Send each row from its node to the next level."""
    return 2 * place + 1 + (values[np.arange(len(values)), columns[place]] > cuts[place])


def median(values: Numbers, weights: Numbers) -> float:
    """Cut that leaves half of the weight at or below it and something above; infinite where that cannot be."""
    if len(values) < LEAST_ROWS or np.ptp(values) == 0:
        return math.inf
    order = np.argsort(values)
    summed = np.cumsum(weights[order])
    cut = values[order][np.searchsorted(summed, summed[-1] / 2)]
    return float(cut if cut < values.max() else values[values < cut].max())


@dataclass(frozen=True)
class Contents:
    """Shares (K,) of a sample's weight in cells and their covariance (K, K), both unbiased."""

    share: Numbers
    covariance: Numbers

    @classmethod
    def of(cls, place: NDArray[np.intp], weights: Numbers, cells: int, source: str = "the sample") -> Contents:
        """Count rows in their cells; raises DataError where the weights sum to too little to mean anything."""
        total, squares = weights.sum(), np.square(weights).sum()
        if total <= 0 or squares >= total**2:
            raise DataError(f"the weights of {source} sum to {total:.3g} and fluctuate by {squares**0.5:.3g}: "
                            "nothing is left to compare; judge without weights")
        share = np.bincount(place, weights, cells) / total
        spread = np.bincount(place, np.square(weights), cells) / (total**2 - squares)
        mixed = np.outer(share, spread)
        return cls(share, np.diag(spread) - mixed - mixed.T + np.outer(share, share) * spread.sum())

    @property
    def cells(self) -> int:
        """Cells that hold anything."""
        return int(np.count_nonzero(self.share))

    @property
    def noise(self) -> float:
        """Sum of the variances."""
        return float(np.trace(self.covariance))

    @property
    def evenness(self) -> float:
        """1 − Σ p² of the true shares: what one event adds to the noise; 1 − 1/K in K equal cells."""
        return 1 - float(self.share @ self.share) + self.noise

    @property
    def size(self) -> float:
        """Events of equal weight that would fluctuate as much in these cells."""
        return self.evenness / self.noise if self.noise > 0 else math.inf

    @property
    def size_error(self) -> float:
        """How much the worth of one such sample differs from its size by chance: √(2/K) of it in K cells."""
        return self.size * self.null / self.noise if self.noise > 0 else math.inf

    @property
    def null(self) -> float:
        """Standard deviation of Σ (p̂ − p)²."""
        return math.sqrt(2 * float(np.sum(self.covariance**2)))

    def scaled(self, factor: Numbers) -> Contents:
        """Multiply each share by a factor (K,)."""
        return Contents(self.share * factor, self.covariance * np.outer(factor, factor))


def squared_distance(first: Contents, second: Contents) -> tuple[float, float]:
    """Σ (p − q)² of the true shares without the noise of both, and its standard deviation.

    The difference is Gaussian around b with covariance S: its square has mean b² + tr S and variance
    4 bᵀSb + 2 tr S². Of bᵀSb, half the standard deviation of its own noise is left out, as it rises with the
    square itself: pulls are 0.9 wide where the samples agree, at most 1.15 on the way, 1 far away. The square
    may come out negative where the samples agree.
    """
    apart = Contents(first.share - second.share, first.covariance + second.covariance)
    squared = apart.covariance @ apart.covariance
    along = float(apart.share @ apart.covariance @ apart.share) - float(np.trace(squared))
    beyond = max(along - 0.5 * math.sqrt(2 * float(np.sum(squared**2))), 0.0)
    return float(apart.share @ apart.share) - apart.noise, math.sqrt(4 * beyond + apart.null**2)


def held_apart(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Rows that make the cells, and the others: cells that follow the compared rows would flatter them."""
    mixed = sample.draw(len(sample), seed, "cells")
    makers = len(sample) // EDGES
    return mixed.rows(slice(makers)), mixed.rows(slice(makers, None))
