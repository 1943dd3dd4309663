"""Two tables as matrices and weights that may be compared; everything that forbids it is said here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.views import View
from calque.reading.units import convert_table
from calque.seeds import numpy_stream
from calque.table import Array, Table

Numbers = NDArray[np.float64]

LEAST_ROWS = 50  # rows, and effective rows, below which nothing is known
BLOCK = 8192


class NotMeasurableError(DataError):
    """One measure cannot be taken on these samples; others can."""


@dataclass(frozen=True)
class Sample:
    """Rows (N, D) of features in double precision with weights (N,); images lie flat."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, table: Table, names: Sequence[str]) -> Sample:
        """Lay columns side by side."""
        parts = [table[name].reshape(len(table), -1).astype(np.float64) for name in names]
        return cls(np.concatenate(parts, axis=1), table.weights)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: Array | slice) -> Sample:
        """Keep rows by index, slice or mask."""
        return Sample(self.values[index], self.weights[index])

    def draw(self, count: int, seed: int, name: str, *counters: int) -> Sample:
        """Take `count` rows in random order, none twice."""
        order = numpy_stream(seed, f"judging/{name}", *counters).permutation(len(self))
        return self.rows(order[:count])


def samples(
    view: View, real: Table, fake: Table, reference: Table | None = None
) -> tuple[Sample, Sample, Sample | None]:
    """Look at all tables in a view; raises DataError where they cannot be compared."""
    seen, drawn = view(real), view(fake)
    names = comparable(seen, drawn)
    more = None if reference is None else view(reference)
    if more is not None:
        comparable(seen, more)
    return Sample.of(seen, names), Sample.of(drawn, names), None if more is None else Sample.of(more, names)


def comparable(real: Table, fake: Table) -> tuple[str, ...]:
    """Name the features that both tables have, once everything that forbids a comparison is excluded.

    Raises DataError for different columns, shapes or units, fewer than 50 rows, non-finite values, and
    columns that are constant in the real rows (a constant generated column is a fault to be measured).
    """
    check_columns(real, fake)
    names = real.features
    for table in (real, fake):
        check_rows(table)
        check_finite(table)
        check_any_weight(table)
    check_constants(real)
    return names


def match_units(table: Table, real: Table) -> Table:
    """Convert a table to the units of the real one, with a note; columns without a unit in either stay as they are.

    Raises DataError where a unit cannot be converted.
    """
    shared = {name: real.units[name] for name in table.names if real.units.get(name)}
    differ = [name for name, unit in shared.items() if table.units.get(name, unit) != unit]
    if not differ:
        return table
    converted = convert_table(table, shared)
    told = ", ".join(f"{name!r} from {table.units[name]} to {shared[name]}" for name in differ)
    warnings.warn(f"{table.source}: converted {told}, as in {real.source}", stacklevel=3)
    return converted


def check_columns(real: Table, fake: Table) -> None:
    """Raise DataError unless both tables hold the same features, in the same shapes and units."""
    missing = [name for name in real.features if name not in fake.features]
    extra = [name for name in fake.features if name not in real.features]
    if missing or extra:
        raise DataError(
            f"different columns: {listed(missing)} only in {real.source}, {listed(extra)} only in {fake.source}; "
            "select the same columns of both, and name the weight column as such"
        )
    for name in real.features:
        shapes = real[name].shape[1:], fake[name].shape[1:]
        if shapes[0] != shapes[1]:
            raise DataError(f"column {name!r} has shape {shapes[0]} in {real.source}, {shapes[1]} in {fake.source}")
        units = real.units.get(name), fake.units.get(name)
        if all(units) and units[0] != units[1]:
            raise DataError(f"column {name!r} is in {units[0]} in {real.source}, in {units[1]} in {fake.source}")


def check_rows(table: Table) -> None:
    """Raise DataError for fewer than 50 rows."""
    if len(table) < LEAST_ROWS:
        raise DataError(f"{len(table)} rows in {table.source} are too few to judge; at least {LEAST_ROWS} are needed")


def check_effective(table: Table) -> None:
    """Raise DataError for rows that are worth fewer than 50 of equal weight."""
    check_rows(table)
    check_any_weight(table)
    size = table.effective_size
    if size < LEAST_ROWS:
        raise DataError(
            f"{len(table)} rows of {table.source} are worth {size:.3g} rows of equal weight, (Σw)²/Σw², too few to "
            f"judge; at least {LEAST_ROWS} are needed: give more rows, or judge without weights"
        )


def check_finite(table: Table) -> None:
    """Raise DataError for NaN and infinities: the column, how many, the first rows."""
    for name, rows in table.nonfinite().items():
        raise DataError(
            f"{len(rows)} rows of column {name!r} of {table.source} are not finite (first: {listed(rows[:5])}); "
            "drop them first (read with drop_nonfinite = true)"
        )


def check_constants(table: Table) -> None:
    """Raise DataError for columns without spread: nothing can be judged there."""
    constant = [name for name in table.features if name not in table.varying]
    if constant:
        raise DataError(
            f"columns {listed(constant)} of {table.source} are constant (first value {table[constant[0]].flat[0]}); "
            "leave them out of the selection"
        )


def row_keys(
    table: Table, names: Sequence[str], rounded: Callable[[Numbers], Numbers] | None = None
) -> NDArray[np.uint64]:
    """One number (N,) per row that equal rows share, once they are rounded; made in pieces, as rows may be images."""
    keys = []
    for start in range(0, len(table), BLOCK):
        values = Sample.of(table.rows(slice(start, start + BLOCK)), names).values
        keys.append(keys_at_once(values if rounded is None else rounded(values)))
    return np.concatenate(keys)


def keys_at_once(rows: Numbers) -> NDArray[np.uint64]:
    """A sum of the bits of rows (N, D) times odd numbers."""
    values = np.ascontiguousarray(rows + 0.0).view(np.uint64)  # −0 is 0
    mixed = (values ^ (values >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    factors = np.arange(1, 2 * values.shape[1], 2, dtype=np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(((mixed ^ (mixed >> np.uint64(32))) * factors).sum(axis=1, dtype=np.uint64))


def check_weights(table: Table, purpose: str) -> None:
    """Raise NotMeasurableError where weights are negative, DataError where there are none or they are all zero."""
    check_rows(table)
    weights = table.weights
    negative = np.flatnonzero(weights < 0)
    if len(negative):
        raise NotMeasurableError(
            f"{purpose} cannot use negative weights: {len(negative)} of {len(table)} rows of {table.source} "
            f"(column {table.weight!r}, first rows: {listed(negative[:5])}); judge without weights, or "
            "resample the rows to positive ones first"
        )
    check_any_weight(table)


def check_any_weight(table: Table) -> None:
    """Raise DataError where all weights are zero."""
    if not table.weights.any():
        raise DataError(f"the weights of {table.source} (column {table.weight!r}) are all zero")


def effective(weights: NDArray[np.float64]) -> float:
    """(Σw)² / Σw²: events of equal weight that would fluctuate as much (Kish, 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def flat_names(table: Table) -> dict[str, str]:
    """Name every number of a row, with its unit; a cell of an image by its indices, as `image[0, 1]`."""
    return {f"{name}{list(cell)}" if cell else name: table.units.get(name, "")
            for name in table.features for cell in np.ndindex(table[name].shape[1:])}


def listed(entries: Sequence[object] | Array) -> str:
    """Write a short list; 'none' where it is empty."""
    return ", ".join(str(entry) for entry in entries) if len(entries) else "none"
