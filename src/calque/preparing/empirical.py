"""Steps whose shape is learnt from the rows: quantiles, discrete values, constants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.elementwise import Elementwise
from calque.preparing.step import Step, register

WIDEST = 5.0  # normal quantiles beyond ±5 need 3 million rows; tails go on straight from there


def weighted_quantiles(x: Tensor, weights: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of x (N,) at levels (K,), linear between the midpoints of the weights."""
    order = torch.argsort(x)
    cumulative = (weights[order].cumsum(0) - 0.5 * weights[order]) / weights.sum()
    return interpolate(levels, cumulative, x[order])


def interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Straight lines through (x, y), both (K,) and x ascending; flat outside."""
    right = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    left = right - 1
    share = ((at - x[left]) / (x[right] - x[left]).clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return y[left] + share * (y[right] - y[left])


@register("quantile")
class Quantile(Elementwise):
    """To a standard normal, by straight lines between `knots` quantiles; both directions are exact.

    Knots are equally spaced in the normal, so that drawing needs no search; tails go on with the mean slope
    of the outermost twentieth of the knots.
    """

    grid: Tensor  # (K, k): the columns' values at the knots
    reach: Tensor  # (): knots lie at −reach … +reach

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, knots: int = 400) -> None:
        super().__init__(columns, outputs)
        if knots < 4:
            raise ConfigError(f"step 'quantile' needs at least 4 knots; it was given {knots}")
        self.knots = knots

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the weighted quantiles; ties are spread by the smallest step that float32 can see."""
        self.refuse((x.amax(0) == x.amin(0))[None], "is constant", "use the step 'constant', or leave it out")
        effective = weights.sum() ** 2 / (weights**2).sum()
        reach = torch.special.ndtri(1 - 0.5 / effective.clamp(min=4)).clamp(max=WIDEST)
        levels = torch.special.ndtr(torch.linspace(-1, 1, self.knots, dtype=x.dtype) * reach)
        columns = [weighted_quantiles(column, weights, levels) for column in x.T]
        self.number("grid", torch.stack([rising(column) for column in columns], dim=1))
        self.number("reach", reach)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Find the interval by bisection, then a straight line."""
        columns = [self.slope_at(torch.searchsorted(grid.contiguous(), column.contiguous()), grid, column)
                   for grid, column in zip(self.grid.T, x.T, strict=True)]
        return torch.stack(columns, dim=1)

    def slope_at(self, right: Tensor, grid: Tensor, x: Tensor) -> Tensor:
        """One column forward, given the knot to the right of each value."""
        left = (right - 1).clamp(0, self.knots - 2)
        inside = self.knot(left) + self.spacing * (x - grid[left]) / (grid[left + 1] - grid[left])
        low, high = self.tails(grid)
        below, above = -self.reach + (x - grid[0]) / low, self.reach + (x - grid[-1]) / high
        return torch.where(x < grid[0], below, torch.where(x > grid[-1], above, inside))

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """The interval is known from the value itself: no search."""
        place = (y + self.reach) / self.spacing
        left = place.floor().clamp(-1, self.knots - 1)
        index = left.long().T + 1
        starts, widths = self.intervals()
        lower, width = starts.T.gather(1, index).T, widths.T.gather(1, index).T
        return torch.addcmul(lower, place - left, width)

    def intervals(self) -> tuple[Tensor, Tensor]:
        """Where each interval between knots begins and how wide it is (K + 1, k); the first and last are the tails."""
        low, high = (self.spacing * slope[None] for slope in self.tails(self.grid))
        return torch.cat([self.grid[:1] - low, self.grid]), torch.cat([low, self.grid.diff(dim=0), high])

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """Spacing of the knots over the width of the interval."""
        left = ((y + self.reach) / self.spacing).floor().clamp(0, self.knots - 2).long()
        widths = (self.grid.gather(0, left + 1) - self.grid.gather(0, left)) / self.spacing
        low, high = self.tails(self.grid)
        return -torch.log(torch.where(y < -self.reach, low, torch.where(y > self.reach, high, widths)))

    @property
    def spacing(self) -> Tensor:
        """Distance of two knots in the normal."""
        return 2 * self.reach / (self.knots - 1)

    def knot(self, index: Tensor) -> Tensor:
        """Normal value of a knot."""
        return index * self.spacing - self.reach

    def tails(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """dx/dy beyond the first and the last knot."""
        count = max(1, self.knots // 20)
        span = count * self.spacing
        return (grid[count] - grid[0]) / span, (grid[-1] - grid[-1 - count]) / span


def rising(grid: Tensor) -> Tensor:
    """Make a sorted grid (K,) strictly rising, by gaps that float32 still resolves."""
    gap = (4e-7 * grid.abs().max()).clamp(min=1e-30)
    steps = torch.arange(len(grid), dtype=grid.dtype) * gap
    return torch.cummax(grid - steps, 0).values + steps


@register("discrete")
class Discrete(Step):
    """Integers, charges, lattices: each value gets its share of a standard normal, and comes back exactly.

    Forward spreads equal values by noise (dequantisation: Uria et al., 2013, arXiv:1306.0186); with the
    Jacobian the density is an unbiased one-draw estimate of the value's probability.
    """

    forward_noise = 1
    levels: Tensor  # (K,) values
    edges: Tensor  # (K + 1,) cumulative shares

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, most: int = 256) -> None:
        super().__init__(columns, outputs)
        if len(self.columns) != 1:
            raise ConfigError(f"step 'discrete' takes one column at a time; it was given {' '.join(columns)}")
        self.most = most

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the values and their weighted shares."""
        levels, which = torch.unique(x, return_inverse=True)
        many = torch.full_like(x, len(levels) > self.most, dtype=torch.bool)
        self.refuse(many, f"has {len(levels)} values, more than {self.most},",
                    "raise 'most', or treat it as continuous")
        shares = torch.zeros(len(levels), dtype=x.dtype).index_add_(0, which.flatten(), weights).clamp(min=1e-12)
        self.number("levels", levels)
        self.number("edges", torch.cat([torch.zeros(1, dtype=x.dtype), (shares / shares.sum()).cumsum(0)]))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Spread each value over its share."""
        index = torch.searchsorted(self.levels, x.contiguous()).clamp(max=len(self.levels) - 1)
        low, high = self.edges[index], self.edges[index + 1]
        uniform = low + torch.special.ndtr(noise) * (high - low)
        normal: Tensor = torch.special.ndtri(uniform.clamp(1e-7, 1 - 1e-7))
        return normal

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Look up whose share it is."""
        uniform = torch.special.ndtr(y).contiguous()
        index = torch.searchsorted(self.edges[1:-1].contiguous(), uniform, right=True)
        values: Tensor = self.levels[index]
        return values

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The value's share over the normal density."""
        index = torch.searchsorted(self.levels, x.contiguous()).clamp(max=len(self.levels) - 1)
        share = self.edges[index + 1] - self.edges[index]
        return (torch.log(share) + 0.5 * y**2 + 0.5 * math.log(2 * math.pi)).sum(1)


@register("constant")
class Constant(Step):
    """A column with one value: learnt by nobody, put back on output."""

    value: Tensor

    def default_outputs(self) -> tuple[str, ...]:
        """Nothing is left to learn."""
        return ()

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the value."""
        self.refuse(x != x[:1], f"is not constant: values from {x.min():g} to {x.max():g},", "leave the step out")
        self.number("value", x[0])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Drop."""
        return x[:, :0]

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Put back."""
        return self.value.expand(len(y), -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """An atom: it adds nothing."""
        return x.new_zeros(len(x))
