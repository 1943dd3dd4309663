"""Kernel physics distance: unbiased squared maximum mean discrepancy with a polynomial kernel of degree four."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from calque.judging.joint.kernel import Rows, differences, of_rows, quadratic
from calque.judging.joint.moments import block_starts
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, effective, samples
from calque.judging.views import RAW, View
from calque.table import Table

if TYPE_CHECKING:
    import torch

MOST_FEATURES = 2000  # up to nine columns


@dataclass(frozen=True)
class KernelPhysicsDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/D + 1)⁴, columns divided by the largest real |x|.

    The number that JetNet's `kpd` estimates by the median of 10 batches of 5 000 rows; this takes all pairs of
    different rows, which the unbiased form allows (it may be negative). Up to nine columns the kernel is a scalar
    product of few features, so all pairs of at most `rows` rows a class cost one pass; beyond, the matrix of at
    most `pairs` rows a class is made. Weights, negative ones too, count in every mean.
    Sources: Kansal et al., arXiv:2211.10295; Gretton et al., JMLR 13 (2012) 723.
    """

    view: View = RAW
    rows: int = 100_000
    pairs: int = 10_000
    blocks: int = 100
    replicas: int = 200

    def __post_init__(self) -> None:
        check_settings({"blocks": 20, "pairs": 50}, self)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"kpd_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the distance; raises DataError where the tables cannot be compared."""
        given = samples(self.view, real, fake, reference)
        check_totals(*given)
        scale = largest(given[0])
        if feature_count(len(scale)) > MOST_FEATURES:
            return (of_rows("kpd", self.view.name, of_pairs, given, 0.0, scale, self.pairs, self.replicas, seed),)
        return (self.of_features(*given, scale, seed),)

    def of_features(self, real: Sample, fake: Sample, more: Sample | None, scale: Numbers, seed: int) -> Estimate:
        """Estimate with features summed up in blocks."""
        chosen = real.draw(self.rows, seed, "real"), fake.draw(self.rows, seed, "fake")
        check_totals(*chosen)
        least = min(effective(one.weights) for one in chosen)
        rows, blocks = null_blocks(real, more, least, 2 * self.rows, self.blocks, seed)
        held = [FeatureSums.of(moved(one, 0.0, scale), self.blocks) for one in chosen]
        known = FeatureSums.of(moved(rows, 0.0, scale), blocks)
        return estimate("kpd", self.view.name, of_sums, held[0], held[1], known, self.replicas, seed,
                        rows=len(chosen[0]), generated_rows=len(chosen[1]))


@dataclass(frozen=True)
class FeatureSums:
    """Σw, Σw², Σw²k(x, x) (K,) and Σw φ(x) (K, F) of K blocks of rows, where k(x, y) = φ(x)·φ(y)."""

    weights: Numbers
    squares: Numbers
    own: Numbers
    sums: Numbers

    @classmethod
    def of(cls, sample: Sample, blocks: int) -> FeatureSums:
        """Sum rows up, which come in random order."""
        starts = block_starts(len(sample), blocks)
        stops = [*starts[1:], len(sample)]
        sums = [sample.weights[a:b] @ features(sample.values[a:b]) for a, b in zip(starts, stops, strict=True)]
        weights, squares = sample.weights, np.square(sample.weights)
        own = squares * (horner(np.square(sample.values).mean(axis=1)) + 1)
        weights, squares, own = (np.add.reduceat(content, starts) for content in (weights, squares, own))
        return cls(weights, squares, own, np.stack(sums))

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def effective(self) -> float:
        """Events of equal weight."""
        return float(self.weights.sum() ** 2 / self.squares.sum())

    def means(self, drawn: Index) -> tuple[Numbers, Numbers]:
        """Mean features (R, F) of drawn blocks, and the mean kernel (R,) of pairs of different rows."""
        times = counts(drawn, len(self))
        total = times @ self.weights
        mean = times @ self.sums / total[:, None]
        own, left = times @ self.own / total**2, times @ self.squares / total**2
        return mean, (np.square(mean).sum(axis=1) - own) / (1 - left)


def of_sums(first: FeatureSums, second: FeatureSums, drawn: Index, drawn_too: Index) -> Numbers:
    """Unbiased squared discrepancy (R,) of drawn blocks."""
    (mean, inner), (mean_too, inner_too) = first.means(drawn), second.means(drawn_too)
    return np.asarray(inner + inner_too - 2 * (mean * mean_too).sum(axis=1))


def of_pairs(first: Rows, second: Rows, drawn: Index, drawn_too: Index) -> Numbers:
    """Unbiased squared discrepancy (R,) of drawn rows: no row is paired with itself."""
    (a, own), (b, own_too) = first.shares(drawn), second.shares(drawn_too)
    biased = quadratic(polynomial, *differences(first, second, a, b))
    return biased + unbiasing(first, a, own) + unbiasing(second, b, own_too)


def unbiasing(rows: Rows, shares: Numbers, own: Numbers) -> Numbers:
    """What to add to a mean (R,) over all pairs for one over pairs of different draws.

    The mean over all pairs itself enters with 1/N only, so that of the mean replica does for all replicas.
    """
    whole = quadratic(polynomial, rows.values, shares.mean(axis=1, keepdims=True))
    diagonal = horner(np.square(rows.values).mean(axis=1)) @ own
    left = own.sum(axis=0)
    return np.asarray((left * whole - diagonal) / (1 - left))


def polynomial(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Kernel (x·y/D + 1)⁴ − 1 (N, M); the constant cancels in a discrepancy, and costs digits."""
    matrix: torch.Tensor = horner(x @ y.T / x.shape[1])
    return matrix


def horner(t: Any) -> Any:
    """(t + 1)⁴ − 1 without cancellation.

    >>> horner(1.0)
    15.0
    """
    return t * (4 + t * (6 + t * (4 + t)))


def features(values: Numbers) -> Numbers:
    """Features (N, F) whose scalar product is the kernel (x·y/D + 1)⁴: the map of a squared product, taken twice."""
    ones = np.ones((len(values), 1))
    return squared(squared(np.concatenate([ones, values / math.sqrt(values.shape[1])], axis=1)))


def squared(values: Numbers) -> Numbers:
    """Features whose scalar product is the square of the values'.

    >>> float(squared(np.array([[1.0, 2.0]]))[0] @ squared(np.array([[3.0, 4.0]]))[0])  # (1·3 + 2·4)²
    121.0
    """
    row, column = np.triu_indices(values.shape[1])
    return np.asarray(values[:, row] * values[:, column] * np.where(row == column, 1.0, math.sqrt(2)))


def feature_count(columns: int) -> int:
    """Number F of features of so many columns.

    >>> feature_count(6)
    406
    """
    return math.comb(math.comb(columns + 2, 2) + 1, 2)
