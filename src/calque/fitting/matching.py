"""Regression of the velocity from noise to events."""

from __future__ import annotations

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.fitting.objective import Batch, Objective
from calque.models import FlowMatching, Generator


class Matching(Objective):
    """E |v(x_t, t | c) − (x − z)|² on straight lines x_t = (1 − t) z + t x (Lipman et al. 2022, arXiv:2210.02747).

    Noise z and event x are independent, which keeps conditions exact; t is uniform. The loss ends at the spread
    that lines through one point have, not at zero.
    """

    generator: FlowMatching
    signed = True

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator)
        if not isinstance(generator, FlowMatching):
            raise ConfigError(f"flow matching trains a velocity, which a {type(generator).__name__} has not")

    def noise(self, player: str) -> dict[str, int]:
        """Where the lines begin, and the times as normals."""
        return {"start": self.generator.size, "time": 1}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events and columns."""
        start, time = batch.noise["start"], torch.special.ndtr(batch.noise["time"])
        between = torch.lerp(start, batch.x, time)
        velocity = self.generator.velocity(between, time, batch.context)
        return batch.mean((velocity - (batch.x - start)).square())
