"""The few exceptions: each says what was asked, what there is, where, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


class CalqueError(Exception):
    """Anything a user can cause and mend; the command line prints it as one line and exits with 2."""


class FileError(CalqueError):
    """A file or folder is absent, unreadable, incomplete or cannot be written."""


class DataError(CalqueError):
    """The data do not fit the request: a missing column, non-finite values, weights that sum to nothing."""


class EmptyError(DataError):
    """No row is there, or none meets the condition."""


class ConfigError(CalqueError):
    """A setting does not exist or has no meaning."""


class DivergedError(CalqueError):
    """A training ran into non-finite numbers; says at which step and for which player."""


def nearest(asked: str, available: Iterable[str], limit: int = 12) -> str:
    """Name what there is, the most similar to `asked` first.

    >>> nearest("pX", ["z", "weight", "px"])
    'nearest: px, z, weight'
    """
    names = sorted(available, key=lambda name: -SequenceMatcher(None, asked.lower(), name.lower()).ratio())
    if not names:
        return "there is none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"nearest: {', '.join(names[:limit])}{more}"


def unknown(kind: str, asked: str, available: Iterable[str], where: str = "") -> str:
    """Word the commonest message: a name that does not exist.

    >>> unknown("column", "pX", ["px", "py"], "in muons.root")
    "no column 'pX' in muons.root; nearest: px, py"
    """
    return f"no {kind} {asked!r}{' ' + where if where else ''}; {nearest(asked, available)}"
