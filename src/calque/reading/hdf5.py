"""HDF5: one dataset per column, at the root or in a group; a compound dataset is a table by itself."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calque.reading.formats import Compression, Field, Format, Writer
from calque.table import Array

CHUNK_BYTES = 1 << 20
UNIT_KEYS = ("unit", "units")
WHOLE = "whole"  # rows and check sums of the columns that were flushed: an attribute of what is being written


class Hdf5(Format):
    """HDF5 files; units lie in the attribute `unit` or `units` of a dataset, the root group is the tree "/"."""

    name = "HDF5"

    def trees(self, path: Path) -> list[str]:
        """Groups that hold datasets, and compound datasets."""
        found: dict[str, None] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim:
                found[name if item.dtype.names else name.rpartition("/")[0] or "/"] = None

        with h5py.File(path, "r") as file:
            file.visititems(visit)
        return list(found)

    def choose(self, path: Path, tree: str | None) -> str:
        """Name the group; "" is the root."""
        return super().choose(path, None if tree is None else tree.strip("/") or "/")

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Datasets of the group, or fields of the compound dataset."""
        with h5py.File(path, "r") as file:
            if isinstance(table := file[tree], h5py.Dataset):
                return [_field(name, table.dtype[name], {}, len(table)) for name in table.dtype.names]
            columns = {name: item for name, item in table.items() if isinstance(item, h5py.Dataset) and item.ndim}
            return [_field(name, _event(item), item.attrs, len(item)) for name, item in columns.items()]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces; as long as the shortest of them."""
        with h5py.File(path, "r") as file:
            table = file[tree]
            whole = isinstance(table, h5py.Dataset)
            end = len(table) if whole else min(len(table[name]) for name in columns)
            for start in range(0, end, rows):
                part = slice(start, min(start + rows, end))
                source = table[part] if whole else {name: table[name][part] for name in columns}
                yield {name: source[name] for name in columns}

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file with one group."""
        return GroupWriter(path, tree, units, compression)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Rows of whole buffers, if their sums are right: a full disk or a kill may leave anything in a file."""
        tree = self.choose(path, tree)
        columns = [field.name for field in self.describe(path, tree)]
        with h5py.File(path, "r") as file:
            mark = file[tree].attrs.get(WHOLE)
        if mark is None:  # closed as it should be
            yield from self.iterate(path, tree, columns, rows)
            return

        def whole() -> Iterator[dict[str, Array]]:
            starts = range(0, int(mark[0]), rows)
            for start, piece in zip(starts, self.iterate(path, tree, columns, rows), strict=False):
                yield {name: array[: starts.stop - start] for name, array in piece.items()}

        sums: dict[str, int] = {}
        for piece in whole():
            add(sums, piece)
        if list(sums.values()) == list(mark[1:]):
            yield from whole()


def add(sums: dict[str, int], columns: Mapping[str, Array]) -> None:
    """Go on with the check sum of each column."""
    for name, array in columns.items():
        sums[name] = zlib.crc32(np.ascontiguousarray(array).data, sums.get(name, 0))


class GroupWriter:
    """Datasets that grow together."""

    def __init__(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> None:
        self.units, self.filters = dict(units), _filters(compression)
        # columns come back in the order in which they were made, not of the alphabet
        self.file = h5py.File(path, "w", track_order=True)
        self.sums: dict[str, int] = {}
        self.datasets: dict[str, Any] = {}  # stay open: what fails as one is closed is never raised
        tree = tree.strip("/")
        self.group = self.file.create_group(tree, track_order=True) if tree else self.file
        with _let_go(self.file):
            self._mark(0)

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call makes the datasets."""
        with _let_go(self.file):
            for name, array in columns.items():
                dataset = self.datasets.get(name) or self._create(name, array)
                dataset.resize(len(dataset) + len(array), axis=0)
                dataset[len(dataset) - len(array) :] = array
            self.file.flush()
            add(self.sums, columns)
            self._mark(len(dataset))

    def close(self) -> None:
        """Close the file."""
        with _let_go(self.file):
            if self.file:
                self.group.attrs.pop(WHOLE, None)
            self.file.close()

    def _mark(self, rows: int) -> None:
        self.group.attrs[WHOLE] = [rows, *self.sums.values()]
        self.file.flush()

    def _create(self, name: str, array: Array) -> Any:
        event = array.shape[1:]
        size = array.dtype.itemsize * int(np.prod(event, dtype=int))
        chunks = (int(np.clip(CHUNK_BYTES // max(size, 1), 1, 1 << 16)), *event)
        dataset = self.group.create_dataset(
            name, (0, *event), array.dtype, maxshape=(None, *event), chunks=chunks, **self.filters
        )
        if self.units.get(name):
            dataset.attrs["unit"] = self.units[name]
        self.datasets[name] = dataset
        return dataset


@contextmanager
def _let_go(file: Any) -> Iterator[None]:
    """Close a file that cannot be written, and raise what the disk said: one left open crashes HDF5 at exit."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if file and hasattr(os, "memfd_create"):
            memory = os.memfd_create("unwritten")  # takes what is in the library's cache
            os.dup2(memory, file.id.get_vfd_handle())
            os.close(memory)
            file.close()
        said = re.search(r"errno = (\d+)", str(error))
        raise OSError(int(said[1]), os.strerror(int(said[1]))) if said else error from error


def _event(dataset: Any) -> np.dtype[Any]:
    return np.dtype((dataset.dtype, dataset.shape[1:]))


def _field(name: str, dtype: np.dtype[Any], attributes: Mapping[str, Any], rows: int) -> Field:
    base, shape = dtype.subdtype or (dtype, ())
    unit = next((attributes[key] for key in UNIT_KEYS if key in attributes), "")
    text = unit.decode() if isinstance(unit, bytes) else str(unit)
    return Field(name, base if base.kind in "biuf" else None, shape, text, rows, str(base))


def _filters(compression: Compression) -> dict[str, Any]:
    # of these codecs every HDF5 library has gzip, and h5py the fast lzf; there is no zstd
    if compression.codec == "none":
        return {}
    if compression.codec == "lz4":
        return {"compression": "lzf", "shuffle": True}
    return {"compression": "gzip", "compression_opts": min(compression.level or 1, 9), "shuffle": True}
