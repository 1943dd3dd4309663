"""Voxels of a layer: how many are hit, and scores that say which and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.scores import FAR, Scores, spread
from calque.preparing.step import Shape, register

HALVINGS = 40


@register("voxels")
class Voxels(Scores):
    """Voxels of one layer as the number of those hit and normal scores, given the layer's energy.

    Scores are those of 'scores', with the scores below which voxels are zero shifted, event by event, so that the
    probabilities of being hit sum to the number hit. On output exactly so many voxels are hit, those whose scores lie
    highest above where zero ends; all others are exact zeros. The number hit is spread around whole numbers, and zero
    for an empty layer. There is no density.
    """

    density: ClassVar[bool] = False

    def default_outputs(self) -> tuple[str, ...]:
        """The number of voxels hit, and the scores."""
        return (*(f"{name}_hits" for name in self.columns), *self.columns)

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """A number and the image."""
        if len(taken) > 1:
            raise ConfigError(f"step 'voxels' takes one layer at a time; it was given {' '.join(self.columns)}")
        super().see(taken)
        self.forward_noise += 1
        return ((), *taken)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Voxels (N, V) → number hit and scores (N, 1 + V)."""
        place, zero = self.place(x[:, :1]), self.zeros(x[:, 1:])
        count = (~zero).sum(1, keepdim=True).to(x)
        edge = self.edges(place)
        low = spread(noise[:, 1:], edge + shift(edge, count))
        highest = torch.where(zero, low - edge, -FAR).amax(1, keepdim=True)
        scores = self.above(x[:, 1:], place, edge + highest, low)
        return torch.cat([torch.where(count > 0, count + torch.special.ndtr(noise[:, :1]) - 0.5, 0.0), scores], 1)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Number hit and scores → voxels: the highest of those not hit marks where zero ends."""
        place, score = self.place(y[:, :1]), y[:, 2:]
        edge = self.edges(place)
        over = score - edge
        count = y[:, 1:2].round().clamp(1, score.shape[1]) * (y[:, :1] > 0)
        ranked = torch.cat([torch.full_like(count, -FAR), ascending(over)], 1)
        highest = ranked.gather(1, score.shape[1] - count.long())
        return self.back(score, place, edge + highest, over > highest)


def shift(edge: Tensor, count: Tensor) -> Tensor:
    """What to add to edges (N, V) for probabilities of being hit that sum to a count (N, 1), by bisection."""
    low, high = torch.full_like(count, -FAR), torch.full_like(count, FAR)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        many = torch.special.ndtr(-edge - middle).sum(1, keepdim=True) > count
        low, high = torch.where(many, middle, low), torch.where(many, high, middle)
    return (low + high) / 2


def ascending(x: Tensor) -> Tensor:
    """Rows (N, V) sorted; NumPy is ten times faster on a processor, one thread."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x.sort(1).values
    return torch.from_numpy(np.sort(x.detach().numpy(), axis=1))
