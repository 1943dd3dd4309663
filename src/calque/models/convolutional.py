"""Convolutional networks that look at images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.generator import Generator, beside
from calque.models.network import ACTIVATIONS, Dropout, Norm, Place, choose, place_norm
from calque.models.spectral import apply_norm
from calque.table import Layout

CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS: dict[int, Callable[..., nn.Module]] = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d,
                                                    3: nn.BatchNorm3d}


class Convolutional(nn.Module):
    """Convolutions of stride two, then one dense layer: flat images (B, D) of a shape → features (B, width).

    Each layer halves every axis and has the channels that `channels` tells; several `images` of the shape lie one
    after another. Where batch norm comes before the activation the first layer has none (arXiv:1511.06434). Raises
    ConfigError for a shape of no or of more than three axes.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 128, channels: Sequence[int] = (16, 32, 48), *,
                 images: int = 1, activation: str = "leaky-relu", norm: Norm = "none", dropout: float = 0.0,
                 momentum: float = 0.9, norm_place: Place = "after") -> None:
        super().__init__()
        if len(shape) not in CONVOLUTIONS:
            raise ConfigError(f"convolutions need images of one to three axes, not of shape {shape}")
        convolution, axes, self.shape = CONVOLUTIONS[len(shape)], len(shape), shape
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise([images, *channels]):
            own: Norm = "none" if norm == "batch" and norm_place == "before" and not parts else norm
            parts += follow(convolution(inputs, outputs, 4, 2, 2), outputs, axes, activation, own, dropout, momentum,
                            norm_place)
            shape = tuple(length // 2 + 1 for length in shape)
        self.layers, self.width = nn.Sequential(*parts), width
        last = nn.Linear(([images, *channels])[-1] * math.prod(shape), width)
        self.last = nn.Sequential(*follow(last, width, 0, activation, norm, dropout, momentum, norm_place))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) → (B, width)."""
        features: Tensor = self.last(self.layers(x.reshape(len(x), -1, *self.shape)).flatten(1))
        return features


def follow(layer: nn.Module, width: int, axes: int, activation: str, norm: Norm, dropout: float = 0.0,
           momentum: float = 0.9, norm_place: Place = "after") -> list[nn.Module]:
    """A layer of so many outputs or channels, of images with so many axes, and what follows it as in a dense network.

    Layer norm is over all channels and pixels of an event; spectral norm is over the kernel as a matrix
    (arXiv:1802.05957, section 3).
    """
    layer = apply_norm(layer, norm)
    norms = {"none": None, "spectral": None, "layer": lambda: nn.GroupNorm(1, width),
             "batch": lambda: BATCH_NORMS[axes](width, momentum=1 - momentum)}
    make_norm = choose("norm", norm, norms)
    made = [make_norm()] if make_norm else []
    return [layer, *place_norm(choose("activation", activation, ACTIVATIONS)(), made, norm_place),
            *([Dropout(dropout)] if dropout else [])]


class Siamese(nn.Module):
    """Whether two images are of the same parameters: two convolutional networks that share their weights.

    The score sees the features' distance and their sum, so that exchanging the images changes nothing
    (Alonso-Monsalve & Whitehead 2018, arXiv:1812.00879).
    """

    def __init__(self, shape: tuple[int, ...], context: int, width: int = 64,
                 channels: Sequence[int] = (16, 32, 48)) -> None:
        super().__init__()
        self.twin = Convolutional(shape, width, channels)
        self.head = nn.Sequential(nn.Linear(2 * width + context, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, pair: Tensor, context: Tensor) -> Tensor:
        """Pairs side by side (B, 2D) and context (B, C) → scores (B,)."""
        one, other = self.twin(torch.cat(pair.chunk(2, 1))).chunk(2)
        score: Tensor = self.head(beside(torch.cat([(one - other).abs(), one + other], 1), context))
        return score.squeeze(1)


class Regressor(Generator):
    """The mean of an event, given an image as context: a generator that takes no noise.

    `shape` is the image's; the event is what is wanted of it, such as the parameters it was made with.
    """

    noise = 0

    def __init__(self, layout: Layout, context: int = 0, *, shape: tuple[int, ...] = (), width: int = 128,
                 channels: tuple[int, ...] = (16, 32, 48)) -> None:
        super().__init__(layout, context)
        if math.prod(shape) != context:
            raise ConfigError(f"an image of shape {shape} has {math.prod(shape)} pixels; {context} were given")
        self.body = Convolutional(shape, width, channels)
        self.head = nn.Linear(width, self.size)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Images (B, C) → (B, D)."""
        events: Tensor = self.head(self.body(context))
        return events
