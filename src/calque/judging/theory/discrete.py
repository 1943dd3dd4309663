"""Distributions over a few values: divergences, and the game between generator and discriminator."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calque.errors import DataError

Numbers = NDArray[np.float64]


def normalised(contents: ArrayLike) -> Numbers:
    """Probabilities (K,) from contents (K,), e.g. shovelfuls; raises DataError for negative or empty ones.

    >>> normalised([3, 2, 1, 4]).tolist()
    [0.3, 0.2, 0.1, 0.4]
    """
    values = np.asarray(contents, dtype=np.float64)
    if values.ndim != 1 or not (values >= 0).all() or not 0 < values.sum() < math.inf:
        raise DataError(f"{values.tolist()} is no distribution: give one row of contents, none negative, not all zero")
    return np.asarray(values / values.sum())


def pair(a: ArrayLike, b: ArrayLike) -> tuple[Numbers, Numbers]:
    """Two distributions over the same values; raises DataError where their lengths differ."""
    first, second = normalised(a), normalised(b)
    if first.shape != second.shape:
        raise DataError(f"{len(first)} and {len(second)} contents: both distributions need the same values")
    return first, second


def kl(a: ArrayLike, b: ArrayLike) -> float:
    """Kullback-Leibler divergence Σ a log(a/b) in nats; infinite where b misses what a has.

    >>> round(kl([1, 1], [1, 3]), 4), round(kl([1, 3], [1, 1]), 4), kl([1, 1], [1, 0])
    (0.1438, 0.1308, inf)
    """
    from scipy.special import rel_entr

    return float(rel_entr(*pair(a, b)).sum())


def js(a: ArrayLike, b: ArrayLike) -> float:
    """Jensen-Shannon divergence ½ KL(a‖m) + ½ KL(b‖m), m = (a + b)/2, in nats: 0 to log 2 (Lin, 1991).

    Some lectures leave out the ½: theirs reaches 2 log 2.

    >>> js([1, 1], [1, 1]), js([1, 0], [0, 1]) == math.log(2)
    (0.0, True)
    """
    first, second = pair(a, b)
    middle = (first + second) / 2
    return 0.5 * (kl(first, middle) + kl(second, middle))


def total_variation(a: ArrayLike, b: ArrayLike) -> float:
    """Half of Σ |a − b|: 0 is the same, 1 is disjoint; 1 − it is the overlap.

    >>> round(total_variation([3, 2, 1, 4], [1, 2, 4, 3]), 12)
    0.3
    """
    first, second = pair(a, b)
    return float(np.abs(first - second).sum() / 2)


def optimal_discriminator(real: ArrayLike, fake: ArrayLike) -> Numbers:
    """D* = a/(a + b), the best answer to "is it real?" for each value; ½ where nothing ever falls.

    >>> optimal_discriminator([1, 1, 0], [3, 1, 0]).tolist()
    [0.4, 0.6666666666666666, 0.5]

    Source: Goodfellow et al., 2014, arXiv:1406.2661, proposition 1.
    """
    a, b = pair(real, fake)
    both = a + b
    return np.divide(a, both, out=np.full_like(a, 0.5), where=both > 0)


def game_value(discriminator: ArrayLike, real: ArrayLike, fake: ArrayLike) -> float:
    """V(D) = Σ a log D + Σ b log(1 − D), which D maximises and the generator minimises.

    A discriminator that only guesses has −2 log 2, and so has the best one once the copy is perfect:

    >>> a = [3, 2, 1, 4]
    >>> game_value(optimal_discriminator(a, a), a, a) == -2 * math.log(2)
    True
    """
    from scipy.special import xlogy

    a, b = pair(real, fake)
    answer = np.asarray(discriminator, dtype=np.float64)
    return float((xlogy(a, answer) + xlogy(b, 1 - answer)).sum())


def js_from_game(value: float) -> float:
    """JS = ½ (log 4 + V(D*)): what the loss of an ideal training says.

    >>> a, b = [3, 2, 1, 4], [1, 2, 4, 3]
    >>> round(js_from_game(game_value(optimal_discriminator(a, b), a, b)) - js(a, b), 12)
    0.0
    """
    return 0.5 * (math.log(4) + value)
