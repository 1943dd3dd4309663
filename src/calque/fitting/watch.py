"""Measures during a fit: on validation rows, by one of which the best weights are kept and plateaus are seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from calque.config import FitConfig
from calque.errors import ConfigError, DataError
from calque.fitting.loop import Loop
from calque.folder import contiguous
from calque.judging.watching import check_watchable, watched
from calque.preparing import VALIDATE, Data
from calque.run import BLOCK, Run

LEAST = 50  # validation rows below which there is nothing to watch


class Watch:
    """Looks at the averaged generator, remembers the best one and how long ago that was.

    The best one has the highest mean log density on validation rows where the generator has a density at little cost
    (it is by far the more precise), and the lowest AUC elsewhere; of AUCs within a standard deviation of what equal
    samples give, the latest. One that averages looks like no sample of noisy events: its latest weights are
    kept. `fit.watch` names another measure, or "latest" for the last weights, `fit.measures` those
    that go to the history. A classifier knows no negative weights: where there
    are any, the energy distance stands in for the AUC. Raises ConfigError for measures that cannot be taken,
    DataError for validation rows whose weights sum to nothing.
    """

    def __init__(self, run: Run, data: Data, config: FitConfig) -> None:
        self.run, self.config = run, config
        self.rows = data.judged(VALIDATE)
        self.real = self.rows.keep(self.rows.varying)  # a rare flag may not vary in so few
        self.active = len(self.real) >= LEAST
        signed = bool((self.rows.weights < 0).any())
        cheap = run.generator.has_density and not run.generator.costly_density
        averages = run.generator.averages
        auto = "log_prob" if cheap else "latest" if averages else "energy" if signed else "auc"
        self.measure = auto if config.watch == "auto" else config.watch
        self.dense = cheap or self.measure == "log_prob"
        if self.measure == "log_prob" and not run.generator.has_density:
            raise ConfigError(f"fit.watch = \"log_prob\": kind {config.kind!r} has no density to watch; use \"auc\"")
        unasked = averages and config.measures == FitConfig().measures
        wanted = [] if unasked else ["energy" if signed and name == "auc" else name for name in config.measures]
        self.measures = tuple(dict.fromkeys([*wanted, *({self.measure} - {"log_prob", "latest"})]))
        check_watchable(self.measures, signed)
        if self.active and not self.rows.weights.sum() > 0:
            raise DataError(f"the weights of the {len(self.rows)} validation rows sum to {self.rows.weights.sum():g}, "
                            "which is no sample to watch; raise prepare.validation, or set it to 0")
        self.x, self.context, self.weights = data.encode(VALIDATE)
        tested = max(1, min(len(self.real), config.watch_rows) // 2)  # rows of each class; Mann & Whitney's variance
        self.perfect = 0.5 + math.sqrt((2 * tested + 1) / (12 * tested**2))
        self.best: dict[str, Tensor] = {}
        self.state: dict[str, Any] = {"best_score": None, "best_step": 0, "since": 0}

    def look(self, loop: Loop) -> dict[str, float]:
        """Measure, and keep the weights if they are the best so far."""
        generator = loop.averaged()
        measured: dict[str, float] = {}
        if self.active:
            drawn = replace(self.run, generator=generator.cpu())
            fake = drawn.imitate(self.rows, seed=loop.step).keep(self.real.features)
            measured |= watched(self.measures, self.real, fake, self.config.watch_rows, self.run.config.seed)
        if self.active and self.dense:
            measured["log_prob"] = self.density(generator)
        if loop.objective.is_growing(loop.step):
            self.restart(loop.step, generator.state_dict())
        else:
            self.remember(self.score(measured, loop.step), loop, generator.state_dict())
        return measured

    def restart(self, step: int, state: dict[str, Tensor]) -> None:
        """Keep the latest weights of a generator that is still growing, and count nothing towards a plateau."""
        self.state = {"best_score": None, "best_step": step, "since": 0}
        self.best = contiguous(state)

    def score(self, measured: dict[str, float], step: int) -> float:
        """What the best weights have the most of; with nothing to watch, the latest are the best."""
        if self.measure not in measured:
            return float(step)
        if self.measure == "auc":
            return -max(measured["auc"], self.perfect)
        return measured["log_prob"] if self.measure == "log_prob" else -measured[self.measure]

    def density(self, generator: Any) -> float:
        """Weighted mean log density of the prepared validation rows."""
        with torch.inference_mode():
            parts = zip(torch.split(self.x, BLOCK), torch.split(self.context, BLOCK), strict=True)
            densities = torch.cat([generator.log_prob(x, context) for x, context in parts]).double()
        return float((self.weights * densities).sum() / self.weights.sum())

    def remember(self, score: float, loop: Loop, state: dict[str, Tensor]) -> None:
        """Keep weights that are at least as good as the best, and count looks without improvement."""
        best, since = self.state["best_score"], int(self.state["since"])
        if best is None or score >= best:
            self.state = {"best_score": score, "best_step": loop.step, "since": since + 1 if score == best else 0}
            self.best = contiguous(state)
        else:
            self.state["since"] = since + 1

    @property
    def plateau(self) -> bool:
        """Whether `patience` looks brought nothing better."""
        return 0 < self.config.patience <= int(self.state["since"])
