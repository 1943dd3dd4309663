"""Judging showers: observables in closed form, what the measures of showers see, CaloChallenge's inputs, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calque.cli import main
from calque.data import sample
from calque.errors import ConfigError, DataError
from calque.geometry import Geometry, Segment
from calque.judging import Estimate, Report, judge_tables
from calque.judging.drawing.paper import styled
from calque.judging.drawing.plots import draw_plots, told_most
from calque.judging.drawing.showers import shower_plots
from calque.judging.judge import asked_views
from calque.judging.page import render_page
from calque.judging.showers.calibration import Calibration
from calque.judging.showers.cells import ShowerCells
from calque.judging.showers.layers import layers_of
from calque.judging.showers.observables import number_view, observables
from calque.reading import read, write
from calque.table import Table

CALOGAN = Geometry.calogan()
UNITS = {"energy": "GeV", **dict.fromkeys(CALOGAN.shapes, "MeV")}


def showers(rows: int, seed: int, response: float = 0.16, spread: float = 0.1, filled: float = 0.3) -> Table:
    """Toy showers: energy 1 to 100 GeV, a response that spreads by `spread`/√E, exponential cells, many exact zeros."""
    stream = np.random.default_rng(seed)
    energy = 10 ** stream.uniform(0, 2, rows)
    total = 1000 * energy * response * (1 + spread / np.sqrt(energy) * stream.normal(size=rows))
    cells = stream.exponential(size=(rows, CALOGAN.size)) ** 2 * (stream.random((rows, CALOGAN.size)) < filled)
    cells *= (total / cells.sum(1))[:, None]
    images = {name: cells[:, place].reshape(rows, *CALOGAN.shapes[name]).astype("f4")
              for name, place in CALOGAN.layout.slices.items()}
    return Table.of({"energy": energy.astype("f4"), **images}, UNITS)


def hand_made() -> Table:
    """Three showers: two cells in the middle layer, one cell in each of two layers, and none at all."""
    images = {name: np.zeros((3, *shape), "f4") for name, shape in CALOGAN.shapes.items()}
    images["layer_1"][0, 6, 5], images["layer_1"][0, 6, 8] = 30.0, 10.0
    images["layer_0"][1, 1, 48], images["layer_2"][1, 0, 5] = 2.0, 6.0
    return Table.of({"energy": [1.0, 0.1, 5.0], **images}, UNITS)


def test_observables_have_their_closed_forms() -> None:
    """Columns of layer 1 are 40 mm wide, x = −20 and 100 mm for the 6th and the 9th; y = 20 for the 7th row."""
    seen = observables(hand_made(), CALOGAN)
    expected = {
        "energy": [1.0, 0.1, 5.0], "total": [40, 8, 0], "response": [0.04, 0.08, 0], "hits": [2, 2, 0],
        "layer_0.energy": [0, 2, 0], "layer_1.energy": [40, 0, 0], "layer_2.fraction": [0, 0.75, 0],
        "layer_1.sparsity": [2 / 144, 0, 0], "layer_1.brightest": [0.75, 0, 0], "layer_1.ratio": [0.5, 0, 0],
        "layer_0.ratio": [0, 1, 0], "layer_1.centre_x": [10, 0, 0], "layer_1.centre_y": [20, 0, 0],
        "layer_1.width_x": [120 * np.sqrt(3) / 4, 0, 0], "layer_1.width_y": [0, 0, 0],
        "layer_0.centre_x": [0, 2.5, 0], "layer_2.centre_x": [0, 200, 0], "layer_2.centre_y": [0, -220, 0],
        "depth": [263.5, (2 * 45 + 6 * 458.5) / 8, 0], "depth_width": [0, 413.5 * np.sqrt(3) / 4, 0]}
    for name, values in expected.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-6, atol=1e-9, err_msg=name)
    assert seen.units["total"] == "MeV"
    assert seen.units["layer_1.width_x"] == "mm"
    assert seen.units["energy"] == "GeV"
    assert "response" not in seen.units
    assert not seen["layer_1.width_y"].any(), "one row of cells has no width, bit for bit"


def test_a_threshold_and_the_blocks_change_what_they_ought_to() -> None:
    table = showers(50, 1)
    high = observables(table, CALOGAN, threshold=5.0)
    for name in CALOGAN.shapes:
        share = (table[name] > 5.0).reshape(50, -1).mean(1)
        np.testing.assert_allclose(high[f"{name}.sparsity"], share)
    assert high["hits"].sum() == sum(int((table[name] > 5.0).sum()) for name in CALOGAN.shapes)
    np.testing.assert_array_equal(high["total"], observables(table, CALOGAN)["total"])


def test_observables_are_those_of_units_and_weights() -> None:
    table = showers(20, 2)
    giga = Table.of({**{name: column / 1000 for name, column in table.columns.items()}, "w": np.arange(20.0)},
                    {**dict.fromkeys(CALOGAN.shapes, "GeV"), "energy": "TeV"}, "w")
    ours, theirs = observables(table, CALOGAN), observables(giga, CALOGAN)
    np.testing.assert_allclose(theirs["response"], ours["response"], rtol=1e-5)
    np.testing.assert_allclose(theirs["total"] * 1000, ours["total"], rtol=1e-5)
    assert theirs.weight == "w"
    assert theirs.units["total"] == "GeV"


def test_layers_along_z_and_rings() -> None:
    grid = Geometry.grid({"ECAL": (4, 2, 3)}, {"ECAL": (5, 5, 6)})
    image = np.zeros((1, 4, 2, 3))
    image[0, 3, 0, 1] = 4.0
    seen = observables(Table.of({"ECAL": image}), grid)
    assert seen["ECAL_1.centre_x"][0] == 7.5
    assert seen["ECAL_1.centre_y"][0] == -2.5
    assert seen["depth"][0] == 9.0
    assert "response" not in seen.columns
    polar = Geometry("two", (Segment("layer_0", ("alpha", "r"), ((-np.pi, 0.0, np.pi), (0.0, 2.0, 4.0)), layer=0),
                             Segment("layer_1", ("alpha", "r"), ((-np.pi, np.pi), (0.0, 2.0, 4.0)), layer=1)))
    first, second = layers_of(polar, ["layer_0", "layer_1"])
    assert list(first.at) == ["x", "y", "r"]
    assert list(second.at) == ["r"]
    rings = observables(Table.of({"layer_0": [[[1.0, 1.0], [0.0, 2.0]]], "layer_1": [[[1.0, 3.0]]]}), polar)
    assert rings["layer_1.centre_r"][0] == 2.5
    assert rings["layer_0.centre_r"][0] == 2.5
    np.testing.assert_allclose(rings["layer_0.centre_y"][0], (-1 - 3 + 6) / 4)


def test_observables_stand_for_images_where_there_is_a_geometry() -> None:
    table = hand_made().with_columns({"overflow": [[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]], "particle": [22, 11, 22]})
    view = number_view(table, CALOGAN)
    assert view is not None
    assert view.name == "observables"
    names = view(table).features
    assert {"energy", "particle", "overflow.sum", "layer_1.width_x", "response"} <= set(names)
    assert "layer_1.width_y" not in names, "constant in the real showers"
    assert view(table.rows(slice(0, 1))).features == names
    for geometry in (None, Geometry.grid({"HCAL": (1, 1, 1)})):
        other = number_view(table, geometry)
        assert other is not None
        assert other.name == "images"
    assert number_view(table.select(["energy"]), CALOGAN) is None
    with pytest.raises(DataError, match=r"none of the images of CaloGAN: layer_0, layer_1, layer_2"):
        observables(table.select(["energy"]), CALOGAN)
    with pytest.raises(DataError, match=r"column 'hits' of .* has the name of an observable; rename it"):
        observables(table.with_columns({"hits": [1, 2, 3]}), CALOGAN)


def test_two_files_of_showers_are_judged_in_their_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photons = read(sample("photons.h5"), layout="calogan").rows(slice(400))
    files = [str(tmp_path / name) for name in ("real.h5", "fake.h5")]
    for file, half in zip(files, (slice(0, 200), slice(200, 400)), strict=True):
        write(photons.rows(half), file, layout="calogan")
    said = ["judge", *files, "--measures", "calibration", "--out", str(tmp_path / "judged"), "--layout"]
    assert main([*said, "calogan"]) == 0
    assert "energy_resolution" in capsys.readouterr().out
    assert json.loads((tmp_path / "judged" / "report.json").read_text())["settings"]["reading"] == {"layout": "calogan"}
    assert main([*said, "calogann"]) == 2
    assert "no layout 'calogann'; nearest: calogan" in capsys.readouterr().err


def test_the_photons_that_ship_are_showers() -> None:
    path = sample("photons.h5")
    photons = read(path, layout="calogan")
    seen = observables(photons, CALOGAN)
    assert len(photons) == 2000
    assert path.stat().st_size < 1_000_000
    assert abs(seen["response"].mean() - 0.1606) < 1e-4
    assert abs((seen["layer_2.energy"] == 0).mean() - 0.4095) < 1e-9
    low, high = (seen["response"][(seen["energy"] > edge) & (seen["energy"] < 2 * edge)].std() for edge in (2, 32))
    assert 3 < low / high < 5, "a stochastic term: four times the energy, half the width"


Fault = Callable[[Table], Table]
FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "none": (lambda table: table, set()),
    "too much energy by 5 %": (lambda table: scaled(table, 1.05), {"energy_response"}),
    "resolution worse": (lambda table: showers(4000, 3, spread=0.2), {"energy_resolution"}),
    "a tenth of the cells lost": (lambda table: showers(4000, 3, filled=0.27), {"sparsity"}),
    "cells of another spectrum": (lambda table: reshaped(table), {"cell_spectrum"}),
}


def scaled(table: Table, by: float) -> Table:
    """All cells of all showers by a factor; each layer's spectrum hardly moves."""
    return table.with_columns({name: table[name] * by for name in CALOGAN.shapes})


def reshaped(table: Table) -> Table:
    """Cells to the power 0.9, the energy of every shower and its zeros as before."""
    cells = np.concatenate([table[name].reshape(len(table), -1) for name in CALOGAN.shapes], axis=1)
    bent = cells**0.9
    bent *= (cells.sum(1) / bent.sum(1))[:, None]
    return table.with_columns({name: bent[:, place].reshape(-1, *CALOGAN.shapes[name])
                               for name, place in CALOGAN.layout.slices.items()})


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen_by_its_measure_and_by_no_other(name: str) -> None:
    fault, seen_by = FAULTS[name]
    real, fake, train = showers(4000, 1), fault(showers(4000, 3)), showers(4000, 2)
    report = judge_tables(real, fake, train=train, measures=["calibration", "cells"], geometry=CALOGAN)
    measures = {one.measure for one in report.estimates}
    assert measures == {"energy_response", "energy_resolution", "sparsity", "cell_spectrum"}
    assert {one.measure for one in report.estimates if one.excess > 5} == seen_by


def test_response_and_resolution_are_the_known_ones() -> None:
    real, fake = showers(20_000, 1), showers(20_000, 3, response=0.1648, spread=0.12)
    response, resolution = Calibration(CALOGAN)(real, fake, showers(20_000, 2))
    assert abs(response.value - 0.03) < 4 * response.error + 0.004
    assert len(response.details["bins"]) == len(resolution.details["bins"]) == 10
    for row in response.details["bins"]:
        assert abs(row["real"] - 0.16) < 5 * row["real_error"]
        assert abs(row["ratio"] - 1.03) < 5 * row["ratio_error"]
    for row in resolution.details["bins"]:
        root = np.sqrt((1 / row["low"] - 1 / row["high"]) / np.log(row["high"] / row["low"]))  # of the mean of 1/E
        assert abs(row["real"] / (0.1 * root) - 1) < 5 * row["real_error"] / row["real"]
        assert abs(row["ratio"] - 1.2) < 5 * row["ratio_error"]


def test_sparsity_is_the_ratio_of_shares_and_its_error_that_of_showers() -> None:
    """All cells of a shower are filled, or none: the share is as uncertain as that of 1000 coins."""
    stream = np.random.default_rng(4)
    image = np.ones((2000, 3, 96)) * (stream.random((2000, 1, 1)) < 0.5)
    table = Table.of({"layer_0": image + 0.0, "energy": stream.uniform(1, 2, 2000)})
    real, fake = table.rows(slice(1000)), table.rows(slice(1000, None))
    sparsity, spectrum = ShowerCells(CALOGAN)(real, fake)
    shares = [float((part["layer_0"] > 0).mean()) for part in (real, fake)]
    assert sparsity.value == pytest.approx(shares[1] / shares[0])
    assert sparsity.details["share_real"] == pytest.approx(shares[0])
    assert sparsity.details["cells"] == 288
    assert sparsity.error == pytest.approx(np.sqrt(2 / 1000), rel=0.25)
    assert spectrum.value == 0


def test_energies_that_are_few_have_a_bin_each_and_missing_ones_count() -> None:
    real, fake = (table.with_columns({"energy": np.where(np.arange(1000) % 2, 10.0, 20.0)})
                  for table in (showers(1000, 1), showers(1000, 2)))
    response, _ = Calibration(CALOGAN)(real, fake)
    assert [row["label"] for row in response.details["bins"]] == ["energy = 10", "energy = 20"]
    alone = fake.with_columns({"energy": np.full(1000, 10.0)})
    response, resolution = Calibration(CALOGAN)(real, alone)
    assert response.value == resolution.value == 1.0
    assert response.details["where"] == "energy = 20"


def test_challenge_views_are_its_inputs() -> None:
    table = hand_made()
    high, low = asked_views(table, ["calochallenge_high", "calochallenge_low"], {}, CALOGAN)
    seen = low(table)
    np.testing.assert_allclose(seen["log_energy"], [3, 2, np.log10(5000)])
    np.testing.assert_allclose(seen["layer_1"][0, 6, [5, 8]], [0.03, 0.01])
    assert seen["layer_0"].shape == (3, 3, 96)
    assert "energy" not in seen.columns
    seen = high(table)
    np.testing.assert_allclose(seen["log_total"], np.log10(np.array([40, 8, 0]) + 1e-8))
    np.testing.assert_allclose(seen["layer_1.log_energy"], np.log10(np.array([40, 0, 0]) + 1e-8))
    np.testing.assert_allclose(seen["layer_1.empty"], [142 / 144, 1, 1])
    np.testing.assert_allclose(seen["layer_1.centre_x"], [0.1, 0, 0])
    np.testing.assert_allclose(seen["layer_1.width_x"], [0.3 * np.sqrt(3), 0, 0])
    negative = table.with_columns({"layer_1": -table["layer_1"]})
    assert high(negative)["layer_1.log_energy"][0] == -8, "a generator may give what is no energy"
    report = judge_tables(showers(300, 1), showers(300, 2), views=["calochallenge_low", "calochallenge_high"],
                          measures=["network", "fpd"], geometry=CALOGAN, rows=300)
    assert {one.name for one in report.of("auc_network", "fpd")} == {
        "auc_network_calochallenge_low", "auc_network_calochallenge_high", "fpd_calochallenge_high"}
    with pytest.raises(ConfigError, match="no view 'calochallenge_lo'; nearest: calochallenge_low"):
        asked_views(table, ["calochallenge_lo"], {}, CALOGAN)
    with pytest.raises(ConfigError, match="no view 'calochallenge_low'"):
        asked_views(table, ["calochallenge_low"], {})


def test_measures_of_showers_need_them() -> None:
    real, fake = showers(200, 1), showers(200, 2)
    with pytest.raises(ConfigError, match=r"the measure 'cells' needs a layout of showers \(read.layout\)"):
        judge_tables(real, fake, measures=["cells"])
    bare: Any = [table.select(list(CALOGAN.shapes)) for table in (real, fake)]
    report = judge_tables(*bare, measures="quick", geometry=CALOGAN, rows=200)
    assert {one.of for one in report.of("auc")} == {"raw", "observables"}
    with pytest.raises(DataError, match="the response takes images of showers and incident energies above zero"):
        judge_tables(*bare, measures=["calibration"], geometry=CALOGAN)


def test_showers_are_drawn_with_their_places() -> None:
    real, fake = showers(300, 1), showers(300, 2)
    report = judge_tables(real, fake, measures=["calibration"], geometry=CALOGAN)
    plots = draw_plots(report, real, fake, pairs=False)
    found = {plot.name: plot for plot in plots if plot.section == "showers"}
    layers = [f"{kind}_{name}" for name in CALOGAN.shapes for kind in ("mean", "events", "spectrum")]
    assert list(found) == ["energy_response", "energy_resolution", "profile_energy", "profile_sparsity", *layers]
    assert not [plot for plot in plots if plot.section == "images"]
    assert {"column_response", "column_layer_1_width_x"} <= {plot.name for plot in plots}
    axes = found["mean_layer_0"].data.axes
    assert list(axes) == ["x [mm]", "y [mm]"]
    assert axes["x [mm]"][0] == -240
    assert len(axes["y [mm]"]) == 4
    shares = found["spectrum_layer_1"].data.columns["real"]
    assert 0.25 < shares.sum() < 0.31, "of all cells, zeros apart"
    page = render_page(report, [found["energy_response"]], real=real, fake=fake)
    assert '<section id="showers"' in page
    assert "Energy resolution" in page


def test_of_many_columns_those_that_differ_are_drawn() -> None:
    names = [f"c{place}" for place in range(400)]
    estimates = tuple(Estimate("ks", name, 0.1, 0.01, 0.1 - place / 1000, 0.001)
                      for place, name in enumerate(names[:300]))
    drawn = told_most(names, Report((*estimates, Estimate("ks", "gone", 1.0, 0.01, 0.0)), {}, 0))
    assert list(drawn) == names[240:300]
    assert told_most(names[:60], None) == names[:60]
    assert list(told_most(names, None)) == names[:60]


def test_deep_images_and_rings_are_drawn() -> None:
    stream = np.random.default_rng(0)
    grid = Geometry.grid({"ECAL": (4, 3, 5)}, {"ECAL": (5, 5, 6)})
    rings = Geometry("rings", (Segment("layer_0", ("alpha", "r"), ((-np.pi, 0.0, np.pi), (0.0, 2.0, 4.0))),))
    for geometry, across in ((grid, ["z [mm]", "x [mm]"]), (rings, ["r", "alpha"])):
        name, shape = next(iter(geometry.shapes.items()))
        tables = [Table.of({"energy": stream.uniform(1, 9, 200), name: stream.random((200, *shape))})
                  for _ in range(2)]
        report = judge_tables(*tables, measures=["calibration", "cells"], geometry=geometry)
        with styled():
            plots = {plot.name: plot for plot in shower_plots(report, *tables, geometry, {name: name})}
        assert list(plots[f"mean_{name}"].data.axes) == across
        assert all(plots[one].png[:4] == b"\x89PNG" for one in (f"mean_{name}", f"events_{name}", f"spectrum_{name}"))
