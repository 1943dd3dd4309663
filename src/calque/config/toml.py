"""Nested tables written as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(tables: Mapping[str, Any], prefix: str = "") -> str:
    """Write nested tables as TOML; nothing stands for None.

    >>> print(to_toml({"seed": 0, "fit": {"kind": "flow"}}))
    seed = 0
    <BLANKLINE>
    [fit]
    kind = "flow"
    """
    lines = [f"{toml_key(key)} = {toml_value(item)}" for key, item in tables.items()
             if item is not None and not isinstance(item, Mapping)]
    for key, item in tables.items():
        if isinstance(item, Mapping):
            name = f"{prefix}{toml_key(key)}"
            lines += ["", f"[{name}]", to_toml(item, f"{name}.")]
    return "\n".join(lines)


def toml_key(key: str) -> str:
    """A key, quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(item: Any) -> str:
    """A value on one line."""
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in item.items() if v is not None) + "}"
    if isinstance(item, list | tuple):
        return "[" + ", ".join(map(toml_value, item)) + "]"
    if isinstance(item, float):
        return repr(item)
    return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
