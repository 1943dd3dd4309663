"""One classifier on (x, c), asked in bins of c: the AUC there, and the local classifier test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError
from calque.judging.classifying.classifier import Trial, trial
from calque.judging.classifying.scores import squared_error
from calque.judging.classifying.trees import Kind, limited
from calque.judging.conditional.bins import Bins, in_view
from calque.judging.conditional.worst import InBins
from calque.judging.measure import Estimate
from calque.judging.resampling import REPLICAS
from calque.judging.samples import NotMeasurableError, Sample, flat_names, samples
from calque.judging.views import RAW, View
from calque.seeds import derive, numpy_stream
from calque.table import Table

Numbers = NDArray[np.float64]

LEAST_ROWS = 20  # effective held-out rows of each class in a bin: the other half of the rows trains


@dataclass(frozen=True)
class ConditionalAUC:
    """AUC in the worst bin of each context column ("auc_in_bins"), and the local classifier test there ("local").

    One classifier of this `kind` sees all columns, contexts included, and is asked in `bins` of a context. "local" is
    the mean of (d − ½)² over generated rows, d the share of real rows that the classifier believes in (Linhart et al.,
    arXiv:2306.03580), against `trainings` of the same on shuffled classes; 0 trainings leave it out. Weights count;
    negative ones raise DataError, as does a context without a bin of 20 effective held-out rows of both.
    """

    context: tuple[str, ...]
    view: View = RAW
    kind: Kind = "fast"
    rows: int = 10_000
    bins: int = 5
    trainings: int = 20
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.bins < 2 or self.trainings < 0:
            raise ConfigError(f"bins = {self.bins}, trainings = {self.trainings}: at least 2 and 0")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"conditional_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate both for every context column; the local test's null shuffles real and `reference` rows.

        Without reference rows it shuffles real and generated ones.
        """
        seen = in_view(self.view, self.context, "a classifier", real, fake, *([] if reference is None else [reference]))
        ours, theirs, more = samples(self.view, real, fake, reference)
        more = theirs if more is None else more
        count = min(len(ours), len(theirs), len(more), self.rows)
        ours, theirs, more = (sample.draw(count, seed, f"conditional/{which}")
                              for which, sample in enumerate((ours, theirs, more)))
        with limited(self.threads):
            asked = self.train(ours, theirs, seed, 0)
            null = [self.train(*shuffled(ours, more, seed, turn), seed, turn) for turn in range(1, self.trainings + 1)]
        names = list(flat_names(seen))
        return tuple(estimate for column in self.context for estimate in self.estimates(
            asked, null, Bins.of(seen, column, self.bins), names.index(column), seed))

    def train(self, real: Sample, fake: Sample, seed: int, turn: int) -> Trial:
        """Train on every other row, score the rest."""
        return trial(self.kind, real, fake, np.arange(len(real)) % 2 == 1, derive(seed, "judging/conditional", turn))

    def estimates(self, asked: Trial, null: list[Trial], bins: Bins, column: int, seed: int) -> Iterator[Estimate]:
        """AUC in the bins of one column, and the local test if its null is there."""
        kept, left_out = enough(asked, bins, column)
        value, error = np.transpose([auc(part) for part in parts(asked, bins, column, kept)])
        drawn = 0.5 + error * numpy_stream(seed, "judging/auc_in_bins").normal(size=(REPLICAS, len(error)))
        yield InBins(value, error, drawn, np.broadcast_to(error, drawn.shape), error).estimate(
            "auc_in_bins", bins, kept, seed, "DeLong in each bin; floor: worst of bins at ½", left_out)
        if null:
            value, error = np.transpose([certainty(part) for part in parts(asked, bins, column, kept)])
            numbers = np.array([[certainty(part) for part in parts(one, bins, column, kept)] for one in null])
            yield InBins(value, error, numbers[..., 0], numbers[..., 1], np.ones(len(kept))).estimate(
                "local", bins, kept, seed, "trainings on shuffled classes; floor: their worst bins")


def shuffled(first: Sample, second: Sample, seed: int, turn: int) -> tuple[Sample, Sample]:
    """Deal the rows of both, each of mean weight one, into two samples at random."""
    both = Sample(np.concatenate([first.values, second.values]),
                  np.concatenate([sample.weights / sample.weights.mean() for sample in (first, second)]))
    dealt = both.draw(len(both), seed, "shuffled", turn)
    return dealt.rows(slice(None, len(first))), dealt.rows(slice(len(first), None))


def enough(asked: Trial, bins: Bins, column: int) -> tuple[list[int], list[str]]:
    """Bins with enough effective rows of both classes, and a line about each of the others."""
    held = np.minimum(*(effective_in(bins, sample, column) for sample in (asked.real, asked.fake)))
    kept = np.flatnonzero(held >= LEAST_ROWS)
    if not len(kept):
        raise NotMeasurableError(f"no bin of {bins.column} has {2 * LEAST_ROWS} effective rows of both samples, "
                                 "half of them held out; take fewer bins, or give more rows")
    lines = [f"the bin {bins.labels[place]} is left out: about {2 * held[place]:.0f} effective rows, fewer than "
             f"{2 * LEAST_ROWS}" for place in np.flatnonzero(held < LEAST_ROWS)]
    return [int(place) for place in kept], lines


def effective_in(bins: Bins, sample: Sample, column: int) -> Numbers:
    """Effective rows in every bin."""
    place = bins.place(sample.values[:, column])
    summed, squares = (np.bincount(place, weights, len(bins)) for weights in (sample.weights, sample.weights**2))
    return np.divide(summed**2, squares, out=np.zeros(len(bins)), where=squares > 0)


def parts(asked: Trial, bins: Bins, column: int, kept: list[int]) -> Iterator[Trial]:
    """Scored rows of one bin after another."""
    ours, theirs = (bins.place(sample.values[:, column]) for sample in (asked.real, asked.fake))
    for place in kept:
        yield asked.rows(np.flatnonzero(ours == place), np.flatnonzero(theirs == place))


def auc(part: Trial) -> tuple[float, float]:
    """AUC of scored rows and its error."""
    return part.scores.auc(), max(part.scores.auc_error(), 0.5 / len(part.real))


def certainty(part: Trial) -> tuple[float, float]:
    """Mean of (d − ½)² over generated rows and its error; a null may leave a bin empty."""
    if not part.fake.weights.any():
        return 0.0, 0.0
    squares, weights = (part.scores.fake - 0.5) ** 2, part.scores.fake_weights
    mean = float(np.average(squares, weights=weights))
    return mean, float(np.sqrt(squared_error(squares - mean, weights)))
