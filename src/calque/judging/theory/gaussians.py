"""Two Gaussians: every distance that has a closed form, and the best classifier between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calque.errors import DataError

Numbers = NDArray[np.float64]
PHI = NormalDist().cdf


@dataclass(frozen=True)
class Gaussian:
    """Mean (D,) and covariance (D, D)."""

    mean: Numbers
    covariance: Numbers

    @classmethod
    def of(cls, mean: ArrayLike, covariance: ArrayLike) -> Gaussian:
        """Gaussian in D dimensions; plain numbers make one in one. Raises DataError where the shapes differ."""
        centre = np.atleast_1d(np.asarray(mean, dtype=np.float64))
        spread = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
        if spread.shape != (len(centre), len(centre)) or np.linalg.eigvalsh(spread)[0] <= 0:
            raise DataError(f"a mean of {len(centre)} numbers needs a positive covariance of that size squared")
        return cls(centre, spread)

    @property
    def single(self) -> NormalDist:
        """The same in one dimension; raises DataError in more."""
        if len(self.mean) != 1:
            raise DataError(f"this holds in one dimension only; the Gaussian has {len(self.mean)}")
        return NormalDist(float(self.mean[0]), math.sqrt(self.covariance[0, 0]))


def kl(a: Gaussian, b: Gaussian) -> float:
    """Kullback-Leibler divergence KL(a‖b) in nats, in any dimension.

    ½ [tr(B⁻¹A) + δᵀB⁻¹δ − D + log(det B/det A)], with δ the distance of the means.

    >>> kl(Gaussian.of(0, 1), Gaussian.of(2, 1))
    2.0
    """
    apart = b.mean - a.mean
    inner = np.trace(np.linalg.solve(b.covariance, a.covariance)) + apart @ np.linalg.solve(b.covariance, apart)
    volumes = np.linalg.slogdet(b.covariance)[1] - np.linalg.slogdet(a.covariance)[1]
    return float(inner - len(apart) + volumes) / 2


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Fréchet distance W2² = |δ|² + tr A + tr B − 2 tr (A^½ B A^½)^½ (Dowson and Landau, 1982).

    >>> round(frechet(Gaussian.of([0, 0], [[1, 0], [0, 4]]), Gaussian.of([3, 4], [[4, 0], [0, 1]])), 9)
    27.0
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b.covariance @ root), 0)).sum()
    apart = a.mean - b.mean
    return float(apart @ apart + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared)


def wasserstein2(a: Gaussian, b: Gaussian) -> float:
    """Wasserstein-2 distance: the root of the Fréchet distance."""
    return math.sqrt(max(frechet(a, b), 0.0))


def mean_size(mean: float, width: float) -> float:
    """Mean of |x| for x from N(mean, width²).

    >>> mean_size(-2.0, 0.0), round(mean_size(0.0, 1.0), 4)
    (2.0, 0.7979)
    """
    if width == 0:
        return abs(mean)
    ratio = mean / width
    return width * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + mean * (2 * PHI(ratio) - 1)


def wasserstein1(a: Gaussian, b: Gaussian) -> float:
    """Wasserstein-1 distance in one dimension: E |δ + (σ_b − σ_a) z|; |δ| for equal widths.

    Rows are moved in order, so the row z standard deviations above one mean goes to z above the other.

    >>> wasserstein1(Gaussian.of(0, 1), Gaussian.of(0.5, 1))
    0.5
    """
    first, second = a.single, b.single
    return mean_size(second.mean - first.mean, abs(second.stdev - first.stdev))


def energy(a: Gaussian, b: Gaussian) -> float:
    """Energy distance 2 E|x − y| − E|x − x'| − E|y − y'| in one dimension (Székely and Rizzo, 2013).

    >>> round(energy(Gaussian.of(0, 1), Gaussian.of(1, 1)), 4)
    0.5418
    """
    first, second = a.single, b.single
    across = 2 * mean_size(second.mean - first.mean, math.hypot(first.stdev, second.stdev))
    return across - 2 * (first.stdev + second.stdev) / math.sqrt(math.pi)


def js(a: Gaussian, b: Gaussian) -> float:
    """Jensen-Shannon divergence (with ½) in nats, in one dimension, by quadrature: there is no closed form.

    >>> js(Gaussian.of(0, 1), Gaussian.of(0, 1)), round(js(Gaussian.of(0, 1), Gaussian.of(50, 1)) / math.log(2), 9)
    (0.0, 1.0)
    """
    from scipy.integrate import quad
    from scipy.special import rel_entr

    first, second = a.single, b.single

    def density(x: float) -> float:
        p, q = first.pdf(x), second.pdf(x)
        middle = (p + q) / 2
        return float(rel_entr(p, middle) + rel_entr(q, middle)) / 2

    stops = sorted({one.mean + n * one.stdev for one in (first, second) for n in (-12, -4, 0, 4, 12)})
    return math.fsum(quad(density, low, high)[0] for low, high in pairwise(stops))


def mahalanobis(a: Gaussian, b: Gaussian) -> float:
    """Distance Δ of the means in units of the mean of both covariances.

    >>> round(mahalanobis(Gaussian.of([0, 0], [[4, 0], [0, 1]]), Gaussian.of([2, 0], [[4, 0], [0, 1]])), 12)
    1.0
    """
    apart = a.mean - b.mean
    return math.sqrt(apart @ np.linalg.solve((a.covariance + b.covariance) / 2, apart))


def auc(a: Gaussian, b: Gaussian) -> float:
    """AUC of the best linear classifier, Φ(Δ/√2); for equal covariances no classifier does better.

    There the likelihood ratio is linear, and its logarithm is N(±Δ²/2, Δ²): a pair is put in order with
    probability Φ(Δ²/√(2Δ²)).

    >>> auc(Gaussian.of(0, 1), Gaussian.of(0, 1)), round(auc(Gaussian.of(0, 1), Gaussian.of(1, 1)), 4)
    (0.5, 0.7602)
    """
    return PHI(mahalanobis(a, b) / math.sqrt(2))


def auc_of_widths(first: float, second: float) -> float:
    """AUC of the best classifier between Gaussians of one mean in one dimension: 2/π arctan of the larger ratio.

    The likelihood ratio orders by the distance from the mean, whatever the widths.

    >>> auc_of_widths(1.0, 1.0), round(auc_of_widths(1.0, math.sqrt(3)), 12)
    (0.5, 0.666666666667)
    """
    return 2 / math.pi * math.atan2(max(first, second), min(first, second))


def overlap(a: Gaussian, b: Gaussian) -> float:
    """Shared area ∫ min(p, q) = 2 Φ(−Δ/2) of Gaussians of equal covariance; 1 − it is the total variation.

    >>> round(overlap(Gaussian.of(0, 1), Gaussian.of(2, 1)), 4)
    0.3173

    Raises DataError for covariances that differ.
    """
    if not np.allclose(a.covariance, b.covariance):
        raise DataError("the overlap has a closed form for equal covariances only")
    return 2 * PHI(-mahalanobis(a, b) / 2)
