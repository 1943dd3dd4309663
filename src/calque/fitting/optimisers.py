"""Optimisers by name, one per player."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Adam, Optimizer, RMSprop

from calque.config import OptimiserConfig


def make_optimiser(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adam (with amsgrad by choice; fused kernels) or RMSprop."""
    parameters = list(parameters)
    if config.name == "rmsprop":
        return RMSprop(parameters, lr=config.rate, weight_decay=config.decay, foreach=True)
    return Adam(parameters, lr=config.rate, betas=(config.beta1, config.beta2), weight_decay=config.decay,
                amsgrad=config.name == "adam-amsgrad", fused=True)


def set_rate(optimiser: Optimizer, config: OptimiserConfig, progress: float) -> None:
    """Follow the schedule; `progress` goes from 0 to 1."""
    if config.schedule == "cosine":
        for group in optimiser.param_groups:
            group["lr"] = config.rate * 0.5 * (1 + math.cos(math.pi * progress))


class Average:
    """Exponential average of a network's floating-point state (parameters and batch statistics).

    The share of the past grows from 0 to `decay` like (1 + n)/(10 + n), so that short trainings are not held
    at their beginning.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.source = [tensor for tensor in network.state_dict(keep_vars=False).values() if tensor.is_floating_point()]
        self.values = [tensor.detach().clone() for tensor in self.source]
        self.count = 0

    def update(self) -> None:
        """Move towards the present."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        torch._foreach_lerp_(self.values, self.source, 1 - decay)

    def load_into(self, network: nn.Module) -> None:
        """Give a copy of the network the averaged state."""
        wanted = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        torch._foreach_copy_(wanted, self.values)
