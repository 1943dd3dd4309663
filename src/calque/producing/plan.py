"""What a production draws: which events of the endless stream that a seed defines, in which blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calque.mixture import Mixture
from calque.seeds import numpy_stream
from calque.table import Table


@dataclass(frozen=True)
class Piece:
    """Rows start … stop of block `index`; `lane` is a run of the mixture, or −1 for all of them shuffled."""

    lane: int
    index: int
    start: int
    stop: int

    def draw(self, mixture: Mixture, seed: int, block: int) -> Table:
        """Draw the whole block and keep these rows: what is drawn never depends on how it is cut."""
        if self.lane < 0:
            table = mixture.block(seed, self.index, block)
        else:
            table = mixture.runs[self.lane].block(seed, self.index, block, lane=self.lane)
        return table if (self.start, self.stop) == (0, block) else table.rows(slice(self.start, self.stop))


def count(n: int, exact: bool, seed: int, first_event: int) -> int:
    """Number of events: n itself, or a Poisson number of mean n.

    A Poisson number shared out at random is an independent Poisson number in every category.
    """
    return n if exact else int(numpy_stream(seed, "count", first_event).poisson(n))


def pieces(mixture: Mixture, rows: int, first_event: int, block: int, seed: int, in_order: bool) -> Iterator[Piece]:
    """Cut `rows` events from `first_event` on into blocks: categories shuffled, or one after another."""
    if not rows:
        yield Piece(-1, 0, 0, 0)  # no event, but a file with its columns
    if not in_order:
        yield from cut(-1, first_event, rows, block)
        return
    shares = numpy_stream(seed, "shares", first_event).multinomial(rows, mixture.rates)
    for lane, share in enumerate(np.asarray(shares)):
        yield from cut(lane, first_event, int(share), block)


def cut(lane: int, first: int, rows: int, block: int) -> Iterator[Piece]:
    """Blocks that cover events first … first + rows."""
    at = first
    while at < first + rows:
        index, start = divmod(at, block)
        stop = min(block, start + first + rows - at)
        yield Piece(lane, index, start, stop)
        at += stop - start
