"""All columns of two samples, by all one-dimensional distances, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.judging.columns.cells import Column, Numbers, Shares, bin_edges, exact_shares, fine_shares
from calque.judging.columns.distances import DISTANCES, Distance
from calque.judging.measure import Estimate
from calque.judging.resampling import REPLICAS, resampled
from calque.judging.samples import Sample, comparable
from calque.judging.views import RAW, View
from calque.seeds import numpy_stream
from calque.table import Table

PAIRS = 8  # pairs of real samples whose bootstraps say how much too wide a bootstrap is


@dataclass(frozen=True)
class Columns:
    """Distances of every column: Kolmogorov–Smirnov, Wasserstein-1, χ²/ndf, KL, JS, separation, both tails.

    Values are those of all rows. Floors and errors come from replicas of the contents of two thousand cells, so
    that they cost the same for any number of rows. An image is judged by its sum. Weights count, negative ones
    in those distances that allow them; the others are left out then, and refused where they were asked for.
    """

    view: View = RAW
    distances: tuple[str, ...] = ()
    bins: int = 50
    replicas: int = REPLICAS

    def __post_init__(self) -> None:
        for asked in self.distances:
            if asked not in DISTANCES:
                raise ConfigError(unknown("distance", asked, DISTANCES))

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"columns_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate every distance of every column."""
        seen, drawn = self.view(real), self.view(fake)
        names = comparable(seen, drawn)
        more = None if reference is None else self.view(reference)
        distances = self.applicable(seen, drawn)
        return tuple(
            estimate for place, name in enumerate(names)
            for estimate in self.judge(name, column(seen, name), column(drawn, name),
                                       None if more is None else column(more, name), distances,
                                       numpy_stream(seed, f"judging/{self.name}", place), seen.units.get(name, ""))
        )

    def applicable(self, real: Table, fake: Table) -> dict[str, Distance]:
        """Distances to compute; raises DataError for one that was asked for and cannot take these weights."""
        asked = self.distances or tuple(DISTANCES)
        for table in (real, fake):
            if table.weights.sum() <= 0:
                raise DataError(f"the weights of {table.source} (column {table.weight!r}) sum to nothing")
        if min(real.weights.min(), fake.weights.min()) >= 0:
            return {name: DISTANCES[name] for name in asked}
        refused = [name for name in self.distances if not DISTANCES[name].signed]
        if refused:
            allowed = [name for name, distance in DISTANCES.items() if distance.signed]
            raise DataError(f"{', '.join(refused)} cannot use negative weights; {', '.join(allowed)} can")
        return {name: DISTANCES[name] for name in asked if DISTANCES[name].signed}

    def judge(
        self, name: str, real: Column, fake: Column, reference: Column | None, distances: dict[str, Distance],
        generator: np.random.Generator, unit: str,
    ) -> Iterator[Estimate]:
        """Estimate the distances of one column."""
        pool = real.joined(reference)
        edges = bin_edges(pool, fake, self.bins)
        exact, fine = exact_shares(real, fake, edges), fine_shares(real, fake, edges)
        replicas = Replicas.of(fine, pool.fill(fine.upper)[0], self.replicas, generator)
        for measure, distance in distances.items():
            value, measured = float(distance.of(exact)), replicas.measured(distance)
            if np.isfinite(value) and (np.ptp(measured[0]) > 0 or value != measured[0][0]):  # a tail of few values
                yield resampled(measure, name, value, *measured, worse=distance.worse,
                                view=self.view.name, unit=unit, bins=len(exact.bins))


@dataclass(frozen=True)
class Replicas:
    """Replicas of both samples (`own`), of pairs of real samples (`null`), and of some of those pairs again."""

    null: Shares
    own: Shares
    again: tuple[Shares, ...]

    @classmethod
    def of(cls, fine: Shares, pool: Numbers, count: int,
           generator: np.random.Generator) -> Replicas:
        """Draw them; `pool` (K,) are the shares of all real rows."""
        null = fine.drawn(pool, pool, count, generator)
        own = fine.drawn(fine.real, fine.fake, count, generator)
        pairs = (null.replica(row) for row in range(min(PAIRS, count)))
        return cls(null, own, tuple(pair.drawn(pair.real, pair.fake, count // PAIRS, generator) for pair in pairs))

    def measured(self, distance: Distance) -> tuple[Any, Any, Any]:
        """The distance of each: null (R,), bootstrap (R,), bootstrap of null pairs (pairs, R / pairs)."""
        again = np.stack([distance.of(shares) for shares in self.again])
        return distance.of(self.null), distance.of(self.own), again


def column(table: Table, name: str) -> Column:
    """One column in double precision with its weights."""
    return Column(Sample.of(table, [name]).values.sum(axis=1), table.weights)
