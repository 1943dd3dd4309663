"""Worth: how many independent original events the generated ones are worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from calque.errors import ConfigError
from calque.judging.contents import Cells, Contents, held_apart, squared_distance
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample, comparable
from calque.judging.views import RAW, View
from calque.seeds import numpy_stream
from calque.table import Table

LIMIT = 1.645  # standard deviations of a one-sided limit at 95 %


@dataclass(frozen=True)
class Worth:
    """How many independent original events the generated ones are worth, in each column and jointly.

    In K = 2^`depth` cells of equal probability (2^`joint_depth` jointly), N independent events miss the true
    shares by Σ (p̂ − p)² = (1 − 1/K)/N on average; the generated rows are worth the N that misses as much. The
    true shares come from `real`, and from `truth` where there are more rows that no training saw; their own noise
    is subtracted. Where nothing is left, the worth is a lower limit at 95 %. The floor is the number of training
    rows (`reference`). Weights may be negative if they sum to something positive.

    Source: Butter et al., 2021, arXiv:2008.06545.
    """

    view: View = RAW
    depth: int = 5
    joint_depth: int = 8
    truth: Table | None = None

    def __post_init__(self) -> None:
        for setting in ("depth", "joint_depth"):
            if not 1 <= getattr(self, setting) <= 10:
                raise ConfigError(f"{setting} = {getattr(self, setting)} is impossible; 1 to 10, for 2 to 1024 cells")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"worth_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the worth in every column, and in all together; a column too rare for two cells is left out.

        Raises DataError where none is left.
        """
        known, drawn = self.view(real), self.view(fake)
        names, more = comparable(known, drawn), None if reference is None else self.view(reference)
        if more is not None:
            comparable(known, more)
        if self.truth is not None:
            further = self.view(self.truth)
            comparable(known, further)
            known = Table.concatenate([known, further])
        contents = {of: filled(which, depth, known, drawn, more, seed) for of, which, depth in self.parts(known, names)}
        found = tuple(estimate(of, *held) for of, held in contents.items() if held[0].cells > 1)
        if not found:
            raise NotMeasurableError(f"nearly all rows of {known.source} have the same value in every column: no two "
                                     "cells to compare; give more rows, or select other columns")
        return found

    def parts(self, table: Table, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """What to look at: the name of it, its columns, and how often to split."""
        for name in names:
            yield name, (name,), self.depth
        if len(names) > 1:
            yield self.view.name, names, self.joint_depth


def filled(
    names: tuple[str, ...], depth: int, real: Table, fake: Table, reference: Table | None, seed: int
) -> tuple[Contents, Contents, Contents | None]:
    """Contents of the real, generated and training rows in the same cells."""
    makers, truth = held_apart(Sample.of(real, names), seed)
    order = numpy_stream(seed, "judging/worth", depth).permutation(makers.values.shape[1])
    cells = Cells.of(makers, depth, order)

    def contents(sample: Sample, source: str) -> Contents:
        return Contents.of(cells.place(sample.values), sample.weights, len(cells), source)

    return (contents(truth, real.source), contents(Sample.of(fake, names), fake.source),
            None if reference is None else contents(Sample.of(reference, names), reference.source))


def estimate(of: str, truth: Contents, fake: Contents, reference: Contents | None) -> Estimate:
    """Worth from contents."""
    inverse, error = inverse_worth(truth, fake)
    value, value_error, limited = worth(inverse, error)
    training, by_chance = (math.nan, math.nan) if reference is None else (reference.size, reference.size_error)
    attainable = min(training, fake.size)  # so few generated rows cannot be worth more than their number
    how = ("lower limit at 95 %: the generated rows miss the truth by no more than its own noise" if limited else
           "error: of Σ (p̂ − p)², by the covariance of the cells")
    return Estimate(
        "worth", of, value, value_error, attainable, by_chance * attainable / training, worse="lower",
        how=f"{how}; floor: number of training or generated rows, the fewer, with the chance misses of so many",
        details={
            "lower_limit": limited, "inverse": inverse, "inverse_error": error,
            "training_rows": training, "amplification": value / training, "amplification_error": value_error / training,
            "generated_rows": fake.size, "real_rows": truth.size, "cells": truth.cells,
            "infinite_rows": math.inf if inverse <= 1 / fake.size else 1 / (inverse - 1 / fake.size),
            "resolution": truth.evenness / (LIMIT * truth.null),
            **measured(truth, reference),
        },
    )


def measured(truth: Contents, reference: Contents | None) -> dict[str, Any]:
    """1/worth of the training rows as if they were generated: a check, 1/N within its error."""
    inverse, error = (math.nan, math.nan) if reference is None else inverse_worth(truth, reference)
    return {"training_inverse": inverse, "training_inverse_error": error}


def inverse_worth(truth: Contents, fake: Contents) -> tuple[float, float]:
    """1/worth and its error; unbiased, so negative where the truth is too noisy to tell."""
    distance, error = squared_distance(truth, fake)
    return (distance + fake.noise) / truth.evenness, error / truth.evenness


def worth(inverse: float, error: float) -> tuple[float, float, bool]:
    """Worth, its error, and whether it is a lower limit at 95 %: below two standard deviations of 1/worth.

    >>> worth(0.01, 0.001)
    (100.0, 10.0, False)
    >>> worth(-0.001, 0.001)[0] == 1 / (LIMIT * 0.001)
    True
    """
    if inverse < 2 * error:
        return 1 / (max(inverse, 0.0) + LIMIT * error), math.nan, True
    return 1 / inverse, error / inverse**2, False
