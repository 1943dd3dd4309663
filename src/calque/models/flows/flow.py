"""The contract of a normalizing flow: both ways between events and noise."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from calque.errors import ConfigError
from calque.models.generator import Generator
from calque.table import Layout

Univariate = Literal["spline", "affine"]


class Flow(Generator):
    """An invertible map between events and as many standard normals (Rezende & Mohamed 2015, arXiv:1505.05770).

    Subclasses write `sample` and `normalise`, its inverse, from which density and latents follow.
    """

    has_density = True

    def __init__(self, layout: Layout, context: int, transforms: int) -> None:
        super().__init__(layout, context)
        if transforms < 1:
            raise ConfigError(f"transforms = {transforms} make no flow; it takes one or more")
        self.noise = self.size

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Events (B, D) with context (B, C) → the noise (B, D) that draws them and log |∂noise/∂x| (B,)."""
        raise NotImplementedError

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """All normals (B, D): the flow's inverse."""
        return self.normalise(x, context)[0]

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,): the noise's and the Jacobian."""
        noise, slope = self.normalise(x, context)
        return slope - 0.5 * noise.square().sum(1) - 0.5 * self.size * math.log(2 * math.pi)


def spline_settings(univariate: Univariate, bins: int | None, bound: float | None) -> tuple[int, float]:
    """Bins and bound of a spline, eight and five unless chosen; no bins for an affine map.

    Raises ConfigError where an affine map is given some.
    """
    if univariate == "affine":
        if bins is not None or bound is not None:
            raise ConfigError('bins and bound would be ignored: fit.model.univariate = "affine" has none; leave them '
                              'out, or take "spline"')
        return 0, 0.0
    bins, bound = 8 if bins is None else bins, 5.0 if bound is None else bound
    if bins < 2 or bound <= 0:
        raise ConfigError(f"bins = {bins} and bound = {bound:g} make no spline; it takes two bins or more")
    return bins, bound
