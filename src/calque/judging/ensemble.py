"""Spread: how much an ensemble of trainings disagrees, and whether that covers how far it is from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging.contents import Cells, Contents, held_apart, squared_distance
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, comparable
from calque.judging.views import RAW, View
from calque.table import Table

Numbers = NDArray[np.float64]

ROOT_MEAN, ROOT_WIDTH = 0.4111, 0.4795  # of √max(z, 0) for a standard normal z


@dataclass(frozen=True)
class Spread:
    """Standard deviation between trainings per bin of each column, relative to the content, beyond counting.

    In 2^`depth` bins of equal real weight. Each column gives two numbers, both the root of a mean over bins
    weighted by content: `spread`, between the trainings, and `deviation`, of the ensemble's mean from the real rows.
    Where trainings differ by as much as they err, their ratio (in the details) is at most about one. Needs at least
    two tables; weights may be negative if they sum to something positive. An image counts as its sum.
    """

    view: View = RAW
    depth: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 10:
            raise ConfigError(f"depth = {self.depth} is impossible; 1 to 10, for 2 to 1024 bins")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"spread_{self.view.name}"

    def __call__(self, real: Table, tables: Sequence[Table], seed: int = 0) -> tuple[Estimate, ...]:
        """Estimate spread and deviation in every column; one table per training."""
        if len(tables) < 2:
            raise DataError(f"{len(tables)} generated table has no spread; give one for each of at least two trainings")
        known, drawn = self.view(real), [self.view(table) for table in tables]
        for table in drawn:
            names = comparable(known, table)
        return tuple(estimate for name in names for estimate in self.column(name, known, drawn, seed))

    def column(self, name: str, real: Table, tables: Sequence[Table], seed: int) -> tuple[Estimate, Estimate]:
        """Fill the same bins with all samples, and compare."""
        makers, truth = held_apart(summed(real, name), seed)
        bins = Cells.of(makers, self.depth, np.zeros(1, dtype=np.intp))
        samples = [truth, *(summed(table, name) for table in tables)]
        known, *filled = [Contents.of(bins.place(sample.values), sample.weights, len(bins), table.source)
                          for sample, table in zip(samples, [real, *tables], strict=True)]
        ends = min(sample.values.min() for sample in samples), max(sample.values.max() for sample in samples)
        edges = np.concatenate([[ends[0]], bins.edges, [ends[1]]])
        return estimates(name, known, Ensemble.of(filled), edges)


def summed(table: Table, name: str) -> Sample:
    """One number a row: the column, or the sum of an image."""
    sample = Sample.of(table, [name])
    return Sample(sample.values.sum(axis=1, keepdims=True), sample.weights)


@dataclass(frozen=True)
class Ensemble:
    """Shares (T, K) of T trainings, and the mean covariance (K, K) that counting explains."""

    shares: Numbers
    counting: Numbers

    @classmethod
    def of(cls, trainings: Sequence[Contents]) -> Ensemble:
        """Put trainings together."""
        return cls(np.array([one.share for one in trainings]), np.mean([one.covariance for one in trainings], axis=0))

    @property
    def mean(self) -> Contents:
        """Their mean, with the noise of its counting."""
        return Contents(self.shares.mean(axis=0), self.counting / len(self.shares))

    @property
    def between(self) -> Numbers:
        """Variance (K,) between trainings beyond counting, unbiased: it may be negative."""
        return np.asarray(self.shares.var(axis=0, ddof=1) - self.counting.diagonal())

    def scaled(self, factor: Numbers) -> Ensemble:
        """Multiply each share by a factor (K,)."""
        return Ensemble(self.shares * factor, self.counting * np.outer(factor, factor))

    def variance(self) -> tuple[float, float, float]:
        """Sum of the variances between trainings, its standard deviation, and that of identical trainings.

        For T − 1 degrees of freedom and covariance S the sum of T − 1 variances has variance 2 tr S²/(T − 1).
        """
        freedom = len(self.shares) - 1
        null = 2 * float(np.sum(self.counting**2)) / freedom
        moved = 2 * squared_trace(np.cov(self.shares, rowvar=False), freedom) / freedom
        return float(self.between.sum()), math.sqrt(max(moved, null)), math.sqrt(null)


def squared_trace(covariance: Numbers, freedom: int) -> float:
    """Trace of the squared true covariance from a sample one: unbiased for Gaussians, from above for one degree.

    Source: Srivastava, J. Japan Statist. Soc. 35 (2005) 251.
    """
    squared, trace = float(np.sum(covariance**2)), float(np.trace(covariance))
    if freedom == 1:
        return trace**2
    return freedom**2 / ((freedom - 1) * (freedom + 2)) * (squared - trace**2 / freedom)


def root(square: float, error: float) -> tuple[float, float]:
    """Root of an estimate that may be negative, and its error; at most the root of the error, as near zero.

    >>> root(4.0, 0.004), root(-1.0, 0.04)
    ((2.0, 0.001), (0.0, 0.2))
    """
    value = math.sqrt(max(square, 0.0))
    return value, min(error / (2 * value), math.sqrt(error)) if value > 0 else math.sqrt(error)


def estimates(of: str, real: Contents, ensemble: Ensemble, edges: Numbers) -> tuple[Estimate, Estimate]:
    """Spread and deviation relative to the content, weighted by it: Σ s²/m and Σ (m − r)²/m."""
    mean = ensemble.mean.share
    factor = np.divide(1, np.sqrt(np.abs(mean)), out=np.zeros_like(mean), where=mean != 0)
    scaled = ensemble.scaled(factor)
    square, error, null = scaled.variance()
    spread = root(square, error)
    apart, truth = scaled.mean, real.scaled(factor)
    deviation = root(*squared_distance(apart, truth))
    noise = Contents(mean, apart.covariance + truth.covariance).null
    details = {"trainings": len(ensemble.shares), "bins": int(np.count_nonzero(mean)), **bins(edges, ensemble, real),
               **compared(spread, deviation)}
    how = "error: Gaussian covariance of the bins; floor and its width: "
    return (
        Estimate("spread", of, *spread, *floor(null), how=f"{how}identical trainings", details=details),
        Estimate("deviation", of, *deviation, *floor(noise), how=f"{how}a mean without deviation",
                 details=compared(spread, deviation)),
    )


def floor(error: float) -> tuple[float, float]:
    """Mean and standard deviation of the root where there is nothing but noise."""
    return ROOT_MEAN * math.sqrt(error), ROOT_WIDTH * math.sqrt(error)


def compared(spread: tuple[float, float], deviation: tuple[float, float]) -> dict[str, float]:
    """Deviation over spread: up to about one, the spread is a fair uncertainty of one training."""
    if spread[0] == 0:
        return {"ratio": math.nan, "ratio_error": math.nan}
    ratio = deviation[0] / spread[0]
    return {"ratio": ratio, "ratio_error": math.hypot(deviation[1], ratio * spread[1]) / spread[0]}


def bins(edges: Numbers, ensemble: Ensemble, real: Contents) -> dict[str, Any]:
    """Per bin, for plots: edges, real and mean share, standard deviations between trainings and of counting."""
    return {
        "edges": edges.tolist(), "real": real.share.tolist(), "mean": ensemble.mean.share.tolist(),
        "between": np.sqrt(np.maximum(ensemble.between, 0)).tolist(),
        "statistical": np.sqrt(ensemble.counting.diagonal()).tolist(),
        "real_error": np.sqrt(real.covariance.diagonal()).tolist(),
    }
