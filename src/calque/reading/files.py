"""Which files are meant: globs, exclusions, `file.root:tree`, and what identifies a file."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from calque.errors import FileError, unknown
from calque.reading.formats import FORMATS

Files = str | Path | Sequence[str | Path]


class Place(NamedTuple):
    """A file and, where it was named, the tree in it."""

    path: Path
    tree: str | None


def locate(files: Files, tree: str | None = None, exclude: Sequence[str] = ()) -> list[Place]:
    """Expand globs and `file:tree`; each table once, files sorted, trees of a file as they were asked for.

    Raises FileError where nothing matches.
    """
    asked = [files] if isinstance(files, str | Path) else list(files)
    found = dict.fromkeys(place for one in asked for place in _expand(one, tree))
    kept = [place for place in sorted(found, key=_path) if not _excluded(place.path, exclude)]
    if not asked:
        raise FileError("no files asked for")
    if not kept:
        raise FileError(f"every one of {len(found)} files is excluded by {', '.join(exclude)}")
    return kept


def find(files: Files, exclude: Sequence[str] = ()) -> list[Path]:
    """List the files that paths and globs mean, sorted, each once."""
    return list(dict.fromkeys(place.path for place in locate(files, exclude=exclude)))


def fingerprint(path: str | Path) -> dict[str, int | str]:
    """Size [bytes] and SHA-256 of a file: the same file has the same."""
    with readable(Path(path)).open("rb") as file:
        return {"size": Path(path).stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def readable(path: Path) -> Path:
    """Return the path if a file is there; FileError names the nearest otherwise."""
    if path.is_dir():
        raise FileError(f"{path} is a folder; name its files, as in '{path / '*.root'}'")
    if path.is_file():
        return path
    folder = path.parent
    while not folder.is_dir():
        path, folder = folder, folder.parent
    kind = "file" if Path(path.name).suffix in FORMATS else "file or folder"
    raise FileError(unknown(kind, path.name, [entry.name for entry in folder.iterdir()], f"in {folder.resolve()}"))


def _path(place: Place) -> Path:
    return place.path


def _expand(asked: str | Path, tree: str | None) -> list[Place]:
    if isinstance(asked, Path):
        return [Place(path, tree) for path in _matches(str(asked)) or [readable(asked.expanduser())]]
    for text, inside in _splits(asked):
        if paths := _matches(text):
            return [Place(path, inside or tree) for path in paths]
    # the likeliest meaning of what does not exist: up to the suffix that is known
    text = next((text for text, _ in _splits(asked) if Path(text).suffix.lower() in FORMATS), asked)
    if glob.has_magic(text):
        raise FileError(f"no file matches '{text}'" + _what_folder_holds(Path(text).expanduser().parent))
    return [Place(readable(Path(text).expanduser()), tree)]


def _splits(asked: str) -> Iterator[tuple[str, str | None]]:
    """All ways to take a colon for the mark before a tree: none first."""
    yield asked, None
    for place, letter in enumerate(asked):
        if letter == ":":
            yield asked[:place], asked[place + 1 :] or None


def _matches(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return [readable(path)]
    return [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]


def _what_folder_holds(folder: Path) -> str:
    if not folder.is_dir():
        return f": there is no folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    return f"; {folder} holds {shown or 'nothing'}"


def _excluded(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path.name, pattern) or fnmatch(str(path), pattern) for pattern in patterns)
