"""Photon libraries: both formats, both ways, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import uproot

from calque.config import load_config
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.pipeline import load_data
from calque.reading import iterate, read, write
from calque.reading.voxels import Voxels
from calque.table import Table

BOX = {"voxels": [3, 4, 5], "low": [-3.0, 0.0, 10.0], "high": [3.0, 8.0, 20.0]}
LAYOUT = {"name": "photon-library", **BOX, "image": [2, 3]}
GRID = Voxels.of(BOX["voxels"], BOX["low"], BOX["high"])
FORMATS = ["lib.root", "lib.h5"]


def library(seed: int = 0) -> Table:
    """Visibilities of which four in ten are zero, but none of a whole voxel."""
    stream = np.random.default_rng(seed)
    image = stream.random((GRID.total, 2, 3)) * (stream.random((GRID.total, 2, 3)) < 0.6)
    image[:, 0, 0] += 0.01
    return GRID.table().with_columns({"image": image.astype(np.float32)})


def entries(path: Path, table: Table | None = None) -> dict[str, np.ndarray]:
    """What lies in a ROOT library, as LArSoft writes it, by hand."""
    image = (table or library())["image"].reshape(GRID.total, 6)
    voxel, detector = np.nonzero(image)
    return {"Voxel": voxel.astype("i4"), "OpChannel": detector.astype("i4"), "Visibility": image[voxel, detector]}


def by_hand(path: Path, columns: dict[str, np.ndarray], tree: str = "pmtresponse/PhotonLibraryData") -> Path:
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: array.dtype for name, array in columns.items()}).extend(columns)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_a_library_comes_back(tmp_path: Path, name: str) -> None:
    table, path = library(), tmp_path / name
    write(table.rows(np.random.default_rng(1).permutation(len(table))), path, layout=LAYOUT)
    again = read(path, layout="photon-library" if path.suffix == ".h5" else LAYOUT)
    assert again.names == ("x", "y", "z", "image")
    for column in again.names:
        np.testing.assert_array_equal(again[column], table[column])
    assert again.units == {"x": "cm", "y": "cm", "z": "cm"}
    parts = list(iterate(path, layout=LAYOUT, rows=7))
    assert [len(part) for part in parts] == [7] * 8 + [4]
    np.testing.assert_array_equal(np.concatenate([part["image"] for part in parts]), table["image"])


def test_root_holds_what_larsoft_expects(tmp_path: Path) -> None:
    write(library(), tmp_path / "lib.root", layout=LAYOUT)
    with uproot.open(tmp_path / "lib.root") as file:
        tree = file["PhotonLibraryData"]
        assert tree.typenames() == {"Voxel": "int32_t", "OpChannel": "int32_t", "Visibility": "float"}
        found = tree.arrays(library="np")
    for name, column in entries(tmp_path).items():
        np.testing.assert_array_equal(found[name], column)
    assert (found["Visibility"] > 0).all()


def test_hdf5_tells_its_geometry(tmp_path: Path) -> None:
    write(library(), tmp_path / "lib.h5", layout=LAYOUT)
    with h5py.File(tmp_path / "lib.h5") as file:
        group = file["PhotonLibraryData"]
        assert set(group) == {"voxel", "detector", "visibility"}
        assert {name: group.attrs[name].tolist() for name in group.attrs} == {**BOX, "image": [2, 3]}
    with pytest.raises(ConfigError, match=r"voxels = \[4, 4, 4\], but .* has \[3, 4, 5\]; leave it out"):
        read(tmp_path / "lib.h5", layout={"name": "photon-library", "voxels": [4, 4, 4]})


def test_a_library_of_larsoft_is_read_from_its_folder(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "larsoft.root", entries(tmp_path))
    np.testing.assert_array_equal(read(path, layout=LAYOUT)["image"], library()["image"])
    flat = read(path, layout={"name": "photon-library", **BOX})
    assert flat["image"].shape == (60, 6), "without a shape, a row of the detectors that there are"


def test_voxels_are_numbered_as_larsoft_does() -> None:
    number = np.arange(GRID.total)
    steps = np.stack([number % 3, number // 3 % 4, number // 12], 1)
    np.testing.assert_allclose(GRID.centres(number), np.array([-3, 0, 10]) + (steps + 0.5) * 2)
    np.testing.assert_array_equal(GRID.numbers(GRID.centres(number)), number)


def test_missing_voxels_are_an_error_or_counted(tmp_path: Path) -> None:
    found = entries(tmp_path)
    path = by_hand(tmp_path / "lib.root", {name: column[~np.isin(found["Voxel"], [4, 59])]
                                           for name, column in found.items()})
    with pytest.raises(DataError, match=r'2 of 60 voxels of .* have no entry, first 4, 59; missing = "dark" takes'):
        read(path, layout=LAYOUT)
    with pytest.warns(UserWarning, match="2 of 60 voxels .* first 4, 59: taken as dark"):
        dark = read(path, layout={**LAYOUT, "missing": "dark"})
    assert len(dark) == 60
    assert not dark["image"][[4, 59]].any()
    with pytest.warns(UserWarning, match="2 of 60 voxels .* left out"):
        rest = read(path, layout={**LAYOUT, "missing": "skip"})
    np.testing.assert_array_equal(rest["image"], np.delete(library()["image"], [4, 59], 0))
    np.testing.assert_array_equal(rest["x"], np.delete(library()["x"], [4, 59]))


@pytest.mark.parametrize(("column", "value", "message"), [
    ("Voxel", 60, "voxel 60 in .*, but 3 × 4 × 5 voxels have numbers from 0 to 59"),
    ("Voxel", -1, "voxel -1 in"),
    ("OpChannel", 6, "detector 6 in .*, but an image of 6 detectors have numbers from 0 to 5"),
])
def test_entries_out_of_place_are_refused(tmp_path: Path, column: str, value: int, message: str) -> None:
    found = entries(tmp_path)
    found[column][17] = value
    with pytest.raises(DataError, match=message):
        read(by_hand(tmp_path / "lib.root", found), layout=LAYOUT)


def test_a_visibility_that_is_none_is_refused(tmp_path: Path) -> None:
    found = entries(tmp_path)
    found["Visibility"][5] = np.nan
    with pytest.raises(DataError, match=r"visibilities in .* are NaN or infinite"):
        read(by_hand(tmp_path / "lib.root", found), layout=LAYOUT)


def test_an_entry_twice_is_refused(tmp_path: Path) -> None:
    found = {name: np.append(column, column[3]) for name, column in entries(tmp_path).items()}
    with pytest.raises(DataError, match=r"1 entries of .* had one before"):
        read(by_hand(tmp_path / "lib.root", found), layout=LAYOUT)


def test_fewer_detectors_than_the_image_are_counted(tmp_path: Path) -> None:
    path = by_hand(tmp_path / "lib.root", entries(tmp_path))
    with pytest.warns(UserWarning, match="2 of 8 detectors have no entry in .*, first 6: taken as dark"):
        wide = read(path, layout={**LAYOUT, "image": [8]})
    np.testing.assert_array_equal(wide["image"][:, :6], library()["image"].reshape(60, 6))


@pytest.mark.parametrize(("layout", "kind", "message"), [
    ("photon-library", ConfigError, "lib.root does not tell its geometry; give the layout 'photon-library' voxels"),
    ({**LAYOUT, "voxls": [1]}, ConfigError, "no setting 'voxls' of the layout 'photon library'; nearest: voxels"),
    ({"name": "photon-libary"}, ConfigError, "no layout 'photon-libary'; nearest: photon-library"),
    ({"name": "fairship", "voxels": [1]}, ConfigError, "no setting 'voxels' of the layout 'FairShip'"),
    ({**LAYOUT, "missing": "drak"}, ConfigError, "no choice 'drak' for missing voxels .*; nearest: dark"),
    ({**LAYOUT, "high": [-4.0, 8.0, 20.0]}, ConfigError, "are no box"),
])
def test_settings_are_checked(tmp_path: Path, layout: Any, kind: type[CalqueError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(by_hand(tmp_path / "lib.root", entries(tmp_path)), layout=layout)


def test_other_files_are_no_libraries(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'Voxel' in .*, which is no photon library"):
        read(by_hand(tmp_path / "a.root", {"px": np.ones(3)}, "PhotonLibraryData"), layout=LAYOUT)
    with pytest.raises(FileError, match="no tree in"):
        read(by_hand(tmp_path / "b.root", {"px": np.ones(3)}, "events"), layout=LAYOUT)
    with pytest.raises(FileError, match=r"a photon library is a .root, .h5 or .hdf5 file, which 'lib\.npz' is not"):
        write(library(), tmp_path / "lib.npz", layout=LAYOUT)


@pytest.mark.parametrize(("change", "message"), [
    ({"x": np.full(60, 0.3)}, r"60 of 60 positions are not the centre of a voxel, first \(0.3, 1, 11\) cm"),
    ({"image": np.full((60, 2, 3), -1.0)}, "visibilities below zero"),
    ({"image": np.full((60, 2, 3), np.nan)}, "visibilities below zero, or none at all"),
    ({"image": np.ones((60, 6))}, r"images have shape \(6,\), but image = \[2, 3\]"),
])
def test_what_is_no_library_is_not_written(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(library().with_columns(change), tmp_path / "lib.h5", layout=LAYOUT)
    assert not (tmp_path / "lib.h5").exists()


def test_a_toml_file_reads_a_library(tmp_path: Path) -> None:
    by_hand(tmp_path / "lib.root", entries(tmp_path))
    (tmp_path / "a.toml").write_text(f"""
[read]
files = "{tmp_path}/lib.root"
layout = {{ name = "photon-library", voxels = [3, 4, 5], low = [-3, 0, 10], high = [3, 8, 20], image = [2, 3] }}
[prepare]
context = ["x", "y", "z"]
steps = []
""")
    data = load_data(load_config(tmp_path / "a.toml"))
    assert data.preparation.layout.shapes == ((2, 3),)
    assert data.context.names == ("x", "y", "z")
