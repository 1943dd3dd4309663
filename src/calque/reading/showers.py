"""HDF5 files of showers: a dataset holds one column or several, side by side in each event."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calque.errors import DataError, unknown
from calque.geometry import Geometry
from calque.reading.deposits import Deposits, check_written, factor
from calque.reading.formats import Compression, Field, Writer
from calque.reading.hdf5 import GroupWriter, Hdf5
from calque.table import Array, Layout


@dataclass(frozen=True)
class Dataset:
    """A dataset of the file: the shape of an event in it, and the columns that an event is cut into."""

    name: str
    shape: tuple[int, ...]
    columns: Layout
    unit: str = ""
    optional: bool = False

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], unit: str = "", optional: bool = False) -> Dataset:
        """One that holds the column of its name."""
        return cls(name, shape, Layout((name,), (shape,)), unit, optional)

    def split(self, array: Array) -> dict[str, Array]:
        """(N, *shape) → columns."""
        flat = array.reshape(len(array), -1)
        return {name: flat[:, place].reshape(-1, *shape)
                for (name, place), shape in zip(self.columns.slices.items(), self.columns.shapes, strict=True)}

    def join(self, columns: Mapping[str, Array]) -> Array:
        """Columns → (N, *shape) of floats."""
        flat = [columns[name].reshape(len(columns[name]), -1) for name in self.columns.names]
        whole = np.concatenate(flat, axis=1)
        return whole.reshape(-1, *self.shape).astype(np.result_type(whole, np.float32), copy=False)


class Showers(Hdf5):
    """Showers in the root of an HDF5 file; datasets that the layout does not know are columns as they are."""

    default_tree = ""

    @abstractmethod
    def geometry(self, path: Path | None = None) -> Geometry:
        """Where the voxels are."""

    @abstractmethod
    def datasets(self) -> tuple[Dataset, ...]:
        """What the file holds."""

    def images_of(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Which columns of these shapes hold the energies of voxels."""
        return [name for name in self.geometry().shapes if name in shapes]

    def choose(self, path: Path, tree: str | None) -> str:
        """The root, if no group is named."""
        return super().choose(path, tree or "/")

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns; raises DataError where datasets are missing, of other shapes or lengths."""
        there = {one.name: one for one in super().describe(path, tree)}
        found: dict[str, Field] = {}
        for dataset in self.present(path, there):
            one = there.pop(dataset.name)
            for name, shape in zip(dataset.columns.names, dataset.columns.shapes, strict=True):
                found[name] = replace(one, name=name, shape=shape, unit=one.unit or dataset.unit)
        return [*found.values(), *(one for one in there.values() if one.name not in found)]

    def present(self, path: Path, there: Mapping[str, Field]) -> list[Dataset]:
        """The layout's datasets that a file has."""
        chosen = [one for one in self.datasets() if one.name in there or not one.optional]
        for dataset in chosen:
            if dataset.name not in there:
                raise DataError(unknown("dataset", dataset.name, there, f"in {path}, which is not {self}"))
            if bare(there[dataset.name].shape) != bare(dataset.shape):
                raise DataError(f"dataset {dataset.name!r} of {path} has shape {there[dataset.name].shape} per event, "
                                f"where {self} has {dataset.shape}")
        lengths = {one.name: there[one.name].rows for one in chosen}
        if len(set(lengths.values())) > 1:
            raise DataError(f"datasets of unequal length in {path}: {lengths}")
        return chosen

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces, no energy of them below zero."""
        there = {one.name: one for one in super().describe(path, tree)}
        holders = {name: one for one in self.present(path, there) for name in one.columns.names}
        deposits = Deposits(path, self.images_of({one.name: one.shape for one in self.describe(path, tree)}))
        wanted = list(dict.fromkeys(holders[name].name if name in holders else name for name in columns))
        for piece in super().iterate(path, tree, wanted, rows):
            found = dict(piece)
            for dataset in dict.fromkeys(holders.values()):
                if dataset.name in piece:
                    del found[dataset.name]
                    found |= dataset.split(piece[dataset.name])
            deposits.check(found)
            yield {name: found[name] for name in columns}
        deposits.close()

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file; what is compressed has gzip, which every reader of HDF5 knows."""
        codec = Compression("zlib", 1) if compression.codec == "lz4" else compression
        return ShowerWriter(self, path, tree, units, codec)

    def __str__(self) -> str:
        return self.name


class ShowerWriter(GroupWriter):
    """Joins columns to datasets, in the layout's units."""

    def __init__(self, form: Showers, path: Path, tree: str, units: Mapping[str, str], codec: Compression) -> None:
        self.form, self.given = form, units
        super().__init__(path, tree, {**units, **{one.name: one.unit for one in form.datasets() if one.unit}}, codec)

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append showers; columns that the layout does not know are datasets as they are."""
        check_written(columns, self.form.images_of({name: array.shape[1:] for name, array in columns.items()}),
                      str(self.form))
        rest, joined = dict(columns), {}
        for dataset in self.form.datasets():
            names = dataset.columns.names
            if dataset.optional and not set(names) <= columns.keys():
                continue
            joined[dataset.name] = dataset.join({name: self.column(dataset, name, columns) for name in names})
            rest = {name: array for name, array in rest.items() if name not in names}
        super().write({**joined, **rest})

    def column(self, dataset: Dataset, name: str, columns: Mapping[str, Array]) -> Array:
        """One column of a dataset, in its unit; raises DataError where it is absent or of another shape."""
        if name not in columns:
            raise DataError(unknown("column", name, columns, f"to write as {self.form}"))
        array, shape = columns[name], dataset.columns.shapes[dataset.columns.names.index(name)]
        if bare(array.shape[1:]) != bare(shape):
            raise DataError(f"column {name!r} has shape {array.shape[1:]} per event, where {self.form} has {shape}")
        times = factor(name, self.given.get(name, ""), dataset.unit)
        return array if times == 1.0 else array * times


def bare(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without axes of length one: (N,) may stand for (N, 1)."""
    return tuple(side for side in shape if side != 1)
