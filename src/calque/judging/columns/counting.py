"""Exact tests of counts: how many generated events lie where few real ones or none do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.columns.cells import Column

Numbers = NDArray[np.float64]

LARGEST_PULL = 37.0  # standard deviations beyond which a probability underflows


@dataclass(frozen=True)
class Count:
    """Part of a sample: its share of the weight, the effective events in it, and those of a whole sample like it."""

    share: float
    events: float
    whole: float

    @classmethod
    def of(cls, column: Column, inside: NDArray[np.bool_]) -> Count:
        """Count the rows (N,) that are marked; their weights must not be negative."""
        held, total = column.weights[inside], column.weights.sum()
        share = float(held.sum() / total)
        if not held.any():
            return cls(0.0, 0.0, column.effective)
        events = float(held.sum() ** 2 / np.square(held).sum())
        return cls(share, events, events / share)

    @property
    def error(self) -> float:
        """Standard deviation of the share; that of one event where there is none."""
        events = max(self.events, 1.0)
        return math.sqrt(events) / self.whole


def too_many(fake: Count, real: Count, edges: int = 1) -> float:
    """Probability of so many generated events or more beyond an edge that the real events put there.

    Beyond the k-th outermost real event lie f generated ones or more if of the first k + f − 1 events of both samples
    f at least are generated. Beyond `edges` outermost events (both extremes: 2) the count is the same with k = edges.
    """
    from scipy.special import betainc

    if fake.events <= 0:
        return 1.0
    return float(betainc(fake.events, max(real.events, edges), generated_part(fake, real)))


def too_few(fake: Count, real: Count) -> float:
    """Probability of so few generated events or fewer beyond the k-th outermost real event."""
    from scipy.special import betainc

    if real.events <= 0:
        return 1.0
    return float(betainc(real.events, fake.events + 1, 1 - generated_part(fake, real)))


def generated_part(fake: Count, real: Count) -> float:
    """Share of generated events in both samples together."""
    return fake.whole / (fake.whole + real.whole)


def as_pull(probability: float) -> float:
    """Standard deviations of a normal distribution that are as rare, on one side; none for what is common.

    >>> round(as_pull(0.0013499), 2), as_pull(0.7), as_pull(0.0)
    (3.0, 0.0, 37.0)
    """
    from scipy.special import ndtri

    if probability >= 0.5:
        return 0.0
    return float(min(-ndtri(max(probability, 1e-300)), LARGEST_PULL)) if probability > 0 else LARGEST_PULL
