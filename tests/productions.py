"""What the tests of productions share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calque.reading.sink as sinks
from calque.producing import produce
from calque.reading import read
from calque.table import Table

BLOCK = 20  # five of which are drawn at once
producing = importlib.import_module("calque.producing.produce")  # its function has the same name


class TornError(Exception):
    """What is no error of calque's."""


def make(source: Any, n: float, out: Path, **settings: Any) -> Table:
    """Produce exactly n events and read them again."""
    made = produce(source, n, out=out, quiet=True, **{"block": BLOCK, "exact": True, **settings})
    table = read(out)
    assert made.rows == len(table)
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(out.name)] == [out.name]
    return table


def same(one: Table, other: Table) -> bool:
    """Bit for bit."""
    return one.names == other.names and all(np.array_equal(one[name], other[name]) for name in one.names)


def torn_after(blocks: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a production fail after some blocks."""
    drawn = producing.drawn

    def fails(*arguments: Any) -> Iterator[Table]:
        for number, table in enumerate(drawn(*arguments)):
            if number == blocks:
                raise error
            yield table

    monkeypatch.setattr(producing, "drawn", fails)
    monkeypatch.setattr(sinks, "BUFFER_ROWS", 130)  # no multiple of a block
