"""HDF5: one dataset per column, at the root or in a group; a compound dataset is a table by itself."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from calque.errors import FileError
from calque.reading.formats import Compression, Field, Format, Writer
from calque.reading.hdf5_columns import NAME_KEY, Column, list_columns, list_fields, read_pieces
from calque.reading.hdf5_links import LinkError, Shelf, is_direct, opened
from calque.reading.hdf5_pandas import is_frame, is_inner, list_frame
from calque.reading.names import escape_name
from calque.table import Array

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 1 << 18  # for what HDF5 itself writes about the columns
WHOLE = "whole"  # rows and check sums of the columns that were flushed: an attribute of what is being written


class Hdf5(Format):
    """HDF5 files; units lie in the attribute `unit` or `units` of a dataset, the root group is the tree "/"."""

    name = "HDF5"

    def trees(self, path: Path) -> list[str]:
        """Groups that hold datasets, compound datasets, and what pandas stored."""
        known = path.stat()
        return list(_list_trees(path, known.st_size, known.st_mtime_ns))

    def choose(self, path: Path, tree: str | None) -> str:
        """Name the group; "" is the root."""
        wanted = None if tree is None else tree.strip("/") or "/"
        if wanted is not None and _is_table(path, wanted):
            return wanted
        return super().choose(path, wanted)

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Datasets of the group, fields of the compound dataset, or columns of the frame."""
        with opened(path) as shelf:
            return [column.field for column in _columns(shelf, tree)]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces; as long as the shortest of them."""
        with opened(path) as shelf:
            known = {column.name: column for column in _columns(shelf, tree)}
            wanted = [known[name] for name in columns]
            for column in wanted:
                if column.field.dtype is None:
                    raise FileError(f"column {column.name!r} in {path} {column.fault or f'holds {column.field.kind}'}")
            yield from read_pieces(wanted, rows)

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
        self.path, self.units, self.filters = path, dict(units), _filters(compression)
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
        _check_space(self.path, sum(array.nbytes + _chunk_bytes(array) for array in columns.values()))
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
        if self.file:
            _check_space(self.path, 0)
        with _let_go(self.file):
            if self.file:
                self.group.attrs.pop(WHOLE, None)
            self.file.close()

    def _mark(self, rows: int) -> None:
        self.group.attrs[WHOLE] = [rows, *self.sums.values()]
        self.file.flush()

    def _create(self, name: str, array: Array) -> Any:
        event = array.shape[1:]
        chunks = (_chunk_rows(array), *event)
        spelt = escape_name(name)
        dataset = self.group.create_dataset(
            spelt, (0, *event), array.dtype, maxshape=(None, *event), chunks=chunks, **self.filters
        )
        if spelt != name:
            dataset.attrs[NAME_KEY] = name
        if self.units.get(name):
            dataset.attrs["unit"] = self.units[name]
        self.datasets[name] = dataset
        return dataset


def _row_bytes(array: Array) -> int:
    """Bytes of one event of a column."""
    return array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=int))


def _chunk_rows(array: Array) -> int:
    """Events of a chunk: about CHUNK_BYTES of them."""
    return int(np.clip(CHUNK_BYTES // max(_row_bytes(array), 1), 1, 1 << 16))


def _chunk_bytes(array: Array) -> int:
    return _chunk_rows(array) * _row_bytes(array)


def _check_space(path: Path, size: int) -> None:
    """Raise OSError where the disk, or the limit of the process, has no room for `size` more bytes.

    HDF5 keeps pages in a cache: it may crash the process when it cannot write them any more. So room
    is allocated and given back before it is asked to write.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        end = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), end, size + SPARE_BYTES)
        finally:
            os.ftruncate(file.fileno(), end)


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


@lru_cache(maxsize=32)
def _list_trees(path: Path, size: int, changed: int) -> tuple[str, ...]:
    """Tables of a file; `size` and `changed` are there so that a file that changed is read anew."""
    with opened(path) as shelf:
        walk = _Walk(shelf)
        walk.visit(shelf.root["/"], "")
        walk.visit_links()
    if not walk.found and walk.faults:
        raise FileError(f"no table in {path}: {walk.faults[0]}")
    return tuple(walk.found)


class _Walk:
    """A walk through all groups of a file, each once: first those that lie there, then those that links lead to."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.found: dict[str, None] = {}
        self.faults: list[str] = []
        self.seen: set[Any] = set()
        self.links: list[tuple[Any, str, str]] = []

    def visit(self, group: Any, name: str) -> None:
        """Note the tables of a group and of those inside it."""
        waiting = [(group, name)]
        while waiting:
            group, name = waiting.pop()
            if group in self.seen:
                continue
            self.seen.add(group)
            waiting += reversed(self._look_into(group, name))

    def visit_links(self) -> None:
        """Follow the links; what they lead to may hold links again."""
        while self.links:
            group, child, name = self.links.pop(0)
            try:
                item = self.shelf.follow(group, child)
            except LinkError as error:
                self.faults.append(f"{child!r} {error}")
                continue
            if isinstance(item, h5py.Group):
                self.visit(item, name)
            elif isinstance(item, h5py.Dataset):
                self._note(item.id, name)

    def _look_into(self, group: Any, name: str) -> list[tuple[Any, str]]:
        """Note the tables of one group; the groups inside it."""
        frame = is_frame(group)
        if frame:
            self.found[name or "/"] = None
        inside = []
        for child in group:
            below = f"{name}/{child}" if name else child
            if not is_direct(group, child):
                self.links.append((group, child, below))
                continue
            item = h5py.h5o.open(group.id, child.encode("utf-8", "surrogateescape"))
            if isinstance(item, h5py.h5g.GroupID):
                if not is_inner(child):
                    inside.append((group[child], below))
            elif not frame and isinstance(item, h5py.h5d.DatasetID):
                self._note(item, below)
        return inside

    def _note(self, item: Any, name: str) -> None:
        """Note the table that a dataset is, or is a column of."""
        if item.rank:
            # a complex number is a compound to the library
            compound = item.get_type().get_class() == h5py.h5t.COMPOUND and item.dtype.names is not None
            self.found[name if compound else name.rpartition("/")[0] or "/"] = None


def _is_table(path: Path, tree: str) -> bool:
    """Whether there is a table of that name, without a walk through all of the file."""
    with opened(path) as shelf:
        try:
            item = shelf.find(tree)
        except (KeyError, LinkError, AttributeError):
            return False
        if isinstance(item, h5py.Dataset):
            return item.dtype.names is not None and bool(item.ndim)
        return is_frame(item) or any(_is_column(item, name, shelf) for name in item)


def _is_column(group: Any, name: str, shelf: Shelf) -> bool:
    try:
        item = shelf.follow(group, name)
    except LinkError:
        return False
    return isinstance(item, h5py.Dataset) and bool(item.ndim) and item.dtype.names is None


def _columns(shelf: Shelf, tree: str) -> list[Column]:
    table = shelf.find(tree)
    if isinstance(table, h5py.Dataset):
        return list_fields(table, shelf)
    return list_frame(table, shelf) if is_frame(table) else list_columns(table, shelf)


def _filters(compression: Compression) -> dict[str, Any]:
    # of these codecs every HDF5 library has gzip, and h5py the fast lzf; there is no zstd
    if compression.codec == "none":
        return {}
    if compression.codec == "lz4":
        return {"compression": "lzf", "shuffle": True}
    return {"compression": "gzip", "compression_opts": min(compression.level or 1, 9), "shuffle": True}
