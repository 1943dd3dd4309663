"""A step that takes linear correlations out of events seen whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.preparing.step import Shape, Step, register, weighted_mean

SHRUNK = 1e-4  # share of each variance that is taken to be independent: keeps the map regular


@register("whiten")
class Whiten(Step):
    """Columns of any shapes to uncorrelated numbers of unit width, each less what those before it say of it.

    The map is triangular in the order of the columns (Cholesky's), so that a column depends on itself and on those
    before: name first what is to be drawn first. What is jointly normal becomes independent standard normals. Rows
    should outnumber the numbers of an event.
    """

    whole: ClassVar[bool] = True
    mean: Tensor  # (D,)
    lower: Tensor  # (D, D)

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes stay."""
        return tuple(taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take mean and covariance."""
        mean = weighted_mean(x, weights)
        centred = x - mean
        covariance = (weights[:, None] * centred).T @ centred / weights.sum()
        variance = covariance.diagonal()
        self.refuse((variance == 0).expand(1, -1)[:, : len(self.columns)], "is constant", "leave it out")
        self.number("mean", mean)
        self.number("lower", torch.linalg.cholesky(covariance * (1 - SHRUNK) + SHRUNK * torch.diag(variance)))

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
