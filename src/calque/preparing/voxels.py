"""Voxels of a layer: how many are hit, and scores that say which and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.knots import Place
from calque.preparing.scores import Scores, spread
from calque.preparing.step import Shape, register

FAR = 30.0  # of a logit: nothing, or all, is hit
HALVINGS = 40


@register("voxels")
class Voxels(Scores):
    """Voxels of one layer as the number of those hit and normal scores, given the layer's energy.

    Scores are those of 'scores', with the probabilities of being hit shifted, event by event, so that they sum to the
    number hit. On output exactly so many voxels are hit, those whose scores lie highest above their probability of
    zero; all others are exact zeros. The number hit is spread around whole numbers, and zero for an empty layer. There
    is no density.
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

    def logits(self, place: Place) -> Tensor:
        """Log of the probability of being hit over that of zero (N, V)."""
        hit = self.between(place)
        return hit.log() - torch.log1p(-hit.clamp(max=1 - torch.finfo(hit.dtype).eps))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Voxels (N, V) → number hit and scores (N, 1 + V)."""
        place, zero = self.place(x[:, :1]), self.zeros(x[:, 1:])
        count = (~zero).sum(1, keepdim=True).to(x)
        logit = self.logits(place)
        below = spread(noise[:, 1:], torch.sigmoid(logit + shift(logit, count)))
        highest = torch.where(zero, margin(below, logit), -FAR).amax(1, keepdim=True)
        scores = self.above(x[:, 1:], place, torch.sigmoid(logit - highest), below)
        return torch.cat([torch.where(count > 0, count + torch.special.ndtr(noise[:, :1]) - 0.5, 0.0), scores], 1)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Number hit and scores → voxels: the highest of those not hit marks where zero ends."""
        place, score = self.place(y[:, :1]), y[:, 2:]
        logit = self.logits(place)
        above = margin(score, logit)
        count = y[:, 1:2].round().clamp(0, score.shape[1]).clamp(min=1) * (y[:, :1] > 0)
        ranked = torch.cat([above.sort(1, descending=True).values, torch.full_like(count, -FAR)], 1)
        highest = ranked.gather(1, count.long())
        return self.below(score, place, torch.sigmoid(logit - highest), above > highest)


def margin(score: Tensor, logit: Tensor) -> Tensor:
    """How far a score lies above the probability of zero, in logits."""
    above: Tensor = torch.special.log_ndtr(score) - torch.special.log_ndtr(-score) + logit
    return above


def shift(logit: Tensor, count: Tensor) -> Tensor:
    """What to add to logits (N, V) for probabilities that sum to a count (N, 1), by bisection."""
    low, high = torch.full_like(count, -FAR), torch.full_like(count, FAR)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        short = torch.sigmoid(logit + middle).sum(1, keepdim=True) < count
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (low + high) / 2
