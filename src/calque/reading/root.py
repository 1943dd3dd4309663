"""ROOT: TTree and RNTuple read, TTree written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import uproot

from calque.errors import FileError
from calque.reading.formats import Compression, Field, Format, Writer, reading
from calque.table import Array

UNIT = re.compile(r"(\S+)\s+\[([^\]]+)\]")


class Root(Format):
    """ROOT files; units lie in the title of the tree, as in "px [GeV], z [m]", or of the branch."""

    name = "ROOT"

    def trees(self, path: Path) -> list[str]:
        """TTrees and RNTuples of the file, by path without cycle."""
        with opened(path) as file:
            found = file.classnames(recursive=True, cycle=False)
            return [name for name, kind in found.items() if kind == "TTree" or kind.endswith("RNTuple")]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Branches: lists and objects have no dtype."""
        with opened(path) as file:
            table = file[tree]
            return _branches(table) if _is_tree(table) else _fields(table)

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces that end where baskets do, where those are small enough."""
        with opened(path) as file:
            table = file[tree]
            for first, last in _steps(table, columns, rows):
                yield _arrays(table, columns, first, last)

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


def _is_tree(table: Any) -> bool:
    return isinstance(table, uproot.TTree)


def _branches(tree: Any) -> list[Field]:
    units = dict(UNIT.findall(tree.title or ""))
    fields = []
    for name in tree.keys(full_paths=False):
        branch = tree[name]
        shown = branch.interpretation
        dtype = shown.to_dtype if isinstance(shown, uproot.AsDtype) else np.dtype(object)
        unit = units.get(name) or _bracketed(branch.title)
        fields.append(_field(name, dtype, unit, tree.num_entries, branch.typename))
    return fields


def _bracketed(title: str) -> str:
    # "px [GeV]" has a unit; "px/F", "image[3][4]/F" and "fPx[MCTrack_]" have none
    match = re.search(r"\s\[([^\]]+)\]\s*$", title or "")
    return match.group(1) if match else ""


def _fields(ntuple: Any) -> list[Field]:
    fields = []
    for name in ntuple.keys(recursive=False):
        one = ntuple.arrays([name], entry_start=0, entry_stop=min(1, ntuple.num_entries), library="np")[name]
        fields.append(_field(name, np.dtype((one.dtype, one.shape[1:])), "", ntuple.num_entries, ntuple[name].typename))
    return fields


def _field(name: str, dtype: np.dtype[Any], unit: str, rows: int, kind: str) -> Field:
    base, shape = dtype.subdtype or (dtype, ())
    numbers = base.kind in "biuf"
    return Field(name, base.newbyteorder("=") if numbers else None, shape if numbers else (), unit, int(rows), kind)


def _steps(table: Any, columns: Sequence[str], rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows, ended at common basket ends unless that would be over four times too long."""
    ends, start = _ends(table, columns), 0
    while start < table.num_entries:
        stop = min(start + rows, table.num_entries)
        after = ends[np.searchsorted(ends, stop) :]
        if len(after) and after[0] - start <= 4 * rows:
            stop = int(after[0])
        yield start, stop
        start = stop


def _ends(table: Any, columns: Sequence[str]) -> Array:
    if _is_tree(table):
        wanted = set(columns)
        return np.asarray(table.common_entry_offsets(filter_branch=lambda branch: branch.name in wanted))
    starts = [cluster.num_first_entry for cluster in table.cluster_summaries]
    return np.asarray([*starts, table.num_entries])


def _arrays(table: Any, columns: Sequence[str], start: int, stop: int) -> dict[str, Array]:
    if _is_tree(table):
        return {name: table[name].array(entry_start=start, entry_stop=stop, library="np") for name in columns}
    return cast(dict[str, Array], table.arrays(list(columns), entry_start=start, entry_stop=stop, library="np"))


def storable(array: Array) -> Array:
    """What ROOT has a type for."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _codec(compression: Compression) -> Any:
    codecs = {"lz4": (uproot.LZ4, 1), "zstd": (uproot.ZSTD, 3), "zlib": (uproot.ZLIB, 1)}
    if compression.codec == "none":
        return None
    codec, level = codecs[compression.codec]
    return codec(compression.level or level)
