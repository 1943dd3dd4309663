"""Toy simulations with parameters: lines, circles and pulses, of the model-assisted GAN (arXiv:1812.00879)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError
from calque.seeds import numpy_stream
from calque.simulating import Progress
from calque.table import Table

Array = NDArray[np.float64]
SIDE = 28  # pixels, with their centres at 0 … 27; rows are y, upward
BLOCK = 4096


@dataclass(frozen=True)
class Shapes:
    """Simulate `n` images with the parameters that made them.

    Parameters follow the flat `prior` of the space, or the normals of the source's true sample (`truth`); where a
    shape would leave the image they are drawn again. Equal settings and seeds give equal images, whatever `n`.
    Subclasses say which parameters there are (`space`: low, high, true mean, true width) and `draw` them.
    """

    n: int
    seed: int = 0
    parameters: Literal["prior", "truth"] = "prior"

    space: ClassVar[dict[str, tuple[float, float, float, float]]] = {}

    def __post_init__(self) -> None:
        if self.n != int(self.n) or self.n < 1:
            raise ConfigError(f"n = {self.n}: the number of images must be whole and at least 1")
        if self.parameters not in ("prior", "truth"):
            raise ConfigError(f"parameters = {self.parameters!r}; there are 'prior' and 'truth'")

    @property
    def total(self) -> int:
        """Images to simulate: what `progress` counts up to."""
        return int(self.n)

    def run(self, progress: Progress | None = None) -> Table:
        """Simulate everything into one Table."""
        return Table.concatenate(list(self.stream(progress)))

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate block by block; `progress` hears how much is done."""
        for number, done in enumerate(range(0, self.total, BLOCK)):
            stream = numpy_stream(self.seed, f"{type(self).__name__} {self.parameters}", number)
            chosen = self.choose(BLOCK, stream)
            images = self.draw(chosen, stream).astype(np.float32)
            count = min(BLOCK, self.total - done)
            columns: dict[str, Any] = dict(zip(self.space, chosen[:count].T, strict=True))
            yield Table.of({**columns, "image": images[:count]}, source=f"{type(self).__name__}, seed {self.seed}")
            if progress is not None:
                progress(done + count)

    def choose(self, count: int, stream: np.random.Generator) -> Array:
        """Parameters (count, P) of images that stay inside."""
        low, high, mean, width = np.array(list(self.space.values())).T
        kept = np.empty((0, len(low)))
        while len(kept) < count:
            if self.parameters == "prior":
                drawn = stream.uniform(low, high, (count, len(low)))
            else:
                drawn = stream.normal(mean, width, (count, len(low)))
            kept = np.concatenate([kept, drawn[self.inside(drawn)]])
        return kept[:count]

    def inside(self, parameters: Array) -> NDArray[np.bool_]:
        """Which parameters (N, P) make something that can be drawn."""
        return np.ones(len(parameters), dtype=bool)

    def draw(self, parameters: Array, stream: np.random.Generator) -> Array:
        """Parameters (N, P) → images (N, …)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lines(Shapes):
    """y = c + m (x − x0) from x0 to x0 + x_steps, 28 × 28; one on the line, falling to zero a pixel from it.

    With `hard` a pixel within half a pixel of it is one, any other zero.

    >>> table = Lines(3).run()
    >>> table.names, table["image"].shape
    (('m', 'x0', 'c', 'x_steps', 'image'), (3, 28, 28))
    """

    hard: bool = False
    space: ClassVar = {"m": (0, 2.5, 1.5, 0.3), "x0": (0, 14, 10, 0.5), "c": (0, 8, 0.5, 0.1),
                       "x_steps": (4, 14, 9, 0.5)}

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
class Circles(Shapes):
    """b · max(0, 1 − |ρ − r|) around (x0, y0), with normal noise of width n on every pixel, 28 × 28."""

    space: ClassVar = {"x0": (8, 20, 18, 0.8), "y0": (8, 20, 18, 0.8), "r": (3, 12, 8, 0.5),
                       "n": (0, 0.3, 0.15, 0.05), "b": (0.5, 1.3, 0.9, 0.05)}

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
class Pulse(Shapes):
    """a · exp(−½ ((t − t0)/w)²) at t = 0 … 63, with normal noise of width 0.05: the one-dimensional case."""

    space: ClassVar = {"t0": (16, 48, 30, 2), "w": (2, 8, 4, 0.5), "a": (0.5, 1.5, 1.0, 0.1)}
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
