"""What a reader is asked for: columns, names, a condition, and what becomes of non-finite numbers."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.reading.formats import Field
from calque.reading.particles import suggest_per
from calque.reading.units import convert_values, converted_type
from calque.reading.where import Where, find_column, suggest_backticks
from calque.table import Array


@dataclass(frozen=True)
class Request:
    """Columns by their new names, the weight among them, a condition on new names, and flags: conditions as columns."""

    columns: tuple[str, ...] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    weight: str | None = None
    where: Where | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    drop_nonfinite: bool = False
    flags: Mapping[str, Where] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        columns: Sequence[str] | None,
        rename: Mapping[str, str] | None,
        weight: str | None,
        where: str | None,
        units: Mapping[str, str] | None,
        drop_nonfinite: bool,
        limit: int | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> Request:
        """Check what can be checked without a file."""
        if isinstance(columns, str):
            raise ConfigError(f"columns = {columns!r} is one text; give a list of names, as in [{columns!r}]")
        if columns is not None and len(set(columns)) < len(columns):
            raise ConfigError(f"a column is asked for twice: {', '.join(columns)}")
        if limit is not None and limit < 1:
            raise ConfigError(f"limit = {limit}; at least one row must be asked for")
        condition = Where(where) if where else None
        chosen = None if columns is None else tuple(columns)
        truths = {name: Where(text) for name, text in (flags or {}).items()}
        return cls(chosen, dict(rename or {}), weight, condition, dict(units or {}), drop_nonfinite, truths)

    def plan(self, fields: Sequence[Field], source: str) -> Plan:
        """Match the request with what a file holds; DataError names the nearest where it does not."""
        known = self._renamed(fields, source)
        plain = [name for name, one in known.items() if one.dtype is not None]
        kept = list(plain if self.columns is None else self.columns)
        if self.weight is not None and self.weight not in kept:
            kept.append(self.weight)
        if self.columns is None:
            _check_faults(known, source)
        if not kept:
            raise DataError(_no_numbers(source, fields))
        for name in self.flags:
            if name in known:
                raise ConfigError(f"flags names {name!r} a condition, but {source} has a column of that name")
        named = set().union(*(one.names for one in (*self.flags.values(), *([self.where] if self.where else ()))))
        asked = {find_column(name, [*known, *self.flags]) for name in named}
        wanted = [*kept, *sorted(asked - set(kept) - set(self.flags))]
        for name in wanted:
            if name not in known:
                remedy = suggest_backticks(known) if name in named else ""
                raise DataError(unknown("column", name, known, f"in {source}") + remedy)
            if known[name].fault:
                raise DataError(f"column {name!r} in {source} {known[name].fault}")
            if known[name].dtype is None:
                kind = known[name].kind
                remedy = f"; {suggest_per([known[name]])}" if known[name].item is not None else ""
                raise DataError(f"column {name!r} in {source} holds {kind}, not one number or image per event{remedy}")
        if self.weight is not None and known[self.weight].shape:
            raise DataError(f"weight column {self.weight!r} in {source} has shape {known[self.weight].shape} per event")
        rows = _common_rows([known[name] for name in wanted], source)
        for name in self.units:
            if name not in known:
                raise DataError(unknown("column", name, known, f"in {source}, to give a unit to"))
        gone = [replace(one, name=name) for name, one in known.items() if one.dtype is None]
        return Plan(
            {name: known[name].name for name in wanted},
            tuple(kept),
            {},
            rows,
            max(1, sum(known[name].bytes_per_row for name in wanted)),
            self.where,
            source,
            self.flags,
            self.drop_nonfinite,
            {name: known[name] for name in wanted},
            tuple(gone) if self.columns is None else (),
        )

    def _renamed(self, fields: Sequence[Field], source: str) -> dict[str, Field]:
        there = {one.name: one for one in fields}
        for old in self.rename:
            if old not in there:
                raise DataError(unknown("column", old, there, f"in {source}, to rename"))
        names = [self.rename.get(name, name) for name in there]
        for name, count in Counter(names).items():
            if count > 1:
                raise ConfigError(f"rename gives the name {name!r} to two columns of {source}")
        return dict(zip(names, there.values(), strict=True))


@dataclass(frozen=True)
class Plan:
    """A request matched with a file: `reads` maps new names to the file's, `rows` is None where unknown.

    By their new names: `fields` are the columns as the file has them, `conversions` those whose
    values come in one unit and leave in another, `types` those that leave in another type.
    `left_out` are columns without numbers that nobody asked for.
    """

    reads: dict[str, str]
    keeps: tuple[str, ...]
    units: dict[str, str]
    rows: int | None
    row_bytes: int
    where: Where | None
    source: str
    flags: Mapping[str, Where] = field(default_factory=dict)
    drop_nonfinite: bool = False
    fields: Mapping[str, Field] = field(default_factory=dict)
    left_out: tuple[Field, ...] = ()
    conversions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    types: Mapping[str, np.dtype[Any]] = field(default_factory=dict)

    def type_of(self, name: str) -> np.dtype[Any]:
        """Type of a column after its conversion."""
        kind = self.fields[name].dtype
        assert kind is not None
        return converted_type(kind, *self.conversions[name]) if name in self.conversions else kind

    def piece_rows(self, size: int) -> int:
        """Rows that fill `size` bytes, within reason."""
        return int(np.clip(size // self.row_bytes, 1000, 1_000_000))

    def choose(self, piece: Mapping[str, Array], first: int) -> tuple[dict[str, Array], Array]:
        """Rename, convert units and types, raise flags, apply the condition, drop what only these needed.

        Also the rows' numbers in the file. Conditions see the new names and the converted values.
        """
        columns = {name: self._convert(name, piece[old]) for name, old in self.reads.items()}
        index = np.arange(first, first + len(next(iter(columns.values()))))
        place = f"in {self.source}"
        columns |= {name: flag.mask(columns, place).astype(np.int8) for name, flag in self.flags.items()}
        kept = {name: columns[name] for name in (*self.keeps, *self.flags)}
        if self.where is None:
            return kept, index
        mask = self.where.mask(columns, place)
        return {name: column[mask] for name, column in kept.items()}, index[mask]

    def _convert(self, name: str, values: Array) -> Array:
        if name in self.conversions:
            try:
                values = convert_values(values, *self.conversions[name])
            except DataError as error:
                remedy = f"leave {name!r} out of read.units, or out of read.columns"
                raise DataError(f"column {name!r} in {self.source}: {error}; {remedy}") from None
        return values.astype(self.types[name], copy=False) if name in self.types else values


class Ledger:
    """Counts non-finite numbers of one file, and drops their rows or fails at the end."""

    def __init__(self, source: str, drop: bool) -> None:
        self.source, self.drop = source, drop
        self.counts: dict[str, int] = {}
        self.first: list[int] = []
        self.dropped = 0

    @property
    def passes(self) -> bool:
        """Whether rows may still go on."""
        return self.drop or not self.counts

    def sift(self, columns: dict[str, Array], index: Array) -> dict[str, Array]:
        """Note the rows that hold NaN or infinities; keep the others."""
        bad = np.zeros(len(index), dtype=bool)
        for name, array in columns.items():
            if _is_whole(array):
                continue
            wrong = find_bad_rows(array)
            if wrong.any():
                self.counts[name] = self.counts.get(name, 0) + int(wrong.sum())
                bad |= wrong
        columns = {name: np.ma.getdata(array) for name, array in columns.items()}
        if not bad.any():
            return columns
        self.dropped += int(bad.sum())
        self.first += index[bad][: 5 - len(self.first)].tolist()
        return {name: array[~bad] for name, array in columns.items()}

    def close(self) -> None:
        """Warn of what was dropped, or raise DataError."""
        if not self.counts:
            return
        counts = ", ".join(f"{number} in {name!r}" for name, number in self.counts.items())
        more = " …" if self.dropped > len(self.first) else ""
        found = f"NaN or infinite: {counts} of {self.source}, first in rows {', '.join(map(str, self.first))}{more}"
        if not self.drop:
            raise DataError(f"{found}; drop_nonfinite = true leaves such rows out")
        warnings.warn(f"{self.dropped} rows dropped; {found}", stacklevel=2)


def find_bad_rows(array: Array) -> Array:
    """Find the rows (N,) of a column (N, ...) that hold NaN, infinities or entries that are missing (masked)."""
    wrong = np.ma.getmaskarray(array).copy()
    if array.dtype.kind == "f":
        wrong |= ~np.isfinite(np.ma.getdata(array))
    return np.asarray(wrong.reshape(len(array), -1).any(axis=1))


def _is_whole(array: Array) -> bool:
    """Whether every entry is there and finite, in one fast pass."""
    if np.ma.is_masked(array):
        return False
    return array.dtype.kind != "f" or _sums_up(array)


def _sums_up(array: Array) -> bool:
    """Whether the sum is finite, so that its terms are: one fast pass without a mask."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float64)))


def _check_faults(known: Mapping[str, Field], source: str) -> None:
    """Raise DataError for a column that should be numbers, and cannot be read as such."""
    fault = next(((name, one.fault) for name, one in known.items() if one.fault), None)
    if fault is not None:
        remedy = "mend the file, or name the columns to read (read.columns)"
        raise DataError(f"column {fault[0]!r} in {source} {fault[1]}; {remedy}")


def _common_rows(fields: Sequence[Field], source: str) -> int | None:
    rows = {one.name: one.rows for one in fields}
    if len(set(rows.values())) > 1:
        raise DataError(f"columns of unequal length in {source}: {rows}")
    return fields[0].rows


def _no_numbers(source: str, fields: Sequence[Field]) -> str:
    if not fields:
        return f"no columns in {source}"
    hints = ["layout = 'fairship' reads such files"] if any(one.name == "MCTrack" for one in fields) else []
    hints += [hint for hint in [suggest_per(fields)] if hint]
    return "; ".join([f"no column of numbers in {source}, only lists or objects", *hints])
