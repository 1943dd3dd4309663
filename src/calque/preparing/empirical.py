"""Steps whose shape is learnt from the rows: quantiles, discrete values, constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.elementwise import CONSTANT, Elementwise
from calque.preparing.step import Step, register

FEWEST_KNOTS, MOST_KNOTS = 400, 8000
ROWS_A_KNOT = 50  # in the middle, where knots are farthest apart
GAP, LEAST_GAP = 4e-7, 1e-30  # of a knot, between knots that have to differ
RESOLUTION = 1.2e-7  # of single precision
LEAST_TAIL = 1e-6  # of the mean slope: what a tail of equal values goes on with
WIDEST = 5.0  # normal quantiles beyond ±5 need 3 million rows; tails go on straight from there


def weighted_quantiles(x: Tensor, weights: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of x (N,) at levels (K,), linear between the midpoints of the weights."""
    order = torch.argsort(x)
    cumulative = (weights[order].cumsum(0) - 0.5 * weights[order]) / weights.sum()
    return interpolate(levels, cumulative, x[order])


def interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Straight lines through (x, y), both (K,) and x ascending; flat outside."""
    right = torch.searchsorted(x, at).clamp(1, x.shape[0] - 1)
    left = right - 1
    share = ((at - x[left]) / (x[right] - x[left]).clamp(min=torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return y[left] + share * (y[right] - y[left])


@register("quantile")
class Quantile(Elementwise):
    """To a standard normal, by straight lines between `knots` quantiles; both directions are exact.

    Knots are equally spaced in the normal, so that drawing needs no search; tails go on with the mean slope
    of the outermost twentieth of the knots. Left out, their number follows the rows, so that what is narrow
    is not smeared. Equal values lie in the middle of the normal values that they have.
    """

    grid: Tensor  # (K, k): the columns' values at the knots
    reach: Tensor  # (): knots lie at −reach … +reach

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, knots: int = 0) -> None:
        super().__init__(columns, outputs)
        if knots and knots < 4:
            raise ConfigError(f"step 'quantile' needs at least 4 knots; it was given {knots}")
        self.knots = knots

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the weighted quantiles."""
        self.refuse_columns(x.amax(0) == x.amin(0), "is constant", CONSTANT)
        effective = weights.sum() ** 2 / (weights**2).sum()
        reach = torch.special.ndtri(1 - 0.5 / effective.clamp(min=4)).clamp(max=WIDEST)
        self.knots = self.knots or knots_for(float(effective), float(reach))
        levels = torch.special.ndtr(torch.linspace(-1, 1, self.knots, dtype=x.dtype) * reach)
        columns = [weighted_quantiles(column, weights, levels) for column in x.T]
        self.number("grid", torch.stack(columns, dim=1))
        self.number("reach", reach)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Find the interval by bisection, then a straight line; amid the knots of a value that has several."""
        columns = []
        for grid, column in zip(self.grid.T.contiguous(), x.T.contiguous(), strict=True):
            first, last = (torch.searchsorted(grid, column, right=side) for side in (False, True))
            columns.append((self.slope_at(first, grid, column) + self.slope_at(last, grid, column)) / 2)
        return torch.stack(columns, dim=1)

    def slope_at(self, right: Tensor, grid: Tensor, x: Tensor) -> Tensor:
        """One column forward, given the knot to the right of each value."""
        left = (right - 1).clamp(0, self.knots - 2)
        width = grid[left + 1] - grid[left]
        way = (x - grid[left]) / torch.where(width > 0, width, 1.0)
        inside = self.knot(left) + self.spacing * torch.where(width > 0, way, (right == self.knots).to(x))
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
        width = self.grid.gather(0, left + 1) - self.grid.gather(0, left)
        finest = RESOLUTION * torch.maximum(self.grid.gather(0, left).abs(), LEAST_TAIL * self.range)
        widths = torch.where(width > 0, width, finest) / self.spacing
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
        low, high = (grid[count] - grid[0]) / span, (grid[-1] - grid[-1 - count]) / span
        least = LEAST_TAIL * (grid[-1] - grid[0]) / (2 * self.reach)
        return torch.where(low > 0, low, least), torch.where(high > 0, high, least)

    @property
    def range(self) -> Tensor:
        """Distance (k,) of the outermost knots."""
        return self.grid[-1] - self.grid[0]


def knots_for(rows: float, reach: float, fewest: int = FEWEST_KNOTS) -> int:
    """Quantiles that so many rows bear: a few rows lie between two of them in the middle.

    >>> knots_for(1000, 3.3), knots_for(50_000, 4.3)
    (400, 3440)
    """
    return int(min(max(2 * reach * 0.4 * rows / ROWS_A_KNOT, fewest), MOST_KNOTS))


def rising(grid: Tensor) -> Tensor:
    """Make a sorted grid (K,) strictly rising, by gaps that single precision resolves at each place.

    >>> rising(torch.tensor([1.0, 1.0, 1e9], dtype=torch.float64)).tolist()
    [1.0, 1.0000004, 1000000000.0]
    """
    values = grid.tolist()
    for at in range(1, len(values)):
        values[at] = max(values[at], values[at - 1] + max(GAP * abs(values[at - 1]), LEAST_GAP))
    return torch.tensor(values, dtype=grid.dtype)


@register("discrete")
class Discrete(Step):
    """Integers, charges, lattices: each value gets its share of a standard normal, and comes back exactly.

    Forward spreads equal values by noise (dequantisation: Uria et al., 2013, arXiv:1306.0186); with the
    Jacobian the density is an unbiased one-draw estimate of the value's probability.
    """

    whole_numbers: ClassVar[bool] = True
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
        other = "make it a context, or leave it out" if x.dtype == torch.int64 else "or treat it as continuous"
        self.refuse(many, f"has {levels.shape[0]} values, more than {self.most},", f"raise 'most', {other}")
        shares = torch.zeros(levels.shape[0], dtype=weights.dtype).index_add_(0, which.flatten(), weights)
        shares = shares.clamp(min=1e-12)
        self.number("levels", levels)
        self.number("edges", torch.cat([shares.new_zeros(1), (shares / shares.sum()).cumsum(0)]))

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

    whole_numbers: ClassVar[bool] = True
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
        return self.value.expand(y.shape[0], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """An atom: it adds nothing."""
        return x.new_zeros(len(x))
