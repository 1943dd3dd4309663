"""The contract of a measure: two tables in, numbers with an error and a floor out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from calque.table import Table

SMALL = 1e-3  # numbers below are written with a power of ten
SYMMETRIC = 0.3  # skewness below is not known from some hundred replicas


@dataclass(frozen=True)
class Estimate:
    """One number of a comparison, how well it is known, and what two real samples would give.

    `measure` is what was measured, `of` the column or view in which. `error` and `floor_error` are one standard
    deviation; a floor or an error that was not estimated is NaN. `error` says how well the value is known,
    `null_error` and `null_skew`, where they are known, how the measure scatters where both samples agree;
    `significance` is the distance from the floor in standard deviations where an exact test gives it. `how` says
    in words where value, error and floor come from, `worse` which way is bad ("away": both, from the floor);
    `details` holds plain numbers and strings.

    >>> estimate = Estimate("auc", "raw", 0.75, 0.03, 0.5, 0.04, how="bootstrap")
    >>> estimate.name, estimate.excess
    ('auc_raw', 5.0)
    """

    measure: str
    of: str
    value: float
    error: float = math.nan
    floor: float = math.nan
    floor_error: float = math.nan
    how: str = ""
    worse: Literal["higher", "lower", "away"] = "higher"
    details: Mapping[str, Any] = field(default_factory=dict)
    null_error: float = math.nan
    null_skew: float = 0.0
    significance: float = math.nan

    @property
    def name(self) -> str:
        """Unique within a report: the measure, and what it was measured of."""
        return f"{self.measure}_{self.of}"

    @property
    def excess(self) -> float:
        """How much worse than the floor, in standard deviations of equal samples; NaN where either is unknown.

        Where equal samples scatter more to the bad side, as those of a squared distance do, it is the number of
        standard deviations that are as rare in a normal distribution.
        """
        if not math.isnan(self.significance):
            return self.significance
        spread = math.hypot(self.error if math.isnan(self.null_error) else self.null_error, self.floor_error)
        distance = self.value - self.floor
        worse = {"higher": distance, "lower": -distance, "away": abs(distance)}[self.worse]
        skew = self.null_skew * math.copysign(1, distance)
        return normal_pull(worse / spread, skew) if spread > 0 else math.nan

    @property
    def text(self) -> str:
        """The value with its error; a lower limit as such."""
        limit = "≥ " if self.details.get("lower_limit") else ""
        return limit + plus_minus(self.value, self.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for strict JSON: unknown numbers are None."""
        known: dict[str, Any] = finite({"name": self.name, **asdict(self)})
        return known

    def __str__(self) -> str:
        return f"{self.name} = {self.text} (floor {plus_minus(self.floor, self.floor_error)})"


class Measure(Protocol):
    """Compare generated rows with real ones.

    One pass may give several numbers (a classifier: AUC, χ² and overlap), so a measure returns a tuple.
    `reference` are more real rows, usually those of the training: the floor compares them with `real`, at
    the same sizes; without them a measure halves `real`. Raises DataError where the tables cannot be compared.
    """

    @property
    def name(self) -> str:
        """Name of the measure, unique within a report."""

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Measure; the same seed gives the same numbers."""


def normal_pull(pull: float, skew: float) -> float:
    """Standard deviations of a normal distribution as rare as `pull` of them in one with a tail of this skewness.

    The tail is a gamma distribution's, with 4/skew² degrees of shape, made normal by its cube root (Wilson and
    Hilferty 1931).

    >>> round(normal_pull(5.0, 2.0), 1)  # exponential: exp(-6) is as rare as 2.8
    2.8
    """
    if pull <= 0 or skew < SYMMETRIC:
        return pull
    shape = 4 / skew**2
    alike: float = 3 * math.sqrt(shape) * ((1 + pull / math.sqrt(shape)) ** (1 / 3) - 1 + 1 / (9 * shape))
    return min(pull, alike)


def finite(value: Any) -> Any:
    """Replace what JSON does not know (NaN, infinities) by None, at any depth.

    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def plus_minus(value: float, error: float) -> str:
    """Write a number and its error to the error's second digit; small ones with a power of ten.

    >>> plus_minus(0.51234, 0.0031), plus_minus(0.5, float("nan")), plus_minus(float("nan"), 1.0)
    ('0.5123 ± 0.0031', '0.5000', '-')
    >>> plus_minus(-4.2e-6, 5.71e-6), plus_minus(17876.4, 3390.0), plus_minus(2.1e-7, math.nan)
    ('(-4.2 ± 5.7)e-06', '17876 ± 3390', '2.1e-07')
    """
    if not math.isfinite(value):
        return "-"
    known = math.isfinite(error) and error > 0
    largest = max(abs(value), error if known else 0.0)
    if 0 < largest < SMALL:
        power = math.floor(math.log10(largest))
        return (f"({plus_minus(value / 10.0**power, error / 10.0**power)})e{power:03d}" if known
                else f"{value:.3g}")
    if not known:
        return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.0f}"
    digits = min(max(1 - math.floor(math.log10(error)), 0), 12)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
