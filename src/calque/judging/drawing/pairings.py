"""Which pairs of columns are drawn: of very many those that differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from calque.judging.drawing.binning import Binning
from calque.judging.drawing.pairs import mean_square, standardised
from calque.judging.drawing.plot import Numbers
from calque.seeds import numpy_stream

MOST_COLUMNS = 60  # of very many, those that are drawn
MOST_PAIRS = 45  # all of ten columns
MOST_RANKED = 800  # all of forty columns: pairs that are ranked by all rows; of more the worst by a few rows
FEW_ROWS, FEW_BINS = 5000, 12

Pair = tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """Columns (N,) by name, with weights (N,)."""

    columns: Mapping[str, Numbers]
    weights: Numbers

    def few(self, which: int) -> Rows:
        """Take some rows at random; `which` numbers the samples."""
        order = numpy_stream(0, "judging/pairings", which).permutation(len(self.weights))[:FEW_ROWS]
        return Rows({name: column[order] for name, column in self.columns.items()}, self.weights[order])


def chosen(real: Rows, fake: Rows, binnings: Mapping[str, Binning]) -> list[Pair]:
    """Name the pairs to draw, at most 45, in the order of the columns."""
    names = list(combinations(binnings, 2))
    wanted = names
    if len(names) > MOST_RANKED:
        few = real.few(0), fake.few(1)
        coarse = {name: Binning.of(few[0].columns[name], few[0].weights, FEW_BINS) for name in binnings}
        wanted = worst(names, *few, coarse)[:MOST_RANKED]
    if len(names) > MOST_PAIRS:
        wanted = worst(wanted, real, fake, binnings)[:MOST_PAIRS]
    return sorted(wanted, key=names.index)


def worst(names: Sequence[Pair], real: Rows, fake: Rows, binnings: Mapping[str, Binning]) -> list[Pair]:
    """Sort pairs by their mean squared pull, the largest first."""
    placed = Placed.of(real, binnings), Placed.of(fake, binnings)
    return sorted(names, key=lambda pair: -distance(*(sample.fill(pair) for sample in placed)))


@dataclass(frozen=True)
class Placed:
    """Bin (N,) of every row in each column: 0 below the first edge, then one after another, the last one above."""

    bins: Mapping[str, NDArray[np.uint8]]
    counts: Mapping[str, int]
    weights: Numbers

    @classmethod
    def of(cls, rows: Rows, binnings: Mapping[str, Binning]) -> Placed:
        """Look every row up once, so that a pair costs little: a hundredth of a histogram of its own."""
        bins = {name: np.searchsorted(binning.edges, rows.columns[name], side="right").astype(np.uint8)
                for name, binning in binnings.items()}
        return cls(bins, {name: len(binning.edges) + 1 for name, binning in binnings.items()}, rows.weights)

    def fill(self, pair: Pair) -> tuple[Numbers, Numbers]:
        """Share of the weight in each cell of a pair, and its variance."""
        first, second = (self.counts[name] for name in pair)
        cell = self.bins[pair[0]].astype(np.intp) * second + self.bins[pair[1]]
        share, variance = (np.bincount(cell, self.weights**power, first * second).reshape(first, second)[1:-1, 1:-1]
                           / self.weights.sum() ** power for power in (1, 2))
        return share, variance


def distance(real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers]) -> float:
    """Mean squared pull of two samples in the cells of a pair."""
    return mean_square(standardised(fake[0] - real[0], real[1] + fake[1]))


def columns_left_out(columns: int) -> str:
    """Say that not all columns are drawn; nothing where all are.

    >>> columns_left_out(60), columns_left_out(400)
    ('', 'Of 400 columns the 60 farthest beyond their floors are drawn.')
    """
    return "" if columns <= MOST_COLUMNS else (
        f"Of {columns} columns the {MOST_COLUMNS} farthest beyond their floors are drawn.")


def left_out(columns: int) -> str:
    """Say that not all pairs of so many columns are drawn, and how those were found; nothing where all are.

    >>> left_out(10), left_out(20)
    ('', 'Of 190 pairs the 45 that differ most are drawn.')
    """
    pairs = math.comb(columns, 2)
    if pairs <= MOST_PAIRS:
        return ""
    sought = (f" All were compared in {FEW_ROWS} events of each sample at most, the worst {MOST_RANKED} then in all."
              if pairs > MOST_RANKED else "")
    return f"Of {pairs} pairs the {MOST_PAIRS} that differ most are drawn.{sought}"
