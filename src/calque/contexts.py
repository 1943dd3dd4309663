"""What a run is given at generation: the sample's own contexts, a table's rows, or fixed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calque.errors import DataError, unknown
from calque.preparing import TRAIN, Context, Data
from calque.preparing.precision import codes_of
from calque.seeds import numpy_stream
from calque.table import Array, Table

Fixed = Mapping[str, float] | Table
COUNTS = "weight"  # the column of contexts' frequencies


@dataclass(frozen=True)
class Given:
    """Contexts for every event of a stream: row (i − first) // each of a table, at its ends the nearest row.

    >>> Given(Table.of({"id": [13, -13]}), first=1, each=2).block(0, 6)["id"].tolist()
    [13, 13, 13, -13, -13, -13]
    """

    table: Table
    first: int = 0
    each: int = 1

    def block(self, start: int, rows: int) -> Table:
        """Contexts of events start … start + rows."""
        row = (np.arange(start, start + rows) - self.first) // self.each
        return self.table.rows(np.clip(row, 0, len(self.table) - 1))


def fix(context: Context, given: Fixed) -> Table | None:
    """Check what a caller fixes: one row of a mapping, or a table's rows, in the types of the training.

    None where the run takes no contexts. Raises DataError for a name that is missing or unknown, and for what is no
    number of its type.
    """
    for name in context.names:
        if name not in given:
            raise DataError(unknown("context", name, list(given), "given"))
    for name in () if isinstance(given, Table) else given:
        if name not in context.names:
            raise DataError(unknown("context", name, context.names, "that this run was trained with"))
    columns = {c.name: cast(c.name, np.atleast_1d(given[c.name]), c.dtype) for c in context.conditions}
    return Table.of(columns) if columns else None


def written(number: np.generic) -> str:
    """A number as text: integers with all digits.

    >>> written(np.int64(2**53 + 1)), written(np.float64(0.5))
    ('9007199254740993', '0.5')
    """
    return str(number) if isinstance(number, np.integer) else f"{number:g}"


def cast(name: str, column: Array, dtype: str) -> Array:
    """A context in the type that it had in training; a column of one number a row is those numbers."""
    if column.size != len(column):
        raise DataError(f"context {name} is an array of {' × '.join(map(str, column.shape[1:]))} for every event; it "
                        "takes a number")
    column = column.reshape(len(column))
    if not np.isfinite(column).all():
        raise DataError(f"context {name} = {column[~np.isfinite(column)][0]} is no number")
    kept = column.astype(dtype)
    if kept.dtype.kind in "biu" and (kept != column).any():
        raise DataError(f"context {name} = {written(column[kept != column][0])} is not of type {dtype}, as in training")
    return kept


def draw_contexts(own: Table, rows: int, keep: int | None, seed: int, *counters: int) -> Table:
    """Contexts with the sample's own weighted frequencies: the first `keep` of `rows`."""
    reached = np.cumsum(own.weights)
    uniform = numpy_stream(seed, "contexts", *counters).random(rows)[:keep]
    return own.rows(np.searchsorted(reached, uniform * reached[-1], side="right"))


def shares_of(context: Context, own: Table | None, given: Table) -> Array:
    """Weighted shares (N,) that a sample's own contexts have of given classes; numbers count nothing."""
    names = [condition.name for condition in context.conditions if condition.levels]
    if own is None or not names:
        return np.ones(len(given))
    codes = codes_of([given[name] for name in names])
    first = np.unique(codes, return_index=True)[1]
    found = [own.weights[np.all([own[name] == given[name][row] for name in names], axis=0)].sum() for row in first]
    return np.asarray(np.array(found)[codes] / own.weights.sum())


def own_contexts(data: Data) -> Table | None:
    """The training rows' weighted contexts, equal ones put together; raises DataError for negative sums."""
    if not data.context.names:
        return None
    if COUNTS in data.context.names:
        raise DataError(f"a context cannot be called {COUNTS!r}, which is the name of their frequencies; rename the "
                        "column (read.rename)")
    wanted = [*data.context.names, *([data.table.weight] if data.table.weight else [])]
    table = data.table.select(wanted, data.table.weight).rows(data.part == TRAIN)
    codes = codes_of([table[name] for name in data.context.names])
    weights = table.weights if data.weights == "draw" else np.ones(len(table))
    chosen = table.select(data.context.names).rows(np.unique(codes, return_index=True)[1])
    own = Table.of({**chosen.columns, COUNTS: np.bincount(codes, weights)}, weight=COUNTS)
    check_positive(own, data.context.names)
    return own


def check_positive(own: Table, names: tuple[str, ...]) -> None:
    """Raise DataError for contexts that nothing is left of: they cannot be drawn from."""
    bad = np.flatnonzero(own.weights < 0)
    if len(bad):
        first = ", ".join(f"{name} = {written(own[name][bad[0]])}" for name in names)
        raise DataError(f"the weights of {len(bad)} of {len(own)} contexts sum to less than nothing (first {first}): "
                        f"they cannot be drawn from; learn {' and '.join(names)} like other columns (no "
                        "prepare.context), or make classes of numbers")
