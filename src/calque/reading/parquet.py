"""Parquet, through pyarrow: images as lists of fixed size."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from calque.reading.formats import Compression, Field, Format, Lists, Writer
from calque.reading.names import make_unique
from calque.reading.parquet_lists import find_lists, is_list, take_lists
from calque.table import Array

CODECS = {"none": "none", "lz4": "lz4", "zstd": "zstd", "zlib": "gzip"}


class Parquet(Format):
    """Parquet files; the metadata of a field hold its `unit`, and the `shape` of an image."""

    name = "Parquet"

    def trees(self, path: Path) -> list[str]:
        """One table, without a name."""
        return [""]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Fields of the schema; what pandas stored of its row labels has no dtype."""
        with pyarrow.parquet.ParquetFile(path) as file:
            fields = _fields(file.schema_arrow, file.metadata.num_rows)
            pairs = zip(file.schema_arrow, fields, strict=True)
            return [field for column, whole in pairs for field in find_lists(column, whole)]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces of record batches; null is NaN, or masked where numbers are whole."""
        with pyarrow.parquet.ParquetFile(path) as file:
            fields = _fields(file.schema_arrow, 0)
            places = {field.name: place for place, field in enumerate(fields)}
            shapes = {field.name: field.shape for field in fields}
            for batch in file.iter_batches(rows, columns=_leaves(file.schema_arrow, columns, places)):
                order = _places_in(batch.schema, file.schema_arrow)
                found = {name: batch.column(order[places[name]]) for name in columns}
                yield {name: _values(array, shapes[name]) for name, array in found.items()}

    def iterate_lists(
        self, path: Path, tree: str, columns: Sequence[str], rows: int
    ) -> Iterator[dict[str, Array | Lists]]:
        """The same, lists of numbers among them."""
        with pyarrow.parquet.ParquetFile(path) as file:
            fields = _fields(file.schema_arrow, 0)
            places = {field.name: place for place, field in enumerate(fields)}
            homes = {name: _split_member(name, places) for name in columns}
            wanted = _leaves(file.schema_arrow, [home for home, _ in homes.values()], places)
            for batch in file.iter_batches(rows, columns=wanted):
                order = _places_in(batch.schema, file.schema_arrow)
                yield {
                    name: _lists_or_values(batch.column(order[places[home]]), member, fields[places[home]].shape)
                    for name, (home, member) in homes.items()
                }

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return GroupsWriter(path, units, compression)


class GroupsWriter:
    """One row group per buffer."""

    def __init__(self, path: Path, units: Mapping[str, str], compression: Compression) -> None:
        self.path, self.units, self.compression = path, dict(units), compression
        self.writer: Any = None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call fixes the schema."""
        arrays = [self._array(array) for array in columns.values()]
        if self.writer is None:
            fields = [self._field(*one) for one in zip(columns.items(), arrays, strict=True)]
            codec, level = CODECS[self.compression.codec], self.compression.level
            levelled = {"compression_level": level} if level and codec in {"zstd", "gzip"} else {}
            self.schema = pyarrow.schema(fields)
            self.writer = pyarrow.parquet.ParquetWriter(self.path, self.schema, compression=codec, **levelled)
        self.writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self.schema))

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        if self.writer is not None:
            self.writer.close()

    def _array(self, array: Array) -> Any:
        flat = pyarrow.array(np.ascontiguousarray(array).reshape(-1))
        event = array.shape[1:]
        return pyarrow.FixedSizeListArray.from_arrays(flat, math.prod(event)) if event else flat

    def _field(self, column: tuple[str, Array], array: Any) -> Any:
        name, values = column
        shape = ",".join(map(str, values.shape[1:]))
        notes = {key: text for key, text in (("unit", self.units.get(name)), ("shape", shape)) if text}
        return pyarrow.field(name, array.type, metadata=notes)


def _fields(schema: Any, rows: int) -> list[Field]:
    """Columns of a schema, under names that differ."""
    labels = _labels_of_pandas(schema)
    names = make_unique(schema.names, "columns of a Parquet file")
    return [_field(one, name, rows, labels) for name, one in zip(names, schema, strict=True)]


def _labels_of_pandas(schema: Any) -> set[str]:
    """Names of the columns in which pandas keeps the labels of its rows."""
    try:
        known = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError, RecursionError):
        return set()
    return {name for name in known if isinstance(name, str) and name.startswith("__index_level_")}


def _field(one: Any, name: str, rows: int, labels: set[str]) -> Field:
    notes = {_decode(key): _decode(value) for key, value in (one.metadata or {}).items()}
    kind, shape = _unwrap(one.type)
    shape = _shape_of(notes.get("shape", ""), shape)
    dtype = _dtype_of(kind)
    shown = "row labels of pandas" if one.name in labels else str(one.type)
    if one.name in labels or dtype is None:
        return Field(name, None, (), notes.get("unit", ""), rows, shown)
    return Field(name, dtype, shape, notes.get("unit", ""), rows, shown)


def _unwrap(kind: Any) -> tuple[Any, tuple[int, ...]]:
    """The type of single numbers in nested lists of fixed size, and the sizes."""
    shape: list[int] = []
    while True:
        if isinstance(kind, pyarrow.FixedShapeTensorType) and kind.permutation is None:
            return kind.value_type, (*shape, *kind.shape)
        if isinstance(kind, pyarrow.BaseExtensionType):
            kind = kind.storage_type
        elif pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        elif pyarrow.types.is_fixed_size_list(kind):
            shape.append(int(kind.list_size))
            kind = kind.value_type
        else:
            return kind, tuple(shape)


def _shape_of(note: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a writer noted, where it fits the lists."""
    if not re.fullmatch(r"\d+(,\d+)*", note):
        return sizes
    shape = tuple(int(size) for size in note.split(","))
    return shape if sizes and math.prod(shape) == math.prod(sizes) else sizes


def _dtype_of(kind: Any) -> np.dtype[Any] | None:
    """NumPy's type of a number; none for text, times, decimals, lists and structures."""
    types = pyarrow.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return dtype
    return None


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _leaves(schema: Any, columns: Sequence[str], places: Mapping[str, int]) -> list[str]:
    """Names, as the file spells them, of the columns to read; each once."""
    return list(dict.fromkeys(schema.names[places[name]] for name in columns))


def _places_in(batch: Any, schema: Any) -> dict[int, int]:
    """Where the columns of a file lie in a batch of some of them: the first of a name is the first, and so on."""
    there: dict[str, list[int]] = {}
    for place, name in enumerate(batch.names):
        there.setdefault(name, []).append(place)
    found: dict[int, int] = {}
    for place, name in enumerate(schema.names):
        if there.get(name):
            found[place] = there[name].pop(0)
    return found


def _values(array: Any, shape: tuple[int, ...]) -> Array:
    """Numbers (N, *shape): where there is none, NaN for floats, and a mask for the others."""
    rows = len(array)
    values, absent = _flatten(array)
    per_event = math.prod(shape)
    values = values.reshape(rows, *shape)
    if absent is None:
        return values
    missing = absent.reshape(rows, -1) if per_event else np.zeros((rows, 0), bool)
    missing = missing.reshape(rows, *shape)
    if values.dtype.kind != "f":
        return np.ma.masked_array(values, missing)
    values[missing] = np.nan
    return values


def _flatten(array: Any) -> tuple[Array, Array | None]:
    """All numbers of a column in one array, and which of them are absent (none: all are there)."""
    absent = None
    while True:
        if isinstance(array.type, pyarrow.BaseExtensionType):
            array = array.storage
        elif pyarrow.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        elif pyarrow.types.is_fixed_size_list(array.type):
            size = array.type.list_size
            absent = _or(absent, array)
            absent = None if absent is None else np.repeat(absent, size)
            # `flatten` would leave lists that are null out, and so shift the rows after them
            array = array.values.slice(array.offset * size, len(array) * size)
        else:
            absent = _or(absent, array)
            return _to_numpy(array), absent


def _or(absent: Array | None, array: Any) -> Array | None:
    if not array.null_count:
        return absent
    nulls: Array = array.is_null().to_numpy(zero_copy_only=False)
    return nulls if absent is None else absent | nulls


def _to_numpy(array: Any) -> Array:
    if array.null_count:
        array = array.fill_null(pyarrow.scalar(0, pyarrow.int8()).cast(array.type))
    # a copy, because arrow's memory is read-only
    return np.array(array.to_numpy(zero_copy_only=False))


def _split_member(name: str, columns: Collection[str]) -> tuple[str, str]:
    """The column that a name stands for, and the member of its structures."""
    if name in columns:
        return name, ""
    home = max((one for one in columns if name.startswith(f"{one}.")), key=len)
    return home, name[len(home) + 1 :]


def _lists_or_values(array: Any, member: str, shape: tuple[int, ...]) -> Array | Lists:
    return take_lists(array, member) if is_list(array.type) else _values(array, shape)
