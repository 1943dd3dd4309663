"""Convolutional networks that look at images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.generator import Generator, beside
from calque.table import Layout

CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class Convolutional(nn.Module):
    """Convolutions of stride two, then one dense layer: flat images (B, D) of a shape → features (B, width).

    Each layer halves every axis and has the channels that `channels` tells. Raises ConfigError for a shape of no or of
    more than three axes.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 128, channels: Sequence[int] = (16, 32, 48)) -> None:
        super().__init__()
        if len(shape) not in CONVOLUTIONS:
            raise ConfigError(f"convolutions need images of one to three axes, not of shape {shape}")
        convolution, self.shape = CONVOLUTIONS[len(shape)], shape
        parts: list[nn.Module] = []
        for inputs, outputs in zip([1, *channels], channels, strict=False):
            parts += [convolution(inputs, outputs, 4, 2, 2), nn.LeakyReLU(0.2)]
            shape = tuple(length // 2 + 1 for length in shape)
        self.layers, self.width = nn.Sequential(*parts), width
        self.last = nn.Sequential(nn.Linear(channels[-1] * math.prod(shape), width), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) → (B, width)."""
        features: Tensor = self.last(self.layers(x.reshape(-1, 1, *self.shape)).flatten(1))
        return features


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
