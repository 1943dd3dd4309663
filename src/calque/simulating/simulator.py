"""What every simulator does: events block by block, or all in one Table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a process that only simulates needs no torch
    from calque.table import Table

Progress = Callable[[float], object]


class Simulator:
    """A dataclass of settings that makes events; equal settings and seeds make equal events."""

    @property
    def total(self) -> int:
        """What `progress` counts up to."""
        raise NotImplementedError

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate block by block; `progress` hears how much is done."""
        raise NotImplementedError

    def run(self, progress: Progress | None = None) -> Table:
        """Simulate everything into one Table."""
        from calque.table import Table

        return Table.concatenate(list(self.stream(progress)))
