"""ROOT: TTree and RNTuple read, TTree written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import uproot

from calque.errors import FileError
from calque.reading.branches import Column, find_columns, is_tree, read_columns
from calque.reading.formats import Compression, Field, Format, Lists, Writer, reading
from calque.table import Array

TREES = ("TTree", "TNtuple", "TNtupleD")


class Root(Format):
    """ROOT files; units lie in the title of the tree, as in "px [GeV], z [m]", or of the branch."""

    name = "ROOT"

    def trees(self, path: Path) -> list[str]:
        """TTrees and RNTuples of the file, by path without cycle."""
        with opened(path) as file:
            found = file.classnames(recursive=True, cycle=False)
            return [name for name, kind in found.items() if kind in TREES or kind.endswith("RNTuple")]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Branches and members of branches: lists and objects have no dtype."""
        with opened(path) as file:
            return [column.field for column in find_columns(file[tree]).values()]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces that end where baskets do, where those are small enough."""
        yield from cast(Iterator[dict[str, Array]], self.iterate_lists(path, tree, columns, rows))

    def iterate_lists(
        self, path: Path, tree: str, columns: Sequence[str], rows: int
    ) -> Iterator[dict[str, Array | Lists]]:
        """The same, lists of numbers among them."""
        with opened(path) as file:
            table = file[tree]
            there = find_columns(table, columns)
            chosen = [there[name] for name in columns]
            for first, last in _steps(table, chosen, rows):
                yield dict(zip(columns, read_columns(table, chosen, first, last), strict=True))

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file with one TTree."""
        return TreeWriter(path, tree, units, compression)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Every buffer that was written whole: the tree's header is rewritten after its baskets, branch by branch."""
        names = [field.name for field in self.describe(path, tree)]
        for columns in self.iterate(path, tree, names, rows):
            lengths = {len(array) for array in columns.values()}
            yield {name: array[: min(lengths)] for name, array in columns.items()}
            if len(lengths) > 1:
                return


class TreeWriter:
    """A TTree that grows by one basket per branch and buffer."""

    def __init__(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> None:
        self.tree, self.units = tree, dict(units)
        self.stream = path.open("w+b")
        self.file: Any = uproot.recreate(self.stream, compression=_codec(compression))
        self.handle: Any = None

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call fixes names and types."""
        columns = {name: storable(array) for name, array in columns.items()}
        if self.handle is None:
            self.begin({name: np.dtype((array.dtype, array.shape[1:])) for name, array in columns.items()})
        self.extend(columns)

    def begin(self, types: Mapping[str, Any], **options: Any) -> None:
        """Make the tree."""
        title = ", ".join(f"{name} [{self.units[name]}]" for name in types if self.units.get(name)) or self.tree
        # room for many baskets at once: uproot rewrites the whole header when it runs out
        self.handle = self.file.mktree(self.tree, types, title=title, initial_basket_capacity=128, **options)

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Append rows to the tree; no rows are none."""
        if len(next(iter(columns.values()))):
            self.handle.extend(columns)
        self.stream.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self.stream.close()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a ROOT file without caches that outlive it; raises FileError where it is cut short."""
    with reading(path, "ROOT"):
        file = uproot.open(path, object_cache=None, array_cache=None)
    with file:
        if path.stat().st_size < file.file.fEND:
            raise FileError(f"{path} is cut short: {path.stat().st_size} of {file.file.fEND} bytes are there")
        with reading(path, "ROOT"):
            yield file


def _steps(table: Any, columns: Sequence[Column], rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, ended at common basket ends unless that would be over four times too long."""
    ends, start = _ends(table, columns), 0
    while start < table.num_entries:
        stop = min(start + rows, table.num_entries)
        after = ends[np.searchsorted(ends, stop) :]
        if len(after) and after[0] - start <= 4 * rows:
            stop = int(after[0])
        yield start, stop
        start = stop


def _ends(table: Any, columns: Sequence[Column]) -> Array:
    """Rows at which every column has the end of a basket, or of a cluster."""
    if is_tree(table):
        offsets = [set(column.branch.entry_offsets) for column in columns]
        return np.asarray(sorted(set.intersection(*offsets)))
    starts = [cluster.num_first_entry for cluster in table.cluster_summaries]
    return np.asarray([*starts, table.num_entries])


def storable(array: Array) -> Array:
    """What ROOT has a type for."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _codec(compression: Compression) -> Any:
    codecs = {"lz4": (uproot.LZ4, 1), "zstd": (uproot.ZSTD, 3), "zlib": (uproot.ZLIB, 1)}
    if compression.codec == "none":
        return None
    codec, level = codecs[compression.codec]
    return codec(compression.level or level)
