"""From trained tuners to an answer: draws of parameters, and whether their images are the data's."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import numpy as np
import torch
from torch import Tensor

from calque.judging.merit import Merit, figure_of_merit
from calque.preparing import Context, Preparation
from calque.preparing.preparation import build_step
from calque.run import Run
from calque.seeds import derive, torch_stream
from calque.table import Array, Table
from calque.tuning.sight import BoundedParameters, Sight
from calque.tuning.teaching import Teaching
from calque.tuning.trainings import settings
from calque.tuning.tuned import DRAWS, Tuned

COMPARED = 5_000  # images that are compared with as many of the data
COMPONENTS = 16  # of the images, beside their summaries, that the comparison sees


def answer(teaching: Teaching, sight: Sight, members: Sequence[BoundedParameters], truth: Table | None = None) -> Tuned:
    """Draw from the members and compare what they draw with the data, and one half of the data with the other."""
    asked, seed = teaching.question, teaching.stages.seed
    runs = [as_run(teaching, member) for member in members]
    draws = tuple(run.sample(DRAWS, seed=derive(seed, "tune/draws", number)) for number, run in enumerate(runs))
    rows, _, images = imagined(teaching, sight, draws)
    merit = compared(sight, asked.data[rows], images, seed)
    half = asked.data[torch.randperm(len(asked.data), generator=torch_stream(seed, "tune/halves"))]
    floor = compared(sight, half[::2][:COMPARED], half[1::2][:COMPARED], seed)
    return Tuned(asked.names, draws, runs, len(asked.data), (merit.auc, merit.auc_error),
                 "emulated" if teaching.frozen else "simulated", (floor.auc, floor.auc_error), truth)


def imagined(teaching: Teaching, sight: Sight, draws: Sequence[Table]) -> tuple[Tensor, Array, Tensor]:
    """Rows (N,) of the data, as many parameters (N, P) drawn from all members alike, and their images (N, D)."""
    asked, seed = teaching.question, teaching.stages.seed
    vectors = asked.encode(np.concatenate([np.stack([t[name] for name in asked.names], 1)[:COMPARED] for t in draws]))
    stream = torch_stream(seed, "tune/compare")
    vectors = vectors[torch.randperm(len(vectors), generator=stream)]
    rows = torch.randperm(len(asked.data), generator=stream)[:COMPARED]
    able, images = teaching.pictures("compare", sight, asked.physical(vectors[: len(rows)]))
    return rows[: len(images)], able, images


def as_run(teaching: Teaching, member: BoundedParameters) -> Run:
    """A generator of parameters that is saved, loaded and drawn from like any other."""
    asked = teaching.question
    low, high = (asked.decode(end[None])[0] for end in (asked.low, asked.high))
    ends = {name: {"low": repr(a), "high": repr(b)}
            for name, a, b in zip(asked.names, low.tolist(), high.tolist(), strict=True)}
    steps = [" ".join(["logit", quote(name), *(f"{key}={value}" for key, value in bounds.items())])
             for name, bounds in ends.items()]
    config = settings(teaching.config, "fit")
    config = config.model_copy(update={"seed": teaching.stages.seed,
                                       "prepare": config.prepare.model_copy(update={"steps": steps})})
    fitted = [build_step("logit", (name,), None, bounds) for name, bounds in ends.items()]
    units = {name: unit for name, unit in asked.run.preparation.units.items() if name in asked.names}
    preparation = Preparation(fitted, asked.names, dict.fromkeys(asked.names, "float64"), units, {})
    return Run(config, member.parameters_of.eval(), preparation.float(), Context(), None, 1.0,
               part=np.zeros(0, np.uint8))


def compared(sight: Sight, data: Tensor, made: Tensor, seed: int) -> Merit:
    """A classifier between two sets of images: it sees summaries and the largest principal components."""
    both = torch.cat([data, made])
    with torch.random.fork_rng(devices=[]):  # the components are found by chance directions
        torch.manual_seed(derive(seed, "tune/components"))
        axes = torch.pca_lowrank(both, min(COMPONENTS, *both.shape), niter=4)[2]
    tables = []
    for images in (data, made):
        seen = torch.cat([sight.all_of(images), images @ axes], 1).numpy()
        tables.append(Table.of({f"f{number}": column for number, column in enumerate(seen.T)}))
    return figure_of_merit(tables[0], tables[1], seed=seed)
