"""What is asked: an emulator, images without parameters, and the space the parameters are sought in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calque.errors import ConfigError, DataError
from calque.models.drawing import the_image
from calque.preparing import Context
from calque.reading import read
from calque.run import Run
from calque.seeds import numpy_stream
from calque.simulating import Progress
from calque.simulating.parametric import IMAGE, Parametric
from calque.table import Array, Table

LEAST = 100  # images, below which there is no distribution to speak of


@dataclass(frozen=True)
class Question:
    """Encoded images of the data (N, D), and of simulations (M, D) with their encoded parameters (M, P)."""

    run: Run
    data: Tensor
    simulated: Tensor
    parameters: Tensor
    low: Tensor
    high: Tensor
    simulator: Parametric | None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters."""
        return self.run.context.names

    def encode(self, parameters: Array) -> Tensor:
        """Physical parameters (N, P) as the emulator takes them."""
        return self.run.context.encode(Table.of(dict(zip(self.names, parameters.T, strict=True))))

    def decode(self, parameters: Tensor) -> Array:
        """Encoded parameters (N, P) as physical ones."""
        shift, scale = scales(self.run.context)
        return np.asarray(parameters.double().numpy() * scale + shift)

    def physical(self, parameters: Tensor) -> Array:
        """Those of encoded parameters (N, P) that the simulator can simulate, in physical units."""
        if self.simulator is None:
            return self.decode(parameters)
        order, back = self.order, np.argsort(self.order)
        vectors = np.clip(self.decode(parameters)[:, order], self.simulator.low, self.simulator.high)
        return np.asarray(vectors[self.simulator.inside(vectors)][:, back])

    def simulate(self, vectors: Array, seed: int, cache: Path | None = None,
                 progress: Progress | None = None) -> Tensor:
        """Simulated images (N, D) of physical parameters (N, P), as the emulator makes them."""
        if self.simulator is None:
            raise ConfigError("there is no simulator; name one in [simulate]")
        return self.as_data(self.simulator.images(vectors[:, self.order], seed, progress, cache))

    def simulated_before(self, cache: Path) -> tuple[Array, Tensor]:
        """Physical parameters (N, P) and images (N, D) that a file keeps."""
        kept = read(cache, columns=[*self.names, IMAGE])
        return np.stack([kept[name] for name in self.names], 1), self.as_data(kept[IMAGE])

    def as_data(self, images: Array) -> Tensor:
        """Simulated images as the emulator makes them (N, D)."""
        return encode_images(self.run, Table.of({self.run.preparation.columns[0]: images}))

    @property
    def order(self) -> list[int]:
        """Where the simulator's parameters stand among the emulator's."""
        return [] if self.simulator is None else [self.names.index(name) for name in self.simulator.names]


def require_emulator(run: Run) -> None:
    """Raise ConfigError for a run that makes no image of continuous parameters, before anything is read."""
    asked, names = f"{run.folder or 'the run'} (kind {run.config.fit.kind!r})", run.context.names
    if not names or any(condition.levels for condition in run.context.conditions):
        raise ConfigError(f"{asked} is no emulator with continuous parameters (its contexts: "
                          f"{', '.join(names) or 'none'}); name the parameters in prepare.context and fit it")
    the_image(run.preparation.layout, f"an emulator, which {asked} is not,")


def pose(run: Run, data: Table, simulations: Table, simulator: Parametric | None) -> Question:
    """Put a question; `simulations` have what the emulator learnt from.

    Raises ConfigError for a run that is no emulator or a simulator of other parameters, DataError for images that do
    not fit.
    """
    require_emulator(run)
    names, column = run.context.names, run.preparation.columns
    if simulator is not None and set(simulator.names) != set(names):
        raise ConfigError(f"the simulator {simulator.name!r} has the parameters {', '.join(simulator.names)}, the "
                          f"emulator {', '.join(names)}")
    data.require(column)
    known = {name: simulations[name].shape[1:] for name in column}
    for name, shape in known.items():
        if data[name].shape[1:] != shape:
            raise DataError(f"column {name!r} of {data.source} holds events of shape {data[name].shape[1:]}; "
                            f"the emulator makes {shape}")
    check_images(data.select(column))
    parameters = run.context.encode(simulations)
    low, high = bounds(run.context, simulator, parameters)
    return Question(run, encode_images(run, data), encode_images(run, simulations), parameters, low, high, simulator)


def check_images(data: Table) -> None:
    """Raise DataError for images that hold no numbers, and for too few."""
    for name, rows in data.nonfinite().items():
        raise DataError(f"column {name!r} of {data.source} is not finite in {len(rows)} of {len(data)} events (first "
                        f"rows {rows[:3].tolist()}); leave them out")
    if len(data) < LEAST:
        raise DataError(f"{data.source} has {len(data)} events; a distribution of parameters takes {LEAST} or more")


def bounds(context: Context, simulator: Parametric | None, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded bounds of the parameters: the simulator's space, else what was simulated."""
    if simulator is None:
        return parameters.amin(0), parameters.amax(0)
    shift, scale = scales(context)
    order = [simulator.names.index(name) for name in context.names]  # the other way round than in Question
    ends = (torch.from_numpy((end[order] - shift) / scale).float() for end in (simulator.low, simulator.high))
    return next(ends), next(ends)


def scales(context: Context) -> tuple[Array, Array]:
    """Shift and scale (P,) of continuous contexts."""
    return (np.array([condition.shift for condition in context.conditions]),
            np.array([condition.scale for condition in context.conditions]))


def encode_images(run: Run, table: Table) -> Tensor:
    """A table's events as the run's generator makes them, float32 (N, D)."""
    return run.preparation.encode(table, numpy_stream(run.config.seed, "tune/dequantise"))[0]
