"""Distances of one column: functions of the shares of both samples in cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calque.judging.columns.cells import Shares

Numbers = NDArray[np.float64]

TAIL_SHARE = 0.001  # the outermost share that is compared
TAIL_EVENTS = 20.0  # effective events that have to lie in it
LARGEST_TAIL = 0.1  # what holds them must not be more


@dataclass(frozen=True)
class Distance:
    """A number of two samples: a function of `Shares` with values (...), and which way is bad.

    `signed` says whether negative weights make sense in it.
    """

    of: Callable[[Shares], Numbers]
    signed: bool = True
    worse: Literal["higher", "lower", "away"] = "higher"


def kolmogorov_smirnov(shares: Shares) -> Numbers:
    """Largest difference of the cumulative shares (Kolmogorov 1933, Smirnov 1939)."""
    return np.asarray(np.abs(shares.difference).max(axis=-1))


def wasserstein(shares: Shares) -> Numbers:
    """∫ |F − G| dx in the column's unit: how far the weight has to be moved on average (Vaserstein 1969)."""
    return np.asarray(np.abs(shares.difference[..., :-1]) @ np.diff(shares.position))


def chi2(shares: Shares) -> Numbers:
    """Σ (p − q)² / (σp² + σq²) / ndf over bins of equal weight of both together, ndf = bins − 1."""
    real, fake = shares.histograms()
    real_variance, fake_variance = shares.variances()
    variance = real_variance + fake_variance
    pulls = np.divide((real - fake) ** 2, variance, out=np.zeros_like(variance), where=variance > 0)
    return np.asarray(pulls.sum(axis=-1) / max(real.shape[-1] - 1, 1))


def kullback_leibler(shares: Shares) -> Numbers:
    """Σ p log(p / q), nats, same bins; an empty generated bin counts half an event (Kullback and Leibler 1951)."""
    real, fake = shares.histograms()
    half = 0.5 * np.mean(shares.fake @ shares.fake_scale)
    held = np.maximum(fake, half)
    return relative_entropy(real, held / held.sum(axis=-1, keepdims=True))


def jensen_shannon(shares: Shares) -> Numbers:
    """½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2, in nats; log 2 at most (Lin 1991)."""
    real, fake = shares.histograms()
    middle = (real + fake) / 2
    return (relative_entropy(real, middle) + relative_entropy(fake, middle)) / 2


def separation(shares: Shares) -> Numbers:
    """½ Σ (p − q)² / (p + q) over the same bins, 0 to 1 (as CaloChallenge has it, arXiv:2410.21611)."""
    real, fake = shares.histograms()
    both = real + fake
    parts = np.divide((real - fake) ** 2, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(parts.sum(axis=-1) / 2)


def tail_low(shares: Shares) -> Numbers:
    """Mean distance of the lowest rows from the real median, generated over real."""
    return outermost(shares, shares.position, shares.real, shares.fake)


def tail_high(shares: Shares) -> Numbers:
    """Mean distance of the highest rows from the real median, generated over real."""
    return outermost(shares, shares.position[::-1], shares.real[..., ::-1], shares.fake[..., ::-1])


def outermost(shares: Shares, position: Numbers, real: Numbers, fake: Numbers) -> Numbers:
    """Ratio of the mean quantiles beyond a share p: (∫ Q_fake − pM) / (∫ Q_real − pM) with the real median M.

    Cells come from the outside inwards. NaN where the real tail does not leave the median, and where so few events
    are effective that it would be no tail.
    """
    level = tail_share(shares)
    if level > LARGEST_TAIL:
        return np.full(real.shape[:-1], np.nan)
    middle = median(shares.position, shares.real)
    ours, theirs = (mean_within(position, sample, level) - middle for sample in (real, fake))
    return np.divide(theirs, ours, out=np.full_like(ours, np.nan), where=ours != 0)


def tail_share(shares: Shares) -> float:
    """Share of the outermost rows: 0.1 %, or what twenty effective events of the smaller sample are."""
    return max(TAIL_SHARE, TAIL_EVENTS * max(float(np.mean(sample @ scale)) for sample, scale in (
        (shares.real, shares.real_scale), (shares.fake, shares.fake_scale))))


def mean_within(position: Numbers, shares: Numbers, level: float) -> Numbers:
    """Mean position of the first cells that hold a share `level`."""
    before = np.cumsum(shares, axis=-1) - shares
    return np.asarray(np.clip(level - before, 0, shares) @ position / level)


def median(position: Numbers, shares: Numbers) -> Numbers:
    """Position of the first cell at which half of the weight is reached."""
    return np.asarray(position[np.argmax(np.cumsum(shares, axis=-1) >= 0.5 - 1e-12, axis=-1)])


def relative_entropy(first: Numbers, second: Numbers) -> Numbers:
    """Σ p log(p / q), zero where p is."""
    ratio = np.divide(first, second, out=np.ones_like(first), where=(first > 0) & (second > 0))
    return np.asarray(np.sum(first * np.log(ratio), axis=-1))


DISTANCES = {
    "ks": Distance(kolmogorov_smirnov),
    "wasserstein": Distance(wasserstein),
    "chi2": Distance(chi2),
    "kl": Distance(kullback_leibler, signed=False),
    "js": Distance(jensen_shannon, signed=False),
    "separation": Distance(separation, signed=False),
    "tail_low": Distance(tail_low, signed=False, worse="away"),
    "tail_high": Distance(tail_high, signed=False, worse="away"),
}
