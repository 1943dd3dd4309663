"""Trainings one after another, each of which is saved on its way and done once."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from calque.checkpoints import has_checkpoint, read_checkpoint, remove_checkpoint, store
from calque.config import Config
from calque.fitting.batches import Batches
from calque.fitting.checkpoint import load_checkpoint, save_checkpoint
from calque.fitting.fit import StoppedError
from calque.fitting.loop import Loop
from calque.fitting.objective import Objective
from calque.folder import contiguous
from calque.models import Generator
from calque.progress import progress
from calque.reading.formats import first_line
from calque.seeds import derive
from calque.simulating import Progress

UNFINISHED = ".unfinished.safetensors"  # after the name of the training
EVERY = 250  # steps between checkpoints


class Rows(NamedTuple):
    """Events x (N, D) of context (N, C), drawn by weights (N,)."""

    x: Tensor
    context: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Stages:
    """Where trainings are kept, the seed of them all, and whether somebody wants to stop."""

    folder: Path | None
    seed: int
    quiet: bool
    stop: threading.Event

    def train(self, name: str, objective: Objective, rows: Callable[[], Rows], wanted: Config) -> Generator:
        """Train an objective's generator with the [fit] settings `wanted`; what was trained before is read.

        Nobody asks for `rows` then: they may take long. Raises StoppedError after Ctrl-C, DivergedError.
        """
        done = self.folder / f"{name}.safetensors" if self.folder else None
        if done is not None and done.is_file() and recall_trained(done, objective.generator):
            return objective.generator.eval().requires_grad_(False)
        trained = self.play(name, objective.train(), rows(), wanted)
        if done is not None:
            store(done, contiguous(trained.state_dict()), json.dumps({"step": wanted.fit.steps}))
            remove_checkpoint(done.with_name(name + UNFINISHED))
        return trained.requires_grad_(False)

    def play(self, name: str, objective: Objective, rows: Rows, config: Config) -> Generator:
        """The loop, from where it was interrupted."""
        fit, seed = config.fit, derive(self.seed, f"tune/{name}")
        batches = Batches(*rows, min(fit.batch, len(rows.x)), torch.device("cpu"), objective.paired)
        loop = Loop(objective, batches, fit, seed)
        torch.manual_seed(seed)
        objective.begin(loop.batches.draw)
        path = self.folder / (name + UNFINISHED) if self.folder else None
        if path is not None and has_checkpoint(path):
            load_checkpoint(path, loop)
        with progress(f"tune {name}", loop.steps, self.quiet) as bar:
            while loop.step < loop.steps:
                loop.advance()
                due = loop.step % EVERY == 0 or loop.step == loop.steps or self.stop.is_set()
                if due:
                    loop.check()
                    bar(loop.step, ", ".join(f"{key} {value:.3g}" for key, value in loop.losses().items()))
                if due and path is not None:
                    save_checkpoint(path, loop, {}, {})
                self.check(f"step {loop.step} of {loop.steps} of {name}")
        return loop.averaged()

    @contextmanager
    def simulating(self, name: str, images: int) -> Iterator[Progress]:
        """What hears how many images are done; raises StoppedError after Ctrl-C."""
        with progress(f"tune {name}", images, self.quiet) as bar:
            def told(done: float) -> None:
                bar(done)
                self.check(f"image {done:.0f} of {images} of {name}")

            yield told

    def check(self, where: str) -> None:
        """Raise StoppedError if somebody wants to stop."""
        if self.stop.is_set():
            kept = f"go on with --resume; it lies in {self.folder}" if self.folder else "nothing was kept"
            raise StoppedError(f"stopped at {where}; {kept}")


def recall_trained(path: Path, generator: Generator) -> bool:
    """Take the weights that were trained before; says whether they are whole."""
    try:
        generator.load_state_dict(read_checkpoint(path)[1])
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        warnings.warn(f"{path} is damaged ({first_line(error)}): it is trained again", stacklevel=3)
        return False
    return True
