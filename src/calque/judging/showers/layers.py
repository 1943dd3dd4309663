"""Layers of a calorimeter in a table of showers: which energies are theirs, and where their cells lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Geometry, Segment
from calque.reading.deposits import factor
from calque.table import Table

Numbers = NDArray[np.float64]

INCIDENT = "energy"  # the column of incident energies, as the layouts of showers name it


@dataclass(frozen=True)
class Layer:
    """One layer: the column `image` that holds its cells, their coordinates (V,) by direction, and z of its middle.

    `place` is where it lies along the image's last axis, if that is z.
    """

    name: str
    image: str
    place: int | None
    at: dict[str, Numbers]
    z: float

    def cells(self, table: Table) -> Numbers:
        """Energies (N, V) in double precision."""
        images = table[self.image]
        chosen = images if self.place is None else images[..., self.place]
        return chosen.reshape(len(images), -1).astype(np.float64)


def layers_of(geometry: Geometry, columns: Sequence[str]) -> tuple[Layer, ...]:
    """Layers whose images are among these columns, from the front to the back.

    >>> [layer.name for layer in layers_of(Geometry.grid({"ECAL": (4, 4, 2), "HCAL": (2, 2, 1)}), ["ECAL", "HCAL"])]
    ['ECAL_0', 'ECAL_1', 'HCAL_0']
    """
    return tuple(layer for segment in geometry.segments if segment.name in columns for layer in split(segment))


def split(segment: Segment) -> Iterator[Layer]:
    """Cut a segment along z, where that is one of its axes."""
    voxels = segment.voxels()
    at = {name: voxels[name] for name in directions(segment)}
    if "z" not in segment.axes:
        flat = {name: column.reshape(-1) for name, column in at.items()}
        yield Layer(segment.name, segment.name, None, flat, float(voxels["z"].flat[0]))
        return
    for place in range(segment.layers):
        flat = {name: column[..., place].reshape(-1) for name, column in at.items()}
        yield Layer(f"{segment.name}_{place}", segment.name, place, flat, float(voxels["z"][0, 0, place]))


def directions(segment: Segment) -> tuple[str, ...]:
    """Coordinates that mean something: of whole rings only the radius."""
    if "r" not in segment.axes:
        return ("x", "y")
    return ("x", "y", "r") if segment.shape[segment.axes.index("alpha")] > 1 else ("r",)


def totals(table: Table, layers: Sequence[Layer], unit: str) -> Numbers:
    """Energies (N, L) of all layers in a unit; images without one are taken to be in it."""
    return np.stack([layer.cells(table).sum(axis=1) * factor(layer.image, table.units.get(layer.image, ""), unit)
                     for layer in layers], axis=1)


def energy_unit(table: Table, layers: Sequence[Layer]) -> str:
    """Unit of the first image that has one."""
    return next((table.units[layer.image] for layer in layers if table.units.get(layer.image)), "")


def incident(table: Table, unit: str) -> Numbers | None:
    """Incident energies (N,) in a unit; None where the table has none."""
    if INCIDENT not in table.features or table[INCIDENT].ndim != 1:
        return None
    return table[INCIDENT].astype(np.float64) * factor(INCIDENT, table.units.get(INCIDENT, ""), unit)
