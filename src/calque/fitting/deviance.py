"""Learning the mean of noisy, unbiased estimates of a non-negative response."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from calque.errors import ConfigError, DataError
from calque.fitting.objective import Batch, Objective
from calque.models import Generator
from calque.models.response import Response

LOOKED_AT = 20_000  # rows that tell where the detectors are
SURE = 5  # standard errors of a mean


class Deviance(Objective):
    """Lowers a deviance of responses v from the learnt mean m, whose slope in m is (m − v) / V(m).

    The lowest point of every such deviance is the mean of v, whatever the noise (Wedderburn 1974), which counts and
    averages of few photons need: an absolute or a logarithmic distance would find a median or a mean logarithm
    instead, far below the mean where most estimates are nearly zero. V is best the noise's variance. Here
    1/V = 1/(m (m + f)) + 1/(m b), f = `floor` and b = `bright` times the mean response: errors count in relation to m
    between f and b, as gamma's deviance has it, in relation to √m, as in counts, below f, and again above b, where few
    photons say much. The weight is of m, never of v or of its estimated error: those are small together, and a
    mean with such weights is too small.
    """

    generator: Response

    def __init__(self, generator: Generator, *, floor: float = 0.1, bright: float = 2.0) -> None:
        super().__init__(generator)
        if not isinstance(generator, Response):
            raise ConfigError(f"a deviance is of a mean response, and a {type(generator).__name__} draws events")
        if floor <= 0 or bright <= 0:
            raise ConfigError(f"floor = {floor:g} and bright = {bright:g}, in mean responses, have to be above zero")
        self.floor, self.bright = floor, bright

    @torch.no_grad()
    def begin(self, draw: Callable[[dict[str, int]], Batch]) -> None:
        """Place each detector where it sees most, by the mean of positions weighted by v²."""
        size, batches = 0, []
        while size < LOOKED_AT:
            batches.append(draw({}))
            size += len(batches[-1].x)
        x, context = torch.cat([batch.x for batch in batches]), torch.cat([batch.context for batch in batches])
        mean = x.mean(0)
        below = torch.nonzero((mean <= -SURE * x.std(0) / len(x) ** 0.5) | (x.amax(0) <= 0)).flatten()
        if len(below):
            raise DataError(f"{len(below)} of {len(mean)} responses have no mean above zero, the first "
                            f"{mean[below[0]]:.3g}; leave out what is no response, and prepare without scaling")
        share = x.square() / x.square().sum(0)
        self.generator.begin_at(share.T @ context, x.abs().mean(0), x.amax(0))

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events and responses, in units of the mean response."""
        scale = self.generator.scale
        m, v = self.generator.sample(batch.context[:, :0], batch.context) / scale, batch.x / scale
        log, above = torch.log(m), torch.log(m + self.floor)
        return batch.mean(above - v / self.floor * (log - above) + (m - v * log) / self.bright)
