"""Showers in two steps: the numbers of an event, then its images given them."""

from __future__ import annotations

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.models.flows.coupling import Coupling
from calque.models.flows.flow import Flow, Univariate
from calque.models.flows.mixing import Mixing
from calque.models.generator import beside
from calque.table import Layout


class TwoStep(Flow):
    """A flow of the numbers of an event, such as layers' energies, and one of its images given these numbers.

    Both are couplings (Krause & Shih 2021, arXiv:2106.05285); `numbers_transforms` and `numbers_hidden` are the first
    one's. Raises ConfigError where the events are numbers alone, or images alone.
    """

    order: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, numbers_transforms: int = 6,
                 numbers_hidden: tuple[int, ...] = (64, 64), transforms: int = 6, hidden: tuple[int, ...] = (128, 128),
                 activation: str = "silu", univariate: Univariate = "spline", bins: int | None = None,
                 bound: float | None = None, mixing: Mixing = "reverse") -> None:
        super().__init__(layout, context, transforms)
        numbers, images = (columns(layout, wanted) for wanted in (False, True))
        if not numbers or not images:
            raise ConfigError(f"two steps need numbers and images; {', '.join(layout.names)} are "
                              f"{'images' if images else 'numbers'} alone: take kind 'nsf'")
        self.register_buffer("order", torch.tensor(numbers + images), persistent=False)
        self.split = len(numbers)
        self.first, self.second = (
            Coupling(Layout.flat([str(place) for place in places]), width, transforms=count, hidden=nodes,
                     activation=activation, univariate=univariate, bins=bins, bound=bound, mixing=mixing)
            for places, width, count, nodes in ((numbers, context, numbers_transforms, numbers_hidden),
                                                (images, context + len(numbers), transforms, hidden)))

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Numbers first."""
        numbers = self.first.sample(noise[:, : self.split], context)
        images = self.second.sample(noise[:, self.split :], beside(numbers, context))
        return torch.cat([numbers, images], 1)[:, self.order.argsort()]

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Both at once."""
        numbers, images = torch.split(x[:, self.order], [self.split, self.size - self.split], 1)
        first, slope = self.first.normalise(numbers, context)
        second, other = self.second.normalise(images, beside(numbers, context))
        return torch.cat([first, second], 1), slope + other


def columns(layout: Layout, images: bool) -> list[int]:
    """Places of all numbers that are pixels, or of all that are not."""
    return [place for whole, shape in zip(layout.slices.values(), layout.shapes, strict=True) if bool(shape) == images
            for place in range(whole.start, whole.stop)]
