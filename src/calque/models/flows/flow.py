"""The contract of a normalizing flow: both ways between events and noise."""

from __future__ import annotations

import math

from torch import Tensor

from calque.models.generator import Generator
from calque.table import Layout


class Flow(Generator):
    """An invertible map between events and as many standard normals (Rezende & Mohamed 2015, arXiv:1505.05770).

    Subclasses write `sample` and `normalise`, its inverse, from which the density follows.
    """

    has_density = True

    def __init__(self, layout: Layout, context: int = 0) -> None:
        super().__init__(layout, context)
        self.noise = self.size

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Events (B, D) with context (B, C) → the noise (B, D) that draws them and log |∂noise/∂x| (B,)."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,): the noise's and the Jacobian."""
        noise, slope = self.normalise(x, context)
        return slope - 0.5 * noise.square().sum(1) - 0.5 * self.size * math.log(2 * math.pi)
