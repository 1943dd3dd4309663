"""Replicas of a distance between two samples whose cells (rows, or blocks of rows) are drawn again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging.measure import Estimate
from calque.judging.resampling import resampled
from calque.judging.samples import LEAST_ROWS, Sample, effective
from calque.seeds import numpy_stream

Numbers = NDArray[np.float64]
Index = NDArray[np.intp]


class Cells(Protocol):
    """Something that consists of cells of alike weight, and is worth so many events of equal weight."""

    def __len__(self) -> int:
        """Number of cells."""

    @property
    def effective(self) -> float:
        """Events of equal weight that would fluctuate as much."""


FAR = 0.95

C = TypeVar("C", bound=Cells)
Distance = Callable[[C, C, Index, Index], Numbers]  # cells and the cells drawn of each, (R, n) and (R, m): values (R,)


def estimate(
    measure: str, of: str, distance: Distance[C], real: C, fake: C, known: C, replicas: int, seed: int,
    **details: Any,
) -> Estimate:
    """Measure, and draw cells again for error and floor.

    `known` are real cells that stand for their distribution: two samples drawn from them, with replacement and as
    large (in effective events) as those at hand, are what the null means, whatever the sizes. The bootstrap draws
    the cells of both samples again. Its own null is a pair of drawn samples as far apart as one null pair in twenty:
    the bootstrap of a squared distance widens with the distance, so against a typical pair the farther half of
    all equal samples would get too wide an error.
    """
    stream = numpy_stream(seed, f"judging/{measure}")
    value = float(distance(real, fake, every(real), every(fake))[0])
    first, second = (stream.integers(len(known), size=(replicas, likened(known, cells))) for cells in (real, fake))
    null = distance(known, known, first, second)
    bootstrap = distance(real, fake, again(every(real)[0], replicas, stream), again(every(fake)[0], replicas, stream))
    pair = int(np.argsort(null)[int(FAR * (replicas - 1))])
    own = distance(known, known, again(first[pair], replicas, stream), again(second[pair], replicas, stream))
    return resampled(measure, of, value, null, bootstrap, own, **details)


def every(cells: Cells) -> Index:
    """Each cell once (1, n)."""
    return np.arange(len(cells))[None]


def likened(known: Cells, cells: Cells) -> int:
    """How many of the known cells are worth these."""
    return max(round(len(known) * cells.effective / known.effective), 2)


def again(index: Index, replicas: int, stream: np.random.Generator) -> Index:
    """Draw as many (replicas, n) of these cells (n,), with replacement."""
    return np.asarray(index[stream.integers(len(index), size=(replicas, len(index)))])


def counts(drawn: Index, cells: int) -> Numbers:
    """How often each cell was drawn (R, cells) in each row of draws (R, n)."""
    shifted = drawn + cells * np.arange(len(drawn))[:, None]
    return np.bincount(shifted.ravel(), minlength=cells * len(drawn)).reshape(len(drawn), cells).astype(np.float64)


def pooled(real: Sample, reference: Sample | None, rows: int, seed: int) -> Sample:
    """Real rows, then reference rows, at most so many in all and in random order; both of mean weight one."""
    parts = [real] if reference is None else [real, reference]
    drawn = [part.draw(rows, seed, "pool", turn) for turn, part in enumerate(parts)]
    left = rows - np.cumsum([0, *map(len, drawn)])
    kept = [part.rows(slice(max(int(most), 0))) for part, most in zip(drawn, left, strict=False)]
    return Sample(np.concatenate([part.values for part in kept]),
                  np.concatenate([part.weights / part.weights.mean() for part in kept if len(part)]))


def null_blocks(
    real: Sample, reference: Sample | None, least: float, rows: int, blocks: int, seed: int
) -> tuple[Sample, int]:
    """Real rows for the null, and into how many blocks they go: a hundredth (`blocks`) of the smaller sample each.

    Four times the smaller sample's effective events (`least`) are enough to stand for the distribution.
    """
    known = pooled(real, reference, min(rows, max(int(4 * least), 1000)), seed)
    return known, round(blocks * max(effective(known.weights) / least, 1))


def standards(real: Sample) -> tuple[Numbers, Numbers]:
    """Weighted mean and spread (D,) of real columns; where negative weights leave no spread, that of the rows."""
    mean = real.weights @ real.values / real.weights.sum()
    variance = real.weights @ np.square(real.values - mean) / real.weights.sum()
    changing = np.ptp(real.values, axis=0) > 0
    return mean, np.where(changing & (variance > 0), np.sqrt(np.abs(variance)), spreads(real.values))


def spreads(values: Numbers) -> Numbers:
    """Standard deviation (D,) of every column (N, D); one where all rows are equal, as in a dead cell of an image."""
    spread = values.std(axis=0)
    return np.where((np.ptp(values, axis=0) > 0) & (spread > 0), spread, 1.0)  # rounding gives constants a spread


def moved(sample: Sample, mean: Numbers | float, scale: Numbers) -> Sample:
    """Subtract the mean and divide by the scale, column by column."""
    return Sample((sample.values - mean) / scale, sample.weights)


def largest(real: Sample) -> Numbers:
    """Largest absolute value (D,) of every real column; one where all are zero."""
    scale = np.abs(real.values).max(axis=0)
    return np.where(scale > 0, scale, 1.0)


def check_totals(*given: Sample | None) -> None:
    """Raise DataError where weights sum to nothing, as negative ones may: then no sample is left to compare."""
    for sample in given:
        if sample is not None and not sample.weights.sum() > 0:
            raise DataError(f"the weights of {len(sample)} rows sum to {sample.weights.sum():.4g}; a sample needs a "
                            "positive sum: leave the weights out, or select rows whose sum is positive")


def check_settings(least: dict[str, int], measure: Any) -> None:
    """Raise ConfigError for settings below what can work."""
    for setting, smallest in {"rows": LEAST_ROWS, "replicas": 20, **least}.items():
        if getattr(measure, setting, smallest) < smallest:
            raise ConfigError(f"{setting} = {getattr(measure, setting)} is too small; at least {smallest}")
