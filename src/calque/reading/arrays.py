"""NumPy's npy and npz, streamed both ways; a plain (N, D) array has the columns c0, c1, …"""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from calque.reading.compound import Leaf, list_leaves, number_type
from calque.reading.formats import Compression, Field, Format, Writer
from calque.reading.npy_header import read_header, write_header
from calque.table import Array

OWN = b"columns"  # the comment of an archive of columns: none of them is to be spread


class Block:
    """One stored array, read row by row; Python objects in it are never unpickled."""

    def __init__(self, name: str, file: IO[bytes], spread: bool, size: int) -> None:
        self.name, self.file = name, file
        header = read_header(file)
        self.shape, self.dtype = header.shape, header.dtype
        plain = self.dtype.names is None and not self.dtype.hasobject
        self.spread = spread and len(self.shape) == 2 and plain
        self.rows = self.shape[0] if self.shape else 0
        needed = math.prod(self.shape) * self.dtype.itemsize
        if not self.dtype.hasobject and needed > size - file.tell():
            raise ValueError(f"its header states {needed} bytes, of which {size - file.tell()} are there")
        self.leaves = {leaf.name: leaf for leaf in self._list()}
        self.whole = self._at_once() if header.by_column and not self.dtype.hasobject else None
        self.done = 0

    @property
    def fields(self) -> list[Field]:
        """Columns that the array makes."""
        return [_field(leaf, self.rows) for leaf in self.leaves.values()]

    def _list(self) -> list[Leaf]:
        if not self.shape:
            return []
        if self.spread:
            return [Leaf((f"c{column}",), self.dtype, ()) for column in range(self.shape[1])]
        outer = self.shape[1:]
        if self.dtype.names is None:
            return [Leaf((self.name,), self.dtype, outer)]
        return [leaf._replace(shape=(*outer, *leaf.shape)) for leaf in list_leaves(self.dtype)]

    def take(self, rows: int) -> Array:
        """Read the next rows (fewer at the end)."""
        rows = min(rows, self.rows - self.done)
        self.done += rows
        if self.whole is not None:
            return self.whole[self.done - rows : self.done]
        event = self.shape[1:]
        # a bytearray, so that what is handed out may be written to
        data = bytearray(self.file.read(rows * math.prod(event) * self.dtype.itemsize))
        return np.frombuffer(data, self.dtype).reshape(rows, *event)

    def pick(self, piece: Array, column: str) -> Array:
        """One column of a piece, in the machine's byte order."""
        if self.dtype.names:
            values = self.leaves[column].pick(piece)
        else:
            values = piece[:, int(column[1:])] if self.spread else piece
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _at_once(self) -> Array:
        # columns one after another: its rows cannot be streamed
        flat = np.frombuffer(bytearray(self.file.read()), self.dtype)
        return flat.reshape(self.shape, order="F")


class Npy(Format):
    """A single array: structured, or plain (N, D)."""

    name = "npy"

    def trees(self, path: Path) -> list[str]:
        """One table, without a name."""
        return [""]

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns of every stored array."""
        with ExitStack() as stack:
            return [field for block in self._blocks(path, stack) for field in block.fields]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces; arrays that hold none of them are passed over."""
        with ExitStack() as stack:
            blocks = [(block, {field.name for field in block.fields}) for block in self._blocks(path, stack)]
            used = [(block, names.intersection(columns)) for block, names in blocks if names.intersection(columns)]
            while used and used[0][0].done < used[0][0].rows:
                pieces = [(block, block.take(rows), names) for block, names in used]
                found = {name: block.pick(piece, name) for block, piece, names in pieces for name in names}
                yield {name: found[name] for name in columns}

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a structured array."""
        return RecordWriter(path)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Records that are whole: their number comes from the size of the file."""
        with path.open("rb") as file:
            size = path.stat().st_size
            block = Block("c0", file, spread=True, size=size)
            block.rows = (size - file.tell()) // block.dtype.itemsize
            while block.done < block.rows:
                piece = block.take(rows)
                yield {field.name: block.pick(piece, field.name) for field in block.fields}

    def _blocks(self, path: Path, stack: ExitStack) -> list[Block]:
        return [Block("c0", stack.enter_context(path.open("rb")), True, path.stat().st_size)]


class Npz(Npy):
    """Several arrays; one that np.savez named `arr_0` is treated as a plain npy."""

    name = "npz"

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin an archive with one array per column."""
        return ArchiveWriter(path, compression)

    def salvage(self, path: Path, tree: str, rows: int) -> Iterator[dict[str, Array]]:
        """Nothing: an archive is put together at the end."""
        yield from ()

    def _blocks(self, path: Path, stack: ExitStack) -> list[Block]:
        archive = stack.enter_context(zipfile.ZipFile(path))
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        alone = len(members) == 1 and members[0].filename.startswith("arr_") and archive.comment != OWN
        blocks = []
        for member in members:
            file = stack.enter_context(archive.open(member))
            blocks.append(Block(member.filename.removesuffix(".npy"), file, alone, member.file_size))
        return blocks


class RecordWriter:
    """A structured array that grows; its header gets the number of rows at the end."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w+b")
        self.dtype: np.dtype[Any] | None = None
        self.rows = 0

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append records; the first call fixes their type."""
        if self.dtype is None:
            self.dtype = np.dtype([(name, array.dtype, array.shape[1:]) for name, array in columns.items()])
            write_header(self.file, self.dtype, (0,))
        records = np.empty(len(next(iter(columns.values()))), self.dtype)
        for name, array in columns.items():
            records[name] = array
        self.file.write(records.tobytes())
        self.file.flush()
        self.rows += len(records)

    def close(self) -> None:
        """Write the number of rows and close."""
        if self.dtype is not None:
            self.file.seek(0)
            # as long as the first header: NumPy pads for a growing first axis
            write_header(self.file, self.dtype, (self.rows,))
        self.file.close()


class ArchiveWriter:
    """Columns wait in unnamed files on the same disk until their lengths are known."""

    def __init__(self, path: Path, compression: Compression) -> None:
        self.path, self.packed = path, compression.codec in {"zlib", "zstd"}
        self.path.touch()
        self.columns: dict[str, tuple[IO[bytes], np.dtype[Any], tuple[int, ...]]] = {}
        self.rows = 0

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows."""
        for name, array in columns.items():
            if name not in self.columns:
                file = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115 - it lives until close
                self.columns[name] = (file, array.dtype, array.shape[1:])
            self.columns[name][0].write(np.ascontiguousarray(array).tobytes())
        self.rows += len(next(iter(columns.values())))

    def close(self) -> None:
        """Put the archive together."""
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.comment = OWN
            for name, (file, dtype, event) in self.columns.items():
                # a ZipInfo has a fixed date: the same columns make the same file
                info = zipfile.ZipInfo(f"{name}.npy")
                info.compress_type = zipfile.ZIP_DEFLATED if self.packed else zipfile.ZIP_STORED
                with archive.open(info, "w", force_zip64=True) as member, file:
                    write_header(member, dtype, (self.rows, *event))
                    file.seek(0)
                    shutil.copyfileobj(file, member, 1 << 20)


def _field(leaf: Leaf, rows: int) -> Field:
    kind = "Python objects" if leaf.dtype.hasobject else str(leaf.dtype)
    return Field(leaf.name, number_type(leaf.dtype), leaf.shape, "", rows, kind)
