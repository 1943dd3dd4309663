"""A convolutional generator of images."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from calque.models.convolutional import follow
from calque.models.generator import Generator, beside
from calque.models.images import channels, ladder, one_shape, pixels, upwards
from calque.models.network import OUTPUTS, RANGES, Norm, Place, choose, kept
from calque.table import Layout


class Upsampling(Generator):
    """Transposed convolutions from a latent vector to images (DCGAN: Radford et al. 2015, arXiv:1511.06434).

    A dense layer makes the coarsest of at most `layers` resolutions, each of which doubles the axes that have more than
    four pixels to come; `base` channels at the last hidden one, twice as many at each before. Several images of one
    shape are channels of one. The norm's place is before or after the activation. `skip` adds a linear path from noise
    and context to every pixel. Raises ConfigError for events of other columns.

    >>> Upsampling(Layout(("layer",), ((3, 96),)), 1).layout.size
    288
    """

    at_once = 500

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 32, layers: int = 3, base: int = 16,
                 activation: str = "relu", norm: Norm = "batch", norm_place: Place = "after",
                 momentum: float | None = None, output: str = "linear", skip: bool = False) -> None:
        super().__init__(layout, context)
        count, shape = one_shape(layout)
        shapes = ladder(shape, layers)
        hidden = shapes[:-1] or shapes
        widths = channels(len(hidden), base)
        self.noise, self.coarsest = latent, (widths[0], *hidden[0])
        self.reach = RANGES.get(output, self.reach)
        inputs = latent + context
        parts = follow(nn.Linear(inputs, pixels(self.coarsest)), pixels(self.coarsest), 0, activation, norm,
                       momentum=kept(momentum, norm), norm_place=norm_place)
        self.start, self.skip = nn.Sequential(*parts), nn.Linear(inputs, self.size) if skip else None
        parts = []
        for (wide, narrow), (coarse, fine) in zip(pairwise(widths), pairwise(hidden), strict=True):
            parts += follow(upwards(wide, narrow, coarse, fine), narrow, len(shape), activation, norm,
                            momentum=kept(momentum, norm), norm_place=norm_place)
        self.body = nn.Sequential(*parts, upwards(widths[-1], count, hidden[-1], shape))
        self.bound = choose("output", output, OUTPUTS)()

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        inputs = beside(noise, context)
        images: Tensor = self.body(self.start(inputs).view(-1, *self.coarsest)).flatten(1)
        events: Tensor = self.bound(images if self.skip is None else images + self.skip(inputs))
        return events
