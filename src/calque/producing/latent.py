"""The latent way into a region: its training events say where in latent space it lies; events are drawn from there."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calque.contexts import Given, draw_contexts
from calque.errors import CalqueError, ConfigError, DataError
from calque.fitting.expectation import Expectation
from calque.judging.verdict import reread
from calque.mixture import Mixture
from calque.models import GaussianMixture, Generator
from calque.preparing import TRAIN
from calque.preparing.prepare import to_draw
from calque.producing.plan import Piece
from calque.producing.regions import Picked, Region
from calque.reading.where import Where
from calque.run import Run
from calque.seeds import derive, numpy_stream, torch_stream
from calque.table import Layout, Table
from calque.threads import threads

IMPORTANCE = "importance of the draw"  # a column beside the others, for as long as events are chosen
FEWEST, MOST = 10, 20_000  # training events that are described
PILOT = 20_000  # draws for each description of what the generator makes, and for the bound
ROUNDS, COMPONENTS = 3, 8  # of such descriptions
FLOOR = 0.02  # variance that is added to each component, in units of the generator's normals
LEAST = 1e-9  # share of what a generator makes that can be looked for
CLIPPED = 0.005  # share of the region's probability that may lie above the bound


class Aimed(Generator):
    """A generator whose first normals follow a mixture of Gaussians: where in latent space a region lies.

    The others of its normals stay standard; one more chooses the component, and one whether the event is accepted.
    """

    def __init__(self, inner: Generator, description: GaussianMixture, bound: float = 1.0) -> None:
        super().__init__(inner.layout, inner.context)
        self.inner, self.description, self.bound = inner, description, bound
        self.noise, self.reach = inner.noise + 2, inner.reach

    def aim(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) → the described normals (B, L)."""
        with torch.autocast(noise.device.type, enabled=False):  # in bf16 the importance would be another point's
            return self.description.sample(noise[:, : self.description.noise], context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        latents = self.aim(noise, context)
        return self.inner.sample(torch.cat([latents, noise[:, self.description.noise : -1]], dim=1), context)

    def importance(self, latents: Tensor, context: Tensor) -> Tensor:
        """Standard normal density of latents (B, L) over the described one, and over the bound (B,)."""
        with torch.autocast(latents.device.type, enabled=False):
            normal = -0.5 * (latents.square() + math.log(2 * math.pi)).sum(1)
            return (normal - self.description.log_prob(latents, context)).double().exp() / self.bound


@dataclass
class AimedRun(Run):
    """A run that draws where a region lies, and accepts with the importance as probability; where that is 0, it is not.

    What is accepted in the region is distributed as the run's own events there.
    """

    @property
    def aimed(self) -> Aimed:
        """The generator, for a type checker."""
        assert isinstance(self.generator, Aimed)
        return self.generator

    def events(self, noise: Tensor, given: Table | None) -> Table:
        """As `Run.events`, with the importance of what is accepted; only that is decoded, the other rows repeat it."""
        importance = self.look(noise, given)[2]
        accepted = torch.special.ndtr(noise[:, self.generator.noise - 1]) < importance
        made = accepted.numpy().copy()
        made[:1] = True  # one to repeat
        table = super().events(noise[made], None if given is None else given.rows(made)).rows(made.cumsum() - 1)
        return replace(table, columns={**table.columns, IMPORTANCE: (importance * accepted).numpy()})

    def look(self, noise: Tensor, given: Table | None) -> tuple[Tensor, Tensor, Tensor]:
        """Where normals aim (N, L), with their context (N, C) and importance (N,)."""
        context = self.context.encode(given) if given is not None else torch.zeros(len(noise), 0)
        with torch.inference_mode():
            latents = self.aimed.aim(noise[:, : self.generator.noise], context)
            return latents, context, self.aimed.importance(latents, context)


class LatentRegion(Region):
    """Events in a region, drawn near it in latent space."""

    def draw(self, piece: Piece) -> Picked:
        """Draw a piece and pick what was accepted and lies in the region."""
        near = super().draw(piece)
        held = np.flatnonzero(near.table[IMPORTANCE] > 0)
        importance = near.table[IMPORTANCE][held]
        table = near.table.select([name for name in near.table.names if name != IMPORTANCE], near.table.weight)
        lost, whole = np.maximum(importance - 1, 0).sum(), np.maximum(importance, 1).sum()
        return Picked(table.rows(held), near.numbers[held], near.stop, float(lost), float(whole))


def aim_latents(region: Region, data: str | Path | None = None) -> LatentRegion:
    """The same region, drawn through latent space; the description is the same for all seeds and workers.

    Runs without a training event in the region are left out. Raises ConfigError for a generator that has no latents,
    DataError for too few training events in the region and for a generator that makes nothing there, FileError where
    the training sample is not found.
    """
    stream, where = region.stream, region.where
    with threads(1), torch.random.fork_rng(devices=[]):
        begun = [describe_training(run, where, data) for run in stream.mixture.runs]
        runs = tuple(refine(run, where, stream.given) for run in begun if run is not None)
    if not runs:
        raise DataError(f"no training event lies in {where.text!r}; use --way rejection")
    return LatentRegion(replace(stream, mixture=Mixture(runs)), where, region.first)


def describe_training(run: Run, where: Where, data: str | Path | None) -> AimedRun | None:
    """A run aimed at its training events in a region by one Gaussian; none where there are no events."""
    sample = reread(run, data) if run.data is None else run.data
    rows = sample.rows(TRAIN)
    inside = rows.rows(np.flatnonzero(where.mask(rows.columns))[:MOST])
    if not len(inside):
        return None
    if len(inside) < FEWEST:
        raise DataError(f"only {len(inside)} training events lie in {where.text!r}, at least {FEWEST} are needed to "
                        "describe it; use --way rejection")
    latents, context = encode(run, inside)
    description = describe(latents, context, to_draw(inside, sample.weights).abs(), 1, run.config.seed)
    return AimedRun(**{**vars(run), "generator": Aimed(run.generator, description).eval()})


def encode(run: Run, table: Table) -> tuple[Tensor, Tensor]:
    """Latents (N, L) and context (N, C) of events; raises ConfigError where the generator tells none."""
    packed, _ = copy.deepcopy(run.preparation).double().encode(table, numpy_stream(run.config.seed, "region"))
    context = run.context.encode(table)
    noise = torch.randn(len(packed), run.generator.noise, generator=torch_stream(run.config.seed, "region"))
    try:
        with torch.no_grad():
            return run.generator.latents(packed, context, noise), context
    except CalqueError as error:
        raise ConfigError(f"--way latent: {error}; use --way rejection") from error


def describe(latents: Tensor, context: Tensor, weights: Tensor, components: int, seed: int) -> GaussianMixture:
    """A mixture of Gaussians fitted to latents (N, L) with context (N, C) and weights (N,)."""
    torch.manual_seed(derive(seed, "describe", components))
    layout = Layout.flat([f"z{place}" for place in range(latents.shape[1])])
    mixture = GaussianMixture(layout, context.shape[1], components=components)
    Expectation(mixture, starts=1, iterations=60, floor=FLOOR).solve(latents, context, weights)
    return mixture


def refine(run: AimedRun, where: Where, given: Given | None) -> AimedRun:
    """Aim again and again at what the generator itself makes in the region, then bound the importance there."""
    inner = run.aimed.inner
    for number in range(ROUNDS):
        latents, context, importance = pilot(run, where, given, number)
        weights = importance.clamp(max=bound(importance))  # no single event may draw a component to itself
        description = describe(latents, context, weights, COMPONENTS, run.config.seed)
        run = replace(run, generator=Aimed(inner, description).eval())
    most = bound(pilot(run, where, given, ROUNDS)[2])
    return replace(run, generator=Aimed(inner, run.aimed.description, most).eval(), rate=run.rate * most)


def pilot(run: AimedRun, where: Where, given: Given | None, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, context and importance of draws in a region; raises DataError where there are (nearly) none."""
    seed, width = derive(run.config.seed, "pilot", number), run.generator.noise + run.preparation.inverse_noise
    noise = torch.randn(PILOT, width, generator=torch_stream(seed, "events"))
    contexts = None if given is None else given.block(0, PILOT)
    if given is None and run.contexts is not None:
        contexts = draw_contexts(run.contexts, PILOT, None, seed)
    held = torch.from_numpy(where.mask(Run.events(run, noise, contexts).columns).copy())
    latents, context, importance = (one[held] for one in run.look(noise, contexts))
    share = float(importance.sum()) / PILOT
    if held.sum() < FEWEST or share < LEAST:
        raise DataError(f"a share of {share:.2g} of what the generator makes lies in {where.text!r}: it has (nearly) "
                        "nothing there; widen the region, or train on it alone (read.where)")
    return latents, context, importance


def bound(importance: Tensor) -> float:
    """The importance above which a share CLIPPED of the whole is cut off.

    >>> bound(torch.tensor([1.0] * 199 + [2.0]))
    1.0
    """
    falling = importance.double().sort(descending=True).values
    above = falling.cumsum(0) - falling * torch.arange(1, len(falling) + 1)  # where this one were the bound
    return float(falling[int((above <= CLIPPED * falling.sum()).nonzero().max())])
