"""Events that are images: which ones, in which resolutions, and layers from one resolution to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from calque.errors import ConfigError
from calque.models.convolutional import CONVOLUTIONS
from calque.table import Layout

Shape = tuple[int, ...]

TRANSPOSED: dict[int, Callable[..., nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLS: dict[int, Callable[..., Tensor]] = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
LEAST = 4  # pixels of an axis that is not halved any more
# kernel, stride and padding from n pixels to as many, to 2n, and to 2n − 1; and back
SAME, DOUBLE, ODD = (3, 1, 1), (4, 2, 1), (3, 2, 1)


def images_of(layout: Layout) -> dict[str, Shape]:
    """The columns that are images; raises ConfigError where there are none, or some of more than three axes."""
    found = {name: shape for name, shape in zip(layout.names, layout.shapes, strict=True) if shape}
    if not found or max(map(len, found.values())) > max(POOLS):
        raise ConfigError(f"this network takes images of one to three axes, but the events are {described(layout)}; "
                          "take a kind or a critic (fit.objective.critic) for what they are, such as \"dense\"")
    return found


def one_shape(layout: Layout) -> tuple[int, Shape]:
    """How many images there are and their common shape; raises ConfigError for events that are anything else.

    >>> one_shape(Layout(("a", "b"), ((3, 4), (3, 4))))
    (2, (3, 4))
    """
    shapes = images_of(layout).values()
    if len(set(shapes)) > 1 or len(shapes) < len(layout.names):
        raise ConfigError(f"this network takes images of one shape, but the events are {described(layout)}; leave "
                          "columns out with read.columns, make conditions of numbers with prepare.context, or take "
                          "kind 'calogan' (fit.objective.critic = \"layers\")")
    return len(shapes), layout.shapes[0]


def described(layout: Layout) -> str:
    """Columns with their shapes, for a message."""
    return ", ".join(f"{name} {shape}" for name, shape in zip(layout.names, layout.shapes, strict=True)) or "empty"


def ladder(shape: Shape, layers: int) -> list[Shape]:
    """Resolutions from coarse to fine, at most so many: every axis of more than four pixels is halved.

    >>> ladder((28, 28), 3), ladder((3, 96), 2), ladder((12, 6), 9)
    ([(7, 7), (14, 14), (28, 28)], [(3, 48), (3, 96)], [(3, 3), (6, 3), (12, 6)])
    """
    if layers < 1:
        raise ConfigError(f"layers = {layers} make no network of images; take one or more")
    shapes = [shape]
    while len(shapes) < layers and max(shapes[0]) > LEAST:
        shapes.insert(0, tuple(-(-length // 2) if length > LEAST else length for length in shapes[0]))
    return shapes


def upwards(inputs: int, outputs: int, coarse: Shape, fine: Shape) -> nn.Module:
    """A transposed convolution (B, inputs, *coarse) → (B, outputs, *fine), its strides chosen for each axis."""
    chosen = [SAME if n == m else DOUBLE if m == 2 * n else ODD for n, m in zip(coarse, fine, strict=True)]
    kernel, stride, padding = zip(*chosen, strict=True)
    return TRANSPOSED[len(fine)](inputs, outputs, kernel, stride, padding)


def along(inputs: int, outputs: int, shape: Shape, kernel: int = 3) -> nn.Module:
    """A convolution that keeps the shape."""
    return CONVOLUTIONS[len(shape)](inputs, outputs, kernel, padding=kernel // 2)


def coarser(images: Tensor, shape: Shape) -> Tensor:
    """Averages over pixels (B, C, *shape); of a shape that is no divisor, over overlapping ones."""
    return images if images.shape[2:] == shape else POOLS[len(shape)](images, shape)


def finer(images: Tensor, shape: Shape) -> Tensor:
    """Pixels repeated, (B, C, *shape)."""
    return images if images.shape[2:] == shape else interpolate(images, shape)


class Resolutions(nn.Module):
    """How far a network of images has grown: an image begins coarse, and each next resolution is faded in.

    `grown` counts resolutions beyond the first, in parts of `WHOLE`: it is an integer, so that averaging weights
    leaves it alone, and is saved with them. A network that nobody grows is complete.
    """

    WHOLE = 1 << 16
    grown: Tensor

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        self.shapes = ladder(shape, layers)
        self.register_buffer("grown", torch.tensor(self.WHOLE * (len(self.shapes) - 1)))

    def grow(self, to: float) -> None:
        """Set how far: 1.25 is the second resolution and a quarter of the third."""
        self.grown.fill_(round(self.WHOLE * min(to, len(self.shapes) - 1)))

    def reached(self) -> tuple[int, float]:
        """The finest resolution in play, and its share in (0, 1]; the rest is the one before."""
        grown = int(self.grown)
        level = -(-grown // self.WHOLE)
        return level, 1 - (level - grown / self.WHOLE)

    def blend(self, old: Tensor, new: Tensor) -> Tensor:
        """Features or images of the one before, enlarged, with those of the finest resolution in play."""
        level, share = self.reached()
        return torch.lerp(finer(old, self.shapes[level]), new, share)

    def resampled(self, x: Tensor) -> Tensor:
        """Real images, flat (B, D), as coarse as they are drawn."""
        level, share = self.reached()
        images = x.view(len(x), -1, *self.shapes[-1])
        seen = coarser(images, self.shapes[level])
        if share < 1:
            seen = self.blend(coarser(seen, self.shapes[level - 1]), seen)
        return finer(seen, self.shapes[-1]).flatten(1)


def channels(layers: int, base: int) -> list[int]:
    """Widths from coarse to fine: `base` at the finest resolution, twice as many at the one before.

    >>> channels(3, 16)
    [64, 32, 16]
    """
    return [base * 2**level for level in reversed(range(layers))]


def pixels(shape: Sequence[int]) -> int:
    """How many."""
    return math.prod(shape)
