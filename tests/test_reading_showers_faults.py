"""What can be wrong with files of showers, in one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from calorimeters import LAYOUTS, N, challenge, made, own, suffix, tree

from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.reading import read, write
from calque.reading.deposits import geometry_of
from calque.table import Table


@pytest.mark.parametrize(("cells", "energies", "message"), [
    ([[1, 14]], [[1.0, 1.0]], "cell 14 in .*a.root, rows from 0, but the calorimeter has cells from 0 to 13"),
    ([[-1]], [[1.0]], "cell -1 in"),
    ([[1.5]], [[1.0]], "cells are float64 in .*; whole numbers are needed"),
    ([[1, 2]], [[1.0]], "lists of cells and of energies have unequal lengths"),
    ([[1, 2]], [[1.0, -2.0]], "1 hits with an energy below zero"),
])
def test_hits_out_of_place_are_refused(tmp_path: Path, cells: list[Any], energies: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tree(tmp_path / "a.root", cells, energies), layout=own(tmp_path))


def test_trees_without_hits_are_told(tmp_path: Path) -> None:
    path = tree(tmp_path / "a.root", [[1]], [[1.0]])
    with pytest.raises(DataError, match=r"no branch 'hit_cell' in tree 'events' of .*a.root, which has no hits"):
        read(path, layout=LAYOUTS["hits"](tmp_path))
    with pytest.raises(DataError, match=r"branch 'energy' of .* holds float, not a list for each shower"):
        read(path, layout={**own(tmp_path), "energy": "energy"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_energies_below_zero_are_not_written(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name](tmp_path)
    for column in ("energy", geometry_of(layout).segments[1].name):
        table, path = made(layout), tmp_path / f"a.{suffix(layout)}"
        for wrong in (-1.0, np.nan):
            if column == "energy" and name == "hits" and np.isnan(wrong):
                continue
            table[column][5] = wrong
            with pytest.raises(DataError, match=f"column '{column}' has energies below zero, or NaN, which cannot"):
                write(table, path, layout=layout)
            assert not path.exists()


def raw(path: Path, change: dict[str, Any]) -> Path:
    """A sound file of CaloGAN with datasets changed, or left out."""
    sound = made({"name": "calogan"}).to_dict()
    with h5py.File(path, "w") as file:
        for key, array in {**sound, **change}.items():
            if array is not None:
                file[key] = array
    return path


def below(name: str) -> np.ndarray:
    array = made({"name": "calogan"})[name]
    array[[4, 6]] = -1
    return array


@pytest.mark.parametrize(("change", "message"), [
    ({"layer_1": None}, r"no dataset 'layer_1' in .*a.h5.*; nearest: layer_"),
    ({"energy": None}, r"no dataset 'energy' in .*a.h5, which is not CaloGAN"),
    ({"layer_0": np.ones((N, 96, 3))}, r"'layer_0' of .* has shape \(96, 3\) per event, where CaloGAN has \(3, 96\)"),
    ({"energy": np.ones((N, 2))}, r"dataset 'energy' of .* has shape \(2,\) per event, where CaloGAN has \(1,\)"),
    ({"overflow": np.ones((N, 2))}, r"dataset 'overflow' of .* has shape \(2,\)"),
    ({"layer_0": np.ones((N + 1, 3, 96))}, r"datasets of unequal length in .*a.h5: \{'energy': 40, 'layer_0': 41"),
    ({"layer_2": below("layer_2")}, r"2 showers of .* have 'layer_2' below zero, first in row 4"),
    ({"energy": below("energy")}, r"2 showers of .* have 'energy' below zero, first in row 4"),
])
def test_files_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(raw(tmp_path / "a.h5", change), layout="calogan")


def test_energies_may_be_one_number_an_event(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.h5", {"energy": np.ones(N)})
    assert read(path, layout="calogan")["energy"].shape == (N,)


def test_another_binning_is_told(tmp_path: Path) -> None:
    write(made(challenge(tmp_path)), tmp_path / "a.hdf5", layout=challenge(tmp_path))
    with pytest.raises(DataError, match=r"'showers' of .* has shape \(14,\) per event, where CaloChallenge with "
                                        r"the binning pion of two.xml has \(3,\)"):
        read(tmp_path / "a.hdf5", layout=challenge(tmp_path, "pion"))
    with pytest.raises(DataError, match="no dataset 'energy' in"):
        read(tmp_path / "a.hdf5", layout="calogan")


@pytest.mark.parametrize(("layout", "kind", "message"), [
    ("calochallenge", ConfigError, "the layout 'calochallenge' needs a binning, as in layout"),
    ("hits", ConfigError, "the layout 'hits' needs a calorimeter, as in layout"),
    ({"name": "calochallenge", "bining": "a.xml"}, ConfigError, "no setting 'bining' .*; nearest: binning"),
    ({"name": "calochallenge", "binning": "nowhere.xml"}, FileError, "nowhere.xml"),
    ({"name": "hits", "calorimeter": "fairship"}, ConfigError, "layout 'fairship' has no geometry"),
    ({"name": "calogan", "cells": {}}, ConfigError, "no setting 'cells' of the layout 'CaloGAN'"),
])
def test_settings_are_checked(tmp_path: Path, layout: Any, kind: type[CalqueError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(raw(tmp_path / "a.h5", {}), layout=layout)


@pytest.mark.parametrize(("change", "message"), [
    ({"layer_12": np.ones((N, 3, 4))}, r"column 'layer_12' has shape \(3, 4\) per event, where .* has \(4, 3\)"),
    ({"energy": np.ones((N, 2))}, r"column 'energy' has shape \(2,\) per event"),
])
def test_other_shapes_are_not_written(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    layout = challenge(tmp_path)
    with pytest.raises(DataError, match=message):
        write(made(layout).with_columns(change), tmp_path / "a.hdf5", layout=layout)
    with pytest.raises(DataError, match="no column 'layer_12' to write as"):
        write(made(layout).select(["energy", "layer_0"]), tmp_path / "a.hdf5", layout=layout)
    with pytest.raises(DataError, match="column 'energy' is in 'furlong', to be written in MeV; energies are"):
        write(Table.of(made(layout).to_dict(), {"energy": "furlong"}), tmp_path / "a.hdf5", layout=layout)
