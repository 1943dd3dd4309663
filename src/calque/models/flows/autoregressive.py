"""Autoregressive flows, through zuko."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from zuko.distributions import DiagNormal
from zuko.flows import Flow as Zuko
from zuko.flows import MaskedAutoregressiveTransform
from zuko.lazy import LazyInverse, LazyTransform, UnconditionalDistribution, UnconditionalTransform
from zuko.transforms import LULinearTransform, MonotonicRQSTransform

from calque.models.flows.flow import Flow, Univariate, spline_settings
from calque.models.flows.mixing import Mixing
from calque.models.network import ACTIVATIONS, choose
from calque.table import Layout


class Autoregressive(Flow):
    """Each column follows a univariate map that is shaped by those before it.

    Maps are rational-quadratic splines of `bins` between −bound and bound (Durkan et al. 2019, arXiv:1906.04032) or
    `affine` (MAF: Papamakarios et al. 2017, arXiv:1705.07057). The density takes one pass of each network and a draw
    one per column; with `inverse` it is the other way round (IAF: Kingma et al. 2016, arXiv:1606.04934), and
    training, which needs the density, takes one per column too. `passes` stop after fewer columns at once, two make
    couplings of the masked networks. Raises ConfigError for a setting that would be ignored.
    """

    def __init__(self, layout: Layout, context: int = 0, *, transforms: int = 3, hidden: tuple[int, ...] = (64, 64),
                 activation: str = "silu", univariate: Univariate = "spline", bins: int | None = None,
                 bound: float | None = None, passes: int = 0, inverse: bool = False,
                 mixing: Mixing = "reverse") -> None:
        super().__init__(layout, context, transforms)
        network = {"hidden_features": hidden, "activation": choose("activation", activation, ACTIVATIONS),
                   "passes": min(passes, self.size) or None, **maps(*spline_settings(univariate, bins, bound))}
        lazy: list[LazyTransform] = []
        for number in range(transforms):
            if mixing == "lu":
                lazy += [UnconditionalTransform(LULinearTransform, torch.eye(self.size))]
            order = column_order(self.size, number, mixing)
            transform = MaskedAutoregressiveTransform(self.size, context, order=order, **network)
            lazy += [LazyInverse(transform) if inverse else transform]
        standard = {"loc": torch.zeros(self.size), "scale": torch.ones(self.size)}
        self.flow = Zuko(lazy, UnconditionalDistribution(DiagNormal, **standard, buffer=True))

    def given(self, context: Tensor) -> Any:
        """The transformation for a context."""
        return self.flow.transform(context if self.context else None)

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → noise (B, D) and log |∂noise/∂x| (B,)."""
        noise, slope = self.given(context).call_and_ladj(x)
        return noise, slope

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → (B, D)."""
        with torch.autocast(noise.device.type, enabled=False):  # each pass starts from the last one's events
            events: Tensor = self.given(context).inv(noise)
        return events


def maps(bins: int, bound: float) -> dict[str, Any]:
    """The univariate map as zuko takes it; affine is its own choice."""
    if not bins:
        return {}
    return {"univariate": partial(MonotonicRQSTransform, bound=bound), "shapes": [(bins,), (bins,), (bins - 1,)]}


def column_order(size: int, number: int, mixing: Mixing) -> Tensor:
    """In which order a transformation takes the columns: forth and back in turn, at random, or as they are."""
    if mixing == "permutation":
        return torch.randperm(size)
    order = torch.arange(size)
    return order.flip(0) if mixing == "reverse" and number % 2 else order
