"""The corner in which a classifier is most certain, named by columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.classifier import Classifier, Trial
from calque.judging.classifying.scores import squared_error
from calque.judging.classifying.trees import stacked
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample, effective, flat_names
from calque.seeds import derive, numpy_stream
from calque.table import Table

Numbers = NDArray[np.float64]

DEPTH, LEAVES = 5, 16
LEAST_ROWS = 30  # effective real rows in a corner: a ratio to fewer means little
MOST_DIGITS = 8
LARGEST = 3e38
TOLERANCE = 0.02  # share of a corner's rows that rounding its bounds may move


@dataclass(frozen=True)
class Box:
    """Rows between bounds (D,): above `low`, up to `high`; infinite where there is none."""

    low: Numbers
    high: Numbers

    def holds(self, values: Numbers) -> NDArray[np.bool_]:
        """Which rows (N, D) lie inside."""
        return np.asarray(((values > self.low) & (values <= self.high)).all(axis=1))

    def rounded(self, digits: int) -> Box:
        """Bounds of so many significant digits."""
        return Box(*(np.array([float(f"{bound:.{digits}g}") for bound in bounds]) for bounds in (self.low, self.high)))

    def readable(self, values: Numbers) -> Box:
        """Fewest digits, two at least, that leave the rows inside nearly the same."""
        inside = self.holds(values)
        for digits in range(2, MOST_DIGITS):
            box = self.rounded(digits)
            if np.sum(box.holds(values) != inside) <= TOLERANCE * inside.sum():
                return box
        return self

    def describe(self, names: Sequence[str], units: Mapping[str, str]) -> str:
        """Write the bounds.

        >>> Box(np.array([120.0, 0.1]), np.array([np.inf, 0.3])).describe(["pz", "pT"], {"pz": "GeV", "pT": "GeV"})
        'pz > 120 GeV and 0.1 < pT ≤ 0.3 GeV'
        """
        return " and ".join(part for name, low, high in zip(names, self.low, self.high, strict=True)
                            for part in bounds(name, low, high, units.get(name, ""))) or "everywhere"


@dataclass(frozen=True)
class Region:
    """Generated over real events in the corner where both differ most, as far as the classifier's score tells.

    A shallow tree learns the score from one half of the held-out rows; the box among its nodes whose shares differ
    most significantly there is quoted with its shares in the other half, which had no say in it. 1 is the same;
    negative weights raise DataError, as does a half without any weight.
    """

    classifier: Classifier = field(default_factory=Classifier)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"region_{self.classifier.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the ratio; the floor is 1 exactly, so `reference` plays no part."""
        trial = self.classifier.trials(real, fake, seed)[0]
        return (self.estimate(trial, flat_names(self.classifier.view(real.rows(slice(0, 1)))), seed),)

    def estimate(self, trial: Trial, units: Mapping[str, str], seed: int = 0) -> Estimate:
        """Find the corner in one half of scored rows, and quote the other."""
        found, quoted = halves(trial, seed)
        box = most_different(found, seed).readable(np.concatenate([found.real.values, found.fake.values]))
        ours, theirs = Share.of(quoted.real, box), Share.of(quoted.fake, box)
        ratio = theirs.value / ours.value
        error = ratio * math.hypot(ours.error / ours.value, theirs.error / theirs.value)
        alike = chance(ours, theirs) / ours.value  # spread of the ratio, were both samples the same
        return Estimate(
            "region", self.classifier.view.name, ratio, error, 1.0, 0.0, worse="away", null_error=alike,
            how="error: binomial, rows that did not choose the corner; floor: 1",
            details={
                "where": box.describe(list(units), units), "view": self.classifier.view.name,
                "kind": self.classifier.kind,
                "share_real": ours.value, "share_real_error": ours.error, "share_fake": theirs.value,
                "share_fake_error": theirs.error, "significance": (theirs.value - ours.value) / chance(ours, theirs),
                "test_rows": len(quoted.real),
            },
        )


@dataclass(frozen=True)
class Share:
    """Share of a sample's weight in a corner, its error, and the sample's effective rows; half a row is added."""

    value: float
    error: float
    rows: float

    @classmethod
    def of(cls, sample: Sample, box: Box) -> Share:
        """Weigh the rows inside."""
        inside = box.holds(sample.values).astype(np.float64)
        value, rows = float(np.average(inside, weights=sample.weights)), effective(sample.weights)
        error = math.sqrt(squared_error(inside - value, sample.weights) + 0.5 / rows**2)
        return cls(value + 0.5 / rows, error, rows)


def chance(ours: Share, theirs: Share) -> float:
    """Spread of the difference of two shares, were both samples of one distribution."""
    together = (ours.value * ours.rows + theirs.value * theirs.rows) / (ours.rows + theirs.rows)
    return math.sqrt(together * max(1 - together, 0.5 / ours.rows) * (1 / ours.rows + 1 / theirs.rows))


def halves(trial: Trial, seed: int) -> tuple[Trial, Trial]:
    """Split scored rows in two at random."""
    real, fake = (numpy_stream(seed, "judging/region", which).permutation(len(sample))
                  for which, sample in enumerate((trial.real, trial.fake)))
    cut = len(real) // 2, len(fake) // 2
    parts = trial.rows(real[: cut[0]], fake[: cut[1]]), trial.rows(real[cut[0]:], fake[cut[1]:])
    if not all(sample.weights.any() for part in parts for sample in (part.real, part.fake)):
        raise NotMeasurableError("a quarter of the rows has no weight at all, so no region can be sought in one part "
                                 "and measured in another; drop rows without weight, or give more rows")
    return parts


def most_different(trial: Trial, seed: int) -> Box:
    """Learn the score by a shallow tree, and give the box of the node whose shares differ most for their errors."""
    from sklearn.tree import DecisionTreeRegressor

    values, _, weights = stacked(trial.real, trial.fake)
    model = DecisionTreeRegressor(max_depth=DEPTH, max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_ROWS,
                                  random_state=derive(seed, "judging/region") % 2**32)
    scores = np.concatenate([trial.scores.real, trial.scores.fake])
    with np.errstate(over="ignore", invalid="ignore"):  # scikit-learn sums rows up to see whether one is not finite
        model.fit(within(values), scores, sample_weight=weights)
        ours, theirs = (weighed(model, sample) for sample in (trial.real, trial.fake))
    sizes = effective(trial.real.weights), effective(trial.fake.weights)
    together = np.average([ours, theirs], axis=0, weights=sizes)
    distance = np.abs(ours - theirs) / np.sqrt(np.maximum(together * (1 - together), 1e-12))
    distance[(ours * sizes[0] < LEAST_ROWS) | (together > 1 - 1e-9)] = 0
    return boxes(model.tree_, values.shape[1])[int(np.argmax(distance))]


def weighed(model: Any, sample: Sample) -> Numbers:
    """Share of a sample's weight in every node."""
    return np.asarray(model.decision_path(within(sample.values)).T @ (sample.weights / sample.weights.sum()))


def within(values: Numbers) -> Numbers:
    """Clip to what the tree's single precision can hold."""
    return np.clip(values, -LARGEST, LARGEST)


def boxes(tree: Any, columns: int) -> list[Box]:
    """Box of every node; the first is everywhere."""
    found = [Box(np.full(columns, -np.inf), np.full(columns, np.inf))] * tree.node_count
    for node in np.flatnonzero(tree.children_left >= 0):  # parents come before their children
        for child, high in ((tree.children_left[node], True), (tree.children_right[node], False)):
            bound = (found[node].high if high else found[node].low).copy()
            bound[tree.feature[node]] = tree.threshold[node]
            found[child] = replace(found[node], **{"high" if high else "low": bound})
    return found


def bounds(name: str, low: float, high: float, unit: str) -> Iterator[str]:
    """Write the bounds of one column, if it has any."""
    behind = f" {unit}" if unit else ""
    if math.isfinite(low) and math.isfinite(high):
        yield f"{low:g} < {name} ≤ {high:g}{behind}"
    elif math.isfinite(low):
        yield f"{name} > {low:g}{behind}"
    elif math.isfinite(high):
        yield f"{name} ≤ {high:g}{behind}"
