"""The training history: one JSON line per look at the figure of merit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calque.atomic import guarded, write_bytes


class History:
    """Entries in memory and, where there is a folder, in a file that is truncated on resume."""

    def __init__(self, path: Path | None, entries: list[dict[str, Any]] | None = None) -> None:
        self.path, self.entries = path, list(entries or [])
        if path is not None:
            write_bytes(path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry."""
        self.entries.append(entry)
        if self.path is not None:
            with guarded(self.path), self.path.open("a") as stream:
                stream.write(json.dumps(entry) + "\n")


def until(entries: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Entries up to a checkpoint's step."""
    return [entry for entry in entries if entry["step"] <= step]
