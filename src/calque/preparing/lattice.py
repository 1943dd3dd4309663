"""Values on a lattice, such as two decimals or counts of a converter: found, and brought back onto it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.elementwise import Elementwise
from calque.preparing.step import register
from calque.table import Array

FEWEST = 20  # values that say something
LOOKED_AT = 20_000
SITES = 2_000_000  # of a lattice between the column's 5 and 95 % quantiles: finer ones are as good as none
OFF, FAR_OFF, FINEST = 3.0, 12.0, 60.0  # times the rounding of the largest value: what is off a lattice, once it is
# known and while it is not; the finest lattice
DECIMALS = 12
NEARER = 4.0  # factor by which ever longer distances are looked at


@dataclass(frozen=True)
class Grid:
    """Numbers (base + k · spacing) / per for integer k, relatively rounded by `rounding`.

    `per` is a power of ten where the lattice is decimal.

    >>> Grid(0.0, 1.0, 100.0).step, Grid(0.0, 1.0, 100.0).off(np.array([0.25, 0.255])).tolist()
    (0.01, [False, True])
    """

    base: float
    spacing: float
    per: float = 1.0
    rounding: float = 2.0**-53

    @property
    def step(self) -> float:
        """Distance of two neighbours."""
        return self.spacing / self.per

    def nearest(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The lattice's numbers nearest to others."""
        count = np.rint((x * self.per - self.base) / self.spacing)
        return np.asarray((self.base + count * self.spacing) / self.per)

    def off(self, column: Array) -> NDArray[np.bool_]:
        """Which numbers (N,) are not on the lattice, but for the rounding of their type."""
        x = column.astype(np.float64)
        allowed = OFF * self.rounding * max(float(np.abs(x).max(initial=0.0)), abs(self.base / self.per))
        return np.asarray(np.abs(x - self.nearest(x)) > allowed)


def find_lattice(column: Array) -> Grid | None:
    """The coarsest lattice on which all values (N,) lie; None where there is none that rounding can tell.

    >>> find_lattice(np.arange(30) * 0.25 + 0.1)
    Grid(base=10.0, spacing=25.0, per=100.0, rounding=1.1102230246251565e-16)
    """
    if len(column) < FEWEST:
        return None
    values = np.unique(column[:: max(len(column) // LOOKED_AT, 1)])
    if len(values) < 2:
        return None
    if column.dtype.kind in "biu":
        whole = values.astype(np.float64)
        spacing = float(np.gcd.reduce(np.diff(whole).astype(np.int64)))
        return Grid(float(np.remainder(whole[0], spacing)), spacing)
    return next(filter(None, (find_rounded(column, values, rounding) for rounding in roundings(column))), None)


def find_rounded(column: Array, values: Array, rounding: float) -> Grid | None:
    """The lattice of a column whose numbers were rounded, relatively, by so much; `values` are its distinct ones."""
    x = values.astype(np.float64)
    error, first, width = rounding * float(np.abs(x).max()), float(x[0]), float(x[-1] - x[0])
    low, high = (float(end) for end in np.quantile(column, [0.05, 0.95]))
    least = max(FINEST * error, (high - low if high > low else width) / SITES)
    divisor = common_divisor(x, FAR_OFF * error, least)
    if divisor is None:
        return None
    found = replace(as_decimal(first, divisor, width, OFF * error), rounding=rounding)
    return None if found.off(column).any() else found


def roundings(column: Array) -> list[float]:
    """Relative roundings of a column, the coarsest first: single precision where it holds all numbers, its own type."""
    if column.dtype.kind != "f":
        return [float(np.finfo(np.float64).eps) / 2]
    kinds = [column.dtype]
    with np.errstate(over="ignore"):
        if column.dtype.itemsize > 4 and (column == column.astype(np.float32)).all():
            kinds.insert(0, np.dtype(np.float32))
    return [float(np.finfo(kind).eps) / 2 for kind in kinds]


def common_divisor(x: NDArray[np.float64], error: float, least: float) -> float | None:
    """The greatest number of which the distances of ascending numbers are multiples, within an error, above `least`.

    Gaps tell it roughly; ever longer distances from the first number tell it ever better.
    """
    gaps, away = np.sort(np.diff(x)), x - x[0]
    divisor, reach = float(gaps[0]), NEARER
    while divisor > least and reach < NEARER * float(gaps[-1]) / divisor:
        near = gaps[gaps <= reach * divisor]
        left = remainders(near, divisor)
        if (left > error).any():
            divisor, reach = float(left[left > error].min()), NEARER
        else:
            divisor, reach = fitted(near, divisor), NEARER * reach
    reach = max(reach, NEARER)
    while divisor > least and reach < NEARER * float(away[-1]) / divisor:
        near = away[away <= reach * divisor]
        if (remainders(near, divisor) > error).any():
            return None
        divisor, reach = fitted(near, divisor), NEARER * reach
    return float(away[-1]) / round(float(away[-1]) / divisor) if divisor > least else None


def remainders(numbers: NDArray[np.float64], divisor: float) -> NDArray[np.float64]:
    """Distances (N,) from the nearest multiples."""
    return np.asarray(np.abs(numbers - np.rint(numbers / divisor) * divisor))


def fitted(numbers: NDArray[np.float64], divisor: float) -> float:
    """The divisor of which numbers are the nearest multiples, by least squares."""
    count = np.rint(numbers / divisor)
    squares = float(count @ count)
    return float(count @ numbers) / squares if squares else divisor


def as_decimal(first: float, spacing: float, width: float, error: float) -> Grid:
    """A lattice in as few decimals as it has, or in its own numbers."""
    for digits in range(DECIMALS):
        per = float(f"1e{digits}")
        step, base = round(spacing * per), round(first * per)
        far = width / spacing * abs(step / per - spacing)
        if step and far <= error and abs(base / per - first) <= error:
            return Grid(float(base - step * round(base / step)), float(step), per)
    return Grid(first - spacing * round(first / spacing), spacing)


@register("lattice")
class Lattice(Elementwise):
    """Multiples of a step, such as numbers of two decimals: spread over their cells, and brought back by rounding.

    Left out, the step is found for each column. With the Jacobian the density is an unbiased one-draw estimate of the
    probability of the value (arXiv:1306.0186). Raises DataError where values lie between.
    """

    exacting: ClassVar[bool] = True
    base: Tensor  # (k,)
    spacing: Tensor  # (k,)
    per: Tensor  # (k,)

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, step: float = 0.0) -> None:
        super().__init__(columns, outputs)
        if step < 0:
            raise ConfigError(f"step 'lattice' needs step=… above 0, or none; it was given {step:g}")
        self.step = step
        self.forward_noise = len(self.columns)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Find the lattices, or check those that are given."""
        grids = [self.grid_of(column.numpy()) for column in x.T]
        off = np.stack([np.ones(x.shape[0], bool) if grid is None else grid.off(column.numpy())
                        for grid, column in zip(grids, x.T, strict=True)], 1)
        multiples = f"are no multiples of {self.step:g}" if self.step else "have no step in common"
        self.refuse(torch.from_numpy(off), f"has values that {multiples}:",
                    "give another step=…" if self.step else "leave the step out, or give step=…")
        known = [grid for grid in grids if grid is not None]
        for name in ("base", "spacing", "per"):
            self.number(name, torch.tensor([getattr(grid, name) for grid in known], dtype=torch.float64))

    def grid_of(self, column: NDArray[np.float64]) -> Grid | None:
        """The lattice that is given, from the first value on, or that is found."""
        if not self.step:
            return find_lattice(column)
        error = roundings(column)[0]
        grid = as_decimal(float(column[0]), self.step, float(np.ptp(column)), OFF * error * float(np.abs(column).max()))
        return replace(grid, rounding=error)

    def count(self, x: Tensor) -> Tensor:
        """Which site of the lattice is nearest."""
        nearest: Tensor = ((x * self.per - self.base) / self.spacing).round()
        return nearest

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Spread each value over its cell."""
        spread: Tensor = (self.base + (self.count(x) + torch.special.ndtr(noise) - 0.5) * self.spacing) / self.per
        return spread

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Back to the nearest site."""
        site: Tensor = (self.base + self.count(y) * self.spacing) / self.per
        return site

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """The width of a cell."""
        width: Tensor = (self.spacing / self.per).log()
        return width.expand_as(x)
