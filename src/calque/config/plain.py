"""What any table of settings may hold: plain values of a reasonable depth and size, and names of one folder."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from calque.errors import ConfigError

DEEPEST = 40  # tables within tables
LARGEST = 2**63 - 1  # of an integer, either sign
MOST_THREADS = 512
MOST_WORKERS = 1024


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Read a text as TOML; raises ConfigError for what is none, or is nested too deep."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deep; at most {DEEPEST} tables or lists may lie in one another"
                          ) from error
    except ValueError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error


def check_plain(raw: Any, where: str) -> None:
    """Raise ConfigError for values that no setting can have: too deep, too large, NaN, or a text with a NUL.

    >>> check_plain({"fit": {"steps": 10**30}}, "here")
    Traceback (most recent call last):
    calque.errors.ConfigError: fit.steps in here is an integer of 100 bits; at most 63 are taken
    """
    for names, value in _walk(raw):
        place = f"{'.'.join(map(str, names)) or 'it'} in {where}"
        if len(names) > DEEPEST:
            raise ConfigError(f"{'.'.join(map(str, names[:3]))}… in {where} is nested too deep; at most {DEEPEST} "
                              "tables or lists may lie in one another")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ConfigError(f"{place} is an integer of {value.bit_length()} bits; at most 63 are taken")
        if isinstance(value, float) and math.isnan(value):
            raise ConfigError(f"{place} is nan, which is no number")
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{place} holds a NUL character: {value!r}")


def _walk(raw: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value with its names, tables and lists before what they hold; names are values too."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), raw)]
    while waiting:
        names, value = waiting.pop()
        yield names, value
        if len(names) > DEEPEST:
            continue
        if isinstance(value, Mapping):
            waiting += [(names, key) for key in value]
            waiting += [((*names, key), inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*names, place), inner) for place, inner in enumerate(value)]


def check_folder_name(name: str) -> str:
    """The name of one plain folder; raises ValueError for a path, or for what is no name.

    >>> check_folder_name("light")
    'light'
    """
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise ValueError(f"{name!r} is no name of a folder; give one without slashes, and not '.' or '..'")
    return name


def check_inside(path: str) -> str:
    """A path that stays inside its folder, or is absolute; raises ValueError otherwise."""
    place = PurePosixPath(path)
    if not place.name or path.endswith("/"):
        raise ValueError(f"{path!r} names no file; give one with a suffix, as in fast.root")
    if not place.is_absolute() and ".." in place.parts:
        raise ValueError(f"{path!r} leads out of the run folder; give a path inside it, or an absolute one")
    return path
