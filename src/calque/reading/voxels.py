"""A box cut into equal voxels, numbered as LArSoft numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.table import Array, Table

NEAR = 0.01  # of a voxel: how far from its centre a position may be


@dataclass(frozen=True)
class Voxels:
    """Voxels by their numbers along x, y and z, between the corners `low` and `high` [cm].

    Voxel (i, j, k) has number i + nx (j + ny k), as in larsim's PhotonVoxels.cxx.

    >>> box = Voxels.of([2, 3, 4], [0, 0, 0], [2, 3, 4])
    >>> box.centres(np.array([1, 2])).tolist(), box.numbers(np.array([[0.5, 1.5, 3.5]])).tolist()
    ([[1.5, 0.5, 0.5], [0.5, 1.5, 0.5]], [20])
    """

    voxels: tuple[int, int, int]
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @classmethod
    def of(cls, voxels: Sequence[int], low: Sequence[float], high: Sequence[float]) -> Voxels:
        """Check and make; raises ConfigError for what is no box."""
        sound = len(voxels) == len(low) == len(high) == 3 and min(voxels) >= 1 and all(np.less(low, high))
        if not sound:
            raise ConfigError(f"voxels = {list(voxels)} between low = {list(low)} and high = {list(high)} are no box: "
                              "three numbers each, one voxel or more, low below high")
        x, y, z = (int(count) for count in voxels)
        return cls((x, y, z), (low[0], low[1], low[2]), (high[0], high[1], high[2]))

    @property
    def total(self) -> int:
        """Number of voxels V."""
        return int(np.prod(self.voxels, dtype=np.int64))

    @property
    def size(self) -> NDArray[np.float64]:
        """Sides (3,) of a voxel [cm]."""
        return (np.asarray(self.high) - self.low) / self.voxels

    def centres(self, number: Array) -> NDArray[np.float64]:
        """Centres (N, 3) [cm] of voxels by number (N,)."""
        steps = np.stack(np.unravel_index(number, self.voxels, order="F"), 1)
        return np.asarray(self.low + (steps + 0.5) * self.size)

    def columns(self, number: Array) -> dict[str, NDArray[np.float32]]:
        """Centres as columns x, y, z."""
        return dict(zip("xyz", self.centres(number).T.astype(np.float32), strict=True))

    def table(self) -> Table:
        """All centres, in the order of their numbers: contexts for a production."""
        return Table.of(self.columns(np.arange(self.total)), dict.fromkeys("xyz", "cm"), source="centres of voxels")

    def numbers(self, positions: Array) -> NDArray[np.int64]:
        """Numbers (N,) of the voxels with these centres (N, 3); raises DataError for a position that is none."""
        steps = (positions - np.asarray(self.low)) / self.size - 0.5
        whole = np.rint(steps)
        wrong = ((np.abs(steps - whole) > NEAR) | (whole < 0) | (whole >= self.voxels)).any(1)
        if wrong.any():
            first = ", ".join(f"{value:g}" for value in positions[wrong][0])
            raise DataError(f"{int(wrong.sum())} of {len(positions)} positions are not the centre of a voxel, first "
                            f"({first}) cm; a library holds the centres of {' × '.join(map(str, self.voxels))} voxels")
        return np.asarray(np.ravel_multi_index(tuple(whole.T.astype(np.int64)), self.voxels, order="F"))
