"""Errors and floors by resampling, right at the null and away from it, for any measure."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calque.judging.measure import Estimate

Numbers = NDArray[np.float64]

REPLICAS = 200


def resampled(
    measure: str,
    of: str,
    value: float,
    null: Numbers,
    bootstrap: Numbers,
    null_bootstrap: Numbers,
    how: str = "",
    worse: Literal["higher", "lower", "away"] = "higher",
    **details: Any,
) -> Estimate:
    """Put a value and its replicas together.

    `null` (R,) holds the measure of two samples that are both real, of the sizes at hand: the floor is their mean.
    `bootstrap` (B,) holds the measure after resampling the rows of both samples, `null_bootstrap` (B,) or
    (pairs, B) the same for one or several pairs of real samples. Where samples agree, the bootstrap of a distance
    is too wide by a factor that depends on the distance (it is inconsistent there), and the null is exact; far away
    the null knows nothing, and the bootstrap is right. So the variance is the null's and, from three to four of its
    standard deviations on, what the bootstrap has beyond its own null's.
    """
    scatter = float(np.std(null))
    beyond = float(np.var(bootstrap)) - float(np.mean(np.var(null_bootstrap, axis=-1)))
    spread = math.sqrt(scatter**2 + share_beyond(value, null) * max(beyond, 0.0))
    return Estimate(
        measure, of, value, spread, float(np.mean(null)), scatter / math.sqrt(len(null)), worse=worse,
        how=how or "error: null of real rows, and bootstrap beyond it; floor: mean of the null",
        details={"null_above": float(np.mean(null >= value)), "replicas": len(null), **details}, null_error=scatter,
        null_skew=skewness(null),
    )


def skewness(null: Numbers) -> float:
    """Third moment of replicas (R,) over the cube of their standard deviation; 0 for equal ones."""
    scatter = float(np.std(null))
    return float(np.mean(((null - np.mean(null)) / scatter) ** 3)) if scatter > 0 else 0.0


def share_beyond(value: float, null: Numbers) -> float:
    """How far a value has left the null (R,): 0 up to three of its standard deviations, 1 from four on."""
    scatter = float(np.std(null))
    return min(max(abs(value - float(np.mean(null))) / scatter - 3, 0.0), 1.0) if scatter > 0 else 1.0


def blended(value: float, null: Numbers, far: float) -> float:
    """Error of a value: the spread of the null (R,) where samples agree, `far` where they do not."""
    share = share_beyond(value, null)
    return math.sqrt((1 - share) * float(np.var(null)) + share * far**2)


def resample(content: Numbers, variance: Numbers, replicas: int, generator: np.random.Generator) -> Numbers:
    """Draw the contents (R, K) of cells anew, with the means and variances (K,) of weighted sums of rows.

    A scaled Poisson number has both moments and stays positive; cells whose content is not positive (negative
    weights) take a Gaussian.
    """
    scale = np.where(content > 0, variance / np.where(content > 0, content, 1), 0.0)
    counts = np.divide(content, scale, out=np.zeros_like(content), where=scale > 0)
    drawn = scale * generator.poisson(counts, (replicas, len(content)))
    odd = (content <= 0) & (variance > 0)
    if odd.any():
        drawn[:, odd] = generator.normal(content[odd], np.sqrt(variance[odd]), (replicas, int(odd.sum())))
    return np.asarray(drawn)
