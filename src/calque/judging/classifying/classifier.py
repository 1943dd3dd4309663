"""The 2018 note's figure of merit: a classifier is asked to tell generated rows from real ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, unknown
from calque.judging.classifying.divergence import divergence
from calque.judging.classifying.scores import Numbers, Scores, chi2_error
from calque.judging.classifying.trees import KINDS, NETWORKS, Kind, limited, score, train
from calque.judging.measure import Estimate
from calque.judging.repeats import merge_repeats
from calque.judging.resampling import blended, skewness
from calque.judging.samples import (
    LEAST_ROWS,
    NotMeasurableError,
    Sample,
    check_effective,
    check_weights,
    comparable,
)
from calque.judging.views import RAW, View
from calque.seeds import derive, numpy_stream
from calque.table import Table


@dataclass(frozen=True)
class Trial:
    """One training: the scores of the rows that it did not see, and these rows."""

    scores: Scores
    real: Sample
    fake: Sample

    def rows(self, real: NDArray[np.intp], fake: NDArray[np.intp]) -> Trial:
        """Keep rows by index."""
        return Trial(self.scores.rows(real, fake), self.real.rows(real), self.fake.rows(fake))


@dataclass(frozen=True)
class Judgement:
    """What one classifier says: the numbers, and its output for plots (one entry per training)."""

    estimates: tuple[Estimate, ...]
    scores: tuple[Scores, ...]
    floor_scores: tuple[Scores, ...]


@dataclass(frozen=True)
class Quantity:
    """A number of one classifier with its error and, where they were drawn, replicas (R,) of equal samples."""

    value: float
    error: float
    null: Numbers | None = None

    def estimate(
        self, measure: str, of: str, floor: Quantity, source: str, error_source: str, details: Mapping[str, Any]
    ) -> Estimate:
        """Word it: the floor is the null where there is one, and else what real rows gave."""
        worse: Literal["higher", "lower"] = "lower" if measure == "overlap_output" else "higher"
        if self.null is None or not len(self.null):
            return Estimate(measure, of, self.value, self.error, floor.value, floor.error, worse=worse,
                            how=f"error: {error_source}; floor: {source}", details=details)
        spread = float(np.std(self.null))
        return Estimate(measure, of, self.value, self.error, float(np.mean(self.null)),
                        spread / math.sqrt(len(self.null)), worse=worse, details=details,
                        null_error=spread, null_skew=skewness(self.null),
                        how="error: replicas of the test rows; floor: replicas of both samples mixed, at these sizes")


@dataclass(frozen=True)
class Classifier:
    """What a classifier's output says of real and generated rows.

    Trees give AUC, reduced χ² and overlap: `kind = "note"` is the note's own (gradient boosting, 100 trees, rate
    0.1, depth 4); "fast" boosts the same trees on binned columns. Networks give AUC and the JS divergence: "network"
    is quick, "calochallenge" and "evaluate" those of arXiv:2410.21611. As many generated as real rows are used, at most
    `rows` of each. Half of both trains and the other half tests, `repeats` times with fresh halves; with `folds = k`
    instead every row is scored once by a classifier that did not train on it. Weights count in training and in every
    number, each class normalised to the same total; negative ones raise DataError.
    """

    kind: Kind = "fast"
    view: View = RAW
    rows: int = 100_000
    repeats: int = 1
    folds: int = 0
    bins: int = 50
    replicas: int = 200
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("classifier", self.kind, KINDS))
        if self.folds < 0 or self.folds == 1:
            raise ConfigError(f"folds = {self.folds} is impossible: 0 for halves, else at least 2")
        least = {"rows": LEAST_ROWS, "repeats": 1, "bins": 2, "replicas": 0}
        for setting, smallest in least.items():
            if getattr(self, setting) < smallest:
                raise ConfigError(f"{setting} = {getattr(self, setting)} is too small; at least {smallest}")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"classifier_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate what this kind gives; see `judge`."""
        return self.judge(real, fake, reference, seed).estimates

    def judge(self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0) -> Judgement:
        """Compare with the generated rows, then `real` with `reference` at the same sizes: the floor.

        Real rows that repeat are merged, so that equal ones fall into the same half.
        """
        real, reference = merge_repeats(real, fake)[0], None if reference is None else merge_repeats(reference, fake)[0]
        for table in (real, fake, *([] if reference is None else [reference])):
            check_effective(table)
        scores = self.scores(real, fake, seed)
        floor = self.floor_scores(real, fake, reference, seed)
        return Judgement(self.summarise(scores, floor, reference is not None, seed), scores, floor)

    def floor_scores(self, real: Table, fake: Table, reference: Table | None, seed: int) -> tuple[Scores, ...]:
        """Scores of real against real rows; halves of `real` where no other real rows are given."""
        if reference is not None:
            rows = max(min(self.rows, len(fake)), LEAST_ROWS)
            return replace(self, rows=rows).scores(real, reference, seed)
        if len(real) < 2 * LEAST_ROWS:
            raise NotMeasurableError(
                f"{len(real)} rows in {real.source} are too few for the floor of a classifier, which compares one half "
                f"with the other; at least {2 * LEAST_ROWS} are needed, or the rows of the training (train)")
        order = numpy_stream(seed, "judging/halves").permutation(len(real))
        half = len(real) // 2
        return self.scores(real.rows(order[:half]), real.rows(order[half:]), seed)

    def scores(self, real: Table, fake: Table, seed: int) -> tuple[Scores, ...]:
        """Score rows that the classifier did not see: one entry per repeat or fold."""
        return tuple(trial.scores for trial in self.trials(real, fake, seed))

    def trials(self, real: Table, fake: Table, seed: int) -> tuple[Trial, ...]:
        """Give the scores with the rows behind them; columns are those of the view, images flat."""
        seen, drawn = self.view(merge_repeats(real, fake)[0]), self.view(fake)
        names = comparable(seen, drawn)
        for table in (seen, drawn):
            check_weights(table, "a classifier")
        first, second = Sample.of(seen, names), Sample.of(drawn, names)
        with limited(self.threads):
            return tuple(self.parts(first, second, seed))

    def parts(self, real: Sample, fake: Sample, seed: int) -> Iterator[Trial]:
        """Train and score once per repeat or per fold."""
        count = min(len(real), len(fake), self.rows)
        for turn in range(1 if self.folds else self.repeats):
            rows = real.draw(count, seed, "real", turn)
            copies = fake.draw(count, seed, "fake", turn)
            for part in range(self.folds or 1):
                tested = np.arange(count) % (self.folds or 2) == part
                yield trial(self.kind, rows, copies, tested, derive(seed, "judging/trees", turn))

    def summarise(
        self, scores: tuple[Scores, ...], floor: tuple[Scores, ...], referenced: bool, seed: int
    ) -> tuple[Estimate, ...]:
        """Average over trainings, with errors and floors."""
        values, floors = self.numbers(scores, seed), self.numbers(floor, seed)
        source = "reference against real rows" if referenced else "halves of the real rows"
        details = {
            "kind": self.kind, "view": self.view.name, "trainings": len(scores), "folds": self.folds,
            "bins": self.bins, "test_rows": len(scores[0].real), "floor_test_rows": len(floor[0].real),
            "ndf": scores[0].chi2(self.bins)[1],
        }
        return tuple(
            values[name].estimate(name, self.view.name, floors[name], source, self.error_source, details)
            for name in values
        )

    @property
    def error_source(self) -> str:
        """Words for where the error comes from."""
        return "DeLong, " + (f"{self.folds} folds" if self.folds else f"{self.repeats} trainings")

    def numbers(self, scores: tuple[Scores, ...], seed: int) -> dict[str, Quantity]:
        """Every quantity, averaged over the trainings."""
        if self.kind in NETWORKS:
            return {"auc_network": self.auc(scores), "js_network": self.js(scores, seed)}
        return {"auc": self.auc(scores), **self.output(scores, seed)}

    def auc(self, scores: tuple[Scores, ...]) -> Quantity:
        """AUC; its error is that of the test rows of one training."""
        return self.mean(scores[0].auc_error(), [entry.auc() for entry in scores])

    def js(self, scores: tuple[Scores, ...], seed: int) -> Quantity:
        """Divergence; error and null are those of the first training."""
        replicas = [self.replicas, *[0] * (len(scores) - 1)]
        found = [divergence(entry, number, numpy_stream(seed, "judging/divergence", turn))
                 for turn, (entry, number) in enumerate(zip(scores, replicas, strict=True))]
        return self.mean(found[0][1], [value for value, _, _ in found], found[0][2])

    def output(self, scores: tuple[Scores, ...], seed: int) -> dict[str, Quantity]:
        """Reduced χ² and overlap of the output's histograms; error and null are those of the first training."""
        chi2, overlaps = [entry.chi2(self.bins) for entry in scores], [entry.overlap(self.bins) for entry in scores]
        far, error, null = chi2_error(*chi2[0]), math.nan, (np.empty(0), np.empty(0))
        if self.replicas:
            histograms = scores[0].histograms(self.bins)
            stream = numpy_stream(seed, "judging/output")
            null, own = histograms.null(self.replicas, stream), histograms.bootstrap(self.replicas, stream)
            far, error = blended(chi2[0][0], null[0], far), blended(overlaps[0], null[1], float(own.std()))
        mean = Quantity(float(np.mean([value for value, _ in chi2])), far, null[0])
        return {"chi2_output": mean, "overlap_output": self.mean(error, overlaps, null[1])}

    def mean(self, single: float, values: Sequence[float], null: Numbers | None = None) -> Quantity:
        """Mean over trainings on the same rows, and its error from that of one.

        With variance e² of one training and s² between r trainings on fresh halves, their mean has
        e² − s²(1 − 1/r): averaging removes only what differs between halvings. Folds use every pair of rows
        twice: where the samples agree, k of them have 2/k of one fold's variance.
        """
        count, mean = len(values), float(np.mean(values))
        if self.folds or count == 1:
            return Quantity(mean, single * math.sqrt(2 / count if self.folds else 1), null)
        between = float(np.var(values, ddof=1))
        least = max(single**2, between) / count
        return Quantity(mean, math.sqrt(max(single**2 - between * (1 - 1 / count), least)), null)


def trial(kind: Kind, real: Sample, fake: Sample, tested: NDArray[np.bool_], seed: int) -> Trial:
    """Train on the rows that are not marked, score those that are."""
    held, drawn = real.rows(tested), fake.rows(tested)
    for half in (held, drawn, real.rows(~tested), fake.rows(~tested)):
        if not half.weights.any():
            raise NotMeasurableError(f"the {len(half)} rows that a classifier would train on or be tested on weigh "
                                     "nothing: too few rows carry all the weight; give more, or judge without weights")
    return Trial(score(train(kind, real.rows(~tested), fake.rows(~tested), seed), held, drawn), held, drawn)
