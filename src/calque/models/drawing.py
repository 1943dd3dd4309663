"""Images drawn from pixel coordinates."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from calque.errors import ConfigError
from calque.models.generator import Generator, beside
from calque.models.network import dense
from calque.table import Layout


class Drawing(Generator):
    """An image as a function of pixel coordinates that the context chooses (arXiv:1609.09106; 1807.03247).

    A dense network of latent and context gives `features` polynomials of second degree in the coordinates, half planes
    and conic sections where they are cut off at zero; two narrow layers, the same at every pixel, combine them. What
    moves with a parameter moves smoothly across pixels, which layers without coordinates learn poorly.

    `latent` normals vary the image as a whole. With `grain` every pixel has independent normal noise, of a width that
    is learnt with the mean, and there is a density unless there are latent normals too. The image is one column of any
    number of dimensions; raises ConfigError for events that are more, or single numbers.
    """

    pixels: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 0, features: int = 32, nodes: int = 128,
                 layers: int = 3, grain: bool = False) -> None:
        super().__init__(layout, context)
        shape = the_image(layout)
        self.latent, self.features, self.grain = latent, features, grain
        self.noise = latent + (self.size if grain else 0)
        self.has_density = grain and not latent
        self.register_buffer("pixels", polynomials(shape), persistent=False)
        self.body = dense(latent + context, layers * [nodes], nodes, activation="silu")
        self.shapes = nn.Linear(nodes, features * len(self.pixels))
        self.shift = nn.Linear(nodes, features)
        self.combine, self.again = nn.Linear(features, features), nn.Linear(features, features)
        self.out = nn.Linear(features, 2 if grain else 1)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        mean, *log_width = self.draw(noise[:, : self.latent], context).unbind(2)
        return mean + log_width[0].exp() * noise[:, self.latent :] if log_width else mean

    def draw(self, latent: Tensor, context: Tensor) -> Tensor:
        """The mean of each pixel and, with grain, the logarithm of its noise's width, (B, D, 1 or 2)."""
        body = self.body(beside(latent, context))
        shapes = self.shapes(body).reshape(len(body), self.features, -1) @ self.pixels
        hidden = relu(self.combine(relu(shapes).transpose(1, 2)) + self.shift(body)[:, None])
        drawn = self.out(relu(self.again(hidden)))
        return torch.cat([drawn[..., :1], drawn[..., 1:].clamp(-7, 3)], 2)

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Log density (B,): pixels are independent normals, given the context."""
        if not self.has_density:
            return super().log_prob(x, context)
        mean, log_width = self.draw(x[:, :0], context).unbind(2)
        pulls = (x - mean) * torch.exp(-log_width)
        return -(0.5 * pulls.square() + log_width + 0.5 * math.log(2 * math.pi)).sum(1)


def the_image(layout: Layout, asked: str = "this generator") -> tuple[int, ...]:
    """The shape of an event that is one image; raises ConfigError, in which `asked` wants one, for others."""
    if len(layout.shapes) != 1 or not layout.shapes[0]:
        described = ", ".join(f"{name} {shape}" if shape else name
                              for name, shape in zip(layout.names, layout.shapes, strict=True))
        raise ConfigError(f"{asked} draws one image, but the events are {described or 'empty'}; leave other "
                          "columns out with read.columns, or make parameters of them with prepare.context")
    return layout.shapes[0]


def polynomials(shape: tuple[int, ...]) -> Tensor:
    """1, coordinates and their products (F, pixels), each axis from −1 to 1.

    >>> polynomials((2,)).tolist()
    [[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0]]
    """
    axes = torch.meshgrid(*[torch.linspace(-1, 1, length) for length in shape], indexing="ij")
    flat = [torch.ones(math.prod(shape)), *[axis.flatten() for axis in axes]]
    return torch.stack([one * other for one, other in combinations_with_replacement(flat, 2)])
