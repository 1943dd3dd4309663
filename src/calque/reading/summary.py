"""Statistics of columns that merge: over pieces of a file, over files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from calque.table import Array


@dataclass(frozen=True)
class ColumnSummary:
    """One column's finite numbers: weighted mean, and rms about it; an image counts each of its pixels."""

    min: float = np.inf
    max: float = -np.inf
    weight: float = 0.0
    mean: float = np.nan
    squares: float = 0.0
    nonfinite: int = 0

    @property
    def rms(self) -> float:
        """Weighted root of the mean square about the mean; NaN where there is no weight."""
        return float(np.sqrt(max(self.squares / self.weight, 0.0))) if self.weight else np.nan

    @classmethod
    def of(cls, values: Array, weights: Array) -> ColumnSummary:
        """Summarise values (N, ...) with weights (N,)."""
        flat = np.ma.filled(values.reshape(len(values), math.prod(values.shape[1:])).astype(np.float64), np.nan)
        good = np.isfinite(flat)
        if not good.any():
            return cls(nonfinite=flat.size)
        spread = np.broadcast_to(weights[:, None], flat.shape)[good]
        flat, bad = flat[good], int(flat.size - good.sum())
        total = float(spread.sum())
        mean = float(spread @ flat / total) if total else np.nan
        squares = float(spread @ np.square(flat - mean)) if total else 0.0
        return cls(float(flat.min()), float(flat.max()), total, mean, squares, bad)

    def __add__(self, other: ColumnSummary) -> ColumnSummary:
        """Merge, by the pairwise update of Chan, Golub and LeVeque (1979)."""
        low, high = min(self.min, other.min), max(self.max, other.max)
        bad, total = self.nonfinite + other.nonfinite, self.weight + other.weight
        if not (self.weight and other.weight and total):
            one = self if self.weight else other
            return ColumnSummary(low, high, one.weight, one.mean, one.squares, bad)
        step = other.mean - self.mean
        mean = self.mean + step * other.weight / total
        squares = self.squares + other.squares + step**2 * self.weight * other.weight / total
        return ColumnSummary(low, high, total, mean, squares, bad)


@dataclass(frozen=True)
class Summary:
    """Rows, sum of weights and each column's statistics.

    >>> parts = [Summary.of({"x": np.array([1.0, 2.0])}), Summary.of({"x": np.array([6.0])})]
    >>> whole = Summary.merged(parts)
    >>> whole.rows, whole.columns["x"].mean, whole.columns["x"].max
    (3, 3.0, 6.0)
    """

    rows: int = 0
    weight: float = 0.0
    columns: dict[str, ColumnSummary] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Mapping[str, Array], weight: str | None = None) -> Summary:
        """Summarise columns; `weight` names the one that weighs the others (rows of non-finite weight count 0)."""
        rows = len(next(iter(columns.values())))
        weights = np.ones(rows) if weight is None else np.ma.filled(columns[weight].astype(np.float64), np.nan)
        weights = np.where(np.isfinite(weights), weights, 0.0)
        ones = np.ones(rows)
        found = {name: ColumnSummary.of(a, ones if name == weight else weights) for name, a in columns.items()}
        return cls(rows, float(weights.sum()), found)

    def __add__(self, other: Summary) -> Summary:
        """Merge two summaries; columns that only one has stay."""
        names = dict.fromkeys([*self.columns, *other.columns])
        blank = ColumnSummary()
        merged = {name: self.columns.get(name, blank) + other.columns.get(name, blank) for name in names}
        return Summary(self.rows + other.rows, self.weight + other.weight, merged)

    @classmethod
    def merged(cls, parts: Iterable[Summary]) -> Summary:
        """Join the summaries of many files."""
        return reduce(cls.__add__, parts, cls())
