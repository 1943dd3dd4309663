"""The contract every generator satisfies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from calque.errors import CalqueError
from calque.table import Layout


class Generator(nn.Module):
    """Turns standard normals into events, given a context.

    `noise` normals per event go in; `layout` says what comes out. Sampling is a pure function of noise and
    context: reproducible, exportable, independent of the batch.
    """

    noise: int
    has_density: bool = False
    costly_density: bool = False  # far more than a draw: nobody looks at it unasked
    averages: bool = False  # draws the mean of events rather than events like them
    at_once: int | None = None  # events that a processor draws together; none: what its cache holds of the weights
    reach: tuple[float, float] = (-math.inf, math.inf)  # values that can come out

    def __init__(self, layout: Layout, context: int = 0) -> None:
        super().__init__()
        self.layout, self.context = layout, context

    @property
    def size(self) -> int:
        """Width D of a packed event."""
        return self.layout.size

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Noise (B, noise) and context (B, C) → packed events (B, D)."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,) of packed events; raises where the generator has none."""
        raise CalqueError(f"a {type(self).__name__} draws events but has no density; kind 'flow' has one")

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """Events (B, D) → the first normals (B, L) of a draw that would make them; raises where none are known.

        Where many would, `normals` (B, noise) choose.
        """
        raise CalqueError(f"a {type(self).__name__} does not tell which noise makes an event; kinds with an encoder or "
                          "an inverse do, such as 'vae' and 'flow'")


def beside(x: Tensor, context: Tensor) -> Tensor:
    """Events with their context (B, D + C)."""
    return torch.cat([x, context], dim=1) if context.shape[1] else x
