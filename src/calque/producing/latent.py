"""A region of latent space: training events are encoded, described there, drawn there and decoded."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from calque.contexts import own_contexts
from calque.errors import DataError
from calque.fitting.expectation import Expectation
from calque.models import GaussianMixture, Generator
from calque.preparing import TRAIN, Data
from calque.preparing.prepare import to_draw
from calque.reading.where import Where
from calque.run import Run
from calque.seeds import derive, numpy_stream
from calque.table import Layout

FEWEST = 20  # training events that can be described
EACH = 100  # training events for a component
MOST = 16  # components
FLOOR = 0.02  # variance that is added to each component


class Aimed(Generator):
    """A generator whose first normals follow a description of where a region lies, in place of a standard normal."""

    def __init__(self, inner: Generator, description: GaussianMixture) -> None:
        super().__init__(inner.layout, inner.context)
        self.inner, self.description = inner, description
        self.noise, self.reach = inner.noise + 1, inner.reach  # one more chooses the component

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        return self.description.sample(normals[:, : self.description.noise], context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        latent = self.description.sample(noise[:, : self.description.noise], context)
        return self.inner.sample(torch.cat([latent, noise[:, self.description.noise :]], 1), context)

    def log_weight(self, noise: Tensor, context: Tensor) -> Tensor:
        latent = self.description.sample(noise[:, : self.description.noise], context)
        return torch.distributions.Normal(0, 1).log_prob(latent).sum(1) - self.description.log_prob(latent, context)


def aimed_at(run: Run, where: Where, data: Data, components=None, floor=FLOOR) -> Run:
    rows = np.flatnonzero(data.part == TRAIN)
    table = data.table.rows(rows)
    held = where.mask(table.columns)
    inside = table.rows(held)
    master = copy.deepcopy(run.preparation).double()
    x, _ = master.encode(inside, numpy_stream(run.config.seed, "region"))
    context, weights = run.context.encode(inside), to_draw(inside, data.weights)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(derive(run.config.seed, "region"))
        latents = run.generator.latents(x, context, torch.randn(len(x), run.generator.noise))
        count = components or max(1, min(MOST, len(x) // EACH))
        description = GaussianMixture(Layout.flat([f"z{i}" for i in range(latents.shape[1])]), context.shape[1], components=count)
        Expectation(description, floor=floor).solve(latents, context, weights)
    share = weights.sum() / to_draw(table, data.weights).sum()
    contexts = own_contexts(replace(data, table=inside, part=np.full(len(inside), TRAIN, np.uint8)))
    return replace(run, generator=Aimed(run.generator, description.eval()), contexts=contexts, rate=run.rate * float(share))
