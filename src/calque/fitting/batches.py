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
    `paired` ones bring a twin along, another event of the same context, and leave out rows that have none; where no
    row has one, batches have none.
    """

    def __init__(self, x: Tensor, context: Tensor, weights: Tensor, size: int, device: torch.device,
                 paired: bool = False) -> None:
        if len(x) < size:
            raise DataError(f"{len(x)} training rows are fewer than a batch of {size}; lower fit.batch")
        twins = find_twins(context) if paired else torch.arange(len(x))
        has_twin = twins != torch.arange(len(x))
        self.twins = twins.to(device) if has_twin.any() else None
        weights = weights * has_twin if self.twins is not None else weights
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
        twin = None if self.twins is None else self.x[self.twins[rows]]
        return Batch(self.x[rows], self.context[rows], normals, signs, twin)


def find_twins(context: Tensor) -> Tensor:
    """Row numbers (N,) of the next row with the same context (N, C), of the first after the last.

    >>> find_twins(torch.tensor([[1.0], [2.0], [1.0], [3.0], [1.0]])).tolist()
    [2, 1, 4, 3, 0]
    """
    group = torch.unique(context, dim=0, return_inverse=True)[1]
    order = group.argsort(stable=True)
    ranked = group[order]
    following, last = order.roll(-1), ranked != ranked.roll(-1)
    following[last] = order[torch.searchsorted(ranked, ranked[last])]
    return torch.empty_like(order).scatter_(0, order, following)


def reseed(seed: int, step: int) -> None:
    """Make every random number of a step, dropout included, a function of the seed and the step alone.

    It is what lets a resumed fit go on with the same bits without any saved random state.
    """
    torch.manual_seed(derive(seed, "step", step))
