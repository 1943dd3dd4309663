"""Quantiles that change along a given column: knots at every node of it, straight lines between."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 3.0  # knots lie at normal values from −3 to 3; tails go on with the mean slope from the middle
FARTHEST = 4.5  # normal value
LEAST = 1e-6  # of a uniform number


@dataclass(frozen=True)
class Place:
    """Where events lie between nodes of the given column: the node below (N,), and the way to the next (N, 1)."""

    node: Tensor
    way: Tensor

    def rows(self, index: Tensor) -> Place:
        """Some of the events."""
        return Place(self.node[index], self.way[index])


class Knots:
    """Quantiles of single numbers (n,), each at its event's place: straight lines between knots."""

    def __init__(self, grid: Tensor, place: Place, columns: Tensor) -> None:
        self.flat, self.knots, self.way = grid.flatten(), grid.shape[2], place.way[:, 0]
        self.start = (place.node * grid.shape[1] + columns) * self.knots
        self.next = grid.shape[1] * self.knots
        self.spacing = 2 * REACH / (self.knots - 1)

    def at(self, level: Tensor | int) -> Tensor:
        """Values (n,) at a knot each."""
        index = self.start + level
        return torch.lerp(self.flat[index], self.flat[index + self.next], self.way)

    def value(self, normal: Tensor) -> Tensor:
        """Normal values → numbers."""
        left = ((normal + REACH) / self.spacing).floor().clamp(-1, self.knots - 1).long()
        anchor, slope = self.line(left)
        return self.at(anchor) + (normal - self.knot(anchor)) * slope

    def line(self, left: Tensor) -> tuple[Tensor, Tensor]:
        """Knot and slope of the line right of a knot; −1 is the lower tail, the last knot the upper one."""
        middle = self.knots // 2
        low = torch.where(left < 0, 0, torch.where(left > self.knots - 2, middle, left))
        high = torch.where(left < 0, middle, torch.where(left > self.knots - 2, self.knots - 1, left + 1))
        return left.clamp(min=0), (self.at(high) - self.at(low)) / ((high - low) * self.spacing)

    def knot(self, level: Tensor) -> Tensor:
        """Normal value at a knot."""
        return level * self.spacing - REACH

    def normal(self, value: Tensor) -> Tensor:
        """Numbers → normal values, by bisection."""
        low, high = torch.full_like(self.start, -1), torch.full_like(self.start, self.knots)
        for _ in range(math.ceil(math.log2(self.knots + 1))):
            middle = (low + high) // 2
            beyond = value >= self.at(middle.clamp(0, self.knots - 1))
            low, high = torch.where(beyond & (high - low > 1), middle, low), torch.where(beyond, high, middle)
        anchor, slope = self.line(low)
        return (self.knot(anchor) + (value - self.at(anchor)) / slope).clamp(-FARTHEST, FARTHEST)

    def steepness(self, normal: Tensor) -> Tensor:
        """Slope of the line that holds a normal value."""
        return self.line(((normal + REACH) / self.spacing).floor().clamp(-1, self.knots - 1).long())[1]


def lifted(normal: Tensor, hit: Tensor) -> Tensor:
    """Score Φ⁻¹(1 − h + h Φ(normal)) of a number that is not zero, of probability h, by the exact side."""
    upper = -torch.special.ndtri(hit * below(-normal))
    lower = torch.special.ndtri(1 - hit + hit * torch.special.ndtr(normal))
    return torch.where(upper > 0, upper, lower)


def lowered(score: Tensor, hit: Tensor) -> Tensor:
    """Invert `lifted`; what lies below the probability of zero is the least number."""
    upper = -torch.special.ndtri((below(-score) / hit).clamp(max=1 - LEAST))
    lower = torch.special.ndtri(((torch.special.ndtr(score) - 1 + hit) / hit).clamp(min=LEAST))
    return torch.where(score > 0, upper, lower)


def below(normal: Tensor) -> Tensor:
    """Φ, also where single precision loses `ndtr`."""
    share: Tensor = torch.special.log_ndtr(normal).exp()
    return share
