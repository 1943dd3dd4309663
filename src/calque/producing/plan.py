"""What a production draws: which events of the endless stream that a seed defines, in which blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calque.contexts import Given
from calque.mixture import Mixture
from calque.seeds import numpy_stream
from calque.table import Table


@dataclass(frozen=True)
class Piece:
    """Rows start … stop of what is drawn at once, `index` of its kind; `lane` is a run, or −1 for all, shuffled."""

    lane: int
    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Stream:
    """The endless events of a mixture that a seed defines, in blocks; `given` fixes their contexts.

    So many blocks `together` are drawn at once, which changes no event, but the time it takes.
    """

    mixture: Mixture
    seed: int
    block: int
    given: Given | None = None
    together: int = 1

    @property
    def rows(self) -> int:
        """Events that are drawn at once."""
        return self.block * self.together

    def draw(self, piece: Piece) -> Table:
        """Draw whole blocks and keep these rows: what is drawn never depends on how it is cut."""
        given = None if self.given is None else self.given.block(piece.index * self.rows, self.rows)
        first = piece.index * self.together
        if piece.lane < 0:
            table = self.mixture.block(self.seed, first, self.block, given=given, count=self.together)
        else:
            table = self.mixture.runs[piece.lane].block(self.seed, first, self.block, given, piece.lane,
                                                        count=self.together)
        return table if (piece.start, piece.stop) == (0, self.rows) else table.rows(slice(piece.start, piece.stop))

    def pieces(self, rows: int, first_event: int, in_order: bool = False) -> Iterator[Piece]:
        """Cut `rows` events from `first_event` on into blocks: categories shuffled, or one after another."""
        if not rows:
            yield Piece(-1, 0, 0, 0)  # no event, but a file with its columns
        if not in_order:
            yield from cut(-1, first_event, rows, self.rows)
            return
        rates = self.mixture.rates if self.given is None else self.mixture.shares(self.given.block(0, 1))[0]
        shares = numpy_stream(self.seed, "shares", first_event).multinomial(rows, rates)
        for lane, share in enumerate(np.asarray(shares)):
            yield from cut(lane, first_event, int(share), self.rows)


def count(n: int, exact: bool, seed: int, first_event: int) -> int:
    """Number of events: n itself, or a Poisson number of mean n.

    A Poisson number shared out at random is an independent Poisson number in every category.
    """
    return n if exact else int(numpy_stream(seed, "count", first_event).poisson(n))


def cut(lane: int, first: int, rows: int, block: int) -> Iterator[Piece]:
    """Blocks that cover events first … first + rows."""
    at = first
    while at < first + rows:
        index, start = divmod(at, block)
        stop = min(block, start + first + rows - at)
        yield Piece(lane, index, start, stop)
        at += stop - start


def skip(cuts: Iterator[Piece], rows: int) -> Iterator[Piece]:
    """Leave out the first rows: whole pieces, and the beginning of one."""
    for piece in cuts:
        size = piece.stop - piece.start
        if rows >= size > 0:
            rows -= size
            continue
        yield Piece(piece.lane, piece.index, piece.start + rows, piece.stop)
        rows = 0
