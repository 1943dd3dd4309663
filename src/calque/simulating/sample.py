"""A sample of images with the parameters that made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from calque.errors import ConfigError
from calque.simulating.calls import Array
from calque.simulating.parametric import Parametric
from calque.simulating.simulator import Progress, Simulator

if TYPE_CHECKING:
    from calque.table import Table


@dataclass(frozen=True)
class Sample(Simulator):
    """`n` parameter vectors, each simulated `repeat` times, rows of one vector next to each other.

    Parameters are flat in the space, or those of the source's true sample (`truth`), which may lie beyond it.
    """

    simulator: Parametric
    n: int
    seed: int = 0
    parameters: Literal["prior", "truth"] = "prior"
    repeat: int = 1

    def __post_init__(self) -> None:
        for name, value in (("n", self.n), ("repeat", self.repeat)):
            if value != int(value) or value < 1:
                raise ConfigError(f"{name} = {value}: it must be whole and at least 1")

    @property
    def total(self) -> int:
        """Images to simulate."""
        return int(self.n) * int(self.repeat)

    @property
    def vectors(self) -> Array:
        """Parameters (n · repeat, P)."""
        return np.repeat(self.simulator.choose(int(self.n), self.seed, self.parameters), int(self.repeat), axis=0)

    @property
    def able(self) -> Parametric:
        """The simulator, its space no limit for true parameters."""
        return self.simulator.unbounded() if self.parameters == "truth" else self.simulator

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate chunk by chunk."""
        yield from self.able.tables(self.vectors, self.seed, progress)
