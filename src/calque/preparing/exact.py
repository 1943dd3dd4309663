"""Steps for what has to hold exactly in what is drawn: single values that many events share, physical bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calque.errors import ConfigError, DataError
from calque.preparing.empirical import interpolate, weighted_quantiles
from calque.preparing.step import Step, register

COMMON = 0.01  # share of the weight from which a value is found to be a spike
WIDTH = 0.25  # of the indicator, which is −1 at the point and 1 elsewhere: a gap is left between
MOST = 3.9  # widths that it goes away from there: rounding never crosses zero
KNOTS = 101


@register("spike")
class Spike(Step):
    """Events at one exact point, such as x = y = 0: k columns become k smooth ones and an indicator.

    The point is where all columns have `value`; left out, it is the commonest row. The indicator is a normal of
    width 1/4 around −1 at the point and around 1 elsewhere; an event drawn below zero is at the point. The gap between
    lets a smooth map learn that other columns jump there: spread over one normal, as 'discrete' does, the jump is
    washed out. At the point, the smooth columns are filled with values drawn from the other rows' quantiles: later
    steps meet no spike.

    Densities keep the point apart: `log_prob` of a row at the point is the logarithm of the probability of the
    point times the density of the other columns, elsewhere the usual density. Both are estimates from one draw (of
    the indicator and of what is filled in), unbiased in the probability. Raises DataError where no row, or every row,
    is at the point.
    """

    point: Tensor  # (k,)
    grid: Tensor  # (KNOTS, k): the other rows' quantiles

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None,
                 value: float | None = None) -> None:
        super().__init__(columns, outputs)
        self.value = value
        self.forward_noise = 1 + len(self.columns)

    def default_outputs(self) -> tuple[str, ...]:
        """The columns, and the indicator."""
        return (*self.columns, f"spike_{'_'.join(self.columns)}")

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the point, its share and the other rows' quantiles."""
        self.number("point", self.commonest(x, weights) if self.value is None else x.new_full(x[0].shape, self.value))
        at = self.at(x)[:, 0]
        if not at.any() or len(torch.unique(x[~at], dim=0)) < 2:
            where = "no row is" if not at.any() else "(nearly) all rows are"
            raise DataError(f"step 'spike': {where} at {self.described()}; leave the step out"
                            + (", or name the value" if not at.any() else ", or use 'constant'"))
        others = [weighted_quantiles(column, weights[~at], levels(x)) for column in x[~at].T]
        self.number("grid", torch.stack(others, dim=1))

    def commonest(self, x: Tensor, weights: Tensor) -> Tensor:
        """The row of the greatest weight; raises DataError where none stands out."""
        rows, which = torch.unique(x, dim=0, return_inverse=True)
        shares = torch.zeros(len(rows), dtype=x.dtype).index_add_(0, which, weights) / weights.sum()
        if shares.max() < COMMON:
            raise DataError(f"step 'spike': no value of {' '.join(self.columns)} has {COMMON:.0%} of the events; "
                            "name it with value=…, or leave the step out")
        common: Tensor = rows[shares.argmax()]
        return common

    def described(self) -> str:
        """The point in words."""
        return ", ".join(f"{name} = {value:g}" for name, value in zip(self.columns, self.point, strict=True))

    def at(self, x: Tensor) -> Tensor:
        """Rows at the point (N, 1), as the columns' precision holds it."""
        if self.precise:
            return (x == self.point).all(1, keepdim=True)
        return ((x == self.point) | (x == self.point.float().to(x.dtype))).all(1, keepdim=True)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Fill the point's rows; blur the indicator."""
        at, uniform = self.at(x), torch.special.ndtr(noise[:, 1:])
        filled = torch.stack([interpolate(u.contiguous(), levels(x), grid.contiguous())
                              for u, grid in zip(uniform.T, self.grid.T, strict=True)], dim=1)
        indicator = torch.where(at, -1.0, 1.0) + WIDTH * noise[:, :1].clamp(-MOST, MOST)
        return torch.cat([torch.where(at, filled, x), indicator], dim=1)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """The point itself where the indicator is below zero."""
        return torch.where(y[:, -1:] < 0, self.point, y[:, :-1])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """One over the density of the indicator's blur, and at the point of what was filled in."""
        at = self.at(x)[:, 0]
        blur = (y[:, -1] - torch.where(at, -1.0, 1.0)) / WIDTH
        indicator = 0.5 * blur**2 + math.log(WIDTH) + 0.5 * math.log(2 * math.pi)
        right = torch.stack([torch.searchsorted(grid.contiguous(), column.contiguous())
                             for grid, column in zip(self.grid.T, y[:, :-1].T, strict=True)], 1).clamp(1, KNOTS - 1)
        widths = (self.grid.gather(0, right) - self.grid.gather(0, right - 1)).clamp(min=torch.finfo(x.dtype).tiny)
        shares = (levels(x)[1:] - levels(x)[:-1])[right - 1]
        return indicator - torch.where(at, (shares / widths).log().sum(1), 0.0)


def levels(like: Tensor) -> Tensor:
    """Uniform levels 0 … 1 of the knots, dense in the tails."""
    inner = torch.special.ndtr(torch.linspace(-4, 4, KNOTS - 2, dtype=like.dtype, device=like.device))
    return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


@register("bounds")
class Bounds(Step):
    """Nothing is drawn outside [low, high], whatever the network puts out; inside nothing changes.

    What falls outside is reflected back into the domain, as often as needed, so that no events pile up at
    the edge. Put the step before those that change the column: then the bounds hold in the column as it is written,
    rounding included. They are physical bounds, given by the user: the extremes of the training rows are none.

    `log_prob` is that of what falls inside at once, −∞ outside: it leaves out what is reflected, so it
    integrates over the domain to one minus that (small) share. Raises DataError for training rows outside.
    """

    separable: ClassVar[bool] = True

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None,
                 low: float | None = None, high: float | None = None) -> None:
        super().__init__(columns, outputs)
        if low is None and high is None:
            raise ConfigError("step 'bounds' needs low=… or high=… (or both): training rows tell no physical bound")
        if low is not None and high is not None and not low < high:
            raise ConfigError(f"step 'bounds' needs low < high; low is {low}, high is {high}")
        self.low, self.high = low, high

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse what lies outside; note the last numbers inside that the columns' type can hold."""
        least, most = -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high
        self.refuse((x < least) | (x > most), f"is outside [{least:g}, {most:g}]",
                    "mend the bounds, or leave such rows out with read.where")
        for name, bound, other in (("least", self.low, most), ("most", self.high, least)):
            if bound is not None:
                ends = [last_inside(bound, column, other, self.precise) for column in x.T]
                self.number(name, torch.tensor(ends, dtype=torch.float64))

    def limits(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Least and greatest values (k,)."""
        found = dict(self.named_buffers())
        return (found.get("least", like.new_full((1,), -math.inf)), found.get("most", like.new_full((1,), math.inf)))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Nothing changes."""
        return x

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Reflect what is outside."""
        least, most = self.limits(y)
        once = torch.where(y < least, 2 * least - y, torch.where(y > most, 2 * most - y, y))
        if self.low is None or self.high is None:
            return once.clamp(least, most)
        width, huge = most - least, torch.finfo(y.dtype).max / 4
        way = torch.remainder(y.clamp(-huge, huge) - least, 2 * width)
        often = most - (way - width).abs()
        return torch.where((once >= least) & (once <= most), once, often).clamp(least, most)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The identity inside; nothing is outside."""
        least, most = self.limits(x)
        return torch.where(((x >= least) & (x <= most)).all(1), 0.0, -math.inf).to(x.dtype)


def last_inside(bound: float, column: Tensor, towards: float, precise: bool = False) -> float:
    """The bound, or the number next to it towards the inside, in the type that the column seems to have.

    >>> last_inside(0.1, torch.tensor([0.05]), 0.0) < 0.1, last_inside(2.5, torch.tensor([1.0, 2.0]), 0.0)
    (True, 2.0)
    """
    whole = bool((column == column.round()).all())
    if whole:
        bound = float(math.ceil(bound) if towards > bound else math.floor(bound))
    if precise:
        return bound
    kind = np.float16 if not whole and abs(bound) < 2**15 and bool((column == column.half()).all()) else np.float32
    held = float(kind(bound))  # a float of Python: compared with a short one, the bound would be rounded too
    beyond = held < bound if towards > bound else held > bound
    return float(np.nextafter(kind(held), kind(towards))) if beyond else held
