"""A sample of images with the parameters that made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from calque.errors import ConfigError, DataError
from calque.simulating.calls import Array
from calque.simulating.parametric import Parametric
from calque.simulating.simulator import Progress, Simulator

if TYPE_CHECKING:
    from calque.table import Table


LAWS = ("prior", "truth")


@dataclass(frozen=True)
class Sample(Simulator):
    """`n` parameter vectors, each simulated `repeat` times, rows of one vector next to each other.

    Parameters are flat in the space ("prior"), or those of the source's true sample ("truth"), which
    may lie beyond it, or the rows of a file, such as the `parameters.h5` of a tuning: its columns are
    found by the parameters' names, and its first `n` rows are taken (all of them without `n`).
    """

    simulator: Parametric
    n: int | None = None
    seed: int = 0
    parameters: str = "prior"
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.parameters in LAWS and self.n is None:
            raise ConfigError(f"simulator {self.simulator.name!r}: setting 'n' (number of parameter vectors) is "
                              "required")
        for name, value in (("n", self.n), ("repeat", self.repeat)):
            if value is not None and (value != int(value) or value < 1):
                raise ConfigError(f"{name} = {value}: it must be whole and at least 1")
        if self.parameters not in LAWS and not Path(self.parameters).is_file():
            raise ConfigError(f"parameters = {self.parameters!r} is no file; it may also be 'prior' or 'truth'")

    @property
    def total(self) -> int:
        """Images to simulate."""
        return len(self.vectors)

    @cached_property
    def vectors(self) -> Array:
        """Parameters (n · repeat, P), float64."""
        return np.repeat(self._distinct_vectors(), int(self.repeat), axis=0)

    def _distinct_vectors(self) -> Array:
        if self.parameters in LAWS:
            law = cast(Literal["prior", "truth"], self.parameters)
            return self.simulator.choose(int(self.n or 0), self.seed, law)
        return read_vectors(self.parameters, self.simulator.names, self.n)

    @property
    def able(self) -> Parametric:
        """The simulator, its space no limit for true parameters."""
        return self.simulator.unbounded() if self.parameters == "truth" else self.simulator

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate chunk by chunk."""
        yield from self.able.tables(self.vectors, self.seed, progress)


def read_vectors(path: str, names: tuple[str, ...], n: int | None = None) -> Array:
    """Read parameter vectors from the columns of a file.

    Parameters
    ----------
    path
        A file of any format that `calque.read` reads.
    names
        The parameters, which are the columns to read.
    n
        How many rows to take from its beginning; all of them by default.

    Returns
    -------
    Array
        Parameters (n, P), float64, in the order of `names`.

    Raises
    ------
    DataError
        The file lacks a column, or has fewer than `n` rows.
    """
    from calque.reading import read  # late: only a file needs the formats

    table = read(path, columns=list(names), limit=None if n is None else int(n))
    if n is not None and len(table) < n:
        raise DataError(f"{path} holds {len(table)} parameter vectors; n = {n} were asked for")
    return np.stack([table[name].astype(np.float64) for name in names], axis=1)
