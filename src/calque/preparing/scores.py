"""Normal scores given another column: whatever it is, each number follows a standard normal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError, DataError
from calque.preparing.empirical import rising, weighted_quantiles
from calque.preparing.knots import REACH, Knots, Place, below, lifted, lowered
from calque.preparing.step import Shape, Step, register

FEW = 100  # rows on each side of a node, at least
RARE = 1e-5  # least probability of a number's being zero, or not, where both occur
LOWEST = -9.0  # score of a zero
FAR = 40.0  # score beyond all others
SIGNIFICANT = 3.0  # standard deviations of a slope below which it is none
SLACK = 8  # share of a number's range by which the trend of a few values may leave it


@register("scores")
class Scores(Step):
    """To a standard normal, number by number, at every value of a given column: `scores layer_1 given=energy`.

    At `nodes` of the given column lie quantiles at `knots` levels, of the nearest training rows, and between nodes
    those of both sides, mixed. Zeros of numbers that are never negative keep their probability and come back exactly:
    below it they are spread (as 'discrete' spreads a value), so that their `log_prob` is estimated from one draw.
    What is never negative (the given column too) is treated in the logarithm.

    Normal scores: B. L. van der Waerden, 1952.
    """

    whole: ClassVar[bool] = True
    gifts: ClassVar[int] = 1
    axis: Tensor  # (K,): nodes of the given column
    logarithm: Tensor  # (1 + D,): which of the given column and the numbers is never negative
    edge: Tensor  # (K, D): scores below which a number is zero
    grid: Tensor  # (K, D, knots)

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, nodes: int = 24,
                 knots: int = 33) -> None:
        super().__init__(columns, outputs)
        if nodes < 2 or knots < 3:
            raise ConfigError(f"step '{self.kind}' needs 2 nodes and 3 knots at least; it was given {nodes} and "
                              f"{knots}")
        self.nodes, self.knots = nodes, knots

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes stay; every number may need a normal to be spread."""
        self.forward_noise = sum(math.prod(shape) for shape in taken)
        return tuple(taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the share of zeros among the rows nearest to each node, and quantiles of the nearest that are none."""
        self.number("logarithm", x.amin(0) >= 0)
        if self.logarithm[0]:
            x, weights = x[x[:, 0] > 0], weights[x[:, 0] > 0]
        if not weights.sum() > 0:
            raise DataError(f"step '{self.kind}': {self.given[0]!r} is above 0 in no training row of any weight; leave "
                            f"{' '.join(self.columns)} out")
        order = torch.argsort(self.along(x[:, :1]))
        given, weights = self.along(x[order, :1]), weights[order]
        there, values = ~self.zeros(x[order, 1:]), self.scaled(x[order, 1:])
        self.number("axis", rising(weighted_quantiles(given, weights, torch.linspace(0, 1, self.nodes).to(x))))
        share = torch.stack([weights[near] @ there[near].to(weights) / weights[near].sum()
                             for near in (window(given, node, self.nodes) for node in self.axis)])
        self.number("edge", torch.where(there.all(0), -FAR, -torch.special.ndtri(share.clamp(RARE, 1 - RARE))))
        grids = [self.quantiles(given[own], column[own], weights[own])
                 for column, own in zip(values.T, there.T, strict=True)]
        known = [grid for grid in grids if grid is not None]
        if not known:
            raise DataError(f"step '{self.kind}': nothing but zeros in {' '.join(self.columns)}; leave it out")
        typical = torch.stack(known).mean(0)
        self.number("grid", torch.stack([typical if grid is None else grid for grid in grids], 1))

    def quantiles(self, given: Tensor, values: Tensor, weights: Tensor) -> Tensor | None:
        """Quantiles (K, knots) of one number at the nodes; none where it has fewer than two values."""
        if len(values) < 2 or not weights.sum() > 0:
            return None
        found, slack = [], (values.amax() - values.amin()) / SLACK
        for node in self.axis:
            near = window(given, node, self.nodes)
            levelled = without_trend(values[near], given[near] - node, weights[near])
            levelled = levelled.clamp(values.amin() - slack, values.amax() + slack)
            found.append(rising(weighted_quantiles(levelled, weights[near], self.levels(values))))
        return torch.stack(found)

    def levels(self, like: Tensor) -> Tensor:
        """Uniform levels of the knots."""
        found: Tensor = torch.special.ndtr(torch.linspace(-REACH, REACH, self.knots).to(like))
        return found

    def along(self, given: Tensor) -> Tensor:
        """The given column (N, 1) as (N,), in the logarithm where it is never negative."""
        flat = given[:, 0].contiguous()
        return flat.clamp(min=torch.finfo(flat.dtype).tiny).log() if self.logarithm[0] else flat

    def scaled(self, x: Tensor) -> Tensor:
        """Numbers (N, D), those that are never negative in the logarithm."""
        return torch.where(self.logarithm[1:].bool(), x.clamp(min=torch.finfo(x.dtype).tiny).log(), x)

    def zeros(self, x: Tensor) -> Tensor:
        """Which numbers are exact zeros (N, D)."""
        return (x <= 0) & self.logarithm[1:].bool()

    def place(self, given: Tensor) -> Place:
        """Where events lie between the nodes."""
        along = self.along(given)
        node = (torch.searchsorted(self.axis, along) - 1).clamp(0, self.nodes - 2)
        way = ((along - self.axis[node]) / (self.axis[node + 1] - self.axis[node])).clamp(0, 1)
        return Place(node, way[:, None])

    def edges(self, place: Place) -> Tensor:
        """Scores below which numbers are zero (N, D)."""
        edge: Tensor = torch.lerp(self.edge[place.node], self.edge[place.node + 1], place.way)
        return edge

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Spread zeros over their probability; the rest lies above."""
        place = self.place(x[:, :1])
        edge = self.edges(place)
        return self.above(x[:, 1:], place, edge, spread(noise, edge))

    def above(self, x: Tensor, place: Place, edge: Tensor, spread: Tensor) -> Tensor:
        """Scores (N, D) of numbers: those of zeros are there already."""
        rows, columns = torch.nonzero(~self.zeros(x), as_tuple=True)
        normal = Knots(self.grid, place.rows(rows), columns).normal(self.scaled(x)[rows, columns])
        return spread.index_put((rows, columns), lifted(normal, below(-edge[rows, columns])))

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Zero below its edge."""
        place = self.place(y[:, :1])
        edge = self.edges(place)
        return self.back(y[:, 1:], place, edge, y[:, 1:] > edge)

    def back(self, y: Tensor, place: Place, edge: Tensor, there: Tensor) -> Tensor:
        """Numbers (N, D) of scores, where they are not zero."""
        rows, columns = torch.nonzero(there, as_tuple=True)
        normal = lowered(y[rows, columns], below(-edge[rows, columns]))
        value = Knots(self.grid, place.rows(rows), columns).value(normal)
        numbers = torch.where(self.logarithm[1:].bool()[columns], value.exp(), value)
        return torch.zeros_like(y).index_put((rows, columns), numbers)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Slopes of the quantiles; for a zero its probability over the normal's density."""
        place, zero, scaled = self.place(x[:, :1]), self.zeros(x[:, 1:]), self.scaled(x[:, 1:])
        edge = self.edges(place)
        slope: Tensor = torch.special.log_ndtr(edge) + 0.5 * y**2 + 0.5 * math.log(2 * math.pi)
        rows, columns = torch.nonzero(~zero, as_tuple=True)
        knots = Knots(self.grid, place.rows(rows), columns)
        normal = knots.normal(scaled[rows, columns])
        steep = torch.special.log_ndtr(-edge[rows, columns]) + 0.5 * (y[rows, columns] ** 2 - normal**2)
        logarithm = torch.where(self.logarithm[1:].bool()[columns], scaled[rows, columns], 0.0)
        return slope.index_put((rows, columns), steep - knots.steepness(normal).log() - logarithm).sum(1)


def spread(noise: Tensor, edge: Tensor) -> Tensor:
    """Scores of zeros: normals below their edge."""
    score: Tensor = torch.special.ndtri(below(edge) * below(noise)).clamp(min=LOWEST)
    return score


def without_trend(values: Tensor, away: Tensor, weights: Tensor) -> Tensor:
    """Values (n,) as they would be at the node, `away` = 0: without their linear trend, as far as there is one.

    A slope counts by how far it is beyond its error, and what lies far outside the bulk does not make it: one
    outlier would tilt all values.
    """
    total, tiny = weights.sum(), torch.finfo(values.dtype).tiny
    centred = away - (weights @ away) / total
    bulk = within_reach(values)
    spread = ((weights @ centred**2) / total).clamp(min=tiny)
    slope = (weights * centred) @ bulk / total / spread
    left = bulk - (weights @ bulk) / total - slope * centred
    variance = (weights @ left**2) / total / spread * (weights @ weights) / total**2
    share = (1 - SIGNIFICANT**2 * variance / (slope**2).clamp(min=tiny)).clamp(min=0)
    return values - share * slope * away


def within_reach(values: Tensor) -> Tensor:
    """Values (n,), those beyond the inner nine tenths by more than their width drawn in."""
    count = values.shape[0]
    few = max(count // 20, 1)
    low, high = values.kthvalue(few).values, values.kthvalue(count + 1 - few).values
    return values.clamp(low - (high - low), high + (high - low))


def window(given: Tensor, node: Tensor, nodes: int) -> slice:
    """The rows nearest to a node, of rows in the order of the given column: 1/nodes of them, half at the ends."""
    rows, centre = len(given), int(torch.searchsorted(given, node))
    half = max(rows // (2 * nodes), min(FEW, rows - rows // 2))
    return slice(max(0, centre - half), min(rows, centre + half))
