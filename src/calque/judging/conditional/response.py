"""Response: how far are generated images from real ones of the same contexts, in units of the pixels' spread?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError
from calque.judging.conditional.bins import Bins, in_view
from calque.judging.conditional.ranks import Draw, answered
from calque.judging.drawing.binning import around
from calque.judging.measure import Estimate, finite
from calque.judging.samples import NotMeasurableError, comparable
from calque.judging.views import RAW, View
from calque.seeds import derive, numpy_stream
from calque.table import Array, Table

Numbers = NDArray[np.float64]

LEAST = 20  # pairs of images of equal contexts, below which there is no floor
BLOCK = 1024  # images that are subtracted at once
HOW = {True: "error: scatter of the images; floor: two real images of the same context",
       False: "error: scatter of the images; no floor: no context is repeated"}


@dataclass(frozen=True)
class Squares:
    """Mean squared differences (N,) of pairs of images, over the pixels' variance, with weights and contexts (N,)."""

    values: Numbers
    weights: Numbers
    contexts: Table

    def root(self, chosen: Array | slice = slice(None)) -> tuple[float, float]:
        """Root of the mean and its error; unknown for few pairs."""
        values, weights = self.values[chosen], self.weights[chosen]
        if len(values) < LEAST or not weights.sum() > 0:
            return math.nan, math.nan
        share = weights / weights.sum()
        mean = float(share @ values)
        error = math.sqrt(float(share**2 @ (values - mean) ** 2))
        return math.sqrt(mean), error / (2 * math.sqrt(mean)) if mean > 0 else 0.0


@dataclass(frozen=True)
class Response:
    """Root mean squared difference of images drawn by `draw(contexts, seed)` from real ones of the same contexts.

    In units of the pixels' spread over these rows: 0 is the same, √2 knows nothing of the context. Of each column of
    images overall ("response") and in the worst of `bins` of each context ("response_in_bins"), of at most `rows` rows.
    The floor is what two real images of equal contexts give, where there are enough; a generator without the noise of
    the simulation lies below. Tables without images give no estimate.
    """

    context: tuple[str, ...]
    view: View = RAW
    draw: Draw | None = None
    rows: int = 5000
    bins: int = 5

    def __post_init__(self) -> None:
        if self.rows < LEAST or self.bins < 1:
            raise ConfigError(f"rows = {self.rows}, bins = {self.bins}: at least {LEAST} and 1")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"response_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate every column of images; equal contexts are looked for in real and in `reference` rows."""
        seen = in_view(self.view, self.context, "a mean difference", real, fake)
        images = [name for name in comparable(seen, self.view(fake)) if seen[name].ndim > 1]
        if not images:
            return ()
        if self.draw is None:
            raise NotMeasurableError("images of the same contexts cannot be drawn from a table; judge a run")
        chosen = real.rows(numpy_stream(seed, "judging/response/rows").permutation(len(real))[: self.rows])
        drawn = answered(self.draw, chosen.select(self.context), derive(seed, "judging/response/draws"))
        every = real if reference is None else Table.concatenate(
            [table.select(real.features) for table in (real, reference)])
        first, second = repeated(every, self.context, self.rows)
        return tuple(estimate for name in images for estimate in self.estimates(
            name, squares(self.view(drawn)[name], self.view(chosen), name, self.context),
            squares(self.view(every.rows(first))[name], self.view(every.rows(second)), name, self.context),
            spread(self.view(chosen), name), len(images) > 1))

    def estimates(self, name: str, found: Squares, alike: Squares, unit: float, several: bool) -> Iterator[Estimate]:
        """One column of images: overall, and in the worst bin of each context."""
        details = {"pixel_spread": unit, "pairs": len(alike.values)}
        yield estimated("response", name, (*found.root(), *alike.root()), unit, details)
        for column in self.context:
            bins = Bins.of(found.contexts, column, self.bins)
            here, there = (bins.place(one.contexts[column].astype(np.float64)) for one in (found, alike))
            each = [(*found.root(here == place), *alike.root(there == place)) for place in range(len(bins))]
            filled = [place for place, one in enumerate(each) if math.isfinite(one[0])]
            if filled:
                worst = max(filled, key=lambda place: each[place][0] - np.nan_to_num(each[place][2]))
                yield estimated("response_in_bins", f"{name}, {column}" if several else column, each[worst], unit, {
                    "where": bins.labels[worst], "edges": edges(bins, found.contexts[column]),
                    "bins": [{"label": label, "value": value / unit, "error": error / unit, "floor": floor / unit}
                             for label, (value, error, floor, _) in zip(bins.labels, each, strict=True)]})


def estimated(measure: str, of: str, roots: tuple[float, float, float, float], unit: float,
              details: dict[str, Any]) -> Estimate:
    """Value and floor with their errors, in a unit; both sides of a known floor are bad."""
    value, error, floor, floor_error = (root / unit for root in roots)
    known = math.isfinite(floor)
    return Estimate(measure, of, value, error, floor, floor_error, HOW[known], "away" if known else "higher",
                    finite(details))


def edges(bins: Bins, values: Array) -> list[float]:
    """All edges of bins, the outer ones those of the values; a bin of one value reaches halfway to the next."""
    distinct = np.unique(values.astype(np.float64))
    outer = np.concatenate([distinct[:1], bins.edges, distinct[-1:]])
    return [float(edge) for edge in (around(distinct) if len(distinct) == len(bins) else outer)]


def squares(images: Array, others: Table, name: str, context: tuple[str, ...]) -> Squares:
    """Compare images (N, …) with those of a table, row by row."""
    parts = [np.square(images[start : start + BLOCK].astype(np.float64) - others[name][start : start + BLOCK])
             .reshape(len(images[start : start + BLOCK]), -1).mean(1) for start in range(0, len(images), BLOCK)]
    return Squares(np.concatenate([np.zeros(0), *parts]), others.weights, others.select(context))


def spread(table: Table, name: str) -> float:
    """Root mean square over the pixels of their standard deviations."""
    images = table[name].reshape(len(table), -1).astype(np.float64)
    images -= np.average(images, axis=0, weights=table.weights)
    return math.sqrt(float(np.average(np.square(images, out=images).mean(1), weights=table.weights)))


def repeated(table: Table, context: tuple[str, ...], most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows (M,) and other rows (M,) of equal contexts: the first two of each."""
    columns = [table[name] for name in context]
    order = np.lexsort(columns)
    same = np.all([column[order[1:]] == column[order[:-1]] for column in columns], axis=0)
    start = np.flatnonzero(same & ~np.concatenate([[False], same])[:-1])[:most]
    return order[start], order[start + 1]
