"""Signs of a game that goes wrong: a generator that draws too narrow, a critic that has nothing to say."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from calque.errors import DivergedError
from calque.fitting.objective import Batch


def narrowest(batch: Batch, fake: Tensor) -> float:
    """Generated spread over real spread, in the column where it is smallest: 1 is right, 0 a collapsed generator."""
    ratios = spread(batch, fake) / spread(batch, batch.x).clamp(min=torch.finfo(fake.dtype).tiny)
    return float(ratios.min())


def spread(batch: Batch, x: Tensor) -> Tensor:
    """Standard deviations (D,) of events (B, D), with the signs of their rows' weights."""
    weight = x.new_ones(len(x), 1) if batch.weight is None else batch.weight[:, None]
    mean = (weight * x).mean(0)
    return (weight * (x - mean).square()).mean(0).clamp(min=0).sqrt()


def sizes(parameters: Iterable[Tensor]) -> dict[str, float]:
    """Where the sizes of all weights lie: a clip piles them up at its limit, a penalty leaves them spread."""
    weights = torch.cat([parameter.detach().flatten().abs() for parameter in parameters])
    return {"weights/median": float(weights.median()), "weights/largest": float(weights.max())}


def clipped(parameters: Iterable[Tensor], limit: float) -> float:
    """Share of all weights that lie at a clip's limit."""
    weights = torch.cat([parameter.detach().flatten().abs() for parameter in parameters])
    return float((weights >= limit).float().mean())


def check_critic(scores: Tensor, slopes: Tensor) -> None:
    """Raise DivergedError where scores (B,) are all the same and have no slope at any event (B, D)."""
    if torch.all(slopes == 0) and scores.std() <= 1e-6 * scores.abs().max():
        raise DivergedError(f"the critic has collapsed: every event scores {float(scores[0]):.3g}; lower "
                            "fit.optimiser.rate or fit.objective.strength, or take another fit.objective.activation")
