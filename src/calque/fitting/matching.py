"""Regression of the velocity from noise to events."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from calque.errors import ConfigError, DataError
from calque.fitting.objective import Batch, Objective
from calque.fitting.transport import paired
from calque.models import FlowMatching, Generator


class Matching(Objective):
    """E |v(x_t, t | c) − (x − z)|² on straight lines x_t = (1 − t) z + t x (Lipman et al. 2022, arXiv:2210.02747).

    Noise z and event x are independent, or with the `coupling` "transport" near to each other within the batch, which
    makes paths straighter and leaves conditions alone (`transport.paired`); t is uniform. The loss ends at the spread
    that lines through one point have, not at zero.

    Signed weights are sound with independent noise: what is on its way is then the sample's own density, smoothed.
    With transport they are refused: rows to subtract would find other noise than those they are subtracted from,
    and the difference of both may be negative on the way.
    """

    generator: FlowMatching
    signed = True

    def __init__(self, generator: Generator, *, coupling: Literal["independent", "transport"] = "independent") -> None:
        super().__init__(generator)
        if not isinstance(generator, FlowMatching):
            raise ConfigError(f"flow matching trains a velocity, which a {type(generator).__name__} has not")
        self.transport = coupling == "transport"
        if self.transport:
            self.signed = False
            self.unsound = ('rows to subtract find other noise than the rest; set fit.objective.coupling = '
                            '"independent"')

    def noise(self, player: str) -> dict[str, int]:
        """Where the lines begin, and the times as normals."""
        return {"start": self.generator.size, "time": 1}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events and columns."""
        start, time = self.start(batch), torch.special.ndtr(batch.noise["time"])
        between = torch.lerp(start, batch.x, time)
        velocity = self.generator.velocity(between, time, batch.context)
        return batch.mean((velocity - (batch.x - start)).square())

    def start(self, batch: Batch) -> Tensor:
        """The noise (B, D) of each event; raises DataError for signed weights where they are unsound."""
        if not self.transport:
            return batch.noise["start"]
        if batch.weight is not None:
            raise DataError(f"the sample has negative weights: {self.unsound}")
        return paired(batch.x, batch.noise["start"], batch.context)
