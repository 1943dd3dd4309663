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
DIGITS = 16  # binary digits of the distance from the median in which equal values are equal
DRAWN = 16.0  # roundings of the type that a draw may be off: an exponential in single precision has lost some digits
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
        samples = (*mixed, more)
        alike = tuple(None if table is None else accept_rows(table, order) for table in samples)
        found = []
        for name in names:
            if seen[name].ndim == 1:
                grid = lattice_of(seen[name])
                found.append(self.judge(name, grid, *(alike if grid is None else samples)))
        return tuple(found)

    def judge(
        self, name: str, grid: Grid | None, real: Table | None, fake: Table | None, reference: Table | None
    ) -> Estimate:
        """Compare the shares of one column."""
        assert real is not None
        assert fake is not None
        halves = real.rows(slice(0, None, 2)), real.rows(slice(1, None, 2))
        first, second = halves if reference is None else (real, reference)
        rows = block_size(*(len(table) for table in (real, fake, first, second)))
        likeness = Likeness.of(real[name], fake[name])
        ours, drawn, one, other = (
            shares(table, name, rows, grid or likeness) for table in (real, fake, first, second)
        )
        least = 1 / min(len(real), len(fake))
        value, floor = float(drawn.mean() - ours.mean()), float(other.mean() - one.mean())
        spread = float(np.concatenate([one - one.mean(), other - other.mean()]).std())
        error = math.hypot(error_of(drawn), error_of(ours), least)
        return Estimate(
            "granularity", name, value, error, floor, spread / math.sqrt(len(other)), how=HOW, worse="away",
            null_error=max(math.hypot(spread / math.sqrt(len(drawn)), least), chance(one, other, rows, len(drawn))),
            details={"real": float(ours.mean()), "generated": float(drawn.mean()), "rows_of_a_block": rows,
                     "view": self.view.name, **({} if grid is None else {"step": grid.step})},
        )


@dataclass(frozen=True)
class Likeness:
    """What counts as one value: numbers that agree in `DIGITS` binary digits of their distance from the middle.

    Draws are rounded more coarsely than real numbers. Without a common resolution, rounding alone
    would make them repeat more often.

    Attributes
    ----------
    middle : float
        Median of the real column.
    rounding : float
        Relative rounding of the coarser of both types; 0 for whole numbers, which are equal or not.
    """

    middle: float
    rounding: float

    @classmethod
    def of(cls, real: Array, fake: Array) -> Likeness:
        """That of two columns (N,)."""
        if real.dtype.kind != "f":
            return cls(0.0, 0.0)
        kinds = [column.dtype for column in (real, fake) if column.dtype.kind == "f"]
        return cls(float(np.median(real)), max(float(np.finfo(kind).eps) for kind in kinds))

    def coarsen(self, values: Array) -> Array:
        """Numbers (N,) as they are compared."""
        if not self.rounding:
            return values
        away = values.astype(np.float64) - self.middle
        step = np.maximum(np.abs(away) * 2.0**-DIGITS, DRAWN * self.rounding * np.abs(values))
        step = 2.0 ** np.ceil(np.log2(np.maximum(step, np.finfo(np.float64).tiny)))
        return np.asarray(np.rint(away / step) * step)


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


def accept_rows(table: Table, stream: np.random.Generator) -> Table:
    """Rows that each count one: accepted with the size of their weight over the largest.

    How often a value repeats depends on the rows that are there, not on their weights alone.
    """
    weights = np.abs(table.weights)
    return table.rows(stream.random(len(table)) * weights.max() < weights).without_weight()


def shares(table: Table, name: str, rows: int, of: Grid | Likeness) -> Numbers:
    """Weighted share of each block (K,) that has grain: on the lattice, or else of a value that the block repeats."""
    count = min(len(table) // rows, MOST_BLOCKS)
    values = table[name][: count * rows].reshape(count, rows)
    weights = np.abs(table.weights[: count * rows]).reshape(count, rows)
    if isinstance(of, Grid):
        grained = ~of.off(values.reshape(-1)).reshape(values.shape)
    else:
        grained = np.stack([repeated(of.coarsen(block)) for block in values])
    total = np.where(weights.sum(1) > 0, weights.sum(1), 1.0)
    return np.asarray((weights * grained).sum(1) / total)


def repeated(values: Array) -> NDArray[np.bool_]:
    """Which values (N,) occur more than once."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[which.reshape(-1)] > 1)


def chance(one: Numbers, other: Numbers, rows: int, blocks: int) -> float:
    """Binomial standard deviation of the difference of two shares.

    The share is that of the real blocks (K,) with one repeated pair more: where hardly any row
    repeats, the spread between blocks says nothing.
    """
    known = rows * (len(one) + len(other))
    share = (rows * float(one.sum() + other.sum()) + 2) / (known + 2)
    return math.sqrt(share * (1 - share) / rows * (1 / len(one) + 1 / blocks))


def error_of(blocks: Numbers) -> float:
    """Standard error of the mean of blocks."""
    return float(blocks.std(ddof=1)) / math.sqrt(len(blocks)) if len(blocks) > 1 else 0.0
