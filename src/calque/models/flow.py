"""Normalizing flows, through zuko."""

from __future__ import annotations

from typing import Any

import zuko
from torch import Tensor

from calque.models.generator import Generator
from calque.models.network import ACTIVATIONS, choose
from calque.table import Layout


class SplineFlow(Generator):
    """Rational-quadratic spline flow (Durkan et al. 2019, arXiv:1906.04032).

    Autoregressive by default: the best density, one network pass per column to draw; `passes = 2` makes it a
    coupling flow. Splines act inside [−5, 5] and are the identity beyond: prepare columns to unit width.
    """

    has_density = True

    def __init__(self, layout: Layout, context: int = 0, *, transforms: int = 3, bins: int = 8,
                 hidden: tuple[int, ...] = (64, 64), passes: int = 0, activation: str = "silu") -> None:
        super().__init__(layout, context)
        self.noise = self.size
        self.flow = zuko.flows.NSF(self.size, context, bins=bins, transforms=transforms, hidden_features=hidden,
                                   passes=min(passes, self.size) or None,
                                   activation=choose("activation", activation, ACTIVATIONS))

    def given(self, context: Tensor) -> Any:
        """The distribution for a context."""
        return self.flow(context if self.context else None)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → (B, D)."""
        events: Tensor = self.given(context).transform.inv(noise)
        return events

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """All normals (B, D): the flow's inverse."""
        latents: Tensor = self.given(context).transform(x)
        return latents

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,)."""
        density: Tensor = self.given(context).log_prob(x)
        return density

