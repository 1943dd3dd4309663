"""Files of showers: every layout, both ways, and CaloChallenge's conventions."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from calorimeters import LAYOUTS, N, challenge, identical, made, own, showers, suffix, tree
from shared import shared_file
from typer.testing import CliRunner

from calque.cli import app
from calque.config import build, load_config
from calque.errors import ConfigError, DataError
from calque.fitting import fit
from calque.pipeline import load_data
from calque.preparing import prepare
from calque.producing import produce
from calque.reading import iterate, look, read, write
from calque.reading.deposits import geometry_of
from calque.table import Table


@pytest.mark.parametrize("name", LAYOUTS)
def test_showers_come_back(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name](tmp_path)
    table, path = made(layout), tmp_path / f"showers.{suffix(layout)}"
    write(table, path, layout=layout)
    again = read(path, layout=layout)
    identical(again, table)
    parts = list(iterate(path, layout=layout, rows=7))
    assert [len(part) for part in parts] == [7] * 5 + [5]
    identical(Table.concatenate(parts), table)
    identical(read(path, layout=layout, limit=9), table.rows(slice(9)))
    first = geometry_of(layout).segments[0].name
    identical(read(path, layout=layout, columns=[first], where="energy > 50"),
         table.select([first]).rows(table["energy"] > 50))
    seen = look(path, layout=layout)
    assert seen.trees[0].summary.rows == N
    assert seen.trees[0].summary.columns["energy"].max == table["energy"].max()


@pytest.mark.shared
@pytest.mark.parametrize(("name", "layout"), [("geant4_photons.h5", "calogan"), ("geant4_positrons.h5", "calogan"),
                                              ("lcd_ecal_hcal_10.h5", "grid")])
def test_real_showers_come_back(tmp_path: Path, name: str, layout: str) -> None:
    path = shared_file(f"showers/{name}")
    table = read(path, layout=layout, limit=200)
    assert table["energy"].shape == (200 if layout == "calogan" else 10,)
    write(table, tmp_path / "again.h5", layout=layout)
    with h5py.File(path) as original, h5py.File(tmp_path / "again.h5") as copy:
        assert set(original) == set(copy)
        for key, dataset in original.items():
            np.testing.assert_array_equal(copy[key][:], dataset[:200])
            assert copy[key].dtype == dataset.dtype
    if layout == "calogan":
        write(table, tmp_path / "hits.root", layout={"name": "hits", "calorimeter": "calogan"})
        identical(read(tmp_path / "hits.root", layout={"name": "hits", "calorimeter": "calogan"}), table)


def test_a_file_of_calogan(tmp_path: Path) -> None:
    table = made({"name": "calogan"}).with_columns({"overflow": np.ones((N, 3), "f4"), "theta": np.arange(N)})
    write(table, tmp_path / "a.hdf5", layout="calogan")
    with h5py.File(tmp_path / "a.hdf5") as file:
        shapes = {key: dataset.shape for key, dataset in file.items()}
        units = {key: dataset.attrs.get("unit") for key, dataset in file.items()}
    assert shapes == {"energy": (N, 1), "layer_0": (N, 3, 96), "layer_1": (N, 12, 12), "layer_2": (N, 12, 6),
                      "overflow": (N, 3), "theta": (N,)}
    assert (units["energy"], units["layer_0"], units["overflow"]) == ("GeV", "MeV", "MeV")
    identical(read(tmp_path / "a.hdf5", layout="calogan"), table)


def conventions(path: Path, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read as the challenge's evaluation does: two keys, (N, 1) and (N, V), MeV, float32 without loss."""
    with h5py.File(path) as file:
        assert set(file) == {"incident_energies", "showers"}
        energies, shower = file["incident_energies"][:], file["showers"][:]
        assert file["showers"].compression == "gzip"
    assert energies.shape == (len(shower), 1)
    assert shower.shape == (len(energies), voxels)
    assert energies.dtype == shower.dtype == np.float32
    return energies, shower


def test_what_is_written_keeps_the_challenges_conventions(tmp_path: Path) -> None:
    layout = challenge(tmp_path)
    table = made(layout)
    in_gev = Table.of(table.to_dict(), {"energy": "GeV", "layer_12": "keV", "layer_0": "MeV"})
    write(in_gev, tmp_path / "a.hdf5", layout=layout)
    energies, shower = conventions(tmp_path / "a.hdf5", 14)
    np.testing.assert_allclose(energies[:, 0], 1000 * table["energy"], rtol=1e-6)
    np.testing.assert_array_equal(shower[:, :2], table["layer_0"][:, 0])
    for turn in range(4):  # radial bins of a slice in alpha lie side by side
        np.testing.assert_allclose(shower[:, 2 + 3 * turn : 5 + 3 * turn], table["layer_12"][:, turn] / 1000, rtol=1e-6)
    assert read(tmp_path / "a.hdf5", layout=layout).units == dict.fromkeys(("energy", "layer_0", "layer_12"), "MeV")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["1_photons", "1_pions", "2", "3"])
def test_binnings_of_the_challenge_are_written(tmp_path: Path, name: str) -> None:
    layout = {"name": "calochallenge", "binning": str(shared_file(f"calochallenge/binning_dataset_{name}.xml"))}
    table, path = made(layout, rows=3), tmp_path / "a.hdf5"
    write(table, path, layout=layout)
    shower = conventions(path, {"1_photons": 368, "1_pions": 533, "2": 6480, "3": 40500}[name])[1]
    np.testing.assert_array_equal(shower, np.concatenate([table[one].reshape(3, -1) for one in table.names[1:]], 1))
    identical(read(path, layout=layout), table)


def test_a_run_produces_files_of_the_challenge(tmp_path: Path) -> None:
    layout = challenge(tmp_path)
    table = showers(geometry_of(layout), rows=600)
    table = table.with_columns({name: table[name] + np.float32(0.1) for name in table.names}, {"energy": "MeV"})
    data = prepare(table, steps=["log layer_0", "log layer_12", "standardise *"], context=["energy"], seed=1)
    run = fit(data, "mixture", out=tmp_path / "run", quiet=True, model={"components": 2})
    produce(run, 50, out=tmp_path / "fast.hdf5", layout=layout, exact=True, quiet=True)
    energies, shower = conventions(tmp_path / "fast.hdf5", 14)
    assert np.isin(energies, table["energy"]).all()
    assert (shower > 0).all()
    write(run.sample(50), tmp_path / "again.hdf5", layout=layout)
    np.testing.assert_array_equal(conventions(tmp_path / "again.hdf5", 14)[1], shower)


def test_contexts_come_from_a_file_of_showers(tmp_path: Path) -> None:
    """In the layout of the training; or of numbers in columns of one, but not of images."""
    layout = challenge(tmp_path)
    table, path = made(layout, rows=300), tmp_path / "real.hdf5"
    write(table, path, layout=layout)
    data = prepare(table, steps=["voxels layer_0 given=energy", "voxels layer_12 given=energy", "standardise *"],
                   context=["energy"], judging=0, validation=0, seed=1)
    config = build({"read": {"files": str(path), "layout": layout}, "fit": {"kind": "mixture"}}, "a test")
    run = fit(data, config=config, quiet=True)
    given = tmp_path / "given.npz"
    np.savez(given, energy=table["energy"][:, None])
    for contexts in (path, given):
        produce(run, out=tmp_path / "fast.hdf5", layout=layout, context=str(contexts), quiet=True)
        np.testing.assert_array_equal(read(tmp_path / "fast.hdf5", layout=layout)["energy"], table["energy"])
    np.savez(given, energy=np.ones((5, 3)))
    with pytest.raises(DataError, match="context energy is an array of 3 for every event; it takes a number"):
        produce(run, out=tmp_path / "fast.hdf5", layout=layout, context=str(given), quiet=True)


def test_a_command_line_names_settings_of_a_layout(tmp_path: Path) -> None:
    layout = challenge(tmp_path)
    write(made(layout), tmp_path / "a.hdf5", layout=layout)
    text = f'{{ name = "calochallenge", binning = "{layout["binning"]}", particle = "photon" }}'
    seen = CliRunner().invoke(app, ["look", str(tmp_path / "a.hdf5"), "--layout", text])
    assert "layer_12  float32  4×3    MeV" in seen.stdout
    identical(read(tmp_path / "a.hdf5", layout=text), made(layout))
    with pytest.raises(ConfigError, match=r"layout \{ name = is no table in TOML"):
        read(tmp_path / "a.hdf5", layout="{ name =")


def test_a_toml_file_reads_showers(tmp_path: Path) -> None:
    layout = challenge(tmp_path)
    write(made(layout), tmp_path / "a.hdf5", layout=layout)
    (tmp_path / "a.toml").write_text(f"""
[read]
files = "{tmp_path}/a.hdf5"
layout = {{ name = "calochallenge", binning = "{layout['binning']}", particle = 22 }}
[prepare]
context = ["energy"]
steps = []
""")
    data = load_data(load_config(tmp_path / "a.toml"))
    assert data.preparation.layout.shapes == ((1, 2), (4, 3))
    assert data.context.names == ("energy",)


def test_hits_are_lists_without_zeros(tmp_path: Path) -> None:
    layout = LAYOUTS["hits"](tmp_path)
    table = made(layout).with_columns({"pdg": np.full(N, 22)}, {"layer_0": "MeV", "layer_12": "MeV", "energy": "GeV"})
    write(table, tmp_path / "a.root", layout=layout)
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["events"]
        assert set(tree.keys()) == {"energy", "pdg", "nhit", "hit_cell", "hit_energy"}
        cells, energies = tree["hit_cell"].array(), tree["hit_energy"].array()
    assert ak.all(energies > 0)
    packed = np.concatenate([table["layer_0"].reshape(N, -1), table["layer_12"].reshape(N, -1)], 1)
    assert ak.sum(ak.num(cells)) == (packed > 0).sum()
    for row in range(N):
        np.testing.assert_array_equal(packed[row][cells[row]], energies[row])
    again = read(tmp_path / "a.root", layout=layout)
    identical(again, table)
    assert again.units == table.units


def test_energies_of_one_cell_are_added_up(tmp_path: Path) -> None:
    path = tree(tmp_path / "a.root", [[13, 0, 13], [], [1]], [[1.0, 2.0, 0.5], [], [4.0]])
    with pytest.warns(UserWarning, match="1 of 3 showers of .*a.root are empty: no energy in any voxel"):
        table = read(path, layout=own(tmp_path))
    assert table["layer_0"][:, 0].tolist() == [[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]]
    assert table["layer_12"][0, 3].tolist() == [0.0, 0.0, 1.5]
    assert table["layer_12"].sum() == 1.5


@pytest.mark.parametrize("name", LAYOUTS)
def test_empty_showers_are_counted(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name](tmp_path)
    table, path = made(layout), tmp_path / f"a.{suffix(layout)}"
    for segment in geometry_of(layout).segments:
        table[segment.name][[3, 8]] = 0
    write(table, path, layout=layout)
    with pytest.warns(UserWarning, match=r"2 of 40 showers of .* are empty: no energy in any voxel"):
        identical(read(path, layout=layout), table)
