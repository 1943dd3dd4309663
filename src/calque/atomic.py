"""A file is complete or absent: written beside its place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calque.errors import FileError


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
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


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
