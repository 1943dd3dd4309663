"""What stands before a coupling, so that every column meets every other; columns (d, N) lie in rows, in two halves."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Mixing = Literal["reverse", "permutation", "lu"]
Pair = tuple[Tensor, Tensor]


class Unmixed(nn.Module):
    """Nothing: couplings take turns at the two halves anyway."""

    def normalise(self, *pair: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Both halves, and terms (1, N) of log |∂noise/∂x| where the volume changes."""
        return pair[0], pair[1], []

    def sample(self, *pair: Tensor) -> Pair:
        """The way back."""
        return pair[0], pair[1]


class Permutation(Unmixed):
    """Columns in another order, drawn once."""

    order: Tensor
    back: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(size))
        self.register_buffer("back", self.order.argsort())

    def normalise(self, *pair: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Reorder; the volume stays."""
        return *halve(torch.cat(pair)[self.order], pair), []

    def sample(self, *pair: Tensor) -> Pair:
        """Reorder back."""
        return halve(torch.cat(pair)[self.back], pair)


class Linear(Unmixed):
    """x = L U noise, learnt (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.2); it begins as the identity.

    L has ones on the diagonal, U positive numbers. A draw multiplies; the density solves two triangular systems.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.entries = nn.Parameter(torch.zeros(size, size))

    def factors(self) -> Pair:
        """Lower and upper triangle (D, D)."""
        diagonal = self.entries.diagonal().exp()
        return self.entries.tril(-1) + torch.eye(len(diagonal)).to(diagonal), self.entries.triu(1) + diagonal.diag()

    def normalise(self, *pair: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Solve."""
        lower, upper = self.factors()
        half = torch.linalg.solve_triangular(lower, torch.cat(pair), upper=False, unitriangular=True)
        columns = torch.linalg.solve_triangular(upper, half, upper=True)
        return *halve(columns, pair), [-self.entries.diagonal().sum().expand(1, columns.shape[1])]

    def sample(self, *pair: Tensor) -> Pair:
        """Multiply."""
        lower, upper = self.factors()
        with torch.autocast(self.entries.device.type, enabled=False):  # in bf16 it would round the events
            return halve(lower @ upper @ torch.cat(pair), pair)


def halve(columns: Tensor, like: tuple[Tensor, ...]) -> Pair:
    """Split columns as they were."""
    first, second = torch.split(columns, [len(half) for half in like])
    return first, second


def mix(mixing: Mixing, size: int) -> Unmixed:
    """What was chosen, for so many columns."""
    return {"reverse": lambda _: Unmixed(), "permutation": Permutation, "lu": Linear}[mixing](size)
