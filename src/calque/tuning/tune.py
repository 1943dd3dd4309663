"""Find the distribution of parameters that made the data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calque.atomic import check_folder, write_bytes
from calque.config import TuneConfig, merge
from calque.config import build as build_config
from calque.errors import ConfigError, FileError
from calque.fitting.fit import stopping
from calque.fitting.teacher import credentials
from calque.folder import CONFIG, lock_training
from calque.judging.verdict import reread
from calque.run import Run, load_run
from calque.simulating.opening import open_simulator
from calque.simulating.parametric import Parametric
from calque.table import Table
from calque.threads import threads
from calque.tuning.answer import answer
from calque.tuning.page import origin_of, save_page
from calque.tuning.question import pose, require_emulator
from calque.tuning.sight import BoundedParameters, Sight
from calque.tuning.stages import Stages
from calque.tuning.teaching import Teaching
from calque.tuning.trainings import check_settings
from calque.tuning.truth import with_truth
from calque.tuning.tuned import Tuned

STAGES, SETTINGS = "stages", "tune.json"


def tune(
    run: Run | str | Path,
    data: Table | str | Path,
    *,
    out: str | Path | None = None,
    simulator: Parametric | None = None,
    known: Table | None = None,
    seed: int = 0,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Tuned:
    """Find the distribution of parameters whose images look like the data, through an emulator of the simulation.

    `run` is the emulator, `data` a table or file with its image column (Alonso-Monsalve & Whitehead 2018,
    arXiv:1812.00879, stage 2). A generator of parameters plays against a critic; between them stand the emulator and
    a network that sums an image up. In each of `rounds` both learn from `simulations` made where the data seem to lie,
    and what they still lack there is corrected; that takes the run's [simulate], or a `simulator`. Without one, or
    `frozen`, the emulator stays as it is. Then `members`, each with its own seed and its own resampling of the data,
    are trained: their spread is the error.
    `settings` are those of the TOML's [tune] table. With `out` the answer is kept in a folder, with a page to look at,
    and `resume` goes on with one that was interrupted. `known` are the emulator's simulations, where its inputs moved.
    Columns of the data that are named like the parameters are the truth: compared with the answer, not used for it.
    Raises ConfigError, DataError, FileError, StoppedError.
    """
    run = run if isinstance(run, Run) else load_run(Path(run))
    require_emulator(run)
    folder = Path(out) if out is not None else None
    config = build_config({"tune": merge(run.config.tune.model_dump(), settings)}, "calque.tune").tune
    opened = simulator or (open_simulator(run.config.simulate) if run.config.simulate else None)
    with torch.random.fork_rng(devices=[]):
        check_settings(config, run, config.frozen or opened is None)
    with lock_training(folder):
        return tune_locked(run, data, folder, config, opened, known, seed, resume, quiet)


def tune_locked(run: Run, data: Table | str | Path, folder: Path | None, config: TuneConfig,
                opened: Parametric | None, known: Table | None, seed: int, resume: bool, quiet: bool) -> Tuned:
    """What `tune` does in a folder that no other process tunes in."""
    if folder is not None:
        check_place(folder, resume)
    images, truth = with_truth(data, run.preparation.columns, run.context.names)
    question = pose(run, images, known or (run.data or reread(run)).table, opened)
    if folder is not None:
        claim(folder, run, config, images, seed)
    with threads(1), torch.random.fork_rng(devices=[]), stopping() as stop:
        stages = Stages(folder / STAGES if folder else None, seed, quiet, stop)
        teaching = Teaching(question, config, stages)
        sight, members = learn(teaching)
        tuned = answer(teaching, sight, members, truth)
        if folder is not None and config.plots:
            source = str(data) if not isinstance(data, Table) else data.source
            save_page(folder, tuned, teaching, sight, origin_of(teaching, tuned, source, hash_of(images)))
    if folder is not None:
        tuned.save(folder)
    return tuned


def learn(teaching: Teaching) -> tuple[Sight, list[BoundedParameters]]:
    """All the trainings: how parameters look in the end, and those that draw them."""
    sight = teaching.first_sight()
    evenly = torch.ones(len(teaching.question.data))
    for number in range(teaching.config.rounds):
        sight = teaching.nearer(number, sight, teaching.tuner(f"tuner-{number}", sight, evenly))
    return sight, [teaching.tuner(f"member-{number}", sight, teaching.resampled(number))
                   for number in range(teaching.config.members)]


def check_place(folder: Path, resume: bool) -> None:
    """Raise FileError for a folder that cannot be written to, or holds something else."""
    check_folder(folder)
    if (folder / CONFIG).is_file() and not (folder / SETTINGS).is_file():
        raise FileError(f"{folder} holds a run; choose another folder with --out")
    if (folder / SETTINGS).is_file() and not resume:
        raise FileError(f"{folder} holds a tuning already; go on with --resume, or choose another folder with --out")


def claim(folder: Path, run: Run, config: TuneConfig, images: Table, seed: int) -> None:
    """Take a folder for a tuning; raises ConfigError rather than mix it with another."""
    wanted = {"tune": config.model_dump(exclude={"plots"}), "seed": seed, "emulator": credentials(run)["weights"],
              "images": hash_of(images)}
    if (folder / SETTINGS).is_file():
        before = read_json(folder / SETTINGS, "remove it and resume, or choose another folder with --out")
        # settings that did not exist when it was begun had their defaults
        before["tune"] = TuneConfig.model_validate(before["tune"]).model_dump(exclude={"plots"})
        changed = next((name for name, value in wanted.items() if before.get(name) != value), None)
        if changed == "tune":
            changed = next((f"tune.{name}" for name, value in wanted["tune"].items()
                            if before["tune"].get(name) != value), changed)
        if changed:
            raise ConfigError(f"{folder} was begun with another {changed}; resume with the same, or choose another "
                              "folder with --out")
    write_bytes(folder / SETTINGS, json.dumps(wanted, indent=1))


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A table of plain values; raises FileError where it is damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise FileError(f"{path} is damaged; {remedy}") from error


def hash_of(images: Table) -> str:
    """What identifies images."""
    digest = hashlib.sha256()
    for column in images.columns.values():
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
