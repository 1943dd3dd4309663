"""Lists of names as a TOML file, the command line and Python write them."""

from __future__ import annotations

from collections.abc import Sequence


def split_names(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Give the names of a list, or of one text with commas; each once, in their order.

    >>> split_names("px, py,pz,"), split_names(["raw", "derived", "raw"])
    (('px', 'py', 'pz'), ('raw', 'derived'))
    """
    entries = [asked] if isinstance(asked, str) else list(asked)
    names = [name.strip() for entry in entries for name in entry.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))
