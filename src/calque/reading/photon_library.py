"""The layout "photon-library": visibilities of detectors by voxel, as LArSoft's photon libraries hold them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError, FileError, unknown
from calque.reading.formats import Compression, Field, Format, Writer, format_of
from calque.reading.voxels import Voxels
from calque.table import Array

TREE = "PhotonLibraryData"
NAMES = {"ROOT": ("Voxel", "OpChannel", "Visibility"), "HDF5": ("voxel", "detector", "visibility")}
TYPES = (np.int32, np.int32, np.float32)
ROWS = 1_000_000
GEOMETRY = ("voxels", "low", "high", "image")
Entries = tuple[Array, Array, Array]


@dataclass
class PhotonLibrary(Format):
    """A table of x, y, z [cm], the centres of voxels, and `image`, what detectors see of light from there.

    In the file are entries (voxel, detector, visibility), those above zero only: in HDF5 the datasets `voxel`,
    `detector`, `visibility` with the geometry as attributes of their group, in ROOT the branches Voxel/I, OpChannel/I
    and Visibility/F of a tree PhotonLibraryData, in whichever folder (larsim's PhotonLibrary.cxx). A ROOT file does
    not tell its geometry: `voxels` are their numbers along x, y and z, `low` and `high` the corners [cm], `image` the
    shape that the detectors' visibilities take. `missing` is what becomes of voxels without an entry: an "error",
    "dark" (all zero) or "skip". Whoever reads has all visibilities in memory, as LArSoft does.
    """

    voxels: tuple[int, int, int] | None = None
    low: tuple[float, float, float] | None = None
    high: tuple[float, float, float] | None = None
    image: tuple[int, ...] | None = None
    missing: Literal["error", "dark", "skip"] = "error"

    name = "photon library"
    default_tree = TREE

    def __post_init__(self) -> None:
        choices = ("error", "dark", "skip")
        if self.missing not in choices:
            raise ConfigError(unknown("choice", self.missing, choices, "for missing voxels (missing)"))

    def trees(self, path: Path) -> list[str]:
        """Libraries of the file, in whichever folder."""
        return [name for name in inner(path).trees(path) if name.rpartition("/")[2] == TREE]

    def choose(self, path: Path, tree: str | None) -> str:
        """The library of the file, if no other table is named."""
        return super().choose(path, tree) if tree is None else inner(path).choose(path, tree)

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Columns x, y, z and image."""
        voxels, image = self.geometry(path, tree)
        rows = None if self.missing == "skip" else voxels.total
        plain = [Field(name, np.dtype(np.float32), (), "cm", rows, "float32") for name in "xyz"]
        return [*plain, Field("image", np.dtype(np.float32), image, "", rows, "float32")]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Voxels in their order, piece by piece."""
        voxels, image = self.geometry(path, tree)
        seen, there = gathered(path, entries(path, tree), voxels, int(np.prod(image)))
        chosen = self.present(path, there)
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            piece = {**voxels.columns(part), "image": seen[part].reshape(-1, *image)}
            yield {name: piece[name] for name in columns}

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file."""
        return LibraryWriter(path, tree, compression, self.grid(vars(self), path), self.image)

    def present(self, path: Path, there: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Voxels to read, given which have entries (V,)."""
        lacking = np.flatnonzero(~there)
        if not len(lacking):
            return np.arange(len(there))
        found = (f"{len(lacking)} of {len(there)} voxels of {path} have no entry, first "
                 f"{', '.join(map(str, lacking[:5]))}")
        if self.missing == "error":
            raise DataError(f'{found}; missing = "dark" takes them for places that no detector sees, "skip" leaves '
                            "them out")
        warnings.warn(f"{found}: {'taken as dark' if self.missing == 'dark' else 'left out'}", stacklevel=2)
        return np.arange(len(there)) if self.missing == "dark" else np.flatnonzero(there)

    def geometry(self, path: Path, tree: str) -> tuple[Voxels, tuple[int, ...]]:
        """Voxels, and the image's shape: by setting, else by the file; raises ConfigError where they disagree."""
        known = attributes(path, tree)
        for name in GEOMETRY:
            asked = getattr(self, name)
            if asked is not None and name in known and not np.array_equal(asked, known[name]):
                raise ConfigError(f"{name} = {list(asked)}, but {path} has {list(known[name])}; leave it out")
            known[name] = asked if asked is not None else known.get(name)
        voxels = self.grid(known, path)
        if known["image"] is None:
            detectors = max(int(part[1].max(initial=-1)) for part in entries(path, tree)) + 1
            return voxels, (detectors,)
        return voxels, tuple(int(side) for side in known["image"])

    @staticmethod
    def grid(known: Mapping[str, Any], path: Path) -> Voxels:
        """The voxels; raises ConfigError where something is not known."""
        for name in GEOMETRY[:3]:
            if known.get(name) is None:
                raise ConfigError(f"{path.name} does not tell its geometry; give the layout 'photon-library' {name}, "
                                  'as in layout = { name = "photon-library", voxels = [100, 100, 300], low = […], '
                                  "high = […], image = [20, 6] }")
        return Voxels.of(known["voxels"], known["low"], known["high"])


class LibraryWriter:
    """Turns tables of voxel centres into entries."""

    def __init__(self, path: Path, tree: str, compression: Compression, voxels: Voxels,
                 image: tuple[int, ...] | None) -> None:
        self.voxels, self.image, self.form = voxels, image, inner(path)
        self.writer: Any = self.form.open(path, tree, {}, compression)

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append the entries of some voxels; columns beyond x, y, z and image are left out."""
        for name in (*"xyz", "image"):
            if name not in columns:
                raise DataError(unknown("column", name, columns, "to write as 'photon-library'"))
        image = columns["image"]
        if self.image is not None and image.shape[1:] != tuple(self.image):
            raise DataError(f"images have shape {image.shape[1:]}, but image = {list(self.image)} was asked for")
        if not (image >= 0).all():
            raise DataError("visibilities below zero, or none at all, cannot be written as 'photon-library'")
        self.image = image.shape[1:]
        number = self.voxels.numbers(np.stack([columns[name] for name in "xyz"], 1))
        flat = image.reshape(len(image), -1)
        row, detector = np.nonzero(flat)
        parts = zip(NAMES[self.form.name], (number[row], detector, flat[row, detector]), TYPES, strict=True)
        self.writer.write({name: array.astype(kind) for name, array, kind in parts})

    def close(self) -> None:
        """Add the geometry where it has a place, and close the file."""
        if self.form.name == "HDF5":
            known = {**{field.name: getattr(self.voxels, field.name) for field in fields(self.voxels)},
                     "image": self.image}
            self.writer.group.attrs.update({name: value for name, value in known.items() if value is not None})
        self.writer.close()


def inner(path: Path) -> Format:
    """The format that holds the entries; a file that is being written has one more suffix."""
    suffix = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() in (".root", ".h5", ".hdf5")), None)
    if suffix is None:
        raise FileError(f"a photon library is a .root, .h5 or .hdf5 file, which {path.name.removesuffix('.part')!r} "
                        "is not")
    return format_of(Path(f"library{suffix}"))


def attributes(path: Path, tree: str) -> dict[str, Any]:
    """What an HDF5 library says of its geometry."""
    if inner(path).name != "HDF5":
        return {}
    with h5py.File(path, "r") as file:
        return {name: tuple(file[tree].attrs[name].tolist()) for name in GEOMETRY if name in file[tree].attrs}


def entries(path: Path, tree: str) -> Iterator[Entries]:
    """Voxels, detectors and visibilities, piece by piece."""
    form = inner(path)
    names, there = NAMES[form.name], [field.name for field in form.describe(path, tree)]
    for name in names:
        if name not in there:
            raise DataError(unknown("column", name, there, f"in {path}, which is no photon library"))
    for piece in form.iterate(path, tree, names, ROWS):
        yield piece[names[0]], piece[names[1]], piece[names[2]]


def gathered(path: Path, parts: Iterator[Entries], voxels: Voxels,
             detectors: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """All visibilities (V, detectors), and which voxels (V,) have any; raises DataError for entries out of place."""
    seen, count = np.full((voxels.total, detectors), np.nan, np.float32), 0
    for voxel, detector, visibility in parts:
        check(path, "voxel", voxel, voxels.total, f"{' × '.join(map(str, voxels.voxels))} voxels")
        check(path, "detector", detector, detectors, f"an image of {detectors} detectors")
        if not np.isfinite(visibility).all():
            raise DataError(f"visibilities in {path} are NaN or infinite; write the library again")
        seen.reshape(-1)[voxel.astype(np.int64) * detectors + detector] = visibility
        count += len(voxel)
    there = np.isfinite(seen)
    if twice := count - int(there.sum()):
        raise DataError(f"{twice} entries of {path} are of a voxel and detector that had one before")
    lonely = np.flatnonzero(~there.any(0))
    if len(lonely):
        warnings.warn(f"{len(lonely)} of {detectors} detectors have no entry in {path}, first {lonely[0]}: taken as "
                      "dark", stacklevel=2)
    return np.nan_to_num(seen, copy=False), np.asarray(there.any(1))


def check(path: Path, what: str, number: Array, end: int, of: str) -> None:
    """Raise DataError for numbers beyond what there is."""
    wrong = number[(number < 0) | (number >= end)]
    if len(wrong):
        raise DataError(f"{what} {wrong[0]} in {path}, but {of} have numbers from 0 to {end - 1}; was the library made "
                        "with another geometry?")
