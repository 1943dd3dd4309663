"""What a classifier's output says of two samples: weighted AUC, overlap and χ², with their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.resampling import resample

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Classifier output in [0, 1] (1: looks real) of rows it was not trained on, with their weights."""

    real: Numbers
    fake: Numbers
    real_weights: Numbers
    fake_weights: Numbers

    def rows(self, real: NDArray[np.intp], fake: NDArray[np.intp]) -> Scores:
        """Keep rows by index."""
        return Scores(self.real[real], self.fake[fake], self.real_weights[real], self.fake_weights[fake])

    def auc(self) -> float:
        """Probability that a real row scores above a generated one, ties counting half; exact."""
        above, _ = placements(self)
        return float(np.average(above, weights=self.real_weights))

    def auc_error(self) -> float:
        """Standard error from the weighted spread of placements (DeLong et al., Biometrics 44 (1988) 837)."""
        above, below = placements(self)
        auc = np.average(above, weights=self.real_weights)
        return float(np.sqrt(squared_error(above - auc, self.real_weights) +
                             squared_error(below - auc, self.fake_weights)))

    def histograms(self, bins: int) -> Histograms:
        """Histogram both samples in equal bins of [0, 1], each normalised to one."""
        edges = np.linspace(0, 1, bins + 1)
        real, real_variance = histogram(self.real, self.real_weights, edges)
        fake, fake_variance = histogram(self.fake, self.fake_weights, edges)
        return Histograms(edges, real, fake, real_variance, fake_variance)

    def overlap(self, bins: int) -> float:
        """Shared area of both normalised histograms: Σ min(p, q); 1 is the same."""
        return self.histograms(bins).overlap()

    def chi2(self, bins: int) -> tuple[float, int]:
        """Give the reduced χ² of both histograms and its degrees of freedom."""
        return self.histograms(bins).chi2()


@dataclass(frozen=True)
class Histograms:
    """Two histograms normalised to one over common bins, with the variance of each content (Σw²/(Σw)²)."""

    edges: Numbers
    real: Numbers
    fake: Numbers
    real_variance: Numbers
    fake_variance: Numbers

    def overlap(self) -> float:
        """Σ min(p, q)."""
        return float(np.minimum(self.real, self.fake).sum())

    def chi2(self, least: float = 10.0) -> tuple[float, int]:
        """Σ (p − q)² / (σp² + σq²) / ndf, and ndf = bins − 1.

        Neighbouring bins are merged until each holds about `least` events of equal weight: a Gaussian
        error means nothing below.
        """
        starts = merge(self.real + self.fake, self.real_variance + self.fake_variance, least)
        if len(starts) < 2:
            return 0.0, 0
        difference = np.add.reduceat(self.real - self.fake, starts)
        variance = np.add.reduceat(self.real_variance + self.fake_variance, starts)
        ndf = len(starts) - 1
        return float(np.sum(difference**2 / variance) / ndf), ndf

    def bootstrap(self, replicas: int, generator: np.random.Generator) -> Numbers:
        """Overlap (R,) of replicas in which each sample is drawn from itself."""
        drawn = [normalised(resample(share, variance, replicas, generator)) for share, variance in
                 ((self.real, self.real_variance), (self.fake, self.fake_variance))]
        return np.asarray(np.minimum(*drawn).sum(axis=1))

    def null(self, replicas: int, generator: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Reduced χ² (R,) and overlap (R,) of replicas in which both samples are drawn from their mean."""
        mean = (self.real + self.fake) / 2
        kappas = self.real_variance.sum(), self.fake_variance.sum()  # variance over share
        drawn = [normalised(resample(mean, kappa * mean, replicas, generator)) for kappa in kappas]
        found = [Histograms(self.edges, real, fake, kappas[0] * real, kappas[1] * fake)
                 for real, fake in zip(*drawn, strict=True)]
        return np.array([one.chi2()[0] for one in found]), np.array([one.overlap() for one in found])


def placements(scores: Scores) -> tuple[Numbers, Numbers]:
    """Share of generated rows below each real row, share of real rows above each generated one; ties half."""
    return (share_below(scores.real, scores.fake, scores.fake_weights),
            1 - share_below(scores.fake, scores.real, scores.real_weights))


def share_below(points: Numbers, values: Numbers, weights: Numbers) -> Numbers:
    """Weighted share of values below each point, ties counting half."""
    order = np.argsort(values)
    cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
    ordered = values[order]
    lower = cumulative[np.searchsorted(ordered, points, "left")]
    upper = cumulative[np.searchsorted(ordered, points, "right")]
    return np.asarray((lower + upper) / (2 * cumulative[-1]))


def squared_error(deviations: Numbers, weights: Numbers) -> float:
    """Variance of a weighted mean whose rows deviate by so much from it."""
    return float(np.sum((weights * deviations) ** 2) / weights.sum() ** 2)


def normalised(shares: Numbers) -> Numbers:
    """Make each row sum to one; a row of zeros, as a replica of very few events may be, stays."""
    total = shares.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.zeros_like(shares), where=total > 0))


def histogram(values: Numbers, weights: Numbers, edges: Numbers) -> tuple[Numbers, Numbers]:
    """Contents normalised to one, and their variances."""
    total = weights.sum()
    content = np.histogram(values, edges, weights=weights)[0] / total
    variance = np.histogram(values, edges, weights=weights**2)[0] / total**2
    return content, variance


def merge(content: Numbers, variance: Numbers, least: float) -> NDArray[np.intp]:
    """First bins of groups of neighbours that hold at least `least` effective events each."""
    starts, start = [], 0
    for stop in range(1, len(content) + 1):
        held, spread = content[start:stop].sum(), variance[start:stop].sum()
        if spread > 0 and held**2 / spread >= least:
            starts.append(start)
            start = stop
    return np.array(starts, dtype=np.intp)  # what is left over joins the last group


def chi2_error(chi2: float, ndf: int) -> float:
    """Standard deviation of a reduced χ² of this size: √(2 ndf + 4 λ)/ndf with λ = χ² − ndf where positive.

    A bootstrap would add one to the reduced χ² itself, so the noncentral χ² distribution is used.
    """
    if ndf == 0:
        return 0.0
    return float(np.sqrt(2 * ndf + 4 * ndf * max(chi2 - 1, 0.0)) / ndf)
