"""The layout "hits": showers as lists of cells and energies in a ROOT tree, dense images in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import awkward as ak
import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.geometry import Geometry
from calque.reading.branches import find_columns, read_columns
from calque.reading.deposits import Deposits, check_written, geometry_of
from calque.reading.formats import Compression, Field, Writer
from calque.reading.root import Root, TreeWriter, opened, storable
from calque.table import Array


@dataclass
class Hits(Root):
    """Branches of lists, `hit_cell` and `hit_energy`: which voxels have energy, and how much; zeros are left out.

    `calorimeter` is the layout that has the geometry, such as "calogan" or { name = "calochallenge", binning = … }:
    cells have the numbers of its voxels, and its images are the columns. Energies of one cell in one shower are added
    up. `cell` and `energy` name other branches. Branches of single numbers are columns as they are.
    """

    calorimeter: str | dict[str, Any] = ""
    cell: str = "hit_cell"
    energy: str = "hit_energy"

    name = "hits"

    def __post_init__(self) -> None:
        if not self.calorimeter:
            raise ConfigError("the layout 'hits' needs a calorimeter, as in layout = { name = \"hits\", calorimeter = "
                              '"calogan" }')
        self._geometry = geometry_of(self.calorimeter)

    def geometry(self, path: Path | None = None) -> Geometry:
        """That of the calorimeter."""
        return self._geometry

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Single numbers, then an image for each segment."""
        there = {one.name: one for one in super().describe(path, tree)}
        for name in (self.cell, self.energy):
            if name not in there:
                raise DataError(unknown("branch", name, there, f"in tree {tree!r} of {path}, which has no hits"))
            if there[name].dtype is not None:
                raise DataError(f"branch {name!r} of {path} holds {there[name].kind}, not a list for each shower")
        plain = [one for one in there.values() if one.dtype is not None and one.name != counter(self)]
        rows, unit = there[self.energy].rows, there[self.energy].unit
        images = [Field(name, np.dtype(np.float32), shape, unit, rows, "float32")
                  for name, shape in self.geometry().shapes.items()]
        return [*plain, *images]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces, lists made dense where images are asked for."""
        geometry = self.geometry()
        plain = [name for name in columns if name not in geometry.shapes]
        deposits = Deposits(path, geometry.shapes)
        with opened(path) as file:
            table = file[tree]
            there = find_columns(table, plain)
            for start in range(0, table.num_entries, rows):
                part = {"entry_start": start, "entry_stop": min(start + rows, table.num_entries)}
                values = read_columns(table, [there[name] for name in plain], *part.values())
                found = dict(zip(plain, cast(list[Array], values), strict=True))
                if len(plain) < len(columns):
                    cell, energy = (table[name].array(**part, library="ak") for name in (self.cell, self.energy))
                    packed = dense(cell, energy, geometry.size, f"{path}, rows from {start}")
                    found |= {name: packed[:, place].reshape(-1, *geometry.shapes[name])
                              for name, place in geometry.layout.slices.items()}
                deposits.check(found)
                yield {name: found[name] for name in columns}
        deposits.close()

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return HitWriter(self, path, tree, units, compression)


class HitWriter(TreeWriter):
    """Turns images into lists without zeros."""

    def __init__(self, form: Hits, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> None:
        self.form, self.shapes = form, form.geometry().shapes
        found = {units.get(name, "") for name in self.shapes}
        if len(found) > 1:
            raise DataError(f"images in several units, {', '.join(sorted(found))}, cannot be one list of hits")
        super().__init__(path, tree, {**units, form.energy: found.pop()}, compression)

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append showers."""
        for name, shape in self.shapes.items():
            if name not in columns:
                raise DataError(unknown("column", name, columns, "to write as hits"))
            if columns[name].shape[1:] != shape:
                raise DataError(f"column {name!r} has shape {columns[name].shape[1:]} per event, where "
                                f"{self.form.geometry().name} has {shape}")
        check_written(columns, self.shapes, "hits")
        packed = np.concatenate([columns[name].reshape(len(columns[name]), -1) for name in self.shapes], axis=1)
        hits = sparse(packed.astype(np.result_type(packed, np.float32), copy=False))
        lists = dict(zip((self.form.cell, self.form.energy), hits, strict=True))
        plain = {name: storable(array) for name, array in columns.items() if name not in self.shapes}
        if self.handle is None:
            types: dict[str, Any] = {name: np.dtype((array.dtype, array.shape[1:])) for name, array in plain.items()}
            types |= {name: f"var * {np.asarray(ak.flatten(one)).dtype}" for name, one in lists.items()}
            self.begin(types, counter_name=lambda branch: counter(self.form))
        self.extend({**plain, **lists})


def dense(cell: Any, energy: Any, size: int, where: str) -> Array:
    """Lists of cells and energies → (N, V); energies of one cell are added up."""
    counts = ak.to_numpy(ak.num(cell))
    if not np.array_equal(counts, ak.to_numpy(ak.num(energy))):
        raise DataError(f"lists of cells and of energies have unequal lengths in {where}")
    cells, energies = ak.to_numpy(ak.flatten(cell)), ak.to_numpy(ak.flatten(energy))
    if cells.dtype.kind not in "iu":
        raise DataError(f"cells are {cells.dtype} in {where}; whole numbers are needed")
    wrong = cells[(cells < 0) | (cells >= size)]
    if len(wrong):
        raise DataError(f"cell {wrong[0]} in {where}, but the calorimeter has cells from 0 to {size - 1}")
    if (energies < 0).any():
        raise DataError(f"{int((energies < 0).sum())} hits with an energy below zero in {where}")
    place = np.repeat(np.arange(len(counts)), counts) * size + cells.astype(np.int64)
    packed = np.zeros(len(counts) * size, np.float32)
    np.add.at(packed, place, energies.astype(np.float32))
    return packed.reshape(-1, size)


def sparse(packed: Array) -> tuple[Any, Any]:
    """(N, V) → lists of cells and of energies, exact zeros left out."""
    row, cell = np.nonzero(packed)
    counts = np.bincount(row, minlength=len(packed))
    return ak.unflatten(cell.astype(np.int32), counts), ak.unflatten(packed[row, cell], counts)


def counter(form: Hits) -> str:
    """The branch that counts hits.

    >>> counter(Hits("calogan"))
    'nhit'
    """
    return f"n{form.cell.rpartition('_')[0] or form.cell}"
