"""Events of weight one from runs that learnt the weight: each is accepted with its weight over a cap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.mixture import Mixture
from calque.producing.plan import Piece, Stream
from calque.producing.regions import HOPELESS, Picked, Region
from calque.reading.where import Where
from calque.run import WIDE
from calque.seeds import derive, numpy_stream
from calque.table import Table
from calque.threads import threads

PILOT = 100_000  # events that the cap is chosen from
LEAST_PILOT = 5_000  # of wide ones
LEAST_KEPT = 0.01  # share of events to accept, below which the cap is lowered
LOST = 0.001  # share of the weight that may lie above a lowered cap
EVERYWHERE = "1 == 1"


class UnweightedRegion(Region):
    """The events of a stream, or of a region of it, with weight one.

    An event of weight w is accepted with probability min(1, w / cap), by a uniform number that belongs to it as its
    noise does: event i of a seed is the same however many are asked for. The weight above the cap is missing in what
    is drawn, as an event is never written twice; `clipped` is its share.
    """

    def __init__(self, stream: Stream, where: Where, first: int, cap: float) -> None:
        super().__init__(stream, where, first)
        self.cap = cap

    def draw(self, piece: Piece) -> Picked:
        """Draw a piece and accept events of it."""
        picked = super().draw(piece)
        weights = picked.table.weights
        usable = np.where(np.isfinite(weights), np.maximum(weights, 0), 0)
        share = self.draw_uniform(piece)[picked.numbers - piece.index * self.stream.rows]
        accepted = np.flatnonzero(share * self.cap < usable)
        lost = np.abs(np.nan_to_num(weights, posinf=0, neginf=0) - np.minimum(usable, self.cap)).sum()
        table = set_weight_to_one(picked.table.rows(accepted))
        return Picked(table, picked.numbers[accepted], picked.stop, float(lost), float(usable.sum()))

    def draw_uniform(self, piece: Piece) -> NDArray[np.float64]:
        """Uniform numbers of all events of the blocks that a piece is cut from."""
        stream = self.stream
        first = piece.index * stream.together
        blocks = range(first, first + stream.together)
        return np.concatenate([numpy_stream(stream.seed, "unweight", block).random(stream.block) for block in blocks])

    def check(self) -> None:
        """Raise DataError where it is hopeless."""
        if not self.accepted and self.tried >= HOPELESS:
            raise DataError(f"none of {self.tried} events drawn was accepted: nearly all weights are far below the "
                            f"largest, {self.cap:g}; produce weighted events, without --unweight")


def accept_by_weight(region: Region) -> UnweightedRegion:
    """The same region, of which events are accepted by their weight; the cap is the same for all seeds.

    Parameters
    ----------
    region : Region
        Events of runs that were trained with `fit.weights = "column"`.

    Returns
    -------
    UnweightedRegion
        What draws events of weight one; its cap is chosen from a pilot of other events.

    Raises
    ------
    DataError
        For generated weights that are negative or no numbers.
    """
    with threads(1):
        cap = choose_cap(draw_pilot(region.stream))
    return UnweightedRegion(region.stream, region.where, region.first, cap)


def check_weight(mixture: Mixture, where: str | None) -> None:
    """Raise ConfigError where there is no weight to accept by, or a condition asks for it."""
    for run in mixture.runs:
        if run.weight is None:
            place = f"{run.folder} was" if run.folder else "the run was"
            raise ConfigError(f"{place} trained with fit.weights = {run.config.fit.weights!r}: its events have no "
                              "weight to accept them by; leave unweight out, or train with fit.weights = \"column\"")
        if where is not None and run.weight in Where(where).names:
            raise ConfigError(f"where = {where!r} asks for the weight {run.weight!r}, which unweighting sets to one; "
                              "leave it out of the condition")


def draw_pilot(stream: Stream) -> NDArray[np.float64]:
    """Weights of events that are not written; raises DataError for what cannot be accepted by."""
    width = max(run.width for run in stream.mixture.runs)
    rows = min(PILOT, max(LEAST_PILOT, WIDE // width))
    pilot = replace(stream, seed=derive(0, "unweight/pilot"))
    drawn = [pilot.draw(piece) for piece in pilot.pieces(rows, 0)]
    weights = np.concatenate([table.weights for table in drawn])
    bad = int((~(weights >= 0) | np.isinf(weights)).sum())
    if bad:
        name = stream.mixture.runs[0].weight
        raise DataError(f"{bad} of {rows} generated weights {name!r} are negative or no numbers, so that events cannot "
                        f"be accepted by them; train with the step \"log {name}\", or with fit.weights = \"draw\"")
    if not weights.any():
        raise DataError(f"all {rows} generated weights are zero")
    return weights


def choose_cap(weights: NDArray[np.float64]) -> float:
    """The largest weight; where it would leave too few events, one with a small share of the weight above it.

    >>> choose_cap(np.array([1.0, 2.0, 4.0]))
    4.0
    >>> choose_cap(np.append(np.ones(200_000), 110.0))
    1.0
    """
    largest = float(weights.max())
    if weights.mean() >= LEAST_KEPT * largest:
        return largest
    falling = np.sort(weights)[::-1]
    above = falling.cumsum() - falling * np.arange(1, len(falling) + 1)  # where this one were the cap
    lowered = float(falling[np.flatnonzero(above <= LOST * falling.sum())[-1]])
    return max(lowered, float(np.finfo(np.float64).tiny))


def set_weight_to_one(table: Table) -> Table:
    """The same events, each counting one."""
    assert table.weight is not None
    ones: Mapping[str, NDArray[np.generic]] = {table.weight: np.ones_like(table[table.weight])}
    return replace(table, columns={**table.columns, **ones})
