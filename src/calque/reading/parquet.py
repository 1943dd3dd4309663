"""Parquet, through pyarrow: images as lists of fixed size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from calque.errors import DataError
from calque.reading.formats import Compression, Field, Format, Writer
from calque.table import Array

CODECS = {"none": "none", "lz4": "lz4", "zstd": "zstd", "zlib": "gzip"}


class Parquet(Format):
    """Parquet files; the metadata of a field hold its `unit`, and the `shape` of an image."""

    name = "Parquet"

    def trees(self, path: Path) -> list[str]:
        """One table, without a name."""
        return [""]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Fields of the schema."""
        with pyarrow.parquet.ParquetFile(path) as file:
            return [_field(one, file.metadata.num_rows) for one in file.schema_arrow]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces of record batches."""
        with pyarrow.parquet.ParquetFile(path) as file:
            shapes = {one.name: _field(one, 0).shape for one in file.schema_arrow}
            for batch in file.iter_batches(rows, columns=list(columns)):
                yield {name: _values(batch.column(name), shapes[name], f"{name!r} in {path}") for name in columns}

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


def _field(one: Any, rows: int) -> Field:
    notes = {key.decode(): value.decode() for key, value in (one.metadata or {}).items()}
    kind, shape = one.type, []
    while hasattr(kind, "list_size"):
        shape.append(int(kind.list_size))
        kind = kind.value_type
    if "shape" in notes:
        shape = [int(size) for size in notes["shape"].split(",")]
    try:
        dtype = np.dtype(kind.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    numbers = dtype.kind in "biuf" and not hasattr(kind, "value_type")
    return Field(one.name, dtype if numbers else None, tuple(shape), notes.get("unit", ""), rows, str(one.type))


def _values(array: Any, shape: tuple[int, ...], which: str) -> Array:
    while hasattr(array.type, "list_size"):
        array = array.flatten()
    if array.null_count and np.dtype(array.type.to_pandas_dtype()).kind != "f":
        raise DataError(f"column {which} has {array.null_count} empty entries; fill them, or store it as floats")
    # a copy, because arrow's memory is read-only
    return np.array(array.to_numpy(zero_copy_only=False)).reshape(-1, *shape)
