"""Simulators with parameters: a function from parameter vectors and a seed to images, and the space it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calque.errors import ConfigError, DataError
from calque.simulating.calls import Array, Chunk, Fault, Function, Images, answers
from calque.simulating.simulator import Progress

if TYPE_CHECKING:  # a process that only simulates needs no torch
    from calque.simulating.parts import Parts
    from calque.table import Table

IMAGE = "image"  # the column of what is simulated
BLOCK = 4096  # parameter vectors that are drawn at once
ROUNDS = 200  # of drawing again what cannot be drawn
SEEDS = 1 << 32  # the largest that NumPy's old generators take


def everywhere(parameters: Array) -> NDArray[np.bool_]:
    """The rule of a simulator that takes all of its space."""
    return np.ones(len(parameters), dtype=bool)


@dataclass(frozen=True)
class Parametric:
    """A simulator of images with P parameters, within `low` … `high` (P,) and where its rule `inside` holds.

    `function` takes parameters (N, P) float64 and a seed below 2³² and returns N images of one shape. It is called with
    `chunk` vectors at a time, each call with a seed of its own, in `workers` processes: what comes out depends on
    parameters, seed and `chunk` alone. `truth` (2, P) are mean and width of the source's true sample, where there is
    one; `identity` is what else images depend on.
    """

    name: str
    names: tuple[str, ...]
    low: Array
    high: Array
    function: Function
    inside: Callable[[Array], NDArray[np.bool_]] = everywhere
    truth: Array | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0
    chunk: int = 64

    def choose(self, n: int, seed: int, parameters: Literal["prior", "truth"] = "prior") -> Array:
        """Parameters (n, P): flat in the space, or as the true sample has them; always inside the simulator's rule.

        The first n of the endless row that a seed defines. Raises DataError where hardly any could be simulated.
        """
        from calque.seeds import numpy_stream

        if n < 1:
            raise ConfigError(f"n = {n}: the number of parameter vectors must be at least 1")
        streams = (numpy_stream(seed, f"{self.name} {parameters}", number) for number in range(-(-n // BLOCK)))
        return np.concatenate([self.block(stream, parameters) for stream in streams])[:n]

    def block(self, stream: np.random.Generator, parameters: str) -> Array:
        """BLOCK parameter vectors; those outside the rule are drawn again."""
        drawn, (first, second) = self.law(stream, parameters)
        kept = np.empty((0, len(self.names)))
        for _ in range(ROUNDS):
            more = drawn(first, second, (BLOCK, len(self.names)))
            kept = np.concatenate([kept, more[self.inside(more)]])
            if len(kept) >= BLOCK:
                return kept[:BLOCK]
        raise DataError(f"simulator {self.name!r} can draw only {len(kept)} of {ROUNDS * BLOCK} parameter vectors of "
                        f"its space ({self.described_space()}); choose another in [simulate.space]")

    def law(self, stream: np.random.Generator, parameters: str) -> tuple[Callable[..., Array], tuple[Array, Array]]:
        """How parameters are drawn."""
        if parameters == "prior":
            return stream.uniform, (self.low, self.high)
        if parameters != "truth":
            raise ConfigError(f"parameters = {parameters!r}; there are 'prior' and 'truth'")
        if self.truth is None:
            raise ConfigError(f"simulator {self.name!r} knows no true sample; parameters = 'prior' draws flat in its "
                              "space")
        return stream.normal, (self.truth[0], self.truth[1])

    def unbounded(self) -> Parametric:
        """The same without its space: true parameters may lie beyond, if only the rule lets them."""
        unlimited = np.full(len(self.names), np.inf)
        return replace(self, low=-unlimited, high=unlimited)

    def images(self, parameters: ArrayLike, seed: int, progress: Progress | None = None,
               cache: Path | None = None) -> Images:
        """Simulate parameters (N, P): images (N, …) float32; `progress` hears how many are done.

        With `cache`, a file of parameters and images is written beside, complete or not at all, and read the next
        time; raises FileError where it holds other simulations. Raises DataError, in one line that names the first
        parameter vector, for parameters outside the space, and where the function raises or returns NaN, another length
        or another shape.
        """
        if cache is not None:
            from calque.simulating.kept import keep, load_images

            keep(self, parameters, seed, cache, progress)
            return load_images(cache)
        return np.concatenate([chunk for _, chunk in self.pieces(parameters, seed, progress)])

    def tables(self, parameters: ArrayLike, seed: int, progress: Progress | None = None,
               parts: Parts | None = None) -> Iterator[Table]:
        """Simulate piece by piece: tables of the parameters and the column `image`."""
        from calque.table import Table

        for vectors, images in self.pieces(parameters, seed, progress, parts):
            columns: dict[str, Any] = dict(zip(self.names, vectors.T, strict=True))
            yield Table.of({**columns, IMAGE: images}, source=f"simulator {self.name!r}, seed {seed}")

    def pieces(self, parameters: ArrayLike, seed: int, progress: Progress | None,
               parts: Parts | None = None) -> Iterator[tuple[Array, Images]]:
        """Parameters and images, chunk by chunk, all of one shape; those in `parts` are not simulated again."""
        wanted, done, shape = self.check(parameters), 0, None
        for known in parts.load() if parts else ():
            yield wanted[done : done + len(known)], known
            done, shape = done + len(known), known.shape[1:]
        chunks = self.chunks(wanted, seed)[-(-done // self.chunk) :]
        for (vectors, _), made in zip(chunks, answers(self.function, chunks, self.workers), strict=True):
            if isinstance(made, Fault):
                self.complain(made, vectors)
            shape = shape or made.shape[1:]
            if made.shape[1:] != shape:
                self.complain(Fault(f"returned images of shape {made.shape[1:]}, before it was {shape}", 0), vectors)
            if parts:
                parts.add(made)
            yield vectors, made
            done += len(made)
            if progress is not None:
                progress(done)

    def chunks(self, parameters: Array, seed: int) -> list[Chunk]:
        """Cut into calls, each with a seed that its number gives."""
        from calque.seeds import derive

        return [Chunk(parameters[start : start + self.chunk], derive(seed, f"images of {self.name}", start) % SEEDS)
                for start in range(0, len(parameters), self.chunk)]

    def check(self, parameters: ArrayLike) -> Array:
        """Parameters as (N, P) float64; raises DataError where they are none, or outside the space."""
        vectors = np.array(parameters, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.names) or not len(vectors):
            raise DataError(f"simulator {self.name!r} takes parameters (N, {len(self.names)}), N > 0: "
                            f"{', '.join(self.names)}; it was given {vectors.shape}")
        within = ((vectors >= self.low) & (vectors <= self.high)).all(axis=1)
        if not within.all():
            raise DataError(f"parameters outside the space of simulator {self.name!r} in {int((~within).sum())} of "
                            f"{len(vectors)} vectors, first {self.described(vectors[~within][0])}; the space is "
                            f"{self.described_space()}; [simulate.space] widens it")
        able = self.inside(vectors)
        if not able.all():
            raise DataError(f"simulator {self.name!r} cannot draw {int((~able).sum())} of {len(vectors)} parameter "
                            f"vectors, first {self.described(vectors[~able][0])}; leave such vectors out")
        return vectors

    def complain(self, fault: Fault, vectors: Array) -> NoReturn:
        """Raise DataError for an answer that is no set of images."""
        several = fault.row < 0 and len(vectors) > 1
        where = f"for {len(vectors)} vectors at once, the first" if several else "at"
        raise DataError(f"simulator {self.name!r} {fault.what} {where} {self.described(vectors[max(fault.row, 0)])}; "
                        f"it has to return finite numbers (N, …) of one shape for parameters (N, {len(self.names)}) "
                        "and a seed: mend it, or narrow [simulate.space]")

    def described(self, vector: Array) -> str:
        """A parameter vector by name and value."""
        return ", ".join(f"{name} = {value:.6g}" for name, value in zip(self.names, vector, strict=True))

    def described_space(self) -> str:
        """The space in words."""
        return ", ".join(f"{name} {low:g} … {high:g}"
                         for name, low, high in zip(self.names, self.low, self.high, strict=True))
