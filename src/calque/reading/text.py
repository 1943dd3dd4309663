"""Separated text (csv): read through arrow, whatever the separator and the header; written with commas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv

from calque.reading.formats import Compression, Field, Format, Writer, first_line
from calque.reading.names import make_unique
from calque.reading.text_dialect import Dialect, find_dialect
from calque.reading.text_kinds import TYPES, Column, to_numbers
from calque.reading.text_lines import iterate_blocks, number_records, opened
from calque.reading.text_titles import FALSEHOODS, MISSING, TRUTHS
from calque.reading.text_writer import LineWriter
from calque.table import Array

BLOCK, LARGEST_BLOCK, LINES = 1 << 22, 1 << 27, 1000
UNNAMED = ("", "Unnamed: 0")


class Csv(Format):
    """Files of text with one event a line; types follow from all values, and nothing is rounded."""

    name = "csv"

    def trees(self, path: Path) -> list[str]:
        """One table, without a name."""
        return [""]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns, whose types take a pass over the whole file."""
        return list(_scan(path, *_stamp(path)).fields)

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces; an entry that is missing is NaN, or masked in a column of whole numbers."""
        yield from _scan(path, *_stamp(path)).pieces(columns, rows)

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return LineWriter(path, units)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Lines that are whole."""
        scan = _scan(path, *_stamp(path), torn=True)
        yield from scan.pieces([field.name for field in scan.fields if field.dtype is not None], rows)


class PackedCsv(Csv):
    """The same, compressed by gzip."""

    name = "csv.gz"

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return LineWriter(path, units, packed=True)


@dataclass(frozen=True)
class Scan:
    """What a pass over a file of text has found."""

    path: Path
    dialect: Dialect
    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    torn: bool

    def pieces(self, names: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces of at most `rows` rows."""
        places = {field.name: place for place, field in enumerate(self.fields)}
        wanted = {name: places[name] for name in names}
        types = {place: self._type(place) for place in wanted.values()}
        for batch in _batches(self.path, self.dialect, types, self.torn):
            found = {name: self._numbers(batch, place) for name, place in wanted.items()}
            for start in range(0, batch.num_rows, rows):
                yield {name: array[start : start + rows] for name, array in found.items()}

    def _type(self, place: int) -> Any:
        column = self.columns[place]
        return pyarrow.string() if column.rough else TYPES[column.kind]

    def _numbers(self, batch: Any, place: int) -> Array:
        column = self.columns[place]
        return to_numbers(batch.column(str(place)), column.kind, column.rough, column.comma)


def _stamp(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


@lru_cache(maxsize=32)
def _scan(path: Path, size: int, changed: int, torn: bool = False) -> Scan:
    """Pass over a file; `size` and `changed` are there so that a file that changed is read anew."""
    dialect = find_dialect(path)
    kinds = dialect.types or ("",) * len(dialect.titles)
    columns = [Column(dialect.decimal_comma, _first_kind(kind)) for kind in kinds]
    rows = 0
    for batch in _batches(path, dialect, dict.fromkeys(range(len(columns)), pyarrow.string()), torn):
        for place, column in enumerate(columns):
            column.add(batch.column(place), rows)
        rows += batch.num_rows
    fields = _fields(path, dialect, columns, rows)
    return Scan(path, dialect, tuple(columns), tuple(fields), torn)


def _first_kind(stated: str) -> str:
    """The kind of a column of which Geant4 states a type."""
    if stated in {"float", "double"}:
        return "float64"
    return "text" if _holds_lists(stated) else "empty"


def _holds_lists(stated: str) -> bool:
    return "vector" in stated or "[" in stated


def _batches(path: Path, dialect: Dialect, types: Mapping[int, Any], torn: bool) -> Iterator[Any]:
    """Record batches of the columns at some places, which are named by their places."""
    width = len(dialect.titles)
    if not width:
        return
    with opened(path) as file:
        for _ in range(dialect.skip):
            file.readline()
        # a wide file comes in larger blocks: each column of a block has a cost of its own
        size = min(max(BLOCK, LINES * dialect.line), LARGEST_BLOCK)
        options = _options(dialect, types)
        for block in iterate_blocks(file, size, dialect.separator == " ", torn):
            try:
                yield from _parse_block(block, options)
            except pyarrow.ArrowInvalid as error:
                _raise_line(path, dialect, error)


def _parse_block(block: bytes, options: Mapping[str, Any]) -> list[Any]:
    """One record batch; none where a block holds no row."""
    if not block.strip():
        return []
    # one thread, and one chunk: threads of arrow may outlive the program that started them
    names = options["read_options"].column_names
    whole = pyarrow.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names)
    table = pyarrow.csv.read_csv(pyarrow.BufferReader(block), **{**options, "read_options": whole})
    batches: list[Any] = table.combine_chunks().to_batches()
    return batches


def _options(dialect: Dialect, types: Mapping[int, Any]) -> dict[str, Any]:
    """What arrow has to know of a file; columns are named by their places."""
    names = [str(place) for place in range(len(dialect.titles))]
    separator = "\t" if dialect.separator == " " else dialect.separator
    return {
        "read_options": pyarrow.csv.ReadOptions(column_names=names),
        "parse_options": pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types={str(place): kind for place, kind in types.items()},
            include_columns=[str(place) for place in types],
            null_values=sorted(MISSING),
            true_values=TRUTHS,
            false_values=FALSEHOODS,
            strings_can_be_null=True,
        ),
    }


def _raise_line(path: Path, dialect: Dialect, error: Exception) -> None:
    """Raise an error that names the line to blame."""
    width = len(dialect.titles)
    for line, record in number_records(path, dialect.separator, dialect.skip):
        if len(record) != width:
            raise ValueError(f"line {line} has {len(record)} values, not {width}") from error
    raise ValueError(first_line(error)) from error


def _fields(path: Path, dialect: Dialect, columns: Sequence[Column], rows: int) -> list[Field]:
    """Describe the columns under names that differ."""
    given = [name for name, _ in dialect.titles]
    labels = len(given) > 1 and given[0] in UNNAMED and columns[0].kind in {"int64", "uint64", "empty"}
    names = [name or f"c{place}" for place, name in enumerate(given)]
    if labels:
        names[0] = "index"
    names = make_unique(names, str(path))
    fields = []
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        kind = _kind(column, dialect.types[place] if dialect.types else "")
        if place == 0 and labels:
            kind = "row labels of pandas"
        elif not given[place] and column.kind == "empty":
            kind = "nothing"
        fields.append(_field(path, dialect, column, name, dialect.titles[place][1], rows, kind))
    return fields


def _kind(column: Column, stated: str) -> str:
    """What to call a column without numbers; empty where it has numbers."""
    if _holds_lists(stated):
        return f"lists ({stated})"
    if column.kind == "text":
        return f"text, such as {column.example!r}"
    return "whole numbers that would be rounded" if column.fault else ""


def _field(
    path: Path, dialect: Dialect, column: Column, name: str, unit: str, rows: int, kind: str
) -> Field:
    if not kind:
        return Field(name, np.dtype(TYPES[column.kind].to_pandas_dtype()), (), unit, rows, column.kind)
    fault = column.fault
    if "{line}" in fault:
        fault = fault.format(line=_line_of(path, dialect, column.bad_row), example=column.example)
    return Field(name, None, (), unit, rows, kind, fault)


def _line_of(path: Path, dialect: Dialect, row: int) -> int:
    records = number_records(path, dialect.separator, dialect.skip)
    return next(islice(records, row, None), (0, []))[0]
