"""HDF5: one dataset per column, at the root or in a group; a compound dataset is a table by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calque.reading.formats import Compression, Field, Format, Writer
from calque.table import Array

CHUNK_BYTES = 1 << 20
UNIT_KEYS = ("unit", "units")


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
        """Rows that every dataset has; the file was flushed after each buffer."""
        tree = self.choose(path, tree)
        columns = [field.name for field in self.describe(path, tree)]
        yield from self.iterate(path, tree, columns, rows)


class GroupWriter:
    """Datasets that grow together."""

    def __init__(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> None:
        self.units, self.filters = dict(units), _filters(compression)
        # columns come back in the order in which they were made, not of the alphabet
        self.file = h5py.File(path, "w", track_order=True)
        tree = tree.strip("/")
        self.group = self.file.create_group(tree, track_order=True) if tree else self.file

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call makes the datasets."""
        for name, array in columns.items():
            if name not in self.group:
                self._create(name, array)
            dataset = self.group[name]
            dataset.resize(len(dataset) + len(array), axis=0)
            dataset[len(dataset) - len(array) :] = array
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _create(self, name: str, array: Array) -> None:
        event = array.shape[1:]
        size = array.dtype.itemsize * int(np.prod(event, dtype=int))
        chunks = (int(np.clip(CHUNK_BYTES // max(size, 1), 1, 1 << 16)), *event)
        dataset = self.group.create_dataset(
            name, (0, *event), array.dtype, maxshape=(None, *event), chunks=chunks, **self.filters
        )
        if self.units.get(name):
            dataset.attrs["unit"] = self.units[name]


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
