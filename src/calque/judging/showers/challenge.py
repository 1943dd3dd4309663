"""The inputs of CaloChallenge's classifiers and distances as views, so that numbers can be laid beside its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from calque.errors import DataError
from calque.geometry import Geometry
from calque.judging.showers.layers import INCIDENT, Layer, Numbers, incident, layers_of, totals
from calque.judging.showers.observables import moments
from calque.judging.views import View
from calque.reading.deposits import factor
from calque.table import Array, Table

UNIT = "MeV"
NOTHING = 1e-8  # MeV, beside energies in a logarithm
LENGTH = 100.0  # by which centres and widths are divided

Look = Callable[[Table, tuple[Layer, ...], Numbers], Mapping[str, Array]]


def low_level(table: Table, layers: Sequence[Layer], energy: Numbers) -> dict[str, Array]:
    """Energy of every voxel over the incident one (N,) [MeV]; images stay images."""
    found = {}
    for name in dict.fromkeys(layer.image for layer in layers):
        scale = factor(name, table.units.get(name, ""), UNIT) / energy
        found[name] = table[name] * scale.reshape(-1, *[1] * (table[name].ndim - 1))
    return found


def high_level(table: Table, layers: Sequence[Layer], energy: Numbers) -> dict[str, Array]:
    """Logs of the total and of layers' energies [MeV]; centres and widths / 100; share of empty cells of each layer."""
    energies = totals(table, layers, UNIT)
    found = {"log_total": logarithm(energies.sum(axis=1))}
    for layer, sums in zip(layers, energies.T, strict=True):
        cells = layer.cells(table)
        found |= {f"{layer.name}.log_energy": logarithm(sums),
                  f"{layer.name}.empty": 1 - (cells > 0).mean(axis=1)}
        for name, at in layer.at.items():
            centre, width = moments(cells, at)
            found |= {f"{layer.name}.centre_{name}": centre / LENGTH, f"{layer.name}.width_{name}": width / LENGTH}
    return found


def logarithm(energy: Numbers) -> Numbers:
    """Decimal logarithm of energies [MeV]; below zero, as a generator may give, is nothing."""
    return np.log10(np.maximum(energy, 0) + NOTHING)


VIEWS: dict[str, Look] = {"calochallenge_low": low_level, "calochallenge_high": high_level}


def challenge_views(real: Table, geometry: Geometry | None) -> tuple[View, ...]:
    """Views of showers with incident energies as CaloChallenge's judges see them (arXiv:2410.21611); else none.

    Both have log10 of the incident energy [MeV], and what varies in real rows of what their functions give.
    """
    if geometry is None or not layers_of(geometry, real.features) or incident(real, UNIT) is None:
        return ()
    return tuple(made(name, look, real, geometry) for name, look in VIEWS.items())


def made(name: str, look: Look, real: Table, geometry: Geometry) -> View:
    """Make a view; its columns are found when it is first asked for."""
    layers = layers_of(geometry, real.features)

    def seen(table: Table) -> Table:
        energy = incident(table, UNIT)
        if energy is None or not (energy > 0).all():
            raise DataError(f"the view {name!r} takes incident energies above zero, in a column {INCIDENT!r} of "
                            f"{table.source}")
        found = {"log_energy": np.log10(energy), **look(table, layers, energy)}
        weight = {} if table.weight is None else {table.weight: table.weights}
        return Table.of({**found, **weight}, weight=table.weight, source=table.source)

    @cache
    def kept() -> tuple[str, ...]:
        return seen(real).varying

    return View(name, lambda table: seen(table).keep(kept()))
