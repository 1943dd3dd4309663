"""Where voxels lie: closed areas, published sizes, and the order of CaloChallenge's own reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from calorimeters import RING, TWO
from shared import shared_file

from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.geometry import Geometry, Segment
from calque.reading.binning import read_binning
from calque.reading.deposits import geometry_of

CHALLENGE = {"1_photons": (368, 5, "photon"), "1_pions": (533, 7, "pion"), "2": (6480, 45, "electron"),
             "3": (40500, 45, "electron")}


@pytest.fixture
def binning(tmp_path: Path) -> Path:
    """Two particles in one file."""
    path = tmp_path / "binning.xml"
    path.write_text(TWO)
    return path


@pytest.mark.shared
@pytest.mark.parametrize("name", CHALLENGE)
def test_binnings_of_the_challenge(name: str) -> None:
    voxels, layers, particle = CHALLENGE[name]
    geometry = read_binning(shared_file(f"calochallenge/binning_dataset_{name}.xml"), particle)
    assert (geometry.size, len(geometry.segments)) == (voxels, layers)
    for segment in geometry.segments:
        places, borders = segment.voxels(), segment.edges[1]
        np.testing.assert_allclose(places["area"].sum(), np.pi * (borders[-1] ** 2 - borders[0] ** 2))
        inside = np.hypot(places["x"], places["y"])
        assert (inside > borders[0]).all()
        assert (inside < borders[-1]).all()
        assert (np.abs(places["alpha"]) < np.pi).all()
    table = geometry.voxels()
    assert len(table) == voxels
    assert table["layer"].max() == {"1_photons": 12, "1_pions": 14}.get(name, 44)


def test_voxels_run_as_in_the_files_of_the_challenge(binning: Path) -> None:
    # radial bins of the first slice in alpha, radial bins of the next, …, layer by layer
    x, y = [], []
    for radii, turns in (([2.5, 7.5], 1), ([0.75, 2.75, 7.0], 4)):
        borders = np.linspace(-np.pi, np.pi, turns + 1)
        for alpha in (borders[1:] + borders[:-1]) / 2:
            x += [radius * np.cos(alpha) for radius in radii]
            y += [radius * np.sin(alpha) for radius in radii]
    voxels = read_binning(binning, "photon").voxels()
    np.testing.assert_allclose(voxels["x"], x, atol=1e-12)
    np.testing.assert_allclose(voxels["y"], y, atol=1e-12)
    assert voxels["layer"].tolist() == [0] * 2 + [12] * 12
    assert voxels["z"].tolist() == voxels["layer"].tolist()
    assert (voxels.units["z"], voxels.units["r"]) == ("layers", "mm")


def test_particles_go_by_name_or_code(binning: Path) -> None:
    assert read_binning(binning, "pion").shapes == {"layer_0": (3, 1)} == read_binning(binning, "211").shapes
    assert read_binning(binning, "photon").shapes == {"layer_0": (1, 2), "layer_12": (4, 3)}


def layer(number: object, edges: str, turns: object) -> str:
    return f'<Bins><Bin name="photon" pid="22">{RING.format(number, edges, turns)}</Bin></Bins>'


@pytest.mark.parametrize(("text", "particle", "kind", "message"), [
    (TWO, "phton", ConfigError, "no particle 'phton' in .*binning.xml; nearest: photon, pion"),
    (TWO, None, ConfigError, "has binnings of photon, pion; name one, as in particle = 'photon'"),
    (TWO.replace("pion", "photon"), "photon", ConfigError, "2 binnings of photon, in ranges of eta; leave one"),
    ("<Bins><Bin", None, FileError, "cannot read .* as a binning"),
    ("<Rooms/>", None, DataError, "no <Bin> in .*: it is no binning file"),
    (layer(0, "0", 1), None, DataError, "has no layer with bins"),
    (layer(0, "0,1", 2).replace("/>", "/>" + RING.format(0, "0,1", 1)), None, DataError, "or one twice"),
    (layer(0, "0,one", 1), None, DataError, "r_edges='0,one' and n_bin_alpha='1', which are not all numbers"),
    (layer(0, "0,2,1", 1), None, DataError, r"edges of 'layer_0' along r are \[0.0, 2.0, 1.0\]: two or more that grow"),
    (layer(0, "0,nan", 1), None, DataError, "edges of 'layer_0' along r"),
    (layer(3, "0,1", 0), None, DataError, "layer 3 of .* has 0 bins in alpha"),
    (layer(3, "-1,1", 1), None, DataError, "layer 3 of .* begins at r = -1"),
])
def test_what_is_no_binning(binning: Path, text: str, particle: str | None, kind: type[CalqueError],
                            message: str) -> None:
    binning.write_text(text)
    with pytest.raises(kind, match=message):
        read_binning(binning, particle)


def test_a_binning_that_is_not_there(binning: Path) -> None:
    with pytest.raises(FileError, match=r"'bining.xml' in .*; nearest: binning.xml"):
        read_binning(binning.with_name("bining.xml"))


def test_calogan_has_its_published_sizes() -> None:
    geometry = Geometry.calogan()
    assert geometry.shapes == {"layer_0": (3, 96), "layer_1": (12, 12), "layer_2": (12, 6)}
    sizes = {"layer_0": (5, 160, 90), "layer_1": (40, 40, 347), "layer_2": (80, 40, 43)}
    for name, sides in sizes.items():
        voxels = geometry.segment(name).voxels()
        for axis, side in zip("xyz", sides, strict=True):
            np.testing.assert_allclose(voxels[f"d{axis}"], side)
        np.testing.assert_allclose(voxels["area"].sum(), 480.0**2)
        np.testing.assert_allclose([voxels["x"].mean(), voxels["y"].mean()], 0, atol=1e-9)
        assert np.abs(voxels["x"]).max() < 240
        assert (np.diff(voxels["x"], axis=1) > 0).all(), "η runs along the columns"
        assert (np.diff(voxels["y"], axis=0) > 0).all(), "φ runs along the rows"
    assert [geometry.segment(name).voxels()["z"][0, 0] for name in sizes] == [45, 263.5, 458.5]
    volume = geometry.voxels()["area"] * geometry.voxels()["dz"]
    np.testing.assert_allclose(volume.sum(), 480.0**3)


def test_a_grid_counts_layers_along_z() -> None:
    geometry = Geometry.grid({"ECAL": (4, 2, 3), "HCAL": (2, 2, 2)}, {"ECAL": (5, 5, 6), "HCAL": (30, 30, 26)})
    voxels = geometry.voxels()
    assert geometry.size == len(voxels) == 32
    packed = voxels["layer"][:24].reshape(4, 2, 3)
    assert (packed == np.arange(3)).all()
    assert set(voxels["layer"][24:]) == {3, 4}
    assert sorted(set(voxels["z"])) == [3, 9, 15, 18 + 13, 18 + 39]
    assert sorted(set(voxels["x"][:24])) == [-7.5, -2.5, 2.5, 7.5]
    np.testing.assert_allclose(voxels["r"] ** 2, voxels["x"] ** 2 + voxels["y"] ** 2)
    np.testing.assert_allclose(voxels["r"] * np.cos(voxels["alpha"]), voxels["x"], atol=1e-12)


@pytest.mark.parametrize(("cells", "message"), [
    ({"EKAL": (1, 1, 1)}, "no image 'EKAL' to give cells to; nearest: ECAL"),
    ({"ECAL": (1, 1, 1)}, "cells are given for ECAL of ECAL, HCAL: give all, or none"),
    ({"ECAL": (1, 1), "HCAL": (1, 1, 1)}, "a grid has three axes"),
    ({"ECAL": (1, 1, 0), "HCAL": (1, 1, 1)}, "a grid has three axes"),
])
def test_cells_of_a_grid_are_checked(cells: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Geometry.grid({"ECAL": (4, 2, 3), "HCAL": (2, 2, 2)}, cells)


def test_segments_are_found_or_named() -> None:
    with pytest.raises(DataError, match="no segment 'layer_3' in the geometry 'CaloGAN'; nearest: layer_"):
        Geometry.calogan().segment("layer_3")
    with pytest.raises(DataError, match="segment 'a' has axes"):
        Segment("a", ("x", "y"), ((0, 1), (0, 1)))


def test_layouts_know_their_geometry(binning: Path) -> None:
    challenge = {"name": "calochallenge", "binning": str(binning), "particle": 211}
    assert geometry_of(challenge).size == 3
    assert geometry_of({"name": "hits", "calorimeter": challenge}).shapes == {"layer_0": (3, 1)}
    assert geometry_of({"name": "grid", "images": {"ECAL": [2, 3, 4]}}).size == 24
    with pytest.raises(ConfigError, match="layout 'fairship' has no geometry; calogan"):
        geometry_of("fairship")
    with pytest.raises(ConfigError, match="the layout 'grid' tells its geometry by a file, or by images"):
        geometry_of("grid")
