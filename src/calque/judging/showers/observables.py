"""Observables of showers, one row of numbers a shower."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from calque.errors import DataError
from calque.geometry import Geometry
from calque.judging.images import image_view
from calque.judging.showers.layers import Layer, Numbers, energy_unit, incident, layers_of, totals
from calque.judging.views import View
from calque.table import Table

BLOCK = 4096  # showers that are looked at at once
ROUNDING = 1e-12  # of the largest squared coordinate: a variance below is that of one cell


def observables(table: Table, geometry: Geometry, threshold: float = 0.0) -> Table:
    """Showers in numbers: the columns of the geometry's images are replaced, the others and the weight stay.

    Of each layer `energy`, `fraction` of the total, `sparsity` (share of cells above the `threshold`), `brightest`
    (share of the brightest cell), `ratio` ((first − second) / (first + second) of the two brightest), `centre_x`,
    `width_x` and so on along y (and r, of polar layers); of the shower `total`, `response` (total over incident
    energy), `hits` (cells above the threshold), `depth` (mean z, weighted by energy) and `depth_width`. What has no
    energy to divide by is 0. Sources: CaloGAN, arXiv:1712.10321; CaloChallenge, arXiv:2410.21611. Raises DataError for
    a table without these images, or with columns of these names.

    >>> table = Table.of({"ECAL": np.ones((2, 2, 2, 1)), "energy": [8.0, 16.0]})
    >>> found = observables(table, Geometry.grid({"ECAL": (2, 2, 1)}))
    >>> found["total"].tolist(), found["response"].tolist(), found["ECAL_0.width_x"].tolist()
    ([4.0, 4.0], [0.5, 0.25], [0.5, 0.5])
    """
    layers = layers_of(geometry, table.features)
    if not layers:
        raise DataError(f"{table.source} has none of the images of {geometry.name}: {', '.join(geometry.shapes)}")
    parts = [numbers(table.rows(slice(start, start + BLOCK)), layers, threshold)
             for start in range(0, max(len(table), 1), BLOCK)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    gone = {layer.image for layer in layers}
    kept = {name: column for name, column in table.columns.items() if name not in gone}
    for name in kept.keys() & found.keys():
        raise DataError(f"column {name!r} of {table.source} has the name of an observable; rename it (read.rename)")
    return Table.of({**kept, **found}, {**table.units, **units(table, geometry, layers)}, table.weight, table.source)


def numbers(table: Table, layers: Sequence[Layer], threshold: float) -> dict[str, Numbers]:
    """Observables of a few showers."""
    unit = energy_unit(table, layers)
    energies = totals(table, layers, unit)
    total, hits = energies.sum(axis=1), np.zeros(len(table))
    found: dict[str, Numbers] = {}
    for layer, energy in zip(layers, energies.T, strict=True):
        cells = layer.cells(table)
        found |= {f"{layer.name}.{what}": values for what, values in of_layer(cells, layer, energy, total, threshold)}
        hits += (cells > threshold).sum(axis=1)
    given, depths = incident(table, unit), np.array([layer.z for layer in layers])
    depth, width = moments(energies, depths)
    response = {} if given is None else {"response": over(total, given)}
    return {**found, "total": total, **response, "hits": hits, "depth": depth, "depth_width": width}


def of_layer(
    cells: Numbers, layer: Layer, energy: Numbers, total: Numbers, threshold: float
) -> Iterator[tuple[str, Numbers]]:
    """Observables of one layer, from the energies (N, V) of its cells."""
    yield "energy", energy
    yield "fraction", over(energy, total)
    yield "sparsity", (cells > threshold).mean(axis=1)
    yield "brightest", over(cells.max(axis=1), cells.sum(axis=1))
    if cells.shape[1] > 1:
        second, first = np.partition(cells, -2, axis=1)[:, -2:].T
        yield "ratio", over(first - second, first + second)
    for name, at in layer.at.items():
        centre, width = moments(cells, at)
        yield f"centre_{name}", centre
        yield f"width_{name}", width


def moments(energies: Numbers, at: Numbers) -> tuple[Numbers, Numbers]:
    """Mean (N,) and standard deviation (N,) of places (V,), weighted by energies (N, V)."""
    total = energies.sum(axis=1)
    centre, square = over(energies @ at, total), over(energies @ at**2, total)
    variance = square - centre**2
    return centre, np.sqrt(np.where(variance > ROUNDING * np.max(at**2), variance, 0.0))


def over(part: Numbers, whole: Numbers) -> Numbers:
    """Divide; nothing of nothing is 0."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def units(table: Table, geometry: Geometry, layers: Sequence[Layer]) -> dict[str, str]:
    """Units of the observables that have one."""
    energy = dict.fromkeys(("total", *(f"{layer.name}.energy" for layer in layers)), energy_unit(table, layers))
    depth = dict.fromkeys(("depth", "depth_width"), geometry.units.get("z", ""))
    across = {f"{layer.name}.{what}_{name}": geometry.units.get(name, "")
              for layer in layers for name in layer.at for what in ("centre", "width")}
    return {name: unit for name, unit in {**energy, **depth, **across}.items() if unit}


def number_view(real: Table, geometry: Geometry | None = None) -> View | None:
    """The view in which images are told by numbers that vary in real rows; None where there are no images.

    "observables" where the geometry has the images of showers, else "images"; other images are summed up as there.
    """
    if geometry is None or not layers_of(geometry, real.features):
        return image_view(real)
    seen = observables(real, geometry)
    rest = image_view(seen)
    kept = (seen if rest is None else rest(seen)).varying

    def look(table: Table) -> Table:
        told = observables(table, geometry)
        return (told if rest is None else rest(told)).keep(kept)

    return View("observables", look)
