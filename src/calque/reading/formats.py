"""The contract of a file format, and the register that finds a format by suffix or a layout by name."""

from __future__ import annotations

import importlib
import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from calque.errors import CalqueError, ConfigError, FileError, unknown
from calque.table import Array

FORMATS = {
    ".root": "root:Root",
    ".h5": "hdf5:Hdf5",
    ".hdf5": "hdf5:Hdf5",
    ".parquet": "parquet:Parquet",
    ".pq": "parquet:Parquet",
    ".npz": "arrays:Npz",
    ".npy": "arrays:Npy",
    ".csv": "text:Csv",
    ".csv.gz": "text:PackedCsv",
}
LAYOUTS = {
    "fairship": "fairship:FairShip",
    "fairship-muons": "fairship_muons:FairShipMuons",
    "photon-library": "photon_library:PhotonLibrary",
    "calogan": "calorimeters:CaloGan",
    "calochallenge": "calorimeters:CaloChallenge",
    "grid": "calorimeters:Grid",
    "hits": "hits:Hits",
}
Chosen = str | Mapping[str, Any]  # a layout by its name, or its name with settings of its own
LEVELS = {"none": 0, "lz4": 12, "zstd": 22, "zlib": 9}  # the highest of each codec
CODECS = tuple(LEVELS)


@dataclass(frozen=True)
class Field:
    """One column of a file: `dtype` is None where events hold lists or objects, `rows` where they must be counted.

    `fault` says why a column of numbers cannot be read; a request that does not name its columns fails with it. `item`
    is the type of the entries where each event holds a list of numbers, of the shape `shape` each. `path` is the name
    with those of all parents, where it has any.
    """

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...] = ()
    unit: str = ""
    rows: int | None = None
    kind: str = ""
    fault: str = ""
    item: np.dtype[Any] | None = None
    path: str = ""

    @property
    def bytes_per_row(self) -> int:
        """Bytes that one event of this column takes."""
        return 0 if self.dtype is None else self.dtype.itemsize * int(np.prod(self.shape, dtype=int))


class Lists(NamedTuple):
    """One list per event: their lengths (E,), and the entries of all lists one after another (N, ...)."""

    counts: Array
    values: Array


class Writer(Protocol):
    """What a format hands out for writing: buffers of equal columns, then the end."""

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append one buffer of rows."""

    def close(self) -> None:
        """Finish the file."""


class Format(ABC):
    """Reads and writes one kind of file; `tree` is the name of a table inside it."""

    name: str
    default_tree: str = "events"

    @abstractmethod
    def trees(self, path: Path) -> list[str]:
        """Names of the tables in the file; [""] where the format holds one without a name."""

    @abstractmethod
    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns of a table, none of its values read."""

    @abstractmethod
    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces of about `rows` rows; missing entries are NaN, of integers and booleans masked."""

    def iterate_lists(
        self, path: Path, tree: str, columns: Sequence[str], rows: int
    ) -> Iterator[dict[str, Array | Lists]]:
        """Columns in pieces of about `rows` events, lists among them."""
        raise ConfigError(f"read.per: lists are read from ROOT and Parquet files, not from {self.name} files")

    @abstractmethod
    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a new file."""

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Complete rows that a killed writer left; nothing where the format cannot tell."""
        yield from ()

    def choose(self, path: Path, tree: str | None) -> str:
        """Name the table to read; raises FileError where it is absent or several could be meant."""
        trees = self.trees(path)
        if trees == [""]:
            return ""
        if tree is not None:
            if tree not in trees:
                raise FileError(unknown("tree", tree, trees, f"in {path}"))
            return tree
        if len(trees) > 1:
            raise FileError(f"{path} holds several trees: {', '.join(trees)}; name one, as in '{path.name}:{trees[0]}'")
        if not trees:
            raise FileError(f"no tree in {path}: it is empty, or what it holds is no table")
        return trees[0]


@dataclass(frozen=True)
class Compression:
    """A codec and its level (None: the codec's own).

    >>> Compression.parse("lz4-4")
    Compression(codec='lz4', level=4)
    """

    codec: str
    level: int | None = None

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Read "none", "lz4", "zstd-3", …; raises ConfigError otherwise."""
        match = re.fullmatch(r"([a-z0-9]+?)(?:-(\d+))?", text.strip().lower())
        codec = match.group(1) if match else text
        if codec not in CODECS:
            raise ConfigError(unknown("compression", text, CODECS) + "; a level may follow, as in 'lz4-1'")
        level = match.group(2) if match else None
        if level and not 1 <= int(level[:4]) <= LEVELS[codec]:
            raise ConfigError(f"compression {text!r}: {_levels(codec)}")
        return cls(codec, int(level) if level else None)


def _levels(codec: str) -> str:
    return f"levels of {codec} are 1 to {LEVELS[codec]}" if LEVELS[codec] else f"{codec} takes no level"


def format_of(path: Path, layout: Chosen | None = None) -> Format:
    """Find the format of a file by its suffix, or the layout by its name; '{ name = "…", … }' is a table in TOML."""
    if layout is not None:
        settings = _settings(layout)
        name = str(settings.pop("name", ""))
        if name not in LAYOUTS:
            raise ConfigError(unknown("layout", name, LAYOUTS))
        return _make(LAYOUTS[name], settings)
    suffix = next((suffix for suffix in FORMATS if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise FileError(f"{path.name!r} does not tell its format; known suffixes: {', '.join(FORMATS)}")
    return _make(FORMATS[suffix])


def _settings(layout: Chosen) -> dict[str, Any]:
    if not isinstance(layout, str):
        return dict(layout)
    if not layout.lstrip().startswith("{"):
        return {"name": layout}
    try:
        return dict(tomllib.loads(f"layout = {layout}")["layout"])
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"layout {layout} is no table in TOML: {first_line(error)}") from None


def _make(place: str, settings: Mapping[str, Any] | None = None) -> Format:
    # late, so that reading csv needs neither uproot nor h5py
    module, _, name = place.partition(":")
    kind = getattr(importlib.import_module(f"calque.reading.{module}"), name)
    known = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    for setting in settings or {}:
        if setting not in known:
            raise ConfigError(unknown("setting", setting, known, f"of the layout {kind.name!r}"))
    return cast(Format, kind(**settings or {}))


@contextmanager
def reading(path: Path, name: str) -> Iterator[None]:
    """Turn whatever a library raises on a bad file into one FileError."""
    try:
        yield
    except (CalqueError, MemoryError):
        raise
    except Exception as error:
        raise FileError(f"cannot read {path} as {name}: {first_line(error)}; is the file complete?") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure of the disk, or of a library on it, into one FileError."""
    try:
        yield
    except CalqueError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        remedy = "; free some space or choose another place" if isinstance(error, OSError) else ""
        raise FileError(f"cannot write {path}: {first_line(error)}{remedy}") from error


def first_line(error: BaseException) -> str:
    """First line of an error's text, or its class where there is none."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(" ,:;.")
