"""Progress bars, where somebody is looking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """What a long task tells."""

    def __call__(self, done: float, note: str = "") -> None:
        """Report how much is done and a short note."""


@contextmanager
def progress(title: str, total: float, quiet: bool = False) -> Iterator[Bar]:
    """Show a bar on a terminal; say nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
               TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=total, note="")
        yield lambda done, note="": shown.update(task, completed=done, note=note)
