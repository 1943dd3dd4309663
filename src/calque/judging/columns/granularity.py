"""Repeated values and lattices that one sample has and the other lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.measure import Estimate
from calque.judging.samples import comparable
from calque.judging.views import RAW, View
from calque.preparing.lattice import Grid, find_lattice
from calque.seeds import numpy_stream
from calque.table import Array, Table

Numbers = NDArray[np.float64]
BLOCK, LEAST_BLOCKS, MOST_BLOCKS = 1000, 20, 100  # rows of a block, blocks of a sample
HOW = ("error: spread between blocks of rows; floor: the same of training rows, or of halves of the real ones, in "
       "place of generated ones")


@dataclass(frozen=True)
class Granularity:
    """Share of rows with a repeated value, or on the real sample's lattice, generated less real; column by column."""

    view: View = RAW

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"granularity_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate it for every column of numbers."""
        seen, drawn = self.view(real), self.view(fake)
        names = comparable(seen, drawn)
        for table in (seen, drawn):
            if table.weights.sum() <= 0:
                raise DataError(f"the weights of {table.source} (column {table.weight!r}) sum to nothing")
        order = numpy_stream(seed, f"judging/{self.name}")
        mixed = shuffled(seen, order), shuffled(drawn, order)
        more = None if reference is None else shuffled(self.view(reference), order)
        return tuple(self.judge(name, *mixed, more) for name in names if seen[name].ndim == 1)

    def judge(self, name: str, real: Table, fake: Table, reference: Table | None) -> Estimate:
        """Compare the shares of one column."""
        halves = real.rows(slice(0, None, 2)), real.rows(slice(1, None, 2))
        first, second = halves if reference is None else (real, reference)
        rows = block_size(*(len(table) for table in (real, fake, first, second)))
        grid = lattice_of(real[name])
        ours, drawn, one, other = (shares(table, name, rows, grid) for table in (real, fake, first, second))
        least = 1 / min(len(real), len(fake))
        value, floor = float(drawn.mean() - ours.mean()), float(other.mean() - one.mean())
        spread = float(np.concatenate([one - one.mean(), other - other.mean()]).std())
        error = math.hypot(error_of(drawn), error_of(ours), least)
        return Estimate(
            "granularity", name, value, error, floor, spread / math.sqrt(len(other)), how=HOW, worse="away",
            null_error=math.hypot(spread / math.sqrt(len(drawn)), least),
            details={"real": float(ours.mean()), "generated": float(drawn.mean()), "rows_of_a_block": rows,
                     "view": self.view.name, **({} if grid is None else {"step": grid.step})},
        )


def block_size(*rows: int) -> int:
    """Rows of a block: as many as leave every sample twenty blocks, a thousand at most."""
    return max(min(BLOCK, min(rows) // LEAST_BLOCKS), 2)


def lattice_of(column: Array) -> Grid | None:
    """The lattice of real values, but for whole numbers of an integer type, which any draw is."""
    grid = find_lattice(column)
    return None if grid is not None and column.dtype.kind in "biu" and grid.step <= 1 else grid


def shuffled(table: Table, stream: np.random.Generator) -> Table:
    """The rows in random order: neighbours in a file may belong together."""
    return table.rows(stream.permutation(len(table)))


def shares(table: Table, name: str, rows: int, grid: Grid | None) -> Numbers:
    """Weighted share of each block (K,) that has grain: on the lattice, or else of a value that the block repeats."""
    count = min(len(table) // rows, MOST_BLOCKS)
    values = table[name][: count * rows].reshape(count, rows)
    weights = np.abs(table.weights[: count * rows]).reshape(count, rows)
    if grid is None:
        grained = np.stack([repeated(block) for block in values])
    else:
        grained = ~grid.off(values.reshape(-1)).reshape(values.shape)
    total = np.where(weights.sum(1) > 0, weights.sum(1), 1.0)
    return np.asarray((weights * grained).sum(1) / total)


def repeated(values: Array) -> NDArray[np.bool_]:
    """Which values (N,) occur more than once."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[which.reshape(-1)] > 1)


def error_of(blocks: Numbers) -> float:
    """Standard error of the mean of blocks."""
    return float(blocks.std(ddof=1)) / math.sqrt(len(blocks)) if len(blocks) > 1 else 0.0
