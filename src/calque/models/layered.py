"""Images of several shapes, and numbers, drawn together: locally connected layers with attention between images."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from calque.errors import ConfigError
from calque.models.generator import Generator, beside
from calque.models.images import Shape, coarser, described, images_of, pixels
from calque.models.network import OUTPUTS, RANGES, choose, dense
from calque.models.spectral import apply_norm
from calque.table import Layout

KERNEL = 3


class LocallyConnected(nn.Module):
    """A convolution whose weights differ from pixel to pixel: (B, inputs, *shape) → (B, outputs, *shape).

    Each pixel sees its neighbours up to one away on every axis, zeros beyond the edge. Weights begin as He's
    (arXiv:1502.01852): with smaller ones, the first thousand steps are spent on their size.
    """

    per_pixel = True  # the first axis of the weight
    around: Tensor  # (P, 3^axes): numbers of the neighbours of every pixel, P beyond the edge

    def __init__(self, inputs: int, outputs: int, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("around", neighbours(shape), persistent=False)
        places, seen = self.around.shape
        self.weight = nn.Parameter(torch.randn(places, outputs, seen * inputs) * math.sqrt(2 / (seen * inputs)))
        self.bias = nn.Parameter(torch.zeros(places, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """A matrix product at every pixel; with events last, which is several times faster."""
        places = pad(x.flatten(2).permute(2, 1, 0), (0, 0, 0, 0, 0, 1))
        seen = places.index_select(0, self.around.flatten()).view(len(self.around), -1, len(x))
        return torch.baddbmm(self.bias, self.weight, seen).permute(2, 1, 0).reshape(len(x), -1, *x.shape[2:])


def neighbours(shape: Shape) -> Tensor:
    """Numbers (P, 3^axes) of the pixels up to one away from each, P beyond the edge.

    >>> neighbours((3,)).tolist()
    [[3, 0, 1], [0, 1, 2], [1, 2, 3]]
    """
    numbers = pad(torch.arange(pixels(shape)).view(shape), (1, 1) * len(shape), value=pixels(shape))
    for axis in range(len(shape)):
        numbers = numbers.unfold(axis, KERNEL, 1)
    return numbers.reshape(pixels(shape), -1)


class Image(nn.Module):
    """One image of an event, which may look at the one before."""

    def __init__(self, inputs: int, width: int, shape: Shape, attends: bool, norm: str = "none") -> None:
        super().__init__()
        self.shape, self.width = shape, width
        self.start = apply_norm(nn.Linear(inputs, width * pixels(shape)), norm)
        self.local = apply_norm(LocallyConnected(width + 1, width, shape), norm)
        self.gate = LocallyConnected(2 * width, 1, shape) if attends else None
        self.last = LocallyConnected(width, 1, shape)

    def forward(self, hidden: Tensor, noise: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """What all share (B, H), normals (B, P), features of the image before → pixels (B, P), and features."""
        start = torch.cat([leaky_relu(self.start(hidden), 0.2), noise], 1).view(-1, self.width + 1, *self.shape)
        features = leaky_relu(self.local(start), 0.2)
        if self.gate is not None and before is not None:
            seen = coarser(before, self.shape)
            own = torch.sigmoid(self.gate(torch.cat([features, seen], 1)))
            features = own * features + (1 - own) * seen
        return self.last(features).flatten(1), features


class Layered(Generator):
    """Every layer of a calorimeter by a network of its own (idea of CaloGAN: Paganini et al. 2017, arXiv:1712.10321).

    A dense network of `layers` with `nodes` each makes of latent and context what all have in common; of that come the
    numbers, and for every image `channels` feature maps, which with a normal at every pixel go through locally
    connected layers. Between them each image takes over, pixel by pixel, a learnt share of the features of the image
    before it, averaged or repeated to its shape. With a `spectral` norm all layers have it but
    those that set the scale of numbers and pixels. `skip` adds a linear path from all noise and the context to every
    number and pixel. Raises ConfigError for images of different numbers of axes.

    >>> Layered(Layout(("e", "layer_0", "layer_1"), ((), (3, 96), (12, 12))), 1).size
    433
    """

    at_once = 100

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 32, layers: int = 2, nodes: int = 64,
                 channels: int = 6, norm: Literal["none", "spectral"] = "none", output: str = "linear",
                 skip: bool = False) -> None:
        super().__init__(layout, context)
        shapes = images_of(layout)
        if len({len(shape) for shape in shapes.values()}) > 1:
            raise ConfigError(f"this network draws images of as many axes each, but the events are {described(layout)};"
                              " leave columns out with read.columns")
        if min(layers, nodes, channels) < 1:
            raise ConfigError(f"layers = {layers}, nodes = {nodes} and channels = {channels} make no network; take one "
                              "or more of each")
        self.latent, self.sizes = latent, [pixels(shape) for shape in shapes.values()]
        self.noise = latent + sum(self.sizes)
        self.numbers = [name for name in layout.names if name not in shapes]
        if not self.numbers:
            self.reach = RANGES.get(output, self.reach)
        *body, _, _ = dense(latent + context, [nodes] * layers, 1, norm=norm)
        self.body, self.head = nn.Sequential(*body), nn.Linear(nodes, len(self.numbers)) if self.numbers else None
        self.images = nn.ModuleDict({f"image {place}": Image(nodes, channels, shape, place > 0, norm)
                                     for place, shape in enumerate(shapes.values())})
        self.shapes, self.bound = shapes, choose("output", output, OUTPUTS)()
        self.skip = nn.Linear(self.noise + context, self.size) if skip else None

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        latent, *grains = torch.split(noise, [self.latent, *self.sizes], 1)
        hidden = self.body(beside(latent, context))
        columns = {} if self.head is None else dict(zip(self.numbers, self.head(hidden).unbind(1), strict=True))
        features: Tensor | None = None
        for name, image, grain in zip(self.shapes, self.images.values(), grains, strict=True):
            columns[name], features = image(hidden, grain, features)
        packed = self.layout.pack(columns)
        if self.skip is not None:
            packed = packed + self.skip(beside(noise, context))
        return self.layout.pack({name: self.bound(column) if name in self.shapes else column
                                 for name, column in self.layout.unpack(packed).items()})


def log_mean_exp(x: Tensor, sharpness: Tensor) -> Tensor:
    """log⟨exp(βx)⟩/β over the last axis: of logarithms, that of their sum; β → 0 gives the mean, β → ∞ the largest."""
    return (torch.logsumexp(sharpness * x, -1) - math.log(x.shape[-1])) / sharpness
