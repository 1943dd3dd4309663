"""Coupling flows: one small network a coupling, run once in either direction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from calque.models.flows import spline
from calque.models.flows.flow import Flow, Univariate, spline_settings
from calque.models.flows.mixing import Mixing, mix
from calque.models.network import ACTIVATIONS, choose
from calque.table import Layout


class Affine:
    """noise = x · exp(a) + b, with a between −3 and 3."""

    rows, steepest = 2, 3.0

    def forward(self, parameters: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (2, d, N) and x (d, N) → noise and log slope, each (d, N)."""
        slope = self.slope(parameters[1])
        return x * slope.exp() + parameters[0], slope

    def inverse(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The way back."""
        return (noise - parameters[0]) * (-self.slope(parameters[1])).exp()

    def slope(self, free: Tensor) -> Tensor:
        """Held within bounds, softly."""
        return free / (1 + free.abs() / self.steepest)


class RationalQuadratic:
    """A monotonic spline of `bins` between −bound and bound, with linear tails."""

    def __init__(self, bins: int, bound: float) -> None:
        self.rows, self.bound = 3 * bins - 1, bound

    def forward(self, parameters: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (rows, d, N) and x (d, N) → noise and log slope, each (d, N)."""
        return spline.forward(parameters, x, self.bound)

    def inverse(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The way back."""
        return spline.inverse(parameters, noise, self.bound)


class ColumnLinear(nn.Linear):
    """A linear layer on columns that lie in rows: (inputs, N) → (outputs, N)."""

    def forward(self, x: Tensor) -> Tensor:
        """One product."""
        return torch.addmm(self.bias[:, None], self.weight, x)


def columns(inputs: int, hidden: Sequence[int], outputs: int, activation: str) -> nn.Sequential:
    """A dense network on columns that lie in rows, so that what it puts out lies as the univariate maps use it."""
    make = choose("activation", activation, ACTIVATIONS)
    layers = [part for pair in pairwise([inputs, *hidden, outputs]) for part in (ColumnLinear(*pair), make())]
    return nn.Sequential(*layers[:-1])


class Half(nn.Module):
    """One coupling: given the `kept` columns and the context, the `changed` others follow univariate maps."""

    def __init__(self, kept: int, changed: int, context: int, univariate: Affine | RationalQuadratic,
                 hidden: Sequence[int], activation: str, mixing: Mixing) -> None:
        super().__init__()
        self.univariate, self.mixing = univariate, mix(mixing, kept + changed)
        self.network = columns(max(1, kept + context), hidden, univariate.rows * changed, activation)

    def shape(self, kept: Tensor, context: Tensor, changed: Tensor) -> Tensor:
        """Parameters (rows, changed, N) of the univariate maps, in full precision."""
        given = [part for part in (kept, context) if len(part)] or [torch.zeros_like(changed[:1])]
        parameters: Tensor = self.network(torch.cat(given) if len(given) > 1 else given[0])
        return parameters.to(changed.dtype).view(-1, *changed.shape)

    def normalise(self, kept: Tensor, changed: Tensor, context: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Columns (kept, N) and (changed, N) → the same, and terms (…, N) of log |∂noise/∂x|."""
        kept, changed, volume = self.mixing.normalise(kept, changed)
        changed, slope = self.univariate.forward(self.shape(kept, context, changed), changed)
        return kept, changed, [slope, *volume]

    def sample(self, kept: Tensor, changed: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The way back."""
        return self.mixing.sample(kept, self.univariate.inverse(self.shape(kept, context, changed), changed))


class Coupling(Flow):
    """Halves of the columns shape each other in turn, through `transforms` couplings.

    `univariate` maps are rational-quadratic splines of `bins` between −bound and bound with linear tails (Durkan et
    al. 2019, arXiv:1906.04032), or `affine` (RealNVP: Dinh et al. 2016, arXiv:1605.08803). Both directions cost the
    same: one pass of each small network. Between couplings columns are swapped, put into another order, or mixed by a
    learnt matrix (`lu`). Prepare columns to unit width. Raises ConfigError for a setting that would be ignored.
    """

    def __init__(self, layout: Layout, context: int = 0, *, transforms: int = 6, hidden: tuple[int, ...] = (64, 64),
                 activation: str = "silu", univariate: Univariate = "spline", bins: int | None = None,
                 bound: float | None = None, mixing: Mixing = "reverse") -> None:
        super().__init__(layout, context, transforms)
        bins, bound = spline_settings(univariate, bins, bound)
        maps = RationalQuadratic(bins, bound) if bins else Affine()
        kept = self.size // 2
        self.sizes = [[kept, self.size - kept] if number % 2 == 0 or not kept else [self.size - kept, kept]
                      for number in range(transforms)]
        self.halves = nn.ModuleList(Half(kept, changed, context, maps, hidden, activation, mixing)
                                    for kept, changed in self.sizes)

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → noise (B, D) and log |∂noise/∂x| (B,)."""
        slopes: list[Tensor] = []
        kept, changed = self.turn(*torch.split(x.T, self.sizes[0]))
        for half in self.typed_halves():
            kept, changed, slope = half.normalise(*self.turn(kept, changed), context.T)
            slopes += slope
        return torch.cat([kept, changed]).T, torch.cat(slopes).sum(0)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → (B, D)."""
        kept, changed = torch.split(noise.T, self.sizes[-1])
        for half in reversed(self.typed_halves()):
            kept, changed = self.turn(*half.sample(kept, changed, context.T))
        return torch.cat(self.turn(kept, changed)).T

    def typed_halves(self) -> list[Half]:
        """The couplings, for a type checker."""
        return [half for half in self.halves if isinstance(half, Half)]

    def turn(self, kept: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        """What was changed is kept next; a single column is changed each time."""
        return (changed, kept) if self.sizes[0][0] else (kept, changed)
