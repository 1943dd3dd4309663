"""Bins that suit a column: one per value where values are few, else equal bins over the bulk of the real rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.table import Table

if TYPE_CHECKING:
    import hist

FEW = 40  # so many values get a bin each


@dataclass(frozen=True)
class Binning:
    """Edges (bins + 1,) of a column and, where each bin is one value, the values (bins,)."""

    edges: NDArray[np.float64]
    values: NDArray[np.float64] | None = None

    @property
    def power(self) -> int:
        """Power of ten that the axis is labelled in: 0 unless numbers would be long."""
        largest = float(np.abs(self.edges).max())
        power = math.floor(math.log10(largest)) if largest > 0 else 0
        return power if power > 4 or power < -2 else 0

    @classmethod
    def of(cls, column: NDArray[np.float64], weights: NDArray[np.float64], bins: int = 60) -> Binning:
        """Choose bins from real rows; the range holds 99.8 % of the weight, or everything if that is little more.

        A tail of fewer than five effective rows is left out: one heavy row must not stretch the axis.
        """
        distinct = np.unique(column)
        step = spacing(distinct)
        if step:
            whole = cls.of(np.round(column / step), weights, bins)
            return cls(whole.edges * step, None if whole.values is None else whole.values * step)
        lattice = whole_numbers(distinct) and len(distinct) > 1 and 2 * len(distinct) > np.ptp(distinct)
        if len(distinct) <= FEW and not lattice:
            return cls(around(distinct), distinct)
        low, high = central_range(column, np.abs(weights), 0.001)
        span = high - low
        low = distinct[0] if low - distinct[0] < 0.1 * span else low
        high = distinct[-1] if distinct[-1] - high < 0.1 * span else high
        if lattice and high - low < 2 * bins:
            return cls(np.arange(low - 0.5, high + 1), np.arange(low, high + 1))
        if lattice:  # as many values in every bin, or bins alternate
            step = math.ceil((high - low) / bins)
            return cls(np.arange(low - 0.5, high + step, step))
        high = np.nextafter(high, np.inf) if high > low else low + 1
        return cls(np.linspace(low, high, bins + 1))

    def fill(self, column: NDArray[np.float64], weights: NDArray[np.float64]) -> hist.Hist[Any]:
        """Histogram of the share of the total weight, with its variances; flow bins keep what lies outside."""
        import hist

        made = hist.Hist(hist.axis.Variable(self.edges), storage=hist.storage.Weight())
        made.fill(column, weight=weights)
        return made / weights.sum()


def spacing(distinct: NDArray[np.float64]) -> float:
    """Step of values that are its multiples, and most of them there, such as shares of 144 cells; 0 for all others.

    >>> spacing(np.arange(50) / 8), spacing(np.arange(50.0)), spacing(np.sqrt(np.arange(50)))
    (0.125, 0.0, 0.0)
    """
    if len(distinct) <= FEW or whole_numbers(distinct):
        return 0.0
    step = float(np.diff(distinct).min())
    steps = distinct / step
    return step if np.ptp(steps) < 2 * len(steps) and np.allclose(steps, np.round(steps), rtol=0, atol=1e-6) else 0.0


def around(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges halfway between values."""
    if len(values) == 1:
        half = max(0.5, 0.01 * abs(values[0]))
        return np.array([values[0] - half, values[0] + half])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def central_range(
    column: NDArray[np.float64], weights: NDArray[np.float64], tail: float, rows: float = 5
) -> tuple[float, float]:
    """Give the weighted quantiles that leave out `tail` on each side, or so many effective rows if that is more."""
    order = np.argsort(column)
    cumulative = np.cumsum(weights[order])
    cut = min(max(tail, rows * np.square(weights).sum() / cumulative[-1] ** 2), 0.1)
    places = np.searchsorted(cumulative, cumulative[-1] * np.array([cut, 1 - cut]))
    low, high = column[order][np.minimum(places, len(column) - 1)]
    return float(low), float(high)


def whole_numbers(values: NDArray[np.float64]) -> bool:
    """Whether all values are integers."""
    return bool(np.all(values == np.round(values)))


def plain(table: Table, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Columns of one number a row, in double precision."""
    return {name: table[name].astype(np.float64) for name in names}


def outside(made: hist.Hist[Any]) -> float:
    """Share of the weight beyond the edges."""
    content = made.values(flow=True)
    return float(content[0] + content[-1])
