"""Networks that grow from coarse to fine images (Karras et al. 2017, arXiv:1710.10196)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from calque.errors import ConfigError
from calque.models.critics import WIDTH, spread_within
from calque.models.generator import Generator, beside
from calque.models.images import Resolutions, along, channels, coarser, finer, one_shape, pixels
from calque.models.network import OUTPUTS, RANGES, Norm, Place, choose, kept, widths
from calque.models.network import Shape as Widths
from calque.models.spectral import apply_norm
from calque.table import Layout

GAIN = math.sqrt(2)  # keeps the size of what a leaky ReLU cuts


class Scaled(nn.Module):
    """A weight that is learnt at one size and acts at another."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """As it acts."""
        return weight * self.scale


def equalised(layer: nn.Module, gain: float = GAIN, start: float = 0.0) -> nn.Module:
    """A layer that learns standard normal weights, divided by √inputs when it acts (arXiv:1710.10196, section 4.1).

    Every weight then moves by the same share of its size in a step of an optimiser such as Adam. Biases begin at
    `start`.
    """
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    nn.init.normal_(weight)
    nn.init.constant_(bias, start)
    return register_parametrization(layer, "weight", Scaled(gain / math.sqrt(weight[0].numel())))


def acting_scales(network: nn.Module) -> dict[str, float]:
    """By what the parameters of a network are multiplied when they act, by name; the others act as they are."""
    found = {}
    for name, part in network.named_modules():
        if isinstance(part, ParametrizationList) and isinstance(part[0], Scaled):
            found[f"{name}.original"] = part[0].scale
    return found


class Normed(nn.Module):
    """Every pixel's features (B, C, …) at mean square one (arXiv:1710.10196, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Divide by the root of the mean square."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Growing(Generator):
    """A generator whose image begins coarse; subclasses give the features of each resolution."""

    at_once = 250

    def __init__(self, layout: Layout, context: int, layers: int, base: int, output: str) -> None:
        super().__init__(layout, context)
        count, shape = one_shape(layout)
        self.resolutions = Resolutions(shape, layers)
        self.shapes = self.resolutions.shapes
        self.widths = channels(len(self.shapes), base)
        self.to_images = nn.ModuleList(equalised(along(width, count, shape, 1), 1.0) for width in self.widths)
        self.bound, self.reach = choose("output", output, OUTPUTS)(), RANGES.get(output, self.reach)

    def features(self, noise: Tensor, context: Tensor) -> Iterator[Tensor]:
        """Features (B, C, …) of one resolution after the other."""
        raise NotImplementedError

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D), as fine as the generator has grown."""
        level, share = self.resolutions.reached()
        features = list(islice(self.features(noise, context), level + 1))
        images: Tensor = self.to_images[level](features[level])
        if share < 1:
            images = self.resolutions.blend(self.to_images[level - 1](features[level - 1]), images)
        events: Tensor = self.bound(finer(images, self.shapes[-1])).flatten(1)
        return events


class Progressive(Growing):
    """Latent vector to image, resolution by resolution (Karras et al. 2017, arXiv:1710.10196).

    At most `layers` resolutions, each with two convolutions of `base` channels at the finest, twice as many at each
    before, and pixel norm; all weights are equalised, and with a `spectral` norm all but those that make the
    image have it. Several images of one shape are channels of one. Raises ConfigError for events of other columns.
    """

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 32, layers: int = 3, base: int = 16,
                 norm: Literal["none", "spectral"] = "none", output: str = "linear") -> None:
        super().__init__(layout, context, layers, base, output)
        self.noise, self.norm = latent, norm
        self.start = apply_norm(equalised(nn.Linear(latent + context, self.widths[0] * pixels(self.shapes[0]))), norm)
        self.blocks = nn.ModuleList(
            nn.Sequential(*self.layer(inputs, outputs, place), *self.layer(outputs, outputs, place))
            for place, (inputs, outputs) in enumerate(pairwise([self.widths[0], *self.widths])))

    def layer(self, inputs: int, outputs: int, place: int) -> list[nn.Module]:
        """A convolution and what follows it."""
        layer = apply_norm(equalised(along(inputs, outputs, self.shapes[place])), self.norm)
        return [layer, nn.LeakyReLU(0.2), Normed()]

    def features(self, noise: Tensor, context: Tensor) -> Iterator[Tensor]:
        """From the latent vector, on a sphere, upwards."""
        start = self.start(beside(Normed()(noise), context)).view(-1, self.widths[0], *self.shapes[0])
        features = Normed()(leaky_relu(start, 0.2))
        for block, shape in zip(self.blocks, self.shapes, strict=True):
            features = block(finer(features, shape))
            yield features


class GrowingCritic(nn.Module):
    """The generator's mirror image, told the spread within few events (arXiv:1710.10196).

    Answers as `Critic` does. Its layers are equalised, and have a `spectral` norm by choice. Raises ConfigError for
    other norms and activations, of which it takes none but its own.
    """

    within = True

    def __init__(self, layout: Layout, context: int = 0, *, layers: int = 3, nodes: float = 1.0, base: int = 16,
                 shape: Widths = "pyramid", activation: str = "leaky-relu", norm: Norm = "none",
                 norm_place: Place = "after", dropout: float = 0.0, momentum: float | None = None,
                 bias: bool = True, outputs: int = 1) -> None:
        super().__init__()
        kept(momentum, norm)
        if norm not in ("none", "spectral") or dropout or activation != "leaky-relu":
            raise ConfigError(f"norm = {norm!r}, dropout = {dropout:g}, activation = {activation!r}: a growing critic "
                              "has equalised layers and leaky activations; set fit.objective.norm = \"none\" or "
                              "\"spectral\" and dropout = 0, or critic = \"convolutional\"")
        count, whole = one_shape(layout)
        self.resolutions = Resolutions(whole, layers)
        self.shapes = self.resolutions.shapes
        wide = widths(len(self.shapes), nodes, base, shape)[::-1]

        def layer(made: nn.Module, *scales: float) -> nn.Module:
            return apply_norm(equalised(made, *scales), norm)

        self.from_images = nn.ModuleList(layer(along(count, width, whole, 1)) for width in wide)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer(along(inputs, inputs, whole)), nn.LeakyReLU(0.2),
                          layer(along(inputs, outputs, whole)), nn.LeakyReLU(0.2))
            for outputs, inputs in pairwise(wide))
        self.last = layer(along(wide[0] + 1, wide[0], whole))
        self.body = layer(nn.Linear(wide[0] * pixels(self.shapes[0]) + context, WIDTH))
        self.weigh = layer(nn.Linear(context, WIDTH), 1.0, 1.0) if context else None
        self.head, self.width = apply_norm(nn.Linear(WIDTH, outputs, bias), norm), WIDTH

    def coarsest(self, x: Tensor) -> Tensor:
        """Features (B, C, …) at the coarsest resolution of flat images (B, D)."""
        level, share = self.resolutions.reached()
        images = coarser(x.view(len(x), -1, *self.shapes[-1]), self.shapes[level])
        features = leaky_relu(self.from_images[level](images), 0.2)
        for place in range(level, 0, -1):
            features = coarser(self.blocks[place - 1](features), self.shapes[place - 1])
            if place == level and share < 1:
                old = self.from_images[place - 1](coarser(images, self.shapes[place - 1]))
                features = torch.lerp(leaky_relu(old, 0.2), features, share)
        return features

    def forward(self, x: Tensor, context: Tensor, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → scores (B,), or (B, outputs) of several, and the last hidden layer (B, width).

        So many `rows` in a row are of one origin, real or generated.
        """
        seen = self.coarsest(x)
        spread = spread_within(seen, rows).view(-1, *[1] * (seen.ndim - 1)).expand(-1, 1, *seen.shape[2:])
        seen = leaky_relu(self.last(torch.cat([seen, spread], 1)), 0.2).flatten(1)
        features = leaky_relu(self.body(beside(seen, context)), 0.2)
        features = features if self.weigh is None else features * self.weigh(context)
        return self.head(features).squeeze(1), features
