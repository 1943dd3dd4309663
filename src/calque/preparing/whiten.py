"""A step that takes linear correlations out of events seen whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.preparing.step import Shape, Step, register, weighted_mean

SHRUNK = 1e-4  # share of each variance that is taken to be independent: keeps the map regular
DEAD = 1e-12  # of the largest variance: what a pixel without any gets


@register("whiten")
class Whiten(Step):
    """Columns of any shapes to uncorrelated numbers of unit width, each less what those before it say of it.

    The map is triangular in the order of the columns (Cholesky's), so that a column depends on itself and on those
    before: name first what is to be drawn first. What is jointly normal becomes independent standard normals. Rows
    should outnumber the numbers of an event. A pixel that never changes stays as it is, to a millionth.
    """

    whole: ClassVar[bool] = True
    mean: Tensor  # (D,)
    lower: Tensor  # (D, D)

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes stay."""
        self.sizes = [math.prod(shape) for shape in taken]
        return tuple(taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take mean and covariance."""
        mean = weighted_mean(x, weights)
        centred = x - mean
        covariance = (weights[:, None] * centred).T @ centred / weights.sum()
        variance = covariance.diagonal()
        flat = torch.stack([part.amax() == 0 for part in torch.split(variance, self.sizes)])
        self.refuse_columns(flat, "is constant", "leave it out")
        alive = torch.diag(variance.clamp(min=DEAD * variance.amax()))
        self.number("mean", mean)
        self.number("lower", torch.linalg.cholesky((covariance - torch.diag(variance)) * (1 - SHRUNK) + alive))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Solve for independent numbers."""
        solved: Tensor = torch.linalg.solve_triangular(self.lower, (x - self.mean).T, upper=False)
        return solved.T

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Correlate them again."""
        return y @ self.lower.T + self.mean

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the logarithms of the diagonal."""
        slope: Tensor = -self.lower.diagonal().log().sum()
        return slope.expand(len(x))
