"""Fréchet physics distance: two samples as Gaussians, extrapolated to infinitely many rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from calque.judging.joint.draws import (
    Index,
    Numbers,
    check_settings,
    check_totals,
    counts,
    estimate,
    largest,
    moved,
    null_blocks,
)
from calque.judging.joint.moments import Gaussians, Moments
from calque.judging.measure import Estimate
from calque.judging.samples import effective, samples
from calque.judging.views import RAW, View
from calque.table import Table

MOST_ROWS = 1_000_000  # for the null
PARTS = (1, 2, 4, 5, 10)
LEAST_PER_COLUMN = 20  # events in a part, per column: below, terms in 1/N² bend the line


@dataclass(frozen=True)
class FrechetPhysicsDistance:
    """Fréchet distance |μ − ν|² + tr(Σ + T − 2(ΣT)^½) of the Gaussians fitted to both samples, at infinite size.

    Columns are divided by the largest real |x|, as JetNet does by default. A plain distance is too large by about
    b/N; the mean over disjoint parts of the rows, of 1/1 to 1/10 of them, is fitted by a line in 1/N, and its value at
    zero is quoted (negative values are possible where samples agree). All rows count, in `blocks` blocks. Weights,
    negative ones too, count in means and covariances. Sources: Kansal et al., arXiv:2211.10295; Chong and Forsyth,
    arXiv:1911.07023.
    """

    view: View = RAW
    blocks: int = 100
    replicas: int = 200

    def __post_init__(self) -> None:
        check_settings({"blocks": 20}, self)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"fpd_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the distance; raises DataError where the tables cannot be compared."""
        given = samples(self.view, real, fake, reference)
        check_totals(*given)
        centre, scale = given[0].values.mean(axis=0), largest(given[0])  # the centre spares digits
        first, second, more = (None if one is None else moved(one, centre, scale) for one in given)
        assert first is not None
        assert second is not None
        least = min(effective(first.weights), effective(second.weights))
        held = [Moments.of(one, self.blocks, seed) for one in (first, second)]
        rows, blocks = null_blocks(first, more, least, MOST_ROWS, self.blocks, seed)
        known = Moments.of(rows, blocks, seed)
        distance = partial(extrapolated, parts=parts(least, first.values.shape[1]))
        plain = float(apart(*(one.joined(np.ones((1, len(one)))) for one in held))[0])
        replicas = affordable(self.replicas, first.values.shape[1])
        return (estimate("fpd", self.view.name, distance, held[0], held[1], known, replicas, seed,
                         plain=plain, parts=len(distance.keywords["parts"])),)


def affordable(replicas: int, columns: int) -> int:
    """Fewer replicas for very many columns, whose matrices' roots cost the third power, but never below twenty.

    >>> affordable(200, 6), affordable(200, 50), affordable(200, 289)
    (200, 102, 20)
    """
    return max(min(replicas, int(replicas * (40 / columns) ** 3)), 20)


def parts(events: float, columns: int) -> tuple[int, ...]:
    """Into how many parts such a sample may be cut; two at least, without which there is no line."""
    allowed = events / (LEAST_PER_COLUMN * (columns + 1))
    return tuple(part for part in PARTS if part <= max(allowed, 2))


def extrapolated(
    first: Moments, second: Moments, drawn: Index, drawn_too: Index, parts: tuple[int, ...] = PARTS
) -> Numbers:
    """Distance (R,) of drawn blocks at infinite size: intercept of a line through the means over parts against 1/N."""
    values = np.stack([mean_over(first, second, drawn, drawn_too, count) for count in parts])
    inverse = np.array(parts, dtype=np.float64)  # in units of 1/N
    line = np.linalg.pinv(np.stack([np.ones(len(parts)), inverse], axis=1))
    return np.asarray(line[0] @ values)


def mean_over(first: Moments, second: Moments, drawn: Index, drawn_too: Index, count: int) -> Numbers:
    """Mean (R,) of the distances of so many disjoint parts of the drawn blocks."""
    total = np.zeros(len(drawn))
    for part in range(count):
        total += apart(*(moments.joined(counts(slab(index, part, count), len(moments)))
                         for moments, index in ((first, drawn), (second, drawn_too))))
    return total / count


def slab(index: Index, part: int, count: int) -> Index:
    """One of so many parts of the columns."""
    size = index.shape[1]
    return index[:, part * size // count: (part + 1) * size // count]


def apart(first: Gaussians, second: Gaussians) -> Numbers:
    """Squared Fréchet (Wasserstein-2) distances (R,) of Gaussians.

    Source: Dowson and Landau, J. Multivar. Anal. 12 (1982) 450. The trace of (ΣT)^½ is the sum of the roots of the
    eigenvalues of Σ^½TΣ^½, which is symmetric.
    """
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.swapaxes(1, 2)
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second.covariance @ root), 0)).sum(axis=1)
    traces = np.trace(first.covariance + second.covariance, axis1=1, axis2=2)
    return np.asarray(np.square(first.mean - second.mean).sum(axis=1) + traces - 2 * shared)
