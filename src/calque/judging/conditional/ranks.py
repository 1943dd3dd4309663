"""Ranks: is every real value drawn from what the generator gives for the same context?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging.conditional.bins import Bins, in_view
from calque.judging.conditional.ranked import Ranked, flatness
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample, comparable, effective, flat_names
from calque.judging.views import RAW, View
from calque.seeds import derive, numpy_stream
from calque.table import Table

Numbers = NDArray[np.float64]
Draw = Callable[[Table, int], Table]

LEAST_ROWS = 50  # effective rows of each sample in a cell of contexts: a few in every bin of ranks
ROWS_A_CELL = 100  # on average: cells are not filled alike


@dataclass(frozen=True)
class Ranks:
    """χ²/ndf of the ranks of real values among generated ones of the same context; 1 where p(x | c) is right.

    Simulation-based calibration (Talts et al., arXiv:1804.06788): with `draw(contexts, seed)`, which gives one
    generated row for each row of contexts, `draws` rows are drawn for each of at most `rows` real ones. Without it,
    real rows are ranked among the generated rows of their cell of `bins` in each context; there are fewer bins where
    cells would hold fewer than a hundred rows. Ties are broken at random. One histogram of ranks is made in every
    cell: over all contexts together, a generator that ignores them has flat ranks. Weights count; negative ones raise
    DataError.
    """

    context: tuple[str, ...]
    view: View = RAW
    draw: Draw | None = None
    draws: int = 39
    rows: int = 2000
    bins: int = 5
    rank_bins: int = 10

    def __post_init__(self) -> None:
        for setting, least in {"draws": 1, "rows": 1, "bins": 1, "rank_bins": 2}.items():
            if getattr(self, setting) < least:
                raise ConfigError(f"{setting} = {getattr(self, setting)} is too small; at least {least}")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"ranks_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate every column that is no context; the floor is 1, so `reference` plays no part."""
        seen, drawn = in_view(self.view, self.context, "ranks", real, fake), self.view(fake)
        names = [name for name in comparable(seen, drawn) if name not in self.context]
        asked = min(len(real), self.rows if self.draw else len(fake))
        cells = Cells.of(seen, self.context, self.bins, asked)
        if self.draw is None:
            ranked = list(self.in_cells(seen, drawn, names, cells, seed))
        else:
            ranked = list(self.by_drawing(self.draw, real, names, cells, seed))
        if not ranked:
            raise NotMeasurableError(f"no cell of {', '.join(self.context)} has {LEAST_ROWS} rows of both samples; "
                                     "take fewer bins or contexts, or give more rows")
        how = "cells of the context" if self.draw is None else f"{self.draws} rows drawn for the context of each row"
        columns = flat_names(seen.select(names))
        left_out = self.left_out(cells, ranked, seen)
        return tuple(flatness(name, ranked, column, self.rank_bins, how, left_out if column == 0 else ())
                     for column, name in enumerate(columns))

    def left_out(self, cells: Cells, ranked: list[Ranked], real: Table) -> list[str]:
        """Lines about cells of contexts that hold real rows, but too few to be ranked."""
        known = {one.label for one in ranked}
        labels = [cells.label(cell) for cell in np.unique(cells.place(real))]
        return [f"the bin {label} is left out: fewer than {LEAST_ROWS} effective rows"
                for label in labels if label not in known]

    def by_drawing(self, draw: Draw, real: Table, names: list[str], cells: Cells, seed: int) -> Iterator[Ranked]:
        """Rank each real row among rows drawn for its own context."""
        chosen = real.rows(numpy_stream(seed, "judging/ranks/rows").permutation(len(real))[: self.rows])
        contexts, seen = chosen.select(self.context), self.view(chosen)
        asked = Sample.of(seen, names)
        lower, equal, total = np.zeros_like(asked.values), np.zeros_like(asked.values), np.zeros((len(asked), 1))
        for turn in range(self.draws):
            answer = Sample.of(self.view(answered(draw, contexts, derive(seed, "judging/ranks/draws", turn))), names)
            if len(answer) != len(asked):
                raise DataError(f"{len(answer)} rows were drawn for {len(asked)} contexts; draw one for each")
            if turn == 0:
                before = answer.values
            elif turn == 1 and np.array_equal(before, answer.values):
                raise NotMeasurableError("the generator draws the same for the same context: ranks take noise")
            weights = answer.weights[:, None]
            lower += weights * (answer.values < asked.values)
            equal += weights * (answer.values == asked.values)
            total += weights
        step = total / self.draws
        uniform = numpy_stream(seed, "judging/ranks/ties").random(asked.values.shape)
        ranks, place = (lower + uniform * (equal + step)) / (total + step), cells.place(seen)
        for cell in np.unique(place):
            if worth(asked.rows(place == cell)) >= LEAST_ROWS:
                yield Ranked(cells.label(cell), ranks[place == cell], asked.weights[place == cell], 0.0)

    def in_cells(self, real: Table, fake: Table, names: list[str], cells: Cells, seed: int) -> Iterator[Ranked]:
        """Rank real rows among the generated rows of their cell; cells with few rows of either are left out."""
        ours, theirs, stream = cells.place(real), cells.place(fake), numpy_stream(seed, "judging/ranks/ties")
        asked, known = Sample.of(real, names), Sample.of(fake, names)
        for cell in np.unique(ours):
            here, there = asked.rows(ours == cell), known.rows(theirs == cell)
            if min(worth(here), worth(there)) >= LEAST_ROWS:
                yield Ranked(cells.label(cell), among(here.values, there, stream), here.weights,
                             1 / effective(there.weights))


def worth(sample: Sample) -> float:
    """Effective rows; 0 where there is no weight."""
    return effective(sample.weights) if sample.weights.any() else 0.0


def answered(draw: Draw, contexts: Table, seed: int) -> Table:
    """Draw rows; raises NotMeasurableError where the generator does not know a context, as a value it never saw."""
    try:
        return draw(contexts, seed)
    except DataError as error:
        raise NotMeasurableError(f"no rows can be drawn for the contexts of {contexts.source}: {error}") from None


@dataclass(frozen=True)
class Cells:
    """Cells of several context columns, numbered."""

    bins: tuple[Bins, ...]

    @classmethod
    def of(cls, table: Table, context: tuple[str, ...], most: int, rows: int) -> Cells:
        """At most so many bins in each context, and fewer where cells would get too few of so many rows."""
        for count in range(most, 0, -1):
            cells = cls(tuple(Bins.of(table, column, count) for column in context))
            if len(cells) * ROWS_A_CELL <= rows:
                break
        return cells

    def __len__(self) -> int:
        return math.prod(map(len, self.bins))

    def place(self, table: Table) -> NDArray[np.intp]:
        """Cell (N,) of every row."""
        columns = [one.place(table[one.column].astype(np.float64)) for one in self.bins]
        return np.asarray(np.ravel_multi_index(columns, [len(one) for one in self.bins]))

    def label(self, cell: int) -> str:
        """Describe a cell in words."""
        places = np.unravel_index(cell, [len(one) for one in self.bins])
        return " and ".join(one.labels[place] for one, place in zip(self.bins, places, strict=True))


def among(points: Numbers, known: Sample, generator: np.random.Generator) -> Numbers:
    """Rank (N, D) in [0, 1] of points among known values, column by column; equal values are put in random order."""
    step, columns = known.weights.mean(), []
    weights = np.concatenate([np.zeros(len(points)), known.weights])
    for asked, values in zip(points.T, known.values.T, strict=True):
        order = np.lexsort((generator.random(len(weights)), np.concatenate([asked, values])))
        below = np.empty(len(weights))
        below[order] = np.cumsum(weights[order])  # a point adds nothing to itself
        columns.append((below[: len(points)] + generator.random(len(points)) * step) / (known.weights.sum() + step))
    return np.stack(columns, axis=1)
