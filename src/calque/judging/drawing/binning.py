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
DECADES = 100.0  # ratio of the ends of the bulk from which bins are logarithmic
BULK = 0.05  # share on each side that is not the bulk
FLAT = 1e-3  # span over the largest value below which an axis is labelled from an offset
TAILS = (0.001, 0.01, 0.05)  # shares left out on each side, until the central half fills a bin
HALF = (0.25, 0.75)


@dataclass(frozen=True)
class Binning:
    """Edges (bins + 1,) of a column and, where each bin is one value, the values (bins,).

    A `logarithmic` one has edges at equal ratios, and is drawn on a logarithmic axis. `base` is the number that an
    axis is labelled from, where another axis decides.
    """

    edges: NDArray[np.float64]
    values: NDArray[np.float64] | None = None
    logarithmic: bool = False
    base: float | None = None

    @property
    def middles(self) -> NDArray[np.float64]:
        """Where the points (bins,) of bins are drawn."""
        if self.logarithmic and self.edges[0] > 0:
            return np.asarray(np.sqrt(self.edges[1:] * self.edges[:-1]))
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    @property
    def offset(self) -> float:
        """Round number that the axis is labelled from: 0 unless all values are close to one far from zero.

        >>> Binning(np.array([1.6e9, 1.6e9 + 99])).offset, Binning(np.array([-1.0, 120.0])).offset
        (1600000000.0, 0.0)
        """
        if self.base is not None:
            return self.base
        low, high = float(self.edges[0]), float(self.edges[-1])
        if self.logarithmic or high - low > FLAT * max(abs(low), abs(high)):
            return 0.0
        unit = 10.0 ** math.ceil(math.log10(10 * (high - low)))
        return round((low + high) / 2 / unit) * unit

    @property
    def power(self) -> int:
        """Power of ten that the axis is labelled in: 0 unless numbers would be long."""
        largest = float(np.abs(self.edges - self.offset).max())
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
        if not lattice and spans_decades(column, weights):
            return cls.of_decades(column, weights, bins)
        low, high = stretched(distinct, *bulk(column, np.abs(weights), bins))
        if lattice and high - low < 2 * bins:
            return cls(np.arange(low - 0.5, high + 1), np.arange(low, high + 1))
        if lattice:  # as many values in every bin, or bins alternate
            step = math.ceil((high - low) / bins)
            return cls(np.arange(low - 0.5, high + step, step))
        high = np.nextafter(high, np.inf) if high > low else low + 1
        return cls(np.linspace(low, high, bins + 1))

    @classmethod
    def of_decades(cls, column: NDArray[np.float64], weights: NDArray[np.float64], bins: int) -> Binning:
        """Bins at equal ratios; of whole numbers, each holds one at least."""
        kept = column > 0
        logarithms = np.log10(column[kept])
        ends = central_range(logarithms, np.abs(weights[kept]), TAILS[0])
        low, high = stretched(np.unique(logarithms), *ends)
        edges = 10.0 ** np.linspace(low, high, bins + 1)
        edges[-1] = np.nextafter(10.0**high * (1 + 1e-12), np.inf)
        edges[0] = min(edges[0], 10.0**low * (1 - 1e-12))
        if whole_numbers(column):
            edges = np.unique(np.append(np.floor(edges[:-1]), np.floor(edges[-1]) + 1)) - 0.5
        return cls(edges, logarithmic=True)

    def fill(self, column: NDArray[np.float64], weights: NDArray[np.float64]) -> hist.Hist[Any]:
        """Histogram of the share of the total weight, with its variances; flow bins keep what lies outside."""
        import hist

        made = hist.Hist(hist.axis.Variable(self.edges), storage=hist.storage.Weight())
        made.fill(column, weight=weights)
        return made / weights.sum()


def spans_decades(column: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    """Whether the bulk of a column is positive and spans two decades."""
    low, high = central_range(column, np.abs(weights), BULK)
    return low > 0 and high > DECADES * low


def stretched(distinct: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Take a range to the least and the largest value, where they lie just beyond it."""
    span = high - low
    return (float(distinct[0]) if low - distinct[0] < 0.1 * span else low,
            float(distinct[-1]) if distinct[-1] - high < 0.1 * span else high)


def bulk(column: NDArray[np.float64], weights: NDArray[np.float64], bins: int) -> tuple[float, float]:
    """Range of nearly everything, or of less where the central half would lie in one bin of it: a narrow line."""
    order = np.argsort(column)
    cumulative = np.cumsum(weights[order])
    places = np.searchsorted(cumulative, cumulative[-1] * np.array(HALF))
    first, third = column[order][np.minimum(places, len(column) - 1)]
    for tail in TAILS:
        low, high = central_range(column, weights, tail)
        if third == first or third - first > 2 * (high - low) / bins:
            return low, high
    return low, high


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
