"""The contract of an objective: who plays, in what order, with what loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from calque.models import Generator


@dataclass(frozen=True)
class Batch:
    """Prepared events x (B, D), their context (B, C) and every random tensor that the loss uses, by name.

    `weight` (B,) is there where a sample has negative weights: rows are drawn by |w|, and carry sign(w) Σ|w|/Σw, of
    mean one. `twin` (B, D), for objectives that are paired, are other events of the same contexts.
    """

    x: Tensor
    context: Tensor
    noise: dict[str, Tensor]
    weight: Tensor | None = None
    twin: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """Mean over events of values (B,) or (B, …), one row per real event, with the sign of their weights."""
        if self.weight is None:
            return values.mean()
        return (self.weight * values.reshape(len(values), -1).mean(1)).mean()


class Objective(nn.Module):
    """A game that trains a generator.

    `turns` lists the players of one step in order; `players` maps each to the parameters that its turn moves.
    An objective without turns and players is solved, in the one step of its fit. `signed` ones honour
    `Batch.weight`; the others are refused a sample with negative weights, for the reason
    `unsound`. `taught` ones learn from a teacher, `paired` ones from two events of each context.
    """

    turns: tuple[str, ...] = ("generator",)
    signed: bool = False
    unsound: str = ""
    taught: bool = False
    paired: bool = False

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of each player; by default one player has them all."""
        return {"generator": list(self.generator.parameters())}

    def turns_at(self, step: int) -> tuple[str, ...]:
        """The players of one step, in order."""
        return self.turns

    def noise(self, player: str) -> dict[str, int]:
        """Standard normals per event that the player's loss consumes, by name."""
        return {}

    def plan(self, steps: int) -> None:
        """Fit what follows a schedule of its own into a training of so many steps."""

    def is_growing(self, step: int) -> bool:
        """Whether the generator is still smaller than it will be, after so many steps."""
        return False

    def learn_from(self, teacher: Generator, device: torch.device) -> None:
        """Take a trained generator to learn from, where the objective is `taught`."""
        raise NotImplementedError

    def begin(self, draw: Callable[[dict[str, int]], Batch]) -> None:
        """What is made before the steps, a resumed fit's too; `draw` gives a batch with the normals asked for."""

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The scalar that the player's turn lowers."""
        raise NotImplementedError

    def after(self, player: str, step: int) -> None:
        """What follows a player's move, such as clipping weights."""

    def finish_step(self, step: int) -> None:
        """What follows all moves of a step, such as growing."""

    def diagnose(self, batch: Batch) -> dict[str, Any]:
        """Numbers, and lists of them, for the history, from a batch like that of the first turn's player.

        Raises DivergedError where it cannot go on.
        """
        return {}

    def solve(self, x: Tensor, context: Tensor, weights: Tensor) -> None:
        """Fit the generator to events (N, D), context (N, C) and weights (N,) at once, where nobody takes turns."""
        raise NotImplementedError
