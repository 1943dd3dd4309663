"""Measures during a fit: on validation rows, by one of which the best weights are kept and plateaus are seen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calque.config import FitConfig
from calque.errors import ConfigError, DataError, unknown
from calque.fitting.loop import Loop
from calque.folder import contiguous
from calque.judging.catalogue import Budget
from calque.judging.goals import Goal, chance_of
from calque.judging.samples import LEAST_ROWS
from calque.judging.verdict import geometry_of_run
from calque.judging.watching import (
    REFERENCED,
    Watched,
    check_watchable,
    leading_number,
    list_names,
    make_watched,
    measure_of,
)
from calque.models import Generator
from calque.preparing import TRAIN, VALIDATE, Data
from calque.reading.formats import first_line
from calque.run import BLOCK, Run
from calque.seeds import numpy_stream
from calque.table import Table

AUTO, LATEST, DENSITY = "auto", "latest", "log_prob"  # what fit.watch takes beside measures


class Watch:
    """Looks at the averaged generator, remembers the best one and how long ago that was.

    The best one has the highest mean log density on validation rows where the generator has a density at little cost
    (it is by far the more precise), and the AUC nearest to one half elsewhere; of numbers that equal samples give by
    chance, the latest. One that averages looks like no sample of noisy events: its latest weights are kept.
    `fit.watch` names another measure of the judge, "log_prob", or "latest" for the last weights; `fit.measures` those
    that go to the history. A measure takes at most `fit.watch_rows` rows of both samples.

    No look ends a training: a measure that cannot be taken of what is generated is left out of this look, with one
    note. Where rows have negative weights, the energy distance stands in for the AUC.

    Raises ConfigError for measures that cannot be taken, DataError for validation rows whose weights sum to nothing.
    """

    def __init__(self, run: Run, data: Data, config: FitConfig) -> None:
        self.run, self.drawn, self.config = run, run, config
        check_watch(config)
        every = data.judged(VALIDATE)
        self.rows = limit_rows(every, config.watch_rows, data.seed)
        self.real = self.rows.keep(self.rows.varying)  # a rare flag may not vary in so few
        self.is_active = len(self.real) >= LEAST_ROWS
        is_signed = bool((every.weights < 0).any())
        self.choose(config, is_signed)
        self.check_sum(every)
        self.measures = self.make_measures(data) if self.is_active else []
        self.x, self.context, self.weights = data.encode(VALIDATE)
        self.is_dense = (is_cheap(run.generator) or self.number == DENSITY) and bool(self.weights.sum() > 0)
        self.best: dict[str, Tensor] = {}
        self.state: dict[str, Any] = {"best_score": None, "best_step": 0, "since": 0}
        self.noted: set[str] = set()
        if not self.is_active:
            self.report_few_rows()

    def choose(self, config: FitConfig, is_signed: bool) -> None:
        """What the best weights are kept by, and what goes to the history."""
        generator = self.run.generator
        auto = DENSITY if is_cheap(generator) else LATEST if generator.averages else "energy" if is_signed else "auc"
        self.number = auto if config.watch == AUTO else leading_number(config.watch)
        is_unasked = generator.averages and config.measures == FitConfig().measures
        wanted = [] if is_unasked else [stand_in(name) if is_signed else name for name in config.measures]
        watched = {auto if config.watch == AUTO else config.watch} - {DENSITY, LATEST}
        self.names = tuple(dict.fromkeys([*wanted, *watched]))
        if self.number == DENSITY and not generator.has_density:
            raise ConfigError(f"fit.watch = \"{DENSITY}\": kind {config.kind!r} has no density to watch; "
                              "use \"auc\"")
        check_watchable(self.names, is_signed)

    def check_sum(self, every: Table) -> None:
        """Raise DataError where the validation rows' weights leave nothing to compare with."""
        if self.is_active and not every.weights.sum() > 0:
            raise DataError(f"the weights of the {len(every)} validation rows sum to {every.weights.sum():g}, "
                            "which is no sample to watch; raise prepare.validation, or set it to 0")

    def make_measures(self, data: Data) -> list[Watched]:
        """The measures of every look."""
        def draw(contexts: Table, seed: int) -> Table:
            return self.drawn.sample(len(contexts), context=contexts, seed=seed)

        rows = self.config.watch_rows
        context = tuple(name for name in self.run.context.names if name in self.real.features)
        budget = Budget(rows=rows, neighbours=rows, context=context, draw=draw, geometry=geometry_of_run(self.run))
        train = None
        if any(measure_of(name) in REFERENCED for name in self.names):
            train = limit_rows(data.judged(TRAIN), rows, data.seed).keep(self.real.features)
        return make_watched(self.names, self.real, budget, train)

    def report_few_rows(self) -> None:
        """Say in one line that there are too few validation rows, and what is done instead."""
        if self.is_dense and self.number == DENSITY:
            instead = "the log density alone is watched, and the weights with its best are kept"
        else:
            instead = "nothing is compared, and the latest weights are kept"
        warnings.warn(f"fit: {len(self.rows)} validation rows, measures take {LEAST_ROWS}: {instead}; more rows, or a "
                      "larger prepare.validation, give more to watch", stacklevel=2)

    def look(self, loop: Loop) -> dict[str, float]:
        """Measure, and keep the weights if they are the best so far."""
        generator = loop.averaged()
        measured: dict[str, float] = {}
        if self.measures:
            measured |= self.compare(generator, loop.step)
        if self.is_dense:
            with self.tolerate(DENSITY, loop.step):
                measured[DENSITY] = self.density(generator)
        measured = {name: value for name, value in measured.items() if self.is_number(name, value, loop.step)}
        if loop.objective.is_growing(loop.step):
            self.restart(loop.step, generator.state_dict())
        else:
            self.remember(self.score(measured, loop.step), loop, generator.state_dict())
        return measured

    def restart(self, step: int, state: dict[str, Tensor]) -> None:
        """Keep the latest weights, of a generator that is still growing or was never scored, and count nothing."""
        self.state = {"best_score": None, "best_step": step, "since": 0}
        self.best = contiguous(state)

    def compare(self, generator: Generator, step: int) -> dict[str, float]:
        """All measures of as many generated as validation rows."""
        self.drawn = replace(self.run, generator=generator.cpu())
        fake: Table | None = None
        with self.tolerate("a sample of generated rows", step):
            fake = self.drawn.imitate(self.rows, seed=step).keep(self.real.features)
        measured: dict[str, float] = {}
        for watched in self.measures if fake is not None else []:
            with self.tolerate(watched.name, step):
                measured |= watched.take(self.real, fake, self.run.config.seed)
        return measured

    @contextmanager
    def tolerate(self, name: str, step: int) -> Iterator[None]:
        """Leave out what cannot be measured of generated rows, whatever a library raises on them.

        Warnings inside are those of overflows and constant columns, early in a training; they are not shown.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except MemoryError:
            raise
        except Exception as error:
            self.note(name, step, first_line(error))

    def is_number(self, name: str, value: float, step: int) -> bool:
        """Whether a measure gave a number; one that is none is left out with a note."""
        if not math.isfinite(value):
            self.note(name, step, f"it is {value}")
        return math.isfinite(value)

    def note(self, name: str, step: int, why: str) -> None:
        """Say once of each measure that it was left out."""
        if name not in self.noted:
            self.noted.add(name)
            warnings.warn(f"fit: {name} cannot be taken at step {step}, the training goes on without it: {why}",
                          stacklevel=2)

    def score(self, measured: dict[str, float], step: int) -> float | None:
        """What the best weights have the most of; where nothing is ever watched, the latest are the best."""
        is_watched = self.number in (DENSITY, LATEST) or bool(self.measures)
        if self.number == LATEST or not is_watched or (self.number == DENSITY and not self.is_dense):
            return float(step)
        if self.number not in measured:
            return None
        tested = max(1, len(self.real) // 2)  # rows of each class
        return Goal.of(self.number).goodness(measured[self.number], chance_of(self.number, tested))

    def density(self, generator: Generator) -> float:
        """Weighted mean log density of the prepared validation rows."""
        with torch.inference_mode():
            parts = zip(torch.split(self.x, BLOCK), torch.split(self.context, BLOCK), strict=True)
            densities = torch.cat([generator.log_prob(x, context) for x, context in parts]).double()
        return float((self.weights * densities).sum() / self.weights.sum())

    def remember(self, score: float | None, loop: Loop, state: dict[str, Tensor]) -> None:
        """Keep weights that are at least as good as the best, and count looks without improvement.

        A look that could not be scored is no improvement and does not count; until one can be, the latest are kept.
        """
        best, since = self.state["best_score"], int(self.state["since"])
        if score is None:
            if best is None:
                self.restart(loop.step, state)
        elif best is None or score >= best:
            self.state = {"best_score": score, "best_step": loop.step, "since": since + 1 if score == best else 0}
            self.best = contiguous(state)
        else:
            self.state["since"] = since + 1

    @property
    def plateau(self) -> bool:
        """Whether `patience` looks brought nothing better."""
        return 0 < self.config.patience <= int(self.state["since"])


def is_cheap(generator: Generator) -> bool:
    """Whether a look at the log density costs little."""
    return generator.has_density and not generator.costly_density


def stand_in(name: str) -> str:
    """What is taken in place of the AUC where weights are negative."""
    return "energy" if leading_number(name) == "auc" else name


def limit_rows(table: Table, most: int, seed: int) -> Table:
    """At most so many rows of a table, chosen at random, in their order."""
    if len(table) <= most:
        return table
    chosen = numpy_stream(seed, "watched rows").choice(len(table), most, replace=False, shuffle=False)
    return table.rows(np.sort(chosen))


def check_watch(config: FitConfig) -> None:
    """Raise ConfigError, naming the nearest, for a measure to watch that does not exist."""
    words = [AUTO, LATEST, DENSITY]
    named = [] if config.watch in words else [config.watch]
    for name, more in [*((name, words) for name in named), *((name, []) for name in config.measures)]:
        if name not in list_names():
            raise ConfigError(unknown("measure", name, [*list_names(), *more], "to watch (fit.watch, fit.measures)"))
