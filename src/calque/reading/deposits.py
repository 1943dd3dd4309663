"""Energies in voxels: what a shower may not hold, and their units."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from calque.errors import ConfigError, DataError, FileError
from calque.geometry import Geometry
from calque.reading.files import find
from calque.reading.formats import Chosen, format_of
from calque.table import Array

ENERGIES = {"eV": 1e-6, "keV": 1e-3, "MeV": 1.0, "GeV": 1e3, "TeV": 1e6}


@runtime_checkable
class Calorimeter(Protocol):
    """A layout that knows where its voxels are."""

    def geometry(self, path: Path | None = None) -> Geometry:
        """The geometry, by settings, or else by what a file tells."""


def geometry_of(layout: Chosen, path: str | Path | None = None) -> Geometry:
    """The geometry of a layout of showers, such as "calogan"; raises ConfigError for a layout that has none.

    >>> geometry_of("calogan").size
    504
    """
    form = format_of(Path("showers"), layout)
    if not isinstance(form, Calorimeter):
        raise ConfigError(f"layout {layout!r} has no geometry; calogan, calochallenge, grid and hits have one")
    return form.geometry(None if path is None else Path(path))


def geometry_in(layout: Chosen | None, files: Sequence[str]) -> Geometry | None:
    """The geometry of what is read from files in a layout; None where that is not one of showers.

    Files that have moved are missed only by a layout that tells its geometry by a file.

    >>> geometry_in(None, ["muons.root"]) is None, geometry_in("calogan", []).name
    (True, 'CaloGAN')
    """
    if layout is None or not isinstance(format_of(Path("showers"), layout), Calorimeter):
        return None
    try:
        path = find(list(files))[0] if files else None
    except FileError:
        path = None
    return geometry_of(layout, path)


class Deposits:
    """Checks the energies of one file, piece by piece, and counts showers without any."""

    def __init__(self, path: Path, voxels: Iterable[str]) -> None:
        self.path, self.voxels = path, tuple(voxels)
        self.rows = self.empty = 0

    def check(self, columns: Mapping[str, Array]) -> None:
        """Raise DataError for an energy below zero; NaN is left to the reader, which counts it."""
        for name in ("energy", *self.voxels):
            if name in columns and (wrong := below_zero(columns[name])).any():
                raise DataError(f"{int(wrong.sum())} showers of {self.path} have {name!r} below zero, first in row "
                                f"{self.rows + int(wrong.argmax())}; without the layout they can be looked at")
        size = len(next(iter(columns.values())))
        self.rows += size
        if self.voxels and all(name in columns for name in self.voxels):
            filled = np.zeros(size, bool)
            for name in self.voxels:
                filled |= columns[name].reshape(size, -1).any(axis=1)
            self.empty += int(size - filled.sum())

    def close(self) -> None:
        """Warn of empty showers."""
        if self.empty:
            warnings.warn(f"{self.empty} of {self.rows} showers of {self.path} are empty: no energy in any voxel",
                          stacklevel=2)


def check_written(columns: Mapping[str, Array], voxels: Iterable[str], name: str) -> None:
    """Raise DataError for energies below zero, or none at all, that would be written."""
    for voxel in ("energy", *voxels):
        if voxel in columns and not (columns[voxel] >= 0).all():
            raise DataError(f"column {voxel!r} has energies below zero, or NaN, which cannot be written as {name}")


def below_zero(array: Array) -> Array:
    """Rows (N,) with a value below zero."""
    return np.asarray((array < 0).reshape(len(array), -1).any(axis=1))


def factor(column: str, unit: str, wanted: str) -> float:
    """By what an energy in `unit` is multiplied to be in `wanted`; 1 where either is not told.

    >>> factor("energy", "GeV", "MeV")
    1000.0
    """
    if not unit or not wanted or unit == wanted:
        return 1.0
    if unit not in ENERGIES or wanted not in ENERGIES:
        raise DataError(f"column {column!r} is in {unit!r}, to be written in {wanted}; energies are converted from "
                        f"{', '.join(ENERGIES)}")
    return ENERGIES[unit] / ENERGIES[wanted]
