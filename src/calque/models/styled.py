"""A generator of images whose layers take their style from the latent vector (Karras et al. 2018, arXiv:1812.04948)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from calque.errors import ConfigError
from calque.models.generator import beside
from calque.models.growing import Growing, Normed, equalised
from calque.models.images import Shape, along, finer, pixels
from calque.models.spectral import apply_norm
from calque.table import Layout

AVERAGED = 64  # latent vectors that tell the mean style


class Styled(nn.Module):
    """A convolution, noise on every pixel, a cut, and the style: each channel gets a mean and a spread.

    Adaptive instance norm (Huang & Belongie 2017, arXiv:1703.06868): an event's channel is brought to mean zero and
    width one over its pixels, and then to what the style says.
    """

    def __init__(self, inputs: int, outputs: int, nodes: int, shape: Shape, norm: str = "none") -> None:
        super().__init__()
        self.layer = apply_norm(equalised(along(inputs, outputs, shape)), norm)
        self.grain = nn.Parameter(torch.zeros(outputs, *[1] * len(shape)))
        self.style = equalised(nn.Linear(nodes, 2 * outputs), 1.0)
        nn.init.ones_(self.style.get_parameter("bias")[:outputs])

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Features (B, inputs, …), styles (B, S) and normals (B, 1, …) → features (B, outputs, …)."""
        return self.adapted(leaky_relu(self.layer(x) + self.grain * noise, 0.2), style)

    def adapted(self, x: Tensor, style: Tensor) -> Tensor:
        """Every channel with the spread and the mean of the style."""
        spread, mean = self.style(style).chunk(2, 1)
        flat = x.flatten(2)
        variance, centre = torch.var_mean(flat, 2, correction=0, keepdim=True)
        level = (flat - centre) * torch.rsqrt(variance + 1e-8)
        styled: Tensor = (level * spread[:, :, None] + mean[:, :, None]).view_as(x)
        return styled


class Style(Growing):
    """A mapping network gives the style of every layer; the image begins as a constant (arXiv:1812.04948).

    Latent vector and context go through `mapping` dense layers of `nodes`. Two convolutions at each of at most `layers`
    resolutions, with `base` channels at the finest and twice as many at each before, are styled; each adds normal noise
    with weights of its own on every pixel: new one for each layer, as in the paper, or the same for both of a
    resolution (`noise_per`). With a `spectral` norm the mapping and the convolutions have it. A `truncation` below one
    pulls the styles of what is drawn, though not in training, towards their mean at the same context: fewer odd events,
    and less variety. It may be changed after the training.
    """

    centres: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 32, layers: int = 3, base: int = 16,
                 mapping: int = 4, nodes: int = 64, noise_per: Literal["layer", "resolution"] = "resolution",
                 norm: Literal["none", "spectral"] = "none", output: str = "linear",
                 truncation: float = 1.0) -> None:
        super().__init__(layout, context, layers, base, output)
        if mapping < 1 or nodes < 1 or not 0 <= truncation <= 1:
            raise ConfigError(f"mapping = {mapping}, nodes = {nodes}, truncation = {truncation:g}: a mapping has one "
                              "layer and node or more, and truncation lies between 0 and 1, which is none")
        self.latent, self.truncation = latent, truncation
        self.grains = 2 if noise_per == "layer" else 1  # noise images of one resolution
        self.noise = latent + self.grains * sum(map(pixels, self.shapes))
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise([latent + context, *[nodes] * mapping]):
            parts += [apply_norm(equalised(nn.Linear(inputs, outputs)), norm), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*parts)
        self.register_buffer("centres", torch.randn(AVERAGED, latent))
        self.start = nn.Parameter(torch.ones(1, self.widths[0], *self.shapes[0]))
        self.first = nn.ModuleList(Styled(*wide, nodes, shape, norm) for wide, shape in
                                   zip(pairwise([self.widths[0], *self.widths]), self.shapes, strict=True))
        self.second = nn.ModuleList(Styled(wide, wide, nodes, shape, norm)
                                    for wide, shape in zip(self.widths, self.shapes, strict=True))

    def styles(self, latent: Tensor, context: Tensor) -> Tensor:
        """Latent vectors (B, latent) and contexts → styles (B, nodes), truncated where events are drawn."""
        styles = self.mapped(latent, context)
        if self.training or self.truncation == 1:
            return styles
        many = self.mapped(self.centres.repeat(len(context), 1), context.repeat_interleave(AVERAGED, 0))
        return torch.lerp(many.view(len(context), AVERAGED, -1).mean(1), styles, self.truncation)

    def mapped(self, latent: Tensor, context: Tensor) -> Tensor:
        """Of latent vectors on a sphere."""
        styles: Tensor = self.mapping(beside(Normed()(latent), context))
        return styles

    def features(self, noise: Tensor, context: Tensor) -> Iterator[Tensor]:
        """From the constant upwards."""
        sizes = [self.grains * pixels(shape) for shape in self.shapes]
        latent, *grains = torch.split(noise, [self.latent, *sizes], 1)
        style = self.styles(latent, context)
        features = self.start.expand(len(noise), *self.start.shape[1:])
        for first, second, shape, grain in zip(self.first, self.second, self.shapes, grains, strict=True):
            normals = grain.reshape(-1, self.grains, 1, *shape)
            features = first(finer(features, shape), style, normals[:, 0])
            features = second(features, style, normals[:, -1])
            yield features
