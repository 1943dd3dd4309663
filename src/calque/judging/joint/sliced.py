"""Sliced Wasserstein distance: the mean of one-dimensional distances over random directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calque.judging.joint.draws import Numbers, check_settings, moved, pooled, standards
from calque.judging.joint.moments import Moments
from calque.judging.measure import Estimate
from calque.judging.resampling import resampled
from calque.judging.samples import Sample, check_weights, effective, samples
from calque.judging.views import RAW, View
from calque.seeds import numpy_stream
from calque.table import Table

ATOMS = 8000  # fewer lose the tails, and with them some percent of the floor
BLOCKS = 100


@dataclass(frozen=True)
class SlicedWasserstein:
    """Mean over random directions of the Wasserstein-1 distance, columns standardised by the real rows.

    At most `rows` rows a class. Weights are honoured, each class normalised; negative ones have no quantiles and raise
    DataError. Error and floor do not sort replicas of all rows: the null draws samples of full size from 8 000 real
    rows, which stand for their distribution, and the error away from it comes from the distance's first-order
    change with each row. Both hold for the directions that the seed draws.
    Sources: Rabin et al., SSVM 2011, LNCS 6667 (2012) 435; Bonneel et al., JMIV 51 (2015) 22.
    """

    view: View = RAW
    rows: int = 100_000
    directions: int = 64
    replicas: int = 200

    def __post_init__(self) -> None:
        check_settings({"directions": 1}, self)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"sliced_wasserstein_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the distance; raises DataError where the tables cannot be compared."""
        given = samples(self.view, real, fake, reference)
        for table in (real, fake) if reference is None else (real, fake, reference):
            check_weights(table, "a Wasserstein distance")
        centre, scale = standards(given[0])
        first, second, more = (None if one is None else moved(one, centre, scale) for one in given)
        assert first is not None
        assert second is not None
        first, second = first.draw(self.rows, seed, "real"), second.draw(self.rows, seed, "fake")
        axes = directions(first.values.shape[1], self.directions, seed)
        along, changes = linearised(first, second, axes)
        value = float(along.mean())
        known = pooled(first, more, ATOMS, seed)
        null = null_replicas(known, (first, second), axes, self.replicas, seed)
        bootstrap = value + blockwise((first, second), changes, self.replicas, seed)
        return (resampled(  # against the null itself: the wider of both is the error
            "sliced_wasserstein", self.view.name, value, null, bootstrap, null,
            "error: null of real rows, or first-order bootstrap where that is wider; floor: mean of the null",
            directions=len(axes), largest=float(along.max()), rows=len(first), generated_rows=len(second)),)


def directions(columns: int, count: int, seed: int) -> Numbers:
    """Random unit vectors (count, columns), orthogonal as far as there are dimensions.

    Their mean has less noise than that of independent ones (Rowland et al., arXiv:1903.03784).
    """
    frames = numpy_stream(seed, "judging/directions").normal(size=(-(-count // columns), columns, columns))
    return np.asarray(np.linalg.qr(frames)[0].swapaxes(1, 2).reshape(-1, columns)[: count if columns > 1 else 1])


def linearised(first: Sample, second: Sample, axes: Numbers) -> tuple[Numbers, tuple[Numbers, Numbers]]:
    """Distance along every axis, and the change of their mean with each row of both samples (N,), (M,).

    Along an axis the distance is ∫|F − G|; a row at x changes it by ∓∫ sign(F − G) up to x (Kantorovich's potential).
    """
    shares = np.concatenate([first.weights / first.weights.sum(), -second.weights / second.weights.sum()])
    values = np.concatenate([first.values, second.values])
    found, change = np.zeros(len(axes)), np.zeros(len(values))
    for turn, axis in enumerate(axes):
        place = values @ axis
        order = np.argsort(place)
        gaps = np.diff(place[order], append=place[order[-1]])
        excess = np.cumsum(shares[order])
        found[turn] = np.abs(excess) @ gaps
        signed = np.sign(excess) * gaps
        change[order] += signed - np.cumsum(signed)
    change /= len(axes)
    return found, (change[: len(first)], -change[len(first):])


def blockwise(pair: tuple[Sample, Sample], changes: tuple[Numbers, Numbers], replicas: int, seed: int) -> Numbers:
    """First-order changes (replicas,) of the distance when blocks of rows are drawn again."""
    stream, total = numpy_stream(seed, "judging/sliced"), np.zeros(replicas)
    for sample, change in zip(pair, changes, strict=True):
        deviation = change - np.average(change, weights=sample.weights)
        blocks = Moments.of(Sample(deviation[:, None], sample.weights), BLOCKS, seed)
        times = stream.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=replicas)
        total += blocks.joined(times.astype(np.float64)).mean[:, 0]
    return total


def null_replicas(
    known: Sample, pair: tuple[Sample, Sample], axes: Numbers, replicas: int, seed: int
) -> Numbers:
    """Distances (replicas,) of two samples, each worth as much as one at hand, drawn from the known rows."""
    stream, even = numpy_stream(seed, "judging/sliced/null"), np.full(len(known), 1 / len(known))
    worth = effective(known.weights) / len(known)
    drawn = []
    for sample in pair:
        count = max(round(effective(sample.weights) / worth), 2)
        weights = stream.multinomial(count, even, size=replicas) * known.weights
        drawn.append((weights / weights.sum(axis=1, keepdims=True)).T)
    shares, total = np.ascontiguousarray(drawn[0] - drawn[1]), np.zeros(replicas)
    for axis in axes:
        place = known.values @ axis
        order = np.argsort(place)
        excess = np.cumsum(shares[order], axis=0)[:-1]
        total += np.diff(place[order]) @ np.abs(excess, out=excess)
    return total / len(axes)
