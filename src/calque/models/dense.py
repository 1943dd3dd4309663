"""The 2018 note's networks: dense generator and critic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calque.models.generator import Generator, beside
from calque.models.network import RANGES, Norm, Shape, by_column, dense, widths
from calque.table import Layout


class DenseGenerator(Generator):
    """Dense layers from a latent vector to an event (Marshall 2018; GAN: Goodfellow et al., arXiv:1406.2661).

    Widths are base·nodes·2^i (`pyramid`) or base·nodes (`flat`). `skip` adds a linear path from noise to event.
    The note's output is `tanh`, for columns in [−1, 1].
    """

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 100, layers: int = 3, nodes: float = 1.0,
                 base: int = 256, shape: Shape = "pyramid", activation: str = "leaky-relu", norm: Norm = "batch",
                 dropout: float = 0.2, momentum: float = 0.9, output: str = "linear", skip: bool = False) -> None:
        super().__init__(layout, context)
        self.noise = latent
        self.reach = self.reach if skip else RANGES.get(output, self.reach)
        hidden = widths(layers, nodes, base, shape)
        *body, last, bound = dense(latent + context, hidden, self.size, activation=activation, norm=norm,
                                   dropout=dropout, momentum=momentum, output=output)
        self.body, self.head = nn.Sequential(*body), nn.Sequential(last, bound)
        self.skip = nn.Linear(latent + context, self.size) if skip else None

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, latent) and (B, C) → (B, D)."""
        inputs = beside(noise, context)
        hidden, (last, bound) = self.body(inputs), self.head
        with torch.autocast(inputs.device.type, enabled=False):  # in bf16 the last layer would round the events
            events: Tensor = bound(by_column(last, hidden.float()))
            return events if self.skip is None else events + by_column(self.skip, inputs)


class Critic(nn.Module):
    """Dense layers from an event to one logit: real above zero, generated below.

    Without `bias` the last layer has none, for games in which a shift of all scores means nothing. Under
    `spectral` norm all layers are normalised, the last one too.
    """

    def __init__(self, size: int, context: int = 0, *, layers: int = 3, nodes: float = 1.0, base: int = 256,
                 shape: Shape = "pyramid", activation: str = "leaky-relu", norm: Norm = "batch",
                 dropout: float = 0.2, momentum: float = 0.9, bias: bool = True) -> None:
        super().__init__()
        self.norm = norm
        self.body = dense(size + context, widths(layers, nodes, base, shape), 1, activation=activation, norm=norm,
                          dropout=dropout, momentum=momentum, bias=bias, bounded=norm == "spectral")

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → logits (B,)."""
        logits: Tensor = self.body(beside(x, context))
        return logits.squeeze(1)
