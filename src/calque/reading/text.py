"""Comma-separated text: a header of names, with units as in "px [GeV]"."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from calque.errors import DataError
from calque.reading.formats import Compression, Field, Format, Writer
from calque.table import Array

TITLE = re.compile(r"(.*?)\s*(?:\[(.*)\])?\s*")
PIECE = 20_000


class Csv(Format):
    """csv files; a column is of whole numbers, of numbers (an empty entry is NaN) or of text."""

    name = "csv"

    def trees(self, path: Path) -> list[str]:
        """One table, without a name."""
        return [""]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns, whose types take a pass over the whole file."""
        return list(_scan(path, *_stamp(path)))

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces."""
        yield from self._pieces(path, columns, rows, torn=False)

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return LineWriter(path, units)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Lines that are whole."""
        names = [field.name for field in _scan(path, *_stamp(path), torn=True)]
        yield from self._pieces(path, names, rows, torn=True)

    def _pieces(self, path: Path, columns: Sequence[str], rows: int, torn: bool) -> Iterator[dict[str, Array]]:
        fields = _scan(path, *_stamp(path), torn=torn)
        places = {field.name: place for place, field in enumerate(fields)}
        for piece in _texts(path, min(rows, PIECE), torn):
            yield {name: _numbers(piece[places[name]], fields[places[name]].dtype) for name in columns}


class LineWriter:
    """Rows of text, each number as short as it can be without a loss."""

    def __init__(self, path: Path, units: Mapping[str, str]) -> None:
        self.units = dict(units)
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.begun = False

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call writes the header."""
        if not self.begun:
            self._begin(columns)
        rows = len(next(iter(columns.values())))
        for start in range(0, rows, PIECE):
            texts = [_text(array[start : start + PIECE]) for array in columns.values()]
            self.writer.writerows(zip(*texts, strict=True))
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _begin(self, columns: Mapping[str, Array]) -> None:
        for name, array in columns.items():
            if array.ndim > 1:
                raise DataError(
                    f"csv cannot hold the image column {name!r} {array.shape[1:]}; write .root, .h5 or .npz"
                )
        units = {name: self.units.get(name) for name in columns}
        self.writer.writerow([f"{name} [{unit}]" if unit else name for name, unit in units.items()])
        self.begun = True


def _text(array: Array) -> list[str]:
    plain: list[str] = (array.astype(np.int8) if array.dtype.kind == "b" else array).astype(str).tolist()
    return plain


def _stamp(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


@lru_cache(maxsize=32)
def _scan(path: Path, size: int, changed: int, torn: bool = False) -> tuple[Field, ...]:
    """Fields of a file; `size` and `changed` are there so that a file that changed is read anew."""
    titles = _titles(path)
    kinds, rows = [0] * len(titles), 0
    for piece in _texts(path, PIECE, torn):
        kinds = [_kind(texts, kind) for texts, kind in zip(piece, kinds, strict=True)]
        rows += len(piece[0])
    types: tuple[np.dtype[Any] | None, ...] = (np.dtype(np.int64), np.dtype(np.float64), None)
    shown = ("int64", "float64", "text")
    return tuple(
        Field(name, types[kind], (), unit, rows, shown[kind]) for (name, unit), kind in zip(titles, kinds, strict=True)
    )


def _titles(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file), [])
    if _headless(first):
        return [(f"c{column}", "") for column in range(len(first))]
    matches = [TITLE.fullmatch(title) for title in first]
    return [(match.group(1).strip(), match.group(2) or "") if match else ("", "") for match in matches]


def _headless(first: Sequence[str]) -> bool:
    return bool(first) and all(_kind([text], 0) < 2 and text for text in first)


def _texts(path: Path, rows: int, torn: bool) -> Iterator[list[tuple[str, ...]]]:
    """Columns of text in pieces; of a torn file up to the last line that is whole."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(line for line in file if line.endswith("\n") or not torn)
        first = next(reader, [])
        records = _records(reader, len(first))
        if _headless(first):
            records = chain([first], records)
        while piece := list(islice(records, rows)):
            yield list(zip(*piece, strict=True))


def _records(reader: Any, width: int) -> Iterator[list[str]]:
    for record in reader:
        if record and len(record) != width:
            raise ValueError(f"line {reader.line_num} has {len(record)} values, not {width}")
        if record:
            yield record


def _kind(texts: Sequence[str], least: int) -> int:
    """0 where all are whole numbers, 1 where all are numbers, 2 otherwise, but no less than `least`."""
    for kind, dtype in enumerate((np.int64, np.float64)):
        if kind >= least:
            try:
                _numbers(texts, np.dtype(dtype))
            except ValueError:
                continue
            return kind
    return 2


def _numbers(texts: Sequence[str], dtype: np.dtype[Any] | None) -> Array:
    strings = np.asarray(texts)
    if dtype is not None and dtype.kind == "f":
        strings = np.where(np.char.strip(strings) == "", "nan", strings)
    return strings.astype(dtype)
