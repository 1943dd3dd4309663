"""Rows of one sample that lie in another: equal, equal after rounding, or as near as rounding brings them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.samples import Sample, row_keys
from calque.table import Table

Numbers = NDArray[np.float64]
Rows = NDArray[np.bool_]

NEAR = 3e-6  # of a column's width: what rounding to six digits changes
CELL = 10.0  # cells of the lattice are so many times wider, times the number of columns
MOST_SHARED = 0.01  # share of rows in both tables that may be chance
WIDTH_ROWS = 20_000  # rows that the widths are taken from
CENTRE = (0.01, 0.99)  # quantiles between which the width of a column is measured


@dataclass(frozen=True)
class Near:
    """How near two rows have to be: at most `tolerance` (D,) apart in every column."""

    names: tuple[str, ...]
    tolerance: Numbers

    @classmethod
    def of(cls, table: Table) -> Near:
        """Take the tolerance from the widths of the columns."""
        step = max(len(table) // WIDTH_ROWS, 1)
        values = Sample.of(table.rows(slice(None, None, step)), table.features).values
        low, high = np.quantile(values, CENTRE, axis=0)
        width = np.where(high > low, high - low, values.std(axis=0))
        return cls(table.features, NEAR * width)

    def lattices(self) -> Iterator[Callable[[Numbers], Numbers]]:
        """Maps of values to cells of two lattices: rows on two sides of an edge in one share a cell of the other."""
        size = CELL * len(self.tolerance) * np.where(self.tolerance > 0, self.tolerance, 1e-300)
        for shift in (0.0, 0.5):
            yield partial(_place, size=size, shift=shift)

    def holds(self, first: Table, second: Table) -> Rows:
        """Whether each row of one table is near the row of the other in the same place."""
        ours, theirs = (Sample.of(table, self.names).values for table in (first, second))
        return np.asarray((np.abs(ours - theirs) <= self.tolerance).all(axis=1))


def _place(values: Numbers, size: Numbers, shift: float) -> Numbers:
    """Cell of every value; a column without width has one cell for every value."""
    with np.errstate(over="ignore"):
        cells = np.floor(values / size + shift)
    return np.where(np.isfinite(cells), cells, values)


def _single(values: Numbers) -> Numbers:
    """Round to single precision."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def find_copies(asked: Table, known: Table) -> Rows:
    """Mark the rows that also lie in another table.

    Rows are the same if they are equal after rounding to single precision, or if they differ by no more than
    3e-6 of the width (1 % to 99 % of the known rows) in any column. Both are found by sorting: the time grows like
    N log N.

    Parameters
    ----------
    asked
        Rows (M) to look up.
    known
        Rows (N) to look them up in, with the same features.

    Returns
    -------
    NDArray[np.bool_]
        One entry (M,) for every asked row.

    Examples
    --------
    >>> rows = np.random.default_rng(1).normal(size=(100, 2))
    >>> known = Table.of({"x": rows[:, 0], "y": rows[:, 1]})
    >>> rounded = Table.of({"x": rows[:, 0].astype("f4"), "y": rows[:, 1].astype("f4")})
    >>> int(find_copies(rounded, known).sum())
    100
    """
    near = Near.of(known)
    found = _look_up(*(row_keys(table, near.names, _single) for table in (asked, known))) >= 0
    for cells in near.lattices():
        place = _look_up(*(row_keys(table, near.names, cells) for table in (asked, known)))
        found |= _confirmed(near, asked, known, place)
    return found


def find_repeats(table: Table) -> Rows:
    """Mark the rows that lie where an earlier one does, in the same sense."""
    near, own = Near.of(table), np.arange(len(table))
    keys = row_keys(table, near.names, _single)
    found: Rows = _look_up(keys, keys) != own
    for cells in near.lattices():
        keys = row_keys(table, near.names, cells)
        place = _look_up(keys, keys)
        found |= _confirmed(near, table, table, np.where(place == own, -1, place))
    return found


def _look_up(asked: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.intp]:
    """First known row (M,) of the same key; −1 where there is none."""
    keys, first = np.unique(known, return_index=True)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, first[place], -1)


def _confirmed(near: Near, asked: Table, known: Table, place: NDArray[np.intp]) -> Rows:
    """Keep those that are near the known row in their place; −1 has none."""
    found = np.zeros(len(asked), dtype=bool)
    rows = np.flatnonzero(place >= 0)
    if not len(rows):
        return found
    found[rows] = near.holds(asked.rows(rows), known.rows(place[rows]))
    return found


def check_overlap(first: Table, second: Table, purpose: str) -> None:
    """Raise DataError where rows lie in both tables, beyond what repeated values explain.

    Two samples share twice as many rows as repeat within one, give or take their chance.
    """
    repeated = int(find_repeats(first).sum())
    chance = 2 * (repeated + 3 * np.sqrt(repeated) + 5) / len(first)
    found = find_copies(second, first)
    shared = int(found.sum())
    if shared <= (MOST_SHARED + chance) * len(second):
        return
    equal = int(np.isin(row_keys(second, first.features), row_keys(first, first.features)).sum())
    how = "equal in every column" if equal == shared else (
        f"{equal} of them equal in every column, the others but for rounding (to single precision, or by less than "
        f"{NEAR:g} of the width of every column)")
    raise DataError(f"{shared} of {len(second)} rows of {second.source} lie in {first.source} too, {how}; "
                    f"{purpose}: give two samples without common rows")
