"""Files of events written as a stream; they appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calque.atomic import put_in_place
from calque.errors import CalqueError, DataError, FileError, nearest, unknown
from calque.locks import lock_output
from calque.reading.formats import Chosen, Compression, Format, Writer, format_of, writing
from calque.reading.stream import join
from calque.reading.units import convert_table
from calque.table import Array, Table

BUFFER_ROWS = 250_000
BUFFER_BYTES = 64_000_000


class Sink:
    """A streaming writer: rows go to `NAME.part`, which takes its name on a clean end and stays otherwise.

    `units` default to those of the first table. With `resume`, what a killed writer left is kept aside and
    `salvaged` hands back the rows of it that are complete; without, it is removed. Raises FileError where the disk
    does not let it, or another process writes the same file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tree: str | None = None,
        units: Mapping[str, str] | None = None,
        compression: str = "lz4",
        layout: Chosen | None = None,
        resume: bool = False,
    ) -> None:
        self.path = Path(path).expanduser()
        self.format = format_of(self.path, layout)
        self.tree = self.format.default_tree if tree is None else tree
        self.units, self.compression = dict(units or {}), Compression.parse(compression)
        self.part = self.path.with_name(self.path.name + ".part")
        self.left = self.path.with_name(self.path.name + ".salvage")
        self.rows = 0
        self._kinds: dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]] = {}
        self._held: list[dict[str, Array]] = []
        self._held_rows = 0
        self._writer: Writer | None = None
        check_place(self.path)
        self._lock = lock_output(self.path)
        self._lock.acquire()
        if resume:
            self._set_aside()
        else:
            self._discard()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()

    def write(self, table: Table | Mapping[str, ArrayLike]) -> None:
        """Append rows; the first fix names, types, shapes and units.

        Later rows are converted to the units of the first. Their types may be narrower: what the
        type of the file cannot hold exactly is refused. Raises DataError.
        """
        if isinstance(table, Table):
            table = convert_table(table, self.units)
            self.units = {**table.units, **self.units}
        columns = self._conform({name: np.asarray(table[name]) for name in table})
        rows = len(next(iter(columns.values())))
        self._held.append(columns)
        self._held_rows += rows
        self.rows += rows
        if self._held_rows >= self._buffer_rows():
            self._flush()
        else:  # the caller may fill its arrays again
            self._held[-1] = {name: array.copy() for name, array in columns.items()}

    def close(self) -> None:
        """Write what is held, finish the file and give it its name."""
        try:
            self._finish()
        finally:
            self._lock.release()

    def _finish(self) -> None:
        if not self._kinds:
            raise DataError(f"nothing was written to {self.path}: no table, so no columns")
        self._flush()
        with writing(self.path):
            self._opened().close()
            put_in_place(self.part, self.path)
            self.left.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Write what is held and leave it as `NAME.part`, to be resumed."""
        try:
            # whatever ended the writing is the error to show, not what follows from it
            with contextlib.suppress(CalqueError, OSError, RuntimeError, ValueError):
                if self._kinds:
                    self._flush()
                    self._opened().close()
        finally:
            self._lock.release()

    def salvaged(self, rows: int = 100_000) -> Iterator[Table]:
        """Tables of the complete rows that a killed writer left; none where there are none, or none readable."""
        if self.left.is_file():
            for columns in _intact(self.format, self.left, self.tree, rows):
                yield Table(columns, dict(self.units), None, str(self.left))

    def _buffer_rows(self) -> int:
        size = sum(kind.itemsize * int(np.prod(shape, dtype=int)) for kind, shape in self._kinds.values())
        return max(1, min(BUFFER_ROWS, BUFFER_BYTES // max(size, 1)))

    def _conform(self, columns: dict[str, Array]) -> dict[str, Array]:
        if not self._kinds:
            columns = Table.of(columns, source="what is written").columns
            self._kinds = {name: (array.dtype, array.shape[1:]) for name, array in columns.items()}
        for name in columns.keys() ^ self._kinds.keys():
            if name in self._kinds:
                raise DataError(unknown("column", name, columns, f"in what is appended to {self.path}"))
            raise DataError(f"column {name!r} was not there when {self.path} was begun; {nearest(name, self._kinds)}")
        for name, (_, shape) in self._kinds.items():
            if columns[name].shape[1:] != shape:
                raise DataError(f"column {name!r} has shape {columns[name].shape[1:]}, {shape} in {self.path}")
        return {name: self._cast(name, columns[name]) for name in self._kinds}

    def _cast(self, name: str, values: Array) -> Array:
        """Values in the type of the file; raises DataError unless it holds each of them exactly."""
        kind = self._kinds[name][0]
        if not holds(kind, values):
            largest = f"; its integers reach {values.max()}" if values.dtype.kind in "iu" else ""
            raise DataError(
                f"column {name!r} is {kind} in {self.path}, and cannot hold {values.dtype} exactly{largest}; "
                f"convert it first, or write a first table of a wider type"
            )
        return values.astype(kind, copy=False)

    def _opened(self) -> Writer:
        if self._writer is None:
            self._writer = self.format.open(self.part, self.tree, self.units, self.compression)
        return self._writer

    def _flush(self) -> None:
        if not self._held:
            return
        with writing(self.path):
            writer, held, step = self._opened(), join(self._held), self._buffer_rows()
            self._held = []
            for start in range(0, max(self._held_rows, 1), step):
                writer.write({name: array[start : start + step] for name, array in held.items()})
            self._held_rows = 0

    def _set_aside(self) -> None:
        """Keep the leftover with the most rows: a resumed writer may have been killed in its turn."""
        old, new = (sum(_lengths(self.format, path, self.tree)) for path in (self.left, self.part))
        with writing(self.path):
            if new > old:
                os.replace(self.part, self.left)

    def _discard(self) -> None:
        # what belongs to another file must not be salvaged for this one
        with writing(self.path):
            for leftover in (self.part, self.left):
                leftover.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raise FileError where a file could not be written."""
    folder = path.parent
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {folder.resolve()}")
    if not os.access(folder, os.W_OK):
        raise FileError(f"cannot write {path}: the folder {folder.resolve()} is read-only")


def check_output(path: str | Path, layout: Chosen | None = None, compression: str = "lz4") -> Path:
    """The path of a file to write; raises CalqueError where the suffix, layout, compression or place is wrong.

    >>> check_output("events.xyz")
    Traceback (most recent call last):
    calque.errors.FileError: 'events.xyz' does not tell its format; known suffixes: ...
    """
    place = Path(path).expanduser()
    if not place.name:
        raise FileError(f"{str(path)!r} names no file; give one with a suffix, as in events.root")
    format_of(place, layout)
    Compression.parse(compression)
    check_place(place)
    return place


def write(
    table: Table,
    path: str | Path,
    *,
    tree: str | None = None,
    compression: str = "lz4",
    layout: Chosen | None = None,
) -> None:
    """Write one table to one file, whose suffix tells the format; see `Sink`."""
    with Sink(path, tree=tree, compression=compression, layout=layout) as sink:
        sink.write(table)


def holds(kind: np.dtype[Any], values: Array) -> bool:
    """Whether a type is the same as that of values (N, ...), or wider and exact for each of them."""
    if values.dtype.kind in "iu" and kind.kind == "f":
        exact = 2 ** (np.finfo(kind).nmant + 1)
        return not values.size or bool(values.max() <= exact and values.min() >= -exact)
    return bool(np.can_cast(values.dtype, kind, "safe"))


def _lengths(form: Format, path: Path, tree: str) -> Iterator[int]:
    for columns in _intact(form, path, tree, BUFFER_ROWS):
        yield len(next(iter(columns.values())))


def _intact(form: Format, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
    # a torn file can fail in any way: what came before is whole, what comes after is lost
    with contextlib.suppress(Exception):
        if path.is_file():
            yield from form.salvage(path, tree, rows)
