"""Precision, recall, density, coverage: does the copy fill the original's space, and nothing beside it?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError
from calque.judging.joint.draws import spreads
from calque.judging.measure import Estimate
from calque.judging.samples import LEAST_ROWS, NotMeasurableError, Sample, check_weights, samples
from calque.judging.views import RAW, View
from calque.seeds import numpy_stream
from calque.table import Table

Numbers = NDArray[np.float64]

PARTS = 10
LEAST_PARTS = 3  # fewer have no spread to speak of
PART_ROWS = 5  # of each class, times k: smaller parts of few rows, as few parts know their spread badly
BLOCK = 1000
WORSE: dict[str, Literal["lower", "away"]] = {
    "precision": "lower", "recall": "lower", "density": "away", "coverage": "lower"}


@dataclass(frozen=True)
class Coverage:
    """Precision and recall (arXiv:1904.06991), density and coverage (arXiv:2002.09797) by k nearest neighbours.

    A row's ball reaches to the k-th nearest other row of its own sample, in columns scaled to unit spread of the
    real rows. Precision: generated rows in a real ball; recall: real rows in a generated ball; density: real balls
    a generated row is in, over k; coverage: real balls with a generated row in them. They depend on the number of
    rows, so that only value and floor at the same sizes compare. Rows are counted: weighted ones are thinned to
    equal weight first; negative weights raise DataError.
    """

    view: View = RAW
    rows: int = 10_000
    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"k = {self.k} is no number of neighbours; at least 1")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"coverage_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate all four.

        Real and generated rows are cut into equal disjoint parts, as are two sets of `reference` rows for the floor
        (without these, half of `real` is kept for it): the spread between parts is the error of both.
        """
        for table in (real, fake, *([] if reference is None else [reference])):
            check_weights(table, "coverage")
        held, drawn, more = samples(self.view, real, fake, reference)
        ours, theirs = (equal_weight(sample, seed, which) for which, sample in enumerate((held, drawn)))
        if more is None:
            spare = len(ours) // 2
            ours, known = ours.rows(slice(spare, None)), ours.rows(slice(spare))
        else:
            known = equal_weight(more, seed, 2)
        scale = spreads(held.values)
        count = min(len(ours), len(theirs), len(known) // 2, self.rows)
        value = self.parts(ours.values / scale, theirs.values / scale, count)
        floor = self.parts(known.values[::2] / scale, known.values[1::2] / scale, count)
        return tuple(self.estimate(name, value[:, place], floor[:, place], count, more is not None)
                     for place, name in enumerate(WORSE))

    def parts(self, real: Numbers, fake: Numbers, count: int) -> Numbers:
        """All four numbers (P, 4) of disjoint parts of the first `count` rows (N, D) of both."""
        parts = min(PARTS, count // (PART_ROWS * max(self.k, 5)))
        if parts < LEAST_PARTS:
            raise NotMeasurableError(
                f"{count} rows of equal weight in each of the sets compared are too few for {self.k} neighbours and "
                f"an error; {LEAST_PARTS * PART_ROWS * max(self.k, 5)} are needed: a few rows may carry most of the "
                "weight; give more rows, or judge without weights")
        rows = count // parts
        return np.array([balls(real[start: start + rows], fake[start: start + rows], self.k)
                         for start in range(0, rows * parts, rows)])

    def estimate(self, name: str, value: Numbers, floor: Numbers, count: int, referenced: bool) -> Estimate:
        """Average over the parts."""
        return Estimate(
            name, self.view.name, float(value.mean()), spread_of_mean(value, count),
            float(floor.mean()), spread_of_mean(floor, count), worse=WORSE[name],
            how=f"mean and spread of {len(value)} disjoint parts; floor: the same of two sets of "
                + ("reference rows" if referenced else "real rows that the value does not use"),
            details={"view": self.view.name, "k": self.k, "parts": len(value), "part_rows": count // len(value)},
        )


def equal_weight(sample: Sample, seed: int, which: int) -> Sample:
    """Keep every row with probability weight / largest weight, none twice, in random order."""
    generator = numpy_stream(seed, "judging/thinned", which)
    kept = sample.rows(generator.random(len(sample)) < sample.weights / sample.weights.max())
    if len(kept) < LEAST_ROWS:
        raise NotMeasurableError(
            f"thinned to equal weight, {len(kept)} of {len(sample)} rows are left, and {LEAST_ROWS} are needed to "
            "look at neighbours: a few rows carry most of the weight; give more rows, or judge without weights"
        )
    return kept.rows(generator.permutation(len(kept)))


def spread_of_mean(parts: Numbers, count: int) -> float:
    """Error of the mean of independent parts, one row's worth at least."""
    return max(float(parts.std(ddof=1) / math.sqrt(len(parts))), 1 / count)


def balls(real: Numbers, fake: Numbers, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage of rows (N, D) and (M, D); a row on the edge of a ball is inside."""
    ours, theirs = radii(real, k), radii(fake, k)
    holding = np.zeros(len(fake))  # real balls around each generated row
    reached, filled = [], []
    for block, distance in distances(real, fake):
        inside = distance <= ours[block, None]
        holding += inside.sum(axis=0)
        filled.append(inside.any(axis=1))
        reached.append((distance <= theirs).any(axis=1))
    return (float(np.mean(holding > 0)), float(np.mean(np.concatenate(reached))), float(holding.mean() / k),
            float(np.mean(np.concatenate(filled))))


def radii(values: Numbers, k: int) -> Numbers:
    """Distance (N,) of each row to the k-th nearest other row."""
    return np.concatenate([np.partition(distance, k, axis=1)[:, k] for _, distance in distances(values, values)])


def distances(first: Numbers, second: Numbers) -> Iterator[tuple[slice, Numbers]]:
    """Distances of a block of rows to all others, block after block."""
    from scipy.spatial.distance import cdist

    for start in range(0, len(first), BLOCK):
        block = slice(start, start + BLOCK)
        yield block, cdist(first[block], second)
