"""The 2018 note's networks: dense generator and critic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from calque.models.codes import Codes
from calque.models.generator import Generator, beside
from calque.models.network import RANGES, Norm, Place, Shape, added, by_column, dense, kept, widths
from calque.table import Layout


class DenseGenerator(Generator):
    """Dense layers from a latent vector to an event (Marshall 2018; GAN: Goodfellow et al., arXiv:1406.2661).

    Widths are base·nodes·2^i (`pyramid`) or base·nodes (`flat`). `skip` adds a linear path from noise to event.
    The note's output is `tanh`, for columns in [−1, 1]. `categorical` codes of so many levels each and `continuous`
    ones stand beside the latent vector, made of normals of their own (InfoGAN: arXiv:1606.03657). `momentum` is batch
    norm's, 0.9, and the norm's place is before or after the activation; raises ConfigError where there is none.
    """

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 100, layers: int = 3, nodes: float = 1.0,
                 base: int = 256, shape: Shape = "pyramid", activation: str = "leaky-relu", norm: Norm = "batch",
                 norm_place: Place = "after", dropout: float = 0.2, momentum: float | None = None,
                 output: str = "linear", skip: bool = False, categorical: tuple[int, ...] = (),
                 continuous: int = 0) -> None:
        super().__init__(layout, context)
        self.latent, self.codes = latent, Codes(categorical, continuous)
        self.noise = latent + self.codes.normals
        self.reach = self.reach if skip else RANGES.get(output, self.reach)
        inputs, hidden = latent + self.codes.size + context, widths(layers, nodes, base, shape)
        *body, last, bound = dense(inputs, hidden, self.size, activation=activation, norm=norm, norm_place=norm_place,
                                   dropout=dropout, momentum=kept(momentum, norm), output=output)
        self.body, self.head = nn.Sequential(*body), nn.Sequential(last, bound)
        self.skip = nn.Linear(inputs, self.size) if skip else None

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        if self.codes.size:
            noise = torch.cat([noise[:, : self.latent], self.codes.encode(noise[:, self.latent :])], 1)
        inputs = beside(noise, context)
        hidden, (last, bound) = self.body(inputs), self.head
        with torch.autocast(inputs.device.type, enabled=False):  # in bf16 the last layer would round the events
            if self.skip is not None and isinstance(bound, nn.Identity):
                return added(last, hidden.float(), self.skip, inputs)
            events: Tensor = bound(by_column(last, hidden.float()))
            return events if self.skip is None else events + by_column(self.skip, inputs)


class Critic(nn.Module):
    """Dense layers from an event to one score, or to `outputs` numbers.

    Without `bias` the last layer has none, for games in which a shift of all scores means nothing. Under
    `spectral` norm all layers are normalised, the last one too. `width` is that of the last hidden layer. No critic
    but some of images is told the spread `within` few events.
    """

    within = False

    @classmethod
    def of(cls, layout: Layout, context: int = 0, **settings: Any) -> Critic:
        """For events of a layout, whatever their shapes."""
        return cls(layout.size, context, **settings)

    def __init__(self, size: int, context: int = 0, *, layers: int = 3, nodes: float = 1.0, base: int = 256,
                 shape: Shape = "pyramid", activation: str = "leaky-relu", norm: Norm = "batch",
                 norm_place: Place = "after", dropout: float = 0.2, momentum: float | None = None,
                 bias: bool = True, outputs: int = 1) -> None:
        super().__init__()
        hidden = widths(layers, nodes, base, shape)
        self.width = hidden[-1] if hidden else size + context
        stack = dense(size + context, hidden, outputs, activation=activation, norm=norm, norm_place=norm_place,
                      dropout=dropout, momentum=kept(momentum, norm), bias=bias, bounded=norm == "spectral")
        self.body, self.head = stack[:-2], stack[-2]

    def forward(self, x: Tensor, context: Tensor, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → scores (B,), or (B, outputs) of several, and the last hidden layer (B, width).

        So many `rows` in a row are of one origin, real or generated; only a critic that is told their spread uses it.
        """
        features = self.body(beside(x, context))
        return self.head(features).squeeze(1), features
