"""Events beyond quantiles of the real sample, and outside its support: exact counts, column by column."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.columns.cells import Column
from calque.judging.columns.columns import column
from calque.judging.columns.counting import Count, as_pull, too_few, too_many
from calque.judging.measure import Estimate
from calque.judging.samples import check_weights, comparable
from calque.judging.views import RAW, View
from calque.table import Table

Numbers = NDArray[np.float64]

LEVELS = (0.01, 0.001, 0.0)  # shares of the real events beyond a place; 0: beyond the outermost
LEAST_EVENTS = 5.0  # real events beyond a place
LARGEST = 3.0  # times its level that a tail may hold: beyond, a heap of equal values ends the column
FEW_VALUES = 40  # values of a column that are all known
OFTEN = 10  # rows for each of them, at least


@dataclass(frozen=True)
class Beyond:
    """Generated over real events beyond the real 1 % and 0.1 % quantiles and extremes, and outside the real support.

    "beyond_low" and "beyond_high" quote the place with the rarest count; their excess is the exact probability of the
    count, for all places tried. "support" is the share of generated values that no real event comes near: beyond both
    extremes, negative in a positive column, between whole numbers, or other than the few values of a column. Real
    rows are those of both real samples. Negative weights raise DataError.
    """

    view: View = RAW

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"beyond_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate all three for every column."""
        tables = [self.view(table) for table in (real, fake, *([] if reference is None else [reference]))]
        for table in tables:
            check_weights(table, "a count beyond quantiles")
        seen, drawn, *more = tables
        found: list[Estimate] = []
        for name in comparable(seen, drawn):
            known = column(seen, name).joined(column(more[0], name) if more else None)
            found += estimates(name, known, column(drawn, name), self.view.name)
        return tuple(found)


def estimates(name: str, real: Column, fake: Column, view: str) -> Iterator[Estimate]:
    """Both tails of a column, where it has them, and its support."""
    for measure, side in (("beyond_low", -1.0), ("beyond_high", 1.0)):
        places = list(counted(Column(side * real.values, real.weights), Column(side * fake.values, fake.weights)))
        if places:
            yield tail_estimate(measure, name, side, places, view)
    yield support_estimate(name, real, fake, view)


@dataclass(frozen=True)
class Place:
    """Counts of both samples beyond a place (upwards), and the probability of a count as rare as the generated one."""

    level: float
    at: float
    real: Count
    fake: Count

    @property
    def probability(self) -> float:
        """Both ways: too many and too few."""
        few = too_few(self.fake, self.real) if self.level else 1.0
        return min(1.0, 2 * min(too_many(self.fake, self.real), few))


def counted(real: Column, fake: Column) -> Iterator[Place]:
    """Counts at or beyond upper quantiles of the real sample that hold a tail, and beyond its maximum."""
    order = np.argsort(real.values)[::-1]
    held = np.cumsum(real.weights[order]) / real.weights.sum()
    for level in LEVELS:
        if not level:
            at = float(real.values.max())
            yield Place(0.0, at, Count.of(real, real.values > at), Count.of(fake, fake.values > at))
            continue
        at = float(real.values[order][min(int(np.searchsorted(held, level * (1 - 1e-9))), len(held) - 1)])
        ours = Count.of(real, real.values >= at)
        if ours.events >= LEAST_EVENTS and ours.share <= LARGEST * level:
            yield Place(level, at, ours, Count.of(fake, fake.values >= at))


def tail_estimate(measure: str, name: str, side: float, places: list[Place], view: str) -> Estimate:
    """Quote the place with the rarest count."""
    worst = min(places, key=lambda place: place.probability)
    if worst.real.events:
        expected, spread = worst.real.share, math.hypot(worst.real.error, worst.fake.error)
        null = worst.real.share * math.sqrt(1 / worst.real.events + 1 / (worst.real.share * worst.fake.whole))
    else:  # beyond the outermost of N real events lies one in N + 1 of the generated ones
        expected = 1 / (worst.real.whole + 1)
        spread, null = worst.fake.error, math.hypot(expected, math.sqrt(expected / worst.fake.whole))
    ratio = worst.fake.share / expected
    probability = min(1.0, len(places) * worst.probability)
    where = f"{name} {'≤' if side < 0 else '≥'} {side * worst.at:.6g}" if worst.level else (
        f"{name} {'<' if side < 0 else '>'} {side * worst.at:.6g}")
    return Estimate(
        measure, name, ratio, spread / expected * max(1.0, min(ratio, 1e6)) ** 0.5, 1.0, 0.0, worse="away",
        null_error=null / expected, significance=as_pull(probability / 2),
        how="exact: order of both samples together, for all places tried; floor: 1",
        details={"view": view, "where": where, "level": worst.level, "share_real": worst.real.share,
                 "share_fake": worst.fake.share, "events_real": worst.real.events, "events_fake": worst.fake.events,
                 "places": [facts(place, side) for place in places]},
    )


def facts(place: Place, side: float) -> dict[str, Any]:
    """Numbers of one place."""
    return {"level": place.level, "at": side * place.at, "events_real": place.real.events,
            "events_fake": place.fake.events, "probability": place.probability}


def support_estimate(name: str, real: Column, fake: Column, view: str) -> Estimate:
    """Share of generated values outside the real support; two in N + 1 lie beyond both extremes by chance."""
    outside, gravest, where = foreign(real.values, fake.values, name)
    ours, theirs = Count.of(real, np.zeros(len(real.values), dtype=bool)), Count.of(fake, outside)
    continuous = not is_of_few(real.values)
    expected = 2 / (real.effective + 1) if continuous else 0.0
    spread = math.sqrt(expected / fake.effective + expected**2 / 2) if continuous else 1 / fake.effective
    return Estimate(
        "support", name, theirs.share, theirs.error, expected, 0.0, null_error=spread,
        significance=as_pull(too_many(theirs, ours, edges=2)),
        how="exact: values beyond the outermost of both samples together; floor: beyond the extremes by chance",
        details={"view": view, "where": where, "share_there": Count.of(fake, gravest).share,
                 "events_fake": theirs.events},
    )


def is_of_few(values: Numbers) -> bool:
    """Whether a column has so few values that all are known."""
    distinct = len(np.unique(values))
    return distinct <= FEW_VALUES and len(values) >= OFTEN * distinct


def foreign(real: Numbers, fake: Numbers, name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Mark generated values (N,) outside the real support, those of the gravest kind, and say what that kind is."""
    low, high = float(real.min()), float(real.max())
    sorts: dict[str, NDArray[np.bool_]] = {}
    if is_of_few(real):
        sorts[f"{name} other than its {len(np.unique(real))} real values"] = ~np.isin(fake, real)
    elif np.all(real == np.round(real)):
        sorts[f"{name} not a whole number"] = fake != np.round(fake)
    if low >= 0:
        sorts[f"{name} negative"] = fake < 0
    impossible = {sort: marked for sort, marked in sorts.items() if marked.any()}
    sorts[f"{name} below {low:.6g}"] = fake < low
    sorts[f"{name} above {high:.6g}"] = fake > high
    first = max(impossible or sorts, key=lambda sort: int(sorts[sort].sum()))
    outside = np.asarray(np.any(list(sorts.values()), axis=0))
    return (outside, sorts[first], first) if outside.any() else (outside, outside, "nowhere")
