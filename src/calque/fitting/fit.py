"""Train a generator on a prepared sample: the third word."""

from __future__ import annotations

import platform
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calque import __version__
from calque.checkpoints import has_checkpoint
from calque.config import Config, FitConfig, check_used, checked, merge
from calque.config import build as build_config
from calque.errors import CalqueError, ConfigError, DataError
from calque.fitting.adversarial import Adversarial
from calque.fitting.batches import Batches
from calque.fitting.checkpoint import load_checkpoint, save_checkpoint
from calque.fitting.claims import claim
from calque.fitting.deviance import Deviance
from calque.fitting.distillation import Distillation
from calque.fitting.emulation import Emulation
from calque.fitting.expectation import Expectation
from calque.fitting.history import Board, History, scalars, until
from calque.fitting.informative import Informative
from calque.fitting.likelihood import Likelihood
from calque.fitting.loop import Loop
from calque.fitting.matching import Matching
from calque.fitting.objective import Objective
from calque.fitting.quantising import Quantising
from calque.fitting.showing import Showing, check_showing
from calque.fitting.teacher import Teacher, credentials, described, find_teacher, for_student
from calque.fitting.variational import Variational
from calque.fitting.watch import Watch
from calque.folder import BOARD, CHECKPOINT, HISTORY, lock_training, read_history
from calque.kinds import KINDS, find_kind
from calque.models import Generator
from calque.preparing import TRAIN, Data
from calque.progress import progress
from calque.run import Run, build_generator, building, new_run
from calque.seeds import derive
from calque.threads import choose_device, threads

OBJECTIVES: dict[str, type[Objective]] = {
    "adversarial": Adversarial, "variational": Variational, "informative": Informative, "quantising": Quantising,
    "likelihood": Likelihood, "expectation": Expectation,
    "matching": Matching, "distillation": Distillation, "emulation": Emulation, "deviance": Deviance,
}


class StoppedError(CalqueError):
    """Ctrl-C: the training is saved and can go on."""


def fit(
    data: Data,
    kind: str | None = None,
    *,
    out: str | Path | None = None,
    config: Config | None = None,
    teacher: Teacher | None = None,
    resume: bool = False,
    quiet: bool = False,
    inputs: Sequence[Mapping[str, Any]] = (),
    **settings: Any,
) -> Run:
    """Train a generator on prepared rows and return the run; with `out` it is kept in a folder.

    `settings` are those of the TOML's [fit] table: `fit(data, "gan", steps=1000, optimiser={"rate": 1e-4})`.
    `teacher` is what a student learns from: a run, the folder of one, or the settings to train it with first.
    With `resume` a training that was stopped or killed goes on and ends with the same weights. `inputs` are the
    fingerprints of the files the rows came from, for the provenance.
    Raises ConfigError, DataError, FileError, DivergedError, StoppedError.
    """
    own = {} if teacher is None else {"teacher": described(teacher)}
    config = settle(data, kind, out, config, {**settings, **own})
    check_used(config.fit)
    folder = Path(out) if out is not None else None
    check_showing(config.fit.show_every, folder)
    device = choose_device(config.fit.device)
    with lock_training(folder), threads(config.fit.threads), torch.random.fork_rng(devices=[]):
        taught = OBJECTIVES[find_kind(config.fit.kind).objective].taught
        tutor = find_teacher(config, taught, teacher, data, lambda wanted: fit(
            data, config=wanted, out=wanted.out if folder else None, resume=resume, quiet=quiet, inputs=inputs))
        config = for_student(config, tutor) if tutor else config
        torch.manual_seed(derive(config.seed, "initial weights"))
        generator = build_generator(config, data.preparation.layout, data.context.size)
        objective = build_objective(config, generator).to(device)
        run = new_run(config, data, generator)
        run.provenance["inputs"] = list(inputs)
        if tutor:
            objective.learn_from(tutor.generator, device)
            run.provenance["teacher"] = credentials(tutor)
        train(run, objective, data, folder, device, resume, quiet)
        if folder is not None:
            run.save(folder)
    return run


def settle(data: Data, kind: str | None, out: str | Path | None, config: Config | None,
           settings: Mapping[str, Any]) -> Config:
    """The complete configuration of a fit called from Python or from a file."""
    over = {**settings, "weights": data.weights, **({"kind": kind} if kind else {})}
    if settings.get("weights", data.weights) != data.weights:
        raise ConfigError(f"the sample was prepared with weights = {data.weights!r}; prepare it with "
                          f"weights = {settings['weights']!r}")
    base = config.with_kind(kind, settings.get("preset")) if config else {"seed": data.seed}
    raw = merge(base, {"fit": over, **({"out": str(out)} if out else {})})
    if data.table.weight and not raw.get("read", {}).get("weight"):
        raw = merge(raw, {"read": {"weight": data.table.weight}})
    return build_config(raw, "calque.fit")


def build_objective(config: Config, generator: Generator) -> Objective:
    """The objective that belongs to a kind."""
    make = OBJECTIVES[find_kind(config.fit.kind).objective]
    settings = checked(f"kind {config.fit.kind!r} (fit.objective)", make, config.fit.objective)
    with building(f"an objective of kind {config.fit.kind!r}", "fit.objective", config.fit.objective):
        made = make(generator, **settings)
    made.plan(config.fit.steps)
    return made


def check_reach(generator: Generator, x: Tensor) -> None:
    """Raise ConfigError where training rows lie beyond what a generator can put out."""
    low, high = generator.reach
    if len(x) and (x.min() < low - 1e-4 or x.max() > high + 1e-4):
        raise ConfigError(f"prepared columns go from {x.min():.3g} to {x.max():.3g}, but this generator's output "
                          f"stays in [{low:g}, {high:g}]; end with the step 'minmax * low={low:g} "
                          f"high={min(high, 1):g}', or "
                          "choose fit.model.output = \"linear\" (gan), fit.model.likelihood = \"gaussian\" (vae)")


def check_signs(objective: Objective, weights: Tensor, kind: str) -> None:
    """Raise DataError where an objective cannot subtract the rows that have negative weights."""
    negative = int((weights < 0).sum())
    if negative and not objective.signed:
        able = ", ".join(name for name, other in KINDS.items() if other.signed)
        why = f" ({objective.unsound})" if objective.unsound else ""
        raise DataError(f"{negative} of {len(weights)} training weights are negative, which kind {kind!r} cannot "
                        f"subtract{why}; these can: {able}; fit.weights = \"column\" learns the weights")


def fit_batch(config: FitConfig, rows: int) -> int:
    """Events of a batch: a few rows make a small one, with a note; more than the usual ones were asked for."""
    if rows < config.batch <= FitConfig().batch:
        warnings.warn(f"fit: a batch of {rows} events, as so many rows train; fit.batch = {config.batch} takes more "
                      "rows", stacklevel=2)
        return rows
    return config.batch


def train(run: Run, objective: Objective, data: Data, folder: Path | None, device: torch.device, resume: bool,
          quiet: bool) -> None:
    """Loop until the steps are done or the figure of merit stands still; the run gets the best weights."""
    config = run.config.fit
    objective.train()
    x, context, weights = data.encode(TRAIN)
    check_reach(run.generator, x)
    check_signs(objective, weights, config.kind)
    batch = fit_batch(config, len(x)) if objective.turns else 0
    loop = Loop(objective, Batches(x, context, weights, batch, device, objective.paired), config, run.config.seed)
    watch = Watch(run, data, config)
    claim(run, folder, resume)  # only now: what cannot be trained leaves no folder behind
    begun, before, entries = time.monotonic(), 0.0, []
    torch.manual_seed(derive(run.config.seed, "begin"))
    objective.begin(loop.batches.draw)
    checkpoint = folder / CHECKPOINT if folder else None
    if resume and checkpoint and has_checkpoint(checkpoint):
        counters, watch.best = load_checkpoint(checkpoint, loop)
        watch.state, before = counters["watch"], counters.get("seconds", 0.0)
        entries = until(list(read_history(folder)), loop.step) if folder else []
    showing = Showing(watch, data, folder) if folder and config.show_every else None
    board = Board(folder / BOARD, loop.step) if folder and config.tensorboard else None
    history = History(folder / HISTORY if folder else None, entries, board)
    with stopping() as stop, progress(f"fit {config.kind}", loop.steps, quiet) as bar:
        while loop.step < loop.steps and not watch.plateau:
            if objective.turns:
                loop.advance()
            else:
                loop.solve(weights)
            due = loop.step % config.watch_every == 0 or loop.step == loop.steps
            keep = checkpoint and (stop.is_set() or due or loop.step % config.checkpoint_every == 0)
            if due or keep:
                loop.check()
            if due:
                entry = {"step": loop.step, **loop.losses(), **loop.diagnostics(), **watch.look(loop)}
                history.append(entry)
                bar(loop.step, ", ".join(f"{key} {value:.3g}" for key, value in scalars(entry).items()))
            if showing and showing.is_due(loop):
                showing.show(loop, history.entries)
            if checkpoint and keep:
                seconds = before + time.monotonic() - begun
                save_checkpoint(checkpoint, loop, {"watch": watch.state, "seconds": seconds}, watch.best)
            if stop.is_set():
                raise StoppedError(f"stopped at step {loop.step} of {loop.steps}; "
                                  + (f"go on with --resume; it lies in {folder}" if folder else "nothing was kept"))
    if showing:
        showing.finish(loop)
    finish(run, loop, watch, history, device, before + time.monotonic() - begun)


def finish(run: Run, loop: Loop, watch: Watch, history: History, device: torch.device, seconds: float) -> None:
    """Give the run its best weights and say where they come from."""
    generator = loop.averaged().cpu()
    if watch.best:
        generator.load_state_dict(watch.best)
    run.generator, run.history = generator, history.entries
    run.provenance = {
        "versions": {"calque": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "python": platform.python_version(), "machine": platform.machine(), "device": str(device),
        "threads": torch.get_num_threads(), "seed": run.config.seed, "steps": loop.step,
        "best_step": watch.state["best_step"], "fit_seconds": round(seconds, 2), **run.provenance,
    }


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Catch Ctrl-C between two steps, so that what is saved is whole."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
