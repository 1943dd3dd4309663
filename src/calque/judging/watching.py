"""The judge's measures during a training: by name, with fewer rows and without floors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from calque.errors import ConfigError, unknown
from calque.judging.catalogue import CATALOGUE, NEEDS_TRAINING, Budget, choose_measures
from calque.judging.classifying.classifier import Classifier
from calque.judging.columns import Columns
from calque.judging.columns.distances import DISTANCES
from calque.judging.conditional.auc import ConditionalAUC
from calque.judging.goals import Goal
from calque.judging.judge import asked_views, made, possible
from calque.judging.measure import Estimate, Measure
from calque.table import Table

REPLICAS = 20  # only values are kept
NULL_TRAININGS = 2  # for the same reason

NUMBERS: dict[str, tuple[str, ...]] = {  # of measures that give several; the first is watched by the measure's name
    "trees": ("auc", "chi2", "overlap"),
    "columns": ("ks", "wasserstein", "column_chi2", "kl", "js", "separation", "tail_low", "tail_high"),
    "beyond": ("support", "beyond_low", "beyond_high"),
    "network": ("auc_network", "js_network"),
    "sliced": ("sliced_wasserstein",),
    "coverage": ("coverage", "precision", "recall", "density"),
    "conditional": ("auc_in_bins", "local"),
    "response": ("response", "response_in_bins"),
    "calibration": ("energy_response", "energy_resolution"),
    "cells": ("cell_spectrum", "sparsity"),
}
OTHER_NAMES = {"chi2_output": "chi2", "overlap_output": "overlap"}  # the report's names of the note's numbers
COLUMN_NUMBERS = {"column_chi2": "chi2"}  # a name of its own, as the note's χ² is that of the trees' output
REFERENCED = (*NEEDS_TRAINING, "coverage")  # would halve the real rows without others
UNSIGNED = ("trees", "network", "region", "sliced", "correlation", "coverage", "conditional", "ranks", "response")


def list_names() -> list[str]:
    """Everything that may be watched: measures of the judge, and the numbers that they give."""
    return list(dict.fromkeys([*list_numbers(), *CATALOGUE, *OTHER_NAMES]))


def list_numbers() -> list[str]:
    """Everything that a look may put into a history."""
    return [number for measure in CATALOGUE for number in numbers_of(measure)]


def numbers_of(measure: str) -> tuple[str, ...]:
    """Names of the numbers that a measure gives, the leading one first."""
    return NUMBERS.get(measure, (measure,))


def leading_number(name: str) -> str:
    """The number that a name stands for: itself, or the first of a measure's.

    >>> leading_number("trees"), leading_number("overlap_output"), leading_number("fpd")
    ('auc', 'overlap', 'fpd')
    """
    return numbers_of(name)[0] if name in CATALOGUE else OTHER_NAMES.get(name, name)


def measure_of(name: str) -> str:
    """The judge's measure behind a name; raises ConfigError that names the nearest.

    >>> measure_of("trees"), measure_of("overlap"), measure_of("ks")
    ('trees', 'trees', 'columns')
    """
    if name in CATALOGUE:
        return name
    number = OTHER_NAMES.get(name, name)
    for measure in CATALOGUE:
        if number in numbers_of(measure):
            return measure
    raise ConfigError(unknown("measure", name, list_names(), "to watch (fit.watch, fit.measures)"))


def check_watchable(names: Iterable[str], signed: bool = False) -> None:
    """Raise ConfigError, naming the nearest, for what cannot be watched, or not with negative weights."""
    for name in names:
        measure_of(name)
        if signed and not is_signed(name):
            able = [known for known in list_names() if is_signed(known)]
            raise ConfigError(f"fit.watch and fit.measures: {name!r} cannot be taken with negative weights; these "
                              f"can: {', '.join(able)}, and log_prob where there is a density")


def is_signed(name: str) -> bool:
    """Whether negative weights have a meaning in a measure."""
    measure = measure_of(name)
    if measure != "columns" or name == measure:
        return measure not in UNSIGNED
    return DISTANCES[COLUMN_NUMBERS.get(name, name)].signed


@dataclass(frozen=True)
class Watched:
    """One measure as it is taken at every look: at real rows, and at those of the training if it needs them."""

    name: str
    measure: Measure
    numbers: tuple[str, ...]
    reference: Table | None = None

    def take(self, real: Table, fake: Table, seed: int = 0) -> dict[str, float]:
        """Every number of the measure; of several columns, layers or contexts the worst.

        Parameters
        ----------
        real, fake : Table
            Validation rows, and as many generated ones in the same columns.
        seed : int
            Which rows a classifier trains on.

        Returns
        -------
        dict
            Values by name; a number that these rows do not give is absent.
        """
        found: dict[str, list[float]] = {}
        for number, value in self.values(real, fake, seed):
            found.setdefault(number, []).append(value)
        return {number: Goal.of(number).worst(found[number]) for number in self.numbers if number in found}

    def values(self, real: Table, fake: Table, seed: int) -> Iterator[tuple[str, float]]:
        """Numbers by the names that a history has for them."""
        if isinstance(self.measure, Classifier):  # its scores alone: a floor would take a second training
            scores = self.measure.scores(real, fake, seed)
            for name, quantity in self.measure.numbers(scores, seed).items():
                yield OTHER_NAMES.get(name, name), quantity.value
            return
        own = {known: name for name, known in COLUMN_NUMBERS.items()} if isinstance(self.measure, Columns) else {}
        estimates: Sequence[Estimate] = self.measure(real, fake, self.reference, seed)
        for estimate in estimates:
            yield own.get(estimate.measure, estimate.measure), estimate.value


def make_watched(names: Iterable[str], real: Table, budget: Budget, train: Table | None = None) -> list[Watched]:
    """Make the measures of a training's looks, each in the first view that it can be taken in.

    Parameters
    ----------
    names : iterable of str
        Measures of the judge, or single numbers of them.
    real : Table
        Validation rows.
    budget : Budget
        How many rows a measure may use, and what the generator was given.
    train : Table, optional
        Rows of the training, for `copying`, `worth` and `coverage`.

    Returns
    -------
    list of Watched
        One for each measure, with all numbers that were asked for.

    Raises
    ------
    ConfigError
        For a name that is unknown, and for a measure that lacks something.
    """
    asked: dict[str, list[str]] = {}
    for name in names:
        measure = measure_of(name)
        wanted = numbers_of(measure) if name in CATALOGUE or measure == "trees" else (leading_number(name),)
        asked.setdefault(measure, []).extend(wanted)
    views, chosen = asked_views(real, None, {}, budget.geometry), []
    for name in possible(choose_measures(list(asked)), train is not None, budget):
        _, whole = next(made([name], views, real, budget, strict=True))
        numbers = tuple(dict.fromkeys(asked[name]))
        reference = train if name in REFERENCED else None
        chosen.append(Watched(name, make_quick(whole, numbers), numbers, reference))
    return chosen


def make_quick(measure: Any, numbers: Sequence[str]) -> Measure:
    """The same measure with no more than it takes for its values."""
    known = {field.name for field in fields(measure)}
    quick: dict[str, Any] = {"replicas": REPLICAS} if "replicas" in known else {}
    if isinstance(measure, Classifier):
        quick = {"replicas": 0}
    elif isinstance(measure, Columns) and set(numbers) != set(numbers_of("columns")):
        quick["distances"] = tuple(COLUMN_NUMBERS.get(number, number) for number in numbers)
    elif isinstance(measure, ConditionalAUC):
        quick["trainings"] = NULL_TRAININGS if "local" in numbers else 0
    made: Measure = replace(measure, **quick)
    return made


def watched(names: Iterable[str], real: Table, fake: Table, rows: int, seed: int = 0) -> Mapping[str, float]:
    """Take measures of two tables, with at most so many rows of each; "auc" brings the note's χ² and overlap along."""
    found: dict[str, float] = {}
    for measure in make_watched(names, real, Budget(rows=rows, neighbours=rows)):
        found |= measure.take(real, fake, seed)
    return found
