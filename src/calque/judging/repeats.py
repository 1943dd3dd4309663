"""Rows that occur several times: re-used or oversampled events are not independent, so they count once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.samples import row_keys
from calque.table import Table

Numbers = NDArray[np.float64]

LEAST_GROUPS = 10  # fewer groups of equal rows are values that occur often, such as empty events
LEAST_REPEATED = 0.01  # share of the rows that repeat another one, below which nothing is done
LEAST_SHARE = 0.02  # share of the different rows that occur more than once, in a sample that was oversampled
FEW_VALUES = 40  # a column of so few values is discrete
IDENTIFYING = 0.9  # of the different rows: a column with so many values tells rows apart alone
EQUAL_GAPS = 0.1  # share of neighbouring gaps that are equal: 0.01 in a continuous column, more on a lattice
LOOSER = 1.1  # times the equal pairs without one column: more, and equal rows are a coincidence of few values
ALIKE = 0.1  # of the rate of equal pairs among real rows: generated rows that hit real ones as often


@dataclass(frozen=True)
class Groups:
    """Equal rows: the group (N,) of every row, the first row (K,) and the number of rows (K,) of every group."""

    group: NDArray[np.intp]
    first: NDArray[np.intp]
    times: NDArray[np.intp]

    @classmethod
    def of(cls, table: Table) -> Groups:
        """Group the rows that are equal in every feature; groups are in the order of their first rows."""
        _, first, group, times = np.unique(row_keys(table, table.features), return_index=True, return_inverse=True,
                                           return_counts=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(place[group.reshape(-1)], first[order], times[order])

    @property
    def repeated(self) -> int:
        """Number of rows that repeat an earlier one."""
        return len(self.group) - len(self.first)

    @property
    def are_many(self) -> bool:
        """Whether so many rows repeat that they matter."""
        again = int(np.sum(self.times > 1))
        return (again >= LEAST_GROUPS and again >= LEAST_SHARE * len(self.times)
                and self.repeated >= LEAST_REPEATED * len(self.group))


def merge_repeats(table: Table, generated: Table | None = None) -> tuple[Table, str]:
    """Merge rows that were repeated, with the sum of their weights; equal rows by chance stay.

    Rows of few values, or of values on a lattice, are equal by chance, and as independent as others.

    Parameters
    ----------
    table
        Real rows.
    generated
        Rows of the generator with the same columns; where they are equal to real rows as often as real rows
        are to one another, equal rows are natural.

    Returns
    -------
    table, note
        The table of different rows (the same table where nothing repeats), and a line about it, or nothing.

    Examples
    --------
    >>> rows = np.random.default_rng(1).normal(size=(100, 2)).repeat(3, axis=0)
    >>> merged, note = merge_repeats(Table.of({"x": rows[:, 0], "y": rows[:, 1]}))
    >>> len(merged), merged.effective_size
    (100, 100.0)
    """
    groups = Groups.of(table)
    if not groups.are_many or is_natural(table, groups, generated):
        return table, ""
    summed = np.bincount(groups.group, table.weights)
    kept = table.rows(groups.first)
    weight = table.weight or unused_name(table)
    merged = Table.of({**kept.columns, weight: summed}, table.units, weight, table.source)
    note = (f"{groups.repeated} of {len(table)} rows of {table.source} repeat others: {len(merged)} are different, "
            "and equal ones count as one independent row, with the sum of their weights")
    return merged, note


def describe_repeats(table: Table, real: Table) -> str:
    """Say how many generated rows repeat others; nothing where that is natural."""
    groups = Groups.of(table)
    if not groups.are_many or is_natural(table, groups, real):
        return ""
    return (f"{groups.repeated} of {len(table)} generated rows of {table.source} repeat others; they are judged as "
            "they are, so that a generator of few different events is found")


def unused_name(table: Table) -> str:
    """Name of a weight column that the table does not have."""
    name = "weight"
    while name in table.columns:
        name += "_"
    return name


def is_natural(table: Table, groups: Groups, generated: Table | None) -> bool:
    """Whether rows are equal because their values are few, and not because events were repeated."""
    different = table.rows(groups.first)
    finest = max(flat_columns(different), key=lambda values: len(values), default=np.empty(0))
    if len(finest) >= IDENTIFYING * len(different):
        return is_discrete(finest)
    if generated is not None and hits_alike(table, groups, generated):
        return True
    return any_column_matters(table, groups)


def flat_columns(table: Table) -> list[Numbers]:
    """Different values, in rising order, of every column of one number a row."""
    return [np.unique(table[name].astype(np.float64)) for name in table.features if table[name].ndim == 1]


def is_discrete(values: Numbers) -> bool:
    """Whether different values (K,) in rising order are few, or lie on a lattice, linear or logarithmic."""
    if len(values) <= FEW_VALUES:
        return True
    scales = [values] if values[0] <= 0 else [values, np.log(values)]
    return any(share_of_equal_gaps(scale) > EQUAL_GAPS for scale in scales)


def share_of_equal_gaps(values: Numbers) -> float:
    """Share of gaps between values that are as wide as the next one, within 1 %."""
    gaps = np.diff(values)
    gaps = gaps[gaps > 0]
    if len(gaps) < 2:
        return 0.0
    smaller, larger = np.minimum(gaps[1:], gaps[:-1]), np.maximum(gaps[1:], gaps[:-1])
    return float(np.mean(smaller > 0.99 * larger))


def hits_alike(table: Table, groups: Groups, generated: Table) -> bool:
    """Whether generated rows equal real ones nearly as often as two real rows equal each other."""
    if set(generated.features) != set(table.features):
        return False
    keys = row_keys(table.rows(groups.first), table.features)
    order = np.argsort(keys)
    asked = row_keys(generated, table.features)
    place = np.minimum(np.searchsorted(keys[order], asked), len(keys) - 1)
    hits = np.where(keys[order][place] == asked, groups.times[order][place], 0)
    within = equal_pairs(groups.times) / (len(table) * (len(table) - 1) / 2)
    return bool(hits.mean() / len(table) > ALIKE * within)


def any_column_matters(table: Table, groups: Groups) -> bool:
    """Whether many more pairs of rows agree without one of the columns: repeated events agree in all of them."""
    pairs = equal_pairs(groups.times)
    for name in table.features:
        others = [other for other in table.features if other != name]
        if not others:  # one image: no two are equal by chance
            return False
        _, times = np.unique(row_keys(table, others), return_counts=True)
        if equal_pairs(times) > LOOSER * pairs:
            return True
    return False


def equal_pairs(times: NDArray[np.intp]) -> float:
    """Pairs of rows in groups of so many (K,) equal ones."""
    return float(np.sum(times * (times - 1.0)) / 2)
