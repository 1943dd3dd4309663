"""Recipes: a data set is a TOML file, never a script."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from calque.errors import FileError, unknown


def shipped() -> dict[str, Path]:
    """Recipes of the package, by name."""
    folder = Path(str(files("calque.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """A file as it is named, or a shipped recipe; raises FileError that names the nearest."""
    path = Path(name)
    if path.is_file():
        return path
    known = shipped()
    if path.stem in known and path.suffix in ("", ".toml"):
        return known[path.stem]
    raise FileError(unknown("file or recipe", name, known))


def describe_recipes() -> Iterator[str]:
    """Each recipe's name and first comment."""
    for name, path in shipped().items():
        yield f"{name:16} {path.read_text(encoding='utf-8').splitlines()[0].removeprefix('#').strip()}"
