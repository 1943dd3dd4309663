"""Weighted draws on the device, by inverse cumulative weights."""

from __future__ import annotations

import torch
from torch import Tensor

from calque.errors import DataError
from calque.fitting.objective import Batch
from calque.seeds import derive


class Batches:
    """Draws batches from prepared rows x (N, D) and context (N, C), with replacement, by the size of weights (N,).

    One bisection of the cumulative weights per event costs O(log N); a weighted choice over all rows O(N).
    """

    def __init__(self, x: Tensor, context: Tensor, weights: Tensor, size: int, device: torch.device) -> None:
        if len(x) < size:
            raise DataError(f"{len(x)} training rows are fewer than a batch of {size}; lower fit.batch")
        self.x, self.context, self.size, self.device = x.to(device), context.to(device), size, device
        size_of = weights.double().abs()
        even = bool((size_of == size_of[0]).all())
        self.cumulative = None if even else (size_of.cumsum(0) / size_of.sum()).to(device)
        signed = bool((weights < 0).any())
        self.signs = (weights.sign() * size_of.sum() / weights.sum()).float().to(device) if signed else None

    def rows(self) -> Tensor:
        """Row numbers (B,) of one batch."""
        if self.cumulative is None:
            return torch.randint(len(self.x), (self.size,), device=self.device)
        uniform = torch.rand(self.size, dtype=torch.float64, device=self.device)
        return torch.searchsorted(self.cumulative, uniform, right=True).clamp(max=len(self.x) - 1)

    def draw(self, noise: dict[str, int]) -> Batch:
        """One batch with the normals that a loss asks for."""
        rows = self.rows()
        normals = {name: torch.randn(self.size, width, device=self.device) for name, width in noise.items()}
        signs = None if self.signs is None else self.signs[rows]
        return Batch(self.x[rows], self.context[rows], normals, signs)


def reseed(seed: int, step: int) -> None:
    """Make every random number of a step, dropout included, a function of the seed and the step alone.

    It is what lets a resumed fit go on with the same bits without any saved random state.
    """
    torch.manual_seed(derive(seed, "step", step))
