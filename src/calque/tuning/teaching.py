"""The trainings of a tuning: what sums an image up, who draws parameters, and the emulator where the data lie."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calque.config import Config, TuneConfig, checked
from calque.errors import DataError
from calque.fitting.emulation import Emulation
from calque.fitting.fit import build_objective
from calque.models import DenseGenerator, Generator, Regressor
from calque.run import build_generator
from calque.seeds import derive, numpy_stream, torch_stream
from calque.table import Array, Layout
from calque.tuning.question import Question
from calque.tuning.sight import BoundedParameters, EmulatedImages, Seen, Sight, correct_sight, in_parts, look_at
from calque.tuning.stages import Rows, Stages
from calque.tuning.trainings import settings

NARROW: dict[str, Any] = {"latent": 0, "layers": 2, "base": 128, "shape": "flat", "norm": "none", "dropout": 0.0,
                          "activation": "silu", "skip": True}
HELD = 4  # one of so many images near the data corrects, the others teach
KNOWN = 0.25  # share of a batch that comes from all of the parameters' space


@dataclass
class Teaching:
    """A question, how to answer it, and the simulations near the data that were made on the way."""

    question: Question
    config: TuneConfig
    stages: Stages
    near: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # images and encoded parameters

    def first_sight(self) -> Sight:
        """The emulator as it is, and a network that learns parameters from what the emulator learnt from."""
        asked = self.question
        shape = asked.run.preparation.layout.shapes[0]
        with self.initial("summary"):
            network = Regressor(Layout.flat(asked.names), asked.data.shape[1], shape=shape)
        summary = self.summarise("summary", network, settings(self.config, "summary"))
        emulator = copy.deepcopy(asked.run.generator).eval().requires_grad_(False)
        return self.shortcut("shortcut", look_at(emulator, summary, asked.data))

    def summarise(self, name: str, network: Generator, wanted: Config) -> Generator:
        """Teach a network the parameters of images."""
        def rows() -> Rows:
            images, parameters, weights = self.sample()
            return Rows(parameters, images, weights)

        return self.stages.train(name, Emulation(network), rows, wanted)

    def sample(self) -> Rows:
        """Images of encoded parameters, all simulations: a quarter from everywhere, the rest near."""
        everywhere = (self.question.simulated, self.question.parameters)
        if not self.near:
            return Rows(*everywhere, torch.ones(len(everywhere[0])))
        images, parameters = (torch.cat(parts) for parts in zip(everywhere, *self.near, strict=True))
        known, close = len(everywhere[0]), len(parameters) - len(everywhere[0])
        weights = torch.cat([torch.full((known,), KNOWN / known), torch.full((close,), (1 - KNOWN) / close)])
        return Rows(images, parameters, weights)

    def tuner(self, name: str, sight: Sight, weights: Tensor) -> BoundedParameters:
        """A generator of parameters whose images look like the data, of which rows count by weights (N,).

        The critic sees summaries of images, or the images themselves (`tune.critic`).
        """
        asked, wanted = self.question, settings(self.config, "fit")
        images_critic = self.config.critic == "images"
        seen_as = EmulatedImages if images_critic else Seen
        with self.initial(name):
            parameters = build_generator(wanted, Layout.flat(asked.names), 0)
            objective = build_objective(wanted, seen_as(parameters, sight, asked.low, asked.high))

        def rows() -> Rows:
            shown = asked.data if images_critic else sight.all_of(asked.data)
            return Rows(shown, shown[:, :0], weights)

        trained = self.stages.train(name, objective, rows, wanted)
        assert isinstance(trained, BoundedParameters)
        return trained

    def nearer(self, number: int, sight: Sight, tuner: BoundedParameters) -> Sight:
        """Look closer where the data seem to lie: images there teach the networks, and others correct what is left.

        They are simulated and teach the emulator too, or emulated, where it is frozen.
        """
        parameters, images = self.imagine(number, sight, tuner)
        held = torch.arange(len(parameters)) // self.repeat % HELD == 0
        self.near.append((images[~held], parameters[~held]))
        refine = settings(self.config, "refine")
        summary = self.summarise(f"summary-{number}", movable(sight.summary), refine)
        emulator = self.emulate(f"emulator-{number}", sight.emulator, refine)
        closer = self.shortcut(f"shortcut-{number}", look_at(emulator, summary, self.question.data))
        noise = self.normals(f"correct-{number}", int(held.sum()), closer.of_image)
        return correct_sight(closer, parameters[held], images[held], noise)

    @property
    def frozen(self) -> bool:
        """Whether the emulator is taken as it is."""
        return self.config.frozen or self.question.simulator is None

    @property
    def repeat(self) -> int:
        """Images for each parameter vector: two where the emulator learns from pairs."""
        return 1 if self.frozen or not self.question.run.config.fit.objective.get("adversary") else 2

    def emulate(self, name: str, emulator: Generator, wanted: Config) -> Generator:
        """The emulator taught on, as it was taught, unless it is frozen."""
        if self.frozen:
            return emulator
        fit = self.question.run.config.fit
        objective = Emulation(movable(emulator), **checked("fit.objective", Emulation, fit.objective))
        return self.stages.train(name, objective, self.sample, wanted)

    def shortcut(self, name: str, sight: Sight) -> Sight:
        """The same sight by way of a small network, unless images are wanted at every step."""
        wanted = settings(self.config, "shortcut")
        if not wanted.fit.steps:
            return sight

        def rows() -> Rows:
            _, parameters, weights = self.sample()
            noise = self.normals(name, len(parameters), sight.of_image)
            return Rows(in_parts(sight.emulated, parameters, noise), parameters, weights)

        with self.initial(name):
            network = DenseGenerator(Layout.flat(self.question.names), len(self.question.names), **NARROW)
        return replace(sight, shortcut=self.stages.train(name, Emulation(network), rows, wanted))

    def imagine(self, number: int, sight: Sight, tuner: BoundedParameters) -> tuple[Tensor, Tensor]:
        """Encoded parameters that a tuner draws, and images of them."""
        wanted = self.config.simulations // self.repeat
        with torch.no_grad():
            chosen = tuner.chosen(self.normals(f"imagine-{number}", 2 * wanted, tuner.noise))
        vectors = self.question.physical(chosen)[:wanted].repeat(self.repeat, axis=0)
        if len(vectors) < wanted / 2:
            raise DataError(f"the simulator can draw only {len(vectors)} of {2 * wanted} parameter vectors that seem "
                            "to make the data; its rule leaves the others out")
        vectors, images = self.pictures(f"simulations-{number}", sight, vectors)
        return self.question.encode(vectors), images

    def pictures(self, name: str, sight: Sight, vectors: Array) -> tuple[Array, Tensor]:
        """Physical parameters (N, P) and their images (N, D), emulated or simulated."""
        if self.frozen:
            noise = self.normals(name, len(vectors), sight.emulator.noise)
            return vectors, in_parts(sight.emulator.sample, noise, self.question.encode(vectors))
        return self.simulated(name, vectors)

    def simulated(self, name: str, vectors: Array) -> tuple[Array, Tensor]:
        """Physical parameters (N, P) and their simulated images (N, D).

        What was simulated before is read, parameters and all: a processor may round those of now another way.
        """
        cache = None if self.stages.folder is None else self.stages.folder / f"{name}.h5"
        if cache is not None and cache.is_file():
            return self.question.simulated_before(cache)
        with self.stages.simulating(name, len(vectors)) as told:
            return vectors, self.question.simulate(vectors, derive(self.stages.seed, f"tune/{name}"), cache, told)

    @contextmanager
    def initial(self, name: str) -> Iterator[None]:
        """Initial weights of a training are a function of the seed and its name."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.stages.seed, f"tune/initial {name}"))
            yield

    def normals(self, name: str, rows: int, width: int) -> Tensor:
        """Standard normals of a purpose (rows, width)."""
        return torch.randn(rows, width, generator=torch_stream(self.stages.seed, f"tune/{name}"))

    def resampled(self, number: int) -> Tensor:
        """How often each row of the data counts for one member (N,): drawn with replacement."""
        rows = len(self.question.data)
        counts = numpy_stream(self.stages.seed, "tune/bootstrap", number).multinomial(rows, np.full(rows, 1 / rows))
        return torch.from_numpy(counts.astype(np.float32))


def movable(network: Generator) -> Generator:
    """A copy that can be taught."""
    return copy.deepcopy(network).train().requires_grad_(True)
