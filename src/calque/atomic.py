"""A file is complete or absent, after a power cut too: written beside its place, then renamed into it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calque.errors import FileError

UNABLE = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # some file systems cannot flush a folder


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (no space, read-only, no such folder) into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"cannot write {path}: {reason}; free some space or choose another place with --out") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of `path` only if nothing was raised."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with guarded(path):
        make_folder(path.parent)
        try:
            yield beside
            put_in_place(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def put_in_place(beside: Path, path: Path) -> None:
    """Rename a file, its contents on the disk before and its name after: a power cut leaves no torn file."""
    flush_file(beside)
    os.replace(beside, path)
    flush_folder(path.parent)


def flush_file(path: Path) -> None:
    """Have what was written to a file stored on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder stored on the disk itself, where the file system can do that."""
    try:
        flush_file(folder)
    except OSError as error:
        if error.errno not in UNABLE:
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, their names stored on the disk."""
    missing = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_folder(path.absolute().parent)


def check_folder(folder: Path) -> None:
    """Raise FileError, before any work is done, where a folder is none or could not be made or written to."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise FileError(f"{there} is a file, not a folder; choose another place with --out")
    if not os.access(there, os.W_OK):
        raise FileError(f"{there} cannot be written to; choose another place with --out")


def write_bytes(path: Path, content: bytes | str) -> None:
    """Write a whole file at once."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
