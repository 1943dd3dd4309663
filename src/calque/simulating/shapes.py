"""Toy simulations with parameters: lines, circles and pulses, of the model-assisted GAN (arXiv:1812.00879)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIDE = 28  # pixels, with their centres at 0 … 27; rows are y, upward


@dataclass(frozen=True)
class Shape:
    """A simulator that ships: a dataclass of settings, called with parameters (N, P) and a seed, gives images (N, …).

    Subclasses say which parameters there are: `space` has each one's low and high, `truth` the mean and width of the
    normals that the source's true sample follows.
    """

    space: ClassVar[dict[str, tuple[float, float]]] = {}
    truth: ClassVar[dict[str, tuple[float, float]]] = {}

    def __call__(self, parameters: Array, seed: int) -> NDArray[np.floating[Any]]:
        """Parameters (N, P) → images (N, …)."""
        return self.draw(parameters, np.random.default_rng(seed))

    def inside(self, parameters: Array) -> NDArray[np.bool_]:
        """Which parameters (N, P) make something that can be drawn."""
        return np.ones(len(parameters), dtype=bool)

    def draw(self, parameters: Array, stream: np.random.Generator) -> Array:
        """Parameters (N, P) → images (N, …)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lines(Shape):
    """y = c + m (x − x0) from x0 to x0 + x_steps, 28 × 28; one on the line, falling to zero a pixel from it.

    With `hard` a pixel within half a pixel of it is one, any other zero.

    >>> Lines(hard=True)(np.array([[0.0, 5.0, 3.0, 4.0]]), seed=0)[0].sum()
    np.float64(5.0)
    """

    hard: bool = False

    space: ClassVar = {"m": (0, 2.5), "x0": (0, 14), "c": (0, 8), "x_steps": (4, 14)}
    truth: ClassVar = {"m": (1.5, 0.3), "x0": (10, 0.5), "c": (0.5, 0.1), "x_steps": (9, 0.5)}

    def inside(self, parameters: Array) -> NDArray[np.bool_]:
        """Both ends within the pixels' centres, and some length."""
        m, x0, c, steps = parameters.T
        ends = np.stack([x0, x0 + steps, c, c + m * steps])
        within: NDArray[np.bool_] = ((ends >= 0) & (ends <= SIDE - 1)).all(0) & (steps > 0)
        return within

    def draw(self, parameters: Array, stream: np.random.Generator) -> Array:
        """By the distance of every pixel from the segment."""
        m, x0, c, steps = parameters.T[:, :, None, None]
        y, x = grid()
        along = ((x - x0) + m * (y - c)) / (1 + m**2)  # of the nearest point, in x
        along = np.clip(along, 0, steps)
        distance = np.hypot(x - x0 - along, y - c - m * along)
        image: Array = (distance <= 0.5).astype(float) if self.hard else np.maximum(0, 1 - distance)
        return image


@dataclass(frozen=True)
class Circles(Shape):
    """b · max(0, 1 − |ρ − r|) around (x0, y0), with normal noise of width n on every pixel, 28 × 28."""

    space: ClassVar = {"x0": (0, 27), "y0": (0, 27), "r": (3, 12), "n": (0, 0.4), "b": (0.5, 1.3)}
    truth: ClassVar = {"x0": (18, 0.8), "y0": (18, 0.8), "r": (8, 0.5), "n": (0.15, 0.05), "b": (0.9, 0.05)}

    def inside(self, parameters: Array) -> NDArray[np.bool_]:
        """A radius and a noise; a circle may leave the image."""
        return (parameters[:, 2] > 0) & (parameters[:, 3] >= 0)

    def draw(self, parameters: Array, stream: np.random.Generator) -> Array:
        """Rings, unclipped."""
        x0, y0, r, noise, b = parameters.T[:, :, None, None]
        y, x = grid()
        ring: Array = b * np.maximum(0, 1 - np.abs(np.hypot(x - x0, y - y0) - r))
        ring += noise * stream.normal(size=ring.shape)
        return ring


@dataclass(frozen=True)
class Pulse(Shape):
    """a · exp(−½ ((t − t0)/w)²) at t = 0 … 63, with normal noise of width 0.05: the one-dimensional case."""

    space: ClassVar = {"t0": (16, 48), "w": (2, 8), "a": (0.5, 1.5)}
    truth: ClassVar = {"t0": (30, 2), "w": (4, 0.5), "a": (1.0, 0.1)}
    noise: ClassVar = 0.05

    def inside(self, parameters: Array) -> NDArray[np.bool_]:
        """A width above zero."""
        return parameters[:, 1] > 0

    def draw(self, parameters: Array, stream: np.random.Generator) -> Array:
        """Samples (N, 64)."""
        t0, w, a = parameters.T[:, :, None]
        pulse: Array = a * np.exp(-0.5 * ((np.arange(64) - t0) / w) ** 2)
        return pulse + self.noise * stream.normal(size=pulse.shape)


def grid() -> tuple[Array, Array]:
    """Rows y (28, 1) and columns x (28) of the pixels' centres."""
    side = np.arange(SIDE, dtype=float)
    return side[:, None], side
