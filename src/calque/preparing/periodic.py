"""A step for angles that are no symmetry: drawn within their period, without an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.elementwise import CONSTANT, Elementwise
from calque.preparing.empirical import interpolate, knots_for, weighted_quantiles
from calque.preparing.exact import last_inside
from calque.preparing.step import register

PARTS = 64  # of the period, to look for the emptiest
NEAR, WIDE = 2, 8  # parts on each side that count: the nearest first, the wider ones where those are equally empty
LEAST_SHARE = 1e-12  # a normal value of 7
ROUNDING = 1e-6  # of the period: π in single precision is beyond π


@register("periodic")
class Periodic(Elementwise):
    """Angles to a standard normal: draws stay in [low, low + period), and both its ends are the same place.

    The circle is cut where it is emptiest and unrolled from there; its quantiles, straight lines between `knots`
    of them, make a normal of it, whose tails end at the cut. Both directions are exact, and so is the density.
    The number of knots follows the rows unless it is given.
    """

    exacting: ClassVar[bool] = True
    cut: Tensor  # (k,)
    grid: Tensor  # (K, k): distances from the cut
    levels: Tensor  # (K,): the shares that lie below
    least: Tensor  # (k,)
    most: Tensor  # (k,)

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, low: float = -math.pi,
                 period: float = 2 * math.pi, knots: int = 0) -> None:
        super().__init__(columns, outputs)
        if not period > 0 or (knots and knots < 2):
            raise ConfigError(f"step 'periodic' needs a period above 0 and 2 knots at least; it was given {period:g} "
                              f"and {knots}")
        self.low, self.period, self.knots = low, period, knots

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Find the cut and the quantiles from there on."""
        high, slack = self.low + self.period, ROUNDING * self.period
        self.refuse((x < self.low - slack) | (x > high + slack), f"is outside [{self.low:g}, {high:g})",
                    "give low=… and period=…, such as low=0 period=360")
        self.refuse_columns(x.amax(0) == x.amin(0), "is constant", CONSTANT)
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        reach = float(torch.special.ndtri(torch.tensor(1 - 0.5 / max(effective, 4.0), dtype=x.dtype)))
        self.knots = self.knots or knots_for(effective, reach, 16)
        inner = torch.special.ndtr(torch.linspace(-reach, reach, self.knots, dtype=x.dtype))
        start, end = inner.new_zeros(1), inner.new_ones(1)
        self.number("cut", torch.stack([self.emptiest(column, weights) for column in x.T]))
        quantiles = [weighted_quantiles(column, weights, inner) for column in self.turned(x).T]
        grids = [torch.cat([start, column, self.period * end]) for column in quantiles]
        self.number("grid", torch.stack(grids, 1))
        self.number("levels", torch.cat([start, inner, end]))
        doubles = [name in self.doubles for name in self.columns]
        for name, bound, other in (("least", self.low, high), ("most", high, self.low)):
            found = [last_inside(bound, column + 0.5, other, double)
                     for column, double in zip(x.T, doubles, strict=True)]
            self.number(name, torch.tensor(found, dtype=torch.float64))
        self.number("most", torch.where(self.most < high, self.most, math.nextafter(high, self.low)))

    def emptiest(self, column: Tensor, weights: Tensor) -> Tensor:
        """The place (,) with the least weight around it."""
        part = (torch.remainder(column - self.low, self.period) / self.period * PARTS).long().clamp(max=PARTS - 1)
        content = torch.zeros(PARTS, dtype=weights.dtype).index_add_(0, part, weights)
        around = [sum((torch.roll(content, shift) for shift in range(-width, width + 1)), torch.zeros_like(content))
                  for width in (NEAR, WIDE)]
        place = (around[0] + 1e-3 * around[1]).argmin()
        return self.low + (place + 0.5) * self.period / PARTS

    def turned(self, x: Tensor) -> Tensor:
        """Distances from the cut, [0, period)."""
        return torch.remainder(x - self.cut, self.period)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The share that lies between the cut and the angle, as a normal."""
        shares = [interpolate(column, grid, self.levels)
                  for column, grid in zip(self.turned(x).T.contiguous(), self.grid.T.contiguous(), strict=True)]
        normal: Tensor = torch.special.ndtri(torch.stack(shares, 1).clamp(LEAST_SHARE, 1 - LEAST_SHARE))
        return normal

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """The angle up to which that share lies."""
        shares = torch.special.ndtr(y).T.contiguous()
        turned = torch.stack([interpolate(share, self.levels, grid)
                              for share, grid in zip(shares, self.grid.T.contiguous(), strict=True)], 1)
        angle = self.low + torch.remainder(turned + self.cut - self.low, self.period)
        return angle.clamp(self.least, self.most)

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """The share per distance, over the normal's density."""
        slopes = []
        for column, grid in zip(self.turned(x).T.contiguous(), self.grid.T.contiguous(), strict=True):
            right = torch.searchsorted(grid, column).clamp(1, grid.shape[0] - 1)
            width = (grid[right] - grid[right - 1]).clamp(min=ROUNDING**2 * self.period)
            slopes.append(((self.levels[right] - self.levels[right - 1]) / width).log())
        return torch.stack(slopes, 1) + 0.5 * y**2 + 0.5 * math.log(2 * math.pi)
