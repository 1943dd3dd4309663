"""Which values of a measure are good: the smallest, the largest, or those nearest to an ideal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["smaller", "larger", "nearest"]


@dataclass(frozen=True)
class Goal:
    """What a number is to become in a training.

    `direction` says whether "smaller" or "larger" numbers are better, or those "nearest" to the `ideal`. A smaller
    number is no better below the ideal, nor a larger one above it: equal samples give it by chance.

    >>> Goal.of("auc").goodness(0.4) == Goal.of("auc").goodness(0.6)
    True
    >>> Goal.of("overlap").goodness(0.9) > Goal.of("overlap").goodness(0.8)
    True
    """

    direction: Direction
    ideal: float

    @classmethod
    def of(cls, number: str) -> Goal:
        """The goal of a number by its name; most are distances, of which the smaller is the better."""
        return GOALS.get(number, cls("smaller", -math.inf))

    def goodness(self, value: float, slack: float = 0.0) -> float:
        """What is larger for the better of two values.

        Parameters
        ----------
        value : float
            Of the measure.
        slack : float
            How far from the ideal equal samples may be by chance: all values within are equally good.

        Returns
        -------
        float
            At most the goodness of equal samples.
        """
        if self.direction == "nearest":
            return -max(abs(value - self.ideal), slack)
        if self.direction == "larger":
            return min(value, self.ideal - slack)
        return -max(value, self.ideal + slack)

    def worst(self, values: Sequence[float]) -> float:
        """The worst of several columns' numbers; a number that is none is the worst there can be."""
        for value in values:
            if not math.isfinite(value):
                return value
        return min(values, key=self.goodness)


def chance_of(number: str, rows: int) -> float:
    """Standard deviation of a number around its ideal, for equal samples with `rows` of each tested.

    That of an AUC is Mann and Whitney's, that of the copying fraction a binomial's; it is 0 for other numbers.

    >>> round(chance_of("auc", 100), 3), round(chance_of("copying", 100), 3), chance_of("ks", 100)
    (0.041, 0.05, 0.0)
    """
    if number in ("auc", "auc_network", "auc_in_bins"):
        return math.sqrt((2 * rows + 1) / (12 * rows**2))
    return 0.5 / math.sqrt(rows) if number == "copying" else 0.0


GOALS: dict[str, Goal] = {
    "auc": Goal("nearest", 0.5),
    "auc_network": Goal("nearest", 0.5),
    "auc_in_bins": Goal("nearest", 0.5),
    "copying": Goal("nearest", 0.5),
    "region": Goal("nearest", 1.0),
    "tail_low": Goal("nearest", 1.0),
    "tail_high": Goal("nearest", 1.0),
    "granularity": Goal("nearest", 0.0),
    "beyond_low": Goal("nearest", 1.0),
    "beyond_high": Goal("nearest", 1.0),
    "density": Goal("nearest", 1.0),
    "sparsity": Goal("nearest", 1.0),
    "chi2": Goal("smaller", 1.0),
    "column_chi2": Goal("smaller", 1.0),
    "ranks": Goal("smaller", 1.0),
    "overlap": Goal("larger", 1.0),
    "precision": Goal("larger", 1.0),
    "recall": Goal("larger", 1.0),
    "coverage": Goal("larger", 1.0),
    "worth": Goal("larger", math.inf),
    "log_prob": Goal("larger", math.inf),
}
