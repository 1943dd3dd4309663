"""The Jensen-Shannon divergence that a classifier's output shows, calibrated on rows that it is not computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.scores import Numbers, Scores
from calque.judging.classifying.trees import bin_edges
from calque.judging.resampling import resample

CELLS = 100
LEAST_ROWS = 20  # of both classes in a cell, on average


@dataclass(frozen=True)
class Cells:
    """One class in halves and cells of rising output: effective rows (2 K,) and their variances, the halves in turn."""

    content: Numbers
    variance: Numbers

    @classmethod
    def of(cls, place: NDArray[np.intp], weights: Numbers, cells: int, generator: np.random.Generator) -> Cells:
        """Count rows by cell, every row in one of two halves."""
        place = place + cells * generator.permutation(np.arange(len(place)) % 2)
        scale = weights.sum() / np.square(weights).sum()
        content, variance = (np.bincount(place, each, 2 * cells) for each in (weights * scale, (weights * scale) ** 2))
        return cls(content.astype(np.float64), variance.astype(np.float64))

    @property
    def rows(self) -> float:
        """Effective rows."""
        return float(self.content.sum())

    @property
    def both(self) -> Numbers:
        """Effective rows of both halves (K,)."""
        return np.asarray(self.content.reshape(2, -1).sum(axis=0))

    def mixed(self, other: Cells) -> Cells:
        """Half of both classes, with as many effective rows as this one."""
        ours, theirs = 0.5, 0.5 * self.rows / other.rows
        return Cells(ours * self.content + theirs * other.content, ours * self.variance + theirs * other.variance)

    def draw(self, replicas: int, generator: np.random.Generator) -> Numbers:
        """Contents (R, 2, K) of so many samples like this one."""
        return resample(self.content, self.variance, replicas, generator).reshape(replicas, 2, -1)


def divergence(scores: Scores, replicas: int, generator: np.random.Generator) -> tuple[float, float, Numbers]:
    """Jensen-Shannon divergence in nats, its error (NaN for no replicas), and the replicas (R,) of equal samples.

    log 2 minus the cross entropy of the calibrated output, each class weighing ½: on average a bound from below,
    negative where there is nothing to see. The output is calibrated by isotonic regression on one half of the
    rows and the entropy taken on the other, both ways. The variance is that between replicas of two samples of one
    distribution, where the calibration's fluctuations rule, plus that of the rows for a given calibration.
    """
    size = len(scores.real) + len(scores.fake)
    pooled = np.concatenate([scores.real, scores.fake])
    weights = np.concatenate([scores.real_weights / scores.real_weights.mean(),
                              scores.fake_weights / scores.fake_weights.mean()])
    edges = bin_edges(pooled, weights, max(2, min(CELLS, size // LEAST_ROWS)))
    real, fake = (Cells.of(np.searchsorted(edges, values), held, len(edges) + 1, generator) for values, held in
                  ((scores.real, scores.real_weights), (scores.fake, scores.fake_weights)))
    value = crossed(real.content.reshape(2, -1), fake.content.reshape(2, -1))
    if not replicas:
        return value, math.nan, np.empty(0)
    draws = (cells.draw(replicas, generator) for cells in (real.mixed(fake), fake.mixed(real)))
    null = np.array([crossed(*pair) for pair in zip(*draws, strict=True)])
    return value, math.sqrt(float(np.var(null)) + counted(real, fake)), null


def counted(real: Cells, fake: Cells) -> float:
    """Variance of the divergence from the rows in each cell, the calibration being given."""
    share = calibrated(real.both, fake.both)
    return sum(float(np.sum(np.tile((gain - np.average(gain, weights=cells.both)) ** 2, 2) * cells.variance))
               / (2 * cells.rows) ** 2
               for cells, gain in ((real, np.log(share)), (fake, np.log(1 - share))))


def crossed(real: Numbers, fake: Numbers) -> float:
    """Divergence of two halves of cells (2, K), each calibrated on the other."""
    return 0.5 * (gain(calibrated(real[0], fake[0]), real[1], fake[1]) +
                  gain(calibrated(real[1], fake[1]), real[0], fake[0]))


def gain(share: Numbers, real: Numbers, fake: Numbers) -> float:
    """Divergence of cells (K,) that are believed to hold this share of real rows."""
    return float(np.average(np.log(2 * share), weights=real) + np.average(np.log(2 * (1 - share)), weights=fake)) / 2


def calibrated(real: Numbers, fake: Numbers) -> Numbers:
    """Share of real rows (K,) that rises with the output: isotonic regression, half a row of each added to a block."""
    from scipy.optimize import isotonic_regression

    rows = (real.sum() + fake.sum()) / 2
    ours, theirs = real * rows / real.sum(), fake * rows / fake.sum()
    both = ours + theirs + 1e-9  # a replica may leave a cell empty
    found = isotonic_regression(ours / both, weights=both)
    held = np.repeat(found.weights, np.diff(found.blocks))
    return np.asarray((found.x * held + 0.5) / (held + 1))
