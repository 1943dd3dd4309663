"""Ranks that ought to be uniform, and how far they are from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.scores import chi2_error
from calque.judging.measure import Estimate
from calque.judging.samples import effective

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """Ranks (N, D) in [0, 1] of the rows of one cell of contexts, with weights (N,).

    `known` is what the histogram's variance gains because all ranks were taken among the same rows: one over these,
    zero where every row had rows of its own.
    """

    label: str
    ranks: Numbers
    weights: Numbers
    known: float

    @property
    def variance(self) -> float:
        """One over the independent rows that would fluctuate as much."""
        return self.known + 1 / effective(self.weights)

    def histogram(self, column: int, bins: int) -> Numbers:
        """Share of the weight (B,) in equal bins of the ranks."""
        place = np.minimum((self.ranks[:, column] * bins).astype(np.intp), bins - 1)
        return np.asarray(np.bincount(place, self.weights, bins) / self.weights.sum())

    def chi2(self, column: int, bins: int) -> float:
        """χ² of the histogram against a flat one."""
        return float(np.sum((self.histogram(column, bins) * bins - 1) ** 2) / bins / self.variance)

    def shape(self, column: int) -> str:
        """What is wrong, in words."""
        return shape(*moments(self.ranks[:, column], self.weights), math.sqrt(self.variance))


def flatness(
    name: str, cells: Sequence[Ranked], column: int, bins: int, how: str, left_out: Sequence[str] = ()
) -> Estimate:
    """χ²/ndf of one column's ranks against flat ones, over all cells."""
    chi2 = [cell.chi2(column, bins) for cell in cells]
    ndf = (bins - 1) * len(cells)
    value, worst = sum(chi2) / ndf, cells[int(np.argmax(chi2))]
    shares = np.array([cell.weights.sum() for cell in cells]) / sum(cell.weights.sum() for cell in cells)
    ranks, weights = (np.concatenate(parts) for parts in
                      zip(*((cell.ranks[:, column], cell.weights) for cell in cells), strict=True))
    mean, width = moments(ranks, weights)
    error = math.sqrt(sum(share**2 * cell.variance for share, cell in zip(shares, cells, strict=True)))
    return Estimate(
        "ranks", name, value, chi2_error(value, ndf), 1.0, 0.0,
        how=f"among {how}; error: noncentral χ²; floor: 1, flat ranks",
        details={
            "ndf": ndf, "rows": len(ranks), "mean": mean, "width": width, "shape": shape(mean, width, error),
            "histogram": [float(share) for share in shares @ [cell.histogram(column, bins) for cell in cells]],
            "where": worst.label, "shape_there": worst.shape(column),
            "cells": [{"label": cell.label, "chi2": entry / (bins - 1)}
                      for cell, entry in zip(cells, chi2, strict=True)],
            "left_out": list(left_out),
        },
        null_error=math.sqrt(2 / ndf),
    )


def moments(ranks: Numbers, weights: Numbers) -> tuple[float, float]:
    """Mean of ranks, and their standard deviation over that of flat ones."""
    mean = float(np.average(ranks, weights=weights))
    return mean, math.sqrt(12 * float(np.average((ranks - mean) ** 2, weights=weights)))


def shape(mean: float, width: float, error: float) -> str:
    """Say in words what the ranks' mean (½) and width (1) mean, beyond three standard deviations.

    >>> shape(0.5, 1.2, 0.01), shape(0.4, 0.99, 0.01)
    ('too narrow', 'too high')
    """
    moved, spread = (mean - 0.5) / (error / math.sqrt(12)), (width - 1) / (error * math.sqrt(0.2))
    if max(abs(moved), abs(spread)) < 3:
        return "flat"
    if abs(spread) > abs(moved):
        return "too narrow" if spread > 0 else "too wide"
    return "too low" if moved > 0 else "too high"
