"""Signs of a game that goes wrong: a generator that draws too narrow, a critic that has nothing to say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from calque.errors import DivergedError
from calque.fitting.objective import Batch

BINS = 40  # of a histogram of weights


def narrowest(batch: Batch, fake: Tensor) -> float:
    """Generated spread over real spread, in the column where it is smallest: 1 is right, 0 a collapsed generator.

    Columns that do not vary in the batch, such as pixels that are always dark, do not count.
    """
    real = spread(batch, batch.x)
    ratios = spread(batch, fake)[real > 0] / real[real > 0]
    return float(ratios.min()) if len(ratios) else 1.0


def spread(batch: Batch, x: Tensor) -> Tensor:
    """Standard deviations (D,) of events (B, D), with the signs of their rows' weights."""
    weight = x.new_ones(len(x), 1) if batch.weight is None else batch.weight[:, None]
    mean = (weight * x).mean(0)
    return (weight * (x - mean).square()).mean(0).clamp(min=0).sqrt()


def sizes(parameters: Iterable[Tensor]) -> dict[str, Any]:
    """Where all weights lie: a clip piles them up at its limit, a penalty leaves them spread.

    `weights/shares` are those in equal bins from minus to plus the largest.
    """
    weights = torch.cat([parameter.detach().flatten() for parameter in parameters]).float().cpu()
    largest = weights.abs().max()
    counts = torch.histc(weights / largest.clamp(min=torch.finfo(weights.dtype).tiny), BINS, -1, 1)
    return {"weights/median": float(weights.abs().median()), "weights/largest": float(largest),
            "weights/shares": [round(share, 5) for share in (counts / len(weights)).tolist()]}


def clipped(parameters: Iterable[Tensor], limit: float) -> float:
    """Share of all weights that lie at a clip's limit."""
    weights = torch.cat([parameter.detach().flatten().abs() for parameter in parameters])
    return float((weights >= limit * (1 - 1e-6)).float().mean())  # a scaled weight is rounded


def check_critic(scores: Tensor, slopes: Tensor) -> None:
    """Raise DivergedError where scores (B,) are all the same and have no slope at any event (B, D)."""
    if torch.all(slopes == 0) and scores.std() <= 1e-6 * scores.abs().max():
        raise DivergedError(f"the critic has collapsed: every event scores {float(scores[0]):.3g}; lower "
                            "fit.optimiser.rate or fit.objective.strength, or take another fit.objective.activation")
