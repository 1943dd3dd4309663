"""Bins of a context column."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging.classifying.trees import bin_edges
from calque.judging.samples import check_weights
from calque.judging.views import View
from calque.table import Table

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Bins:
    """Bins of one column with the upper edge of all but the last, in words too."""

    column: str
    edges: Numbers
    labels: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, column: str, most: int) -> Bins:
        """One bin per value where they are at most `most`, else so many of equal weight.

        Raises DataError where there is no such column, or it is an image.

        >>> table = Table.of({"id": [13, -13, 13], "pz": [1.0, 2.0, 4.0]}, {"pz": "GeV"})
        >>> Bins.of(table, "id", 5).labels, Bins.of(table, "pz", 2).labels
        (('id = -13', 'id = 13'), ('pz ≤ 2 GeV', 'pz > 2 GeV'))
        """
        values = table[column].astype(np.float64)
        if values.ndim != 1:
            raise DataError(f"context {column!r} of {table.source} is an image; name columns of one number a row")
        distinct = np.unique(values)
        if len(distinct) <= most:
            return cls(column, distinct[:-1], tuple(f"{column} = {value:g}" for value in distinct))
        edges = bin_edges(values, table.weights, most) if most > 1 else np.empty(0)
        return cls(column, edges, in_words(column, edges, table.units.get(column, "")))

    def place(self, values: Numbers) -> NDArray[np.intp]:
        """Bin (N,) of every value."""
        return np.searchsorted(self.edges, values)

    def __len__(self) -> int:
        return len(self.labels)


def in_words(column: str, edges: Numbers, unit: str) -> tuple[str, ...]:
    """Write the bounds of every bin, to four digits."""
    if not len(edges):
        return (f"any {column}",)
    behind = f" {unit}" if unit else ""
    inner = (f"{low:.4g} < {column} ≤ {high:.4g}{behind}" for low, high in pairwise(edges))
    return (f"{column} ≤ {edges[0]:.4g}{behind}", *inner, f"{column} > {edges[-1]:.4g}{behind}")


def in_view(view: View, context: tuple[str, ...], purpose: str, real: Table, *others: Table) -> Table:
    """The real rows in a view, in which there are contexts; raises as `check_weights` and `check_context` do."""
    for table in (real, *others):
        check_weights(table, purpose)
    seen = view(real)
    check_context(context, seen)
    return seen


def check_context(context: tuple[str, ...], table: Table) -> None:
    """Raise ConfigError for no context at all, DataError for one that is not in the table or leaves nothing else."""
    if not context:
        raise ConfigError("no context to bin in; name at least one column (context = [...])")
    table.require(context)
    if not set(table.features) - set(context):
        raise DataError(f"all columns of {table.source} are contexts; there is nothing left to judge")
