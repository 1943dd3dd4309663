"""The contract of an objective: who plays, in what order, with what loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from calque.models import Generator


@dataclass(frozen=True)
class Batch:
    """Prepared events x (B, D), their context (B, C) and every random tensor that the loss uses, by name."""

    x: Tensor
    context: Tensor
    noise: dict[str, Tensor]


class Objective(nn.Module):
    """A game that trains a generator.

    `turns` lists the players of one step in order; `players` maps each to the parameters that its turn moves.
    An objective without turns and players is solved, in the one step of its fit.
    """

    turns: tuple[str, ...] = ("generator",)

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of each player; by default one player has them all."""
        return {"generator": list(self.generator.parameters())}

    def noise(self, player: str) -> dict[str, int]:
        """Standard normals per event that the player's loss consumes, by name."""
        return {}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The scalar that the player's turn lowers."""
        raise NotImplementedError

    def after(self, player: str, step: int) -> None:
        """What follows a player's move, such as clipping weights."""

    def solve(self, x: Tensor, context: Tensor, weights: Tensor) -> None:
        """Fit the generator to events (N, D), context (N, C) and weights (N,) at once, where nobody takes turns."""
        raise NotImplementedError
