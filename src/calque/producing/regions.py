"""Events in a region, such as dangerous muons: drawn until enough of them satisfy a condition."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.mixture import Mixture
from calque.producing.plan import Piece, Stream, cut
from calque.reading.where import Where
from calque.run import Run
from calque.table import Table

HOPELESS = 10**6  # events drawn without one in the region, after which nobody wants to wait
ENDLESS = 10**15


@dataclass(frozen=True)
class Picked:
    """Rows of a piece that lie in the region, their numbers in the stream, and the number after the piece.

    Where events were accepted by importance: an estimate of its sum (`whole`), and of what was cut off (`lost`).
    """

    table: Table
    numbers: NDArray[np.int64]
    stop: int
    lost: float = 0.0
    whole: float = 0.0


class Region:
    """The events of a stream for which a condition holds, from event `first` on; counts what was tried.

    The condition is asked of the columns as they will be written, so that it holds for them. Where events are accepted
    by their weight, `cap` is the weight of those that always are.
    """

    cap = 0.0

    def __init__(self, stream: Stream, where: Where, first: int) -> None:
        self.stream, self.where, self.first = stream, where, first
        self.accepted, self.next_event = 0, first
        self.lost = self.whole = 0.0

    @classmethod
    def of(cls, stream: Stream, where: str, first: int) -> Region:
        """A region of a stream; contexts that are not fixed are drawn only where the condition can hold.

        Raises ConfigError for what is no condition, DataError for one on columns that are not drawn.
        """
        condition = Where(where)
        types = stream.mixture.runs[0].dtypes
        condition.mask({name: np.ones(1, kind) for name, kind in types.items()}, "among what is drawn")
        aimed = replace(stream, mixture=aim(stream.mixture, condition)) if stream.given is None else stream
        return cls(aimed, condition, first)

    @property
    def tried(self) -> int:
        """Events drawn so far, up to the last one that was taken."""
        return self.next_event - self.first

    @property
    def clipped(self) -> float:
        """Share of the region's probability that is missing in what was drawn so far."""
        return self.lost / self.whole if self.whole else 0.0

    def pieces(self, wanted: int) -> Iterator[Piece]:
        """Blocks without end; for no events an empty one."""
        return cut(-1, self.first, ENDLESS, self.stream.rows) if wanted else iter([Piece(-1, 0, 0, 0)])

    def draw(self, piece: Piece) -> Picked:
        """Draw a piece and pick what lies in the region."""
        table = self.stream.draw(piece)
        held = np.flatnonzero(self.where.mask(table.columns))
        start = piece.index * self.stream.rows
        return Picked(table.rows(held), start + piece.start + held, start + piece.stop)

    def choose(self, drawn: Generator[Picked, None, None], wanted: int, skip: int = 0) -> Iterator[Table]:
        """The first `wanted` events in the region, but for `skip`; raises DataError where none is ever found."""
        with closing(drawn):
            for picked in drawn:
                self.lost, self.whole = self.lost + picked.lost, self.whole + picked.whole
                taken = picked.table.rows(slice(wanted - self.accepted))
                done = self.accepted + len(taken) >= wanted
                last = picked.numbers[: len(taken)][-1:]
                self.next_event = int(last[0]) + 1 if done and len(last) else self.first if done else picked.stop
                yield taken.rows(slice(max(0, skip - self.accepted), None))
                self.accepted += len(taken)
                if done:
                    return
                self.check()

    def check(self) -> None:
        """Raise DataError where it is hopeless."""
        if not self.accepted and self.tried >= HOPELESS:
            raise DataError(f"none of {self.tried} events drawn lies in {self.where.text!r}: the generator has "
                            "(nearly) nothing there; widen the region, or train on it alone (read.where)")


def aim(mixture: Mixture, where: Where) -> Mixture:
    """Draw only contexts for which a condition can hold: its parts that are about contexts alone are asked first.

    Rates follow, so that what lies in the region is distributed as before. Raises DataError where no context is left.
    """
    aimed = [one for one in (aim_one(run, where) for run in mixture.runs) if one is not None]
    if not aimed:
        raise DataError(f"no context that was trained on satisfies {where.text!r}")
    return Mixture(tuple(aimed))


def aim_one(run: Run, where: Where) -> Run | None:
    """A run whose contexts satisfy what a condition asks of them; none where none does."""
    asked = [one for one in where.split() if one.names and one.names <= set(run.context.names)]
    if run.contexts is None or not asked:
        return run
    held = np.all([one.mask(run.contexts.columns) for one in asked], axis=0)
    left = run.contexts.rows(held)
    share = left.weights.sum() / run.contexts.weights.sum()
    return replace(run, contexts=left, rate=run.rate * share) if share else None
