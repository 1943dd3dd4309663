"""Densities of a vector, column by column: each given a context and the columns before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu
from zuko.transforms import ComposedTransform, MonotonicAffineTransform, MonotonicRQSTransform


class Columnwise(nn.Module):
    """One linear layer for each of D columns: (D, B, inputs) → (D, B, outputs)."""

    def __init__(self, size: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(size, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(size, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, columns: slice) -> Tensor:
        """The layers of some columns."""
        return torch.baddbmm(self.bias[columns], x, self.weight[columns])


class Conditionals(nn.Module):
    """p(x | c) = Π p(x_j | x_{j−window} … x_{j−1}, c), each factor a small network's (MADE: arXiv:1502.03509).

    A factor is a normal whose scale a rational-quadratic spline bends (Durkan et al. 2019, arXiv:1906.04032), inside
    five of its widths. What the context contributes is computed once for a draw, and each column's network once:
    drawing costs as much as one pass, although it goes column by column.
    """

    def __init__(self, size: int, context: int, *, window: int | None = None, nodes: int = 64, layers: int = 2,
                 bins: int = 8) -> None:
        super().__init__()
        self.size, self.bins = size, bins
        self.window = size - 1 if window is None else min(window, size - 1)
        self.given = nn.Linear(1 + context, size * nodes, bias=False)
        self.before = Columnwise(size, self.window, nodes) if self.window else None
        self.layers = nn.ModuleList(Columnwise(size, nodes, 3 * bins + 1 if last else nodes)
                                    for last in [False] * (layers - 1) + [True])

    def contribute(self, context: Tensor) -> Tensor:
        """What a context (B, C) adds to the first layers, (D, B, nodes)."""
        given: Tensor = self.given(pad(context, (1, 0), value=1.0))
        return given.view(len(context), self.size, -1).transpose(0, 1)

    def factors(self, given: Tensor, before: Tensor, columns: slice = slice(None)) -> ComposedTransform:
        """Maps of columns to standard normals, given what contexts and earlier columns (D, B, window) are."""
        hidden = given[columns]
        if self.before is not None:
            hidden = hidden + self.before(before, columns)
        for layer in self.layers:
            hidden = layer(silu(hidden), columns)
        ends = [1, 1, self.bins, self.bins, self.bins - 1]
        shift, scale, widths, heights, slopes = torch.split(hidden.float(), ends, dim=2)
        return ComposedTransform(MonotonicAffineTransform(shift.squeeze(2), scale.squeeze(2)),
                                 MonotonicRQSTransform(widths, heights, slopes))

    def normals(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The standard normals (B, D) that make x, and the logarithms of their slopes (B, D)."""
        before = pad(x, (self.window, 0)).unfold(1, self.window + 1, 1)[..., :-1]
        factors = self.factors(self.contribute(context), before.transpose(0, 1))
        normal, slope = factors.call_and_ladj(x.T)
        return normal.T, slope.T

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B, D) of each column given those before it."""
        normal, slope = self.normals(x, context)
        return slope - 0.5 * normal.square() - 0.5 * math.log(2 * math.pi)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Standard normals (B, D) → (B, D)."""
        given = self.contribute(context)
        known = noise.new_zeros(len(noise), self.window)
        for column in range(self.size):
            before = known[None, :, column:]
            drawn = self.factors(given, before, slice(column, column + 1)).inv(noise[None, :, column])
            known = torch.cat([known, drawn.T], dim=1)
        return known[:, self.window :]
