"""The page of a tuning, and the truth beside the answer: told where it is known, never used."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, Reader
from test_tuning import BRIEF, SPOTS, emulator, seen

import calque
from calque.errors import DataError, FileError
from calque.judging.page.measures import measured
from calque.preparing import prepare
from calque.run import Run
from calque.simulating.parametric import Parametric
from calque.table import Table
from calque.tuning import Tuned, load_tuned, tune
from calque.tuning.question import pose
from calque.tuning.scans import POINTS, Scan, places
from calque.tuning.stages import Stages
from calque.tuning.teaching import Teaching
from calque.tuning.truth import TOLD, Against
from calque.tuning.tuned import widening


@pytest.fixture(scope="module")
def crude() -> Run:
    """An emulator that has learnt next to nothing."""
    return emulator(2)


def with_truth(n: int) -> Table:
    """Images beside the parameters that made them."""
    vectors, data = seen(n)
    return data.with_columns(dict(zip(SPOTS.names, vectors.T, strict=True)))


def test_truth_is_compared_and_not_used(crude: Run) -> None:
    """The same answer to the last bit, whatever the columns of the parameters say."""
    data = with_truth(400)
    wrong = data.with_columns({"place": -data["place"]})
    blind, told, misled = (tune(crude, table, simulator=SPOTS, **BRIEF)
                           for table in (data.select(["image"]), data, wrong))
    assert blind.truth is None
    assert "truth" not in blind.to_dict()
    for other in (told, misled):
        assert {key: value for key, value in other.to_dict().items() if key != "truth"} == blind.to_dict()
        for one, two in zip(blind.draws, other.draws, strict=True):
            assert np.array_equal(one["place"], two["place"])
    assert str(told).splitlines()[:3] == str(blind).splitlines()[:3]
    assert TOLD in str(told)
    assert TOLD not in str(blind)
    assert told.to_dict()["truth"]["mean"]["place"] == pytest.approx(-misled.to_dict()["truth"]["mean"]["place"])
    assert blind.floor is not None
    assert abs(blind.floor[0] - 0.5) < 5 * blind.floor[1]


def test_the_comparison_with_truth_is_what_it_says() -> None:
    """Two members, one width and one error off."""
    draws = tuple(Table.of({"a": np.array([-1.0, 1.0]) + shift}) for shift in (0.0, 2.0))
    found = Tuned(("a",), draws, (), 10, (0.5, 0.1), "simulated", truth=Table.of({"a": [-2.0, 2.0]}))
    assert found.against == [Against("a", 0.0, 2.0, 0.5, pytest.approx(1 / np.sqrt(2) / widening(2)), (0.5, 0.0),
                                     pytest.approx(np.nan, nan_ok=True))]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["truth"]["width_pull"] == {"a": None}


def test_a_truth_that_is_no_number_is_refused(crude: Run) -> None:
    data = with_truth(200)
    holes = data.with_columns({"place": np.where(np.arange(200) == 3, np.nan, data["place"])})
    with pytest.raises(DataError, match=r"true parameter 'place' of .* is not finite in 1 events \(first rows \[3\]"):
        tune(crude, holes, simulator=SPOTS, **BRIEF)



@pytest.fixture(scope="module")
def folder(crude: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuning with a page, its truth known."""
    place = tmp_path_factory.mktemp("page") / "tuned"
    tune(crude, with_truth(300), simulator=SPOTS, out=place, **{**BRIEF, "plots": True})
    return place


def cells(text: str) -> list[str]:
    return [" ".join(cell.split()) for cell in re.findall(r"<td[^>]*>(.*?)</td>", text)]


def test_the_page_is_whole_and_silent(folder: Path) -> None:
    content = (folder / "tuned.html").read_text()
    assert content.rstrip().endswith("</html>")
    read = Reader(content)
    assert [held["id"] for held in read.all("section")] == ["verdict", "parameters", "images", "scans", "origin"]
    names = {data["name"] for data in read.data}
    assert names >= {"parameter_place", "parameter_height", "corner", "pair_place_height", "mean_image", "events_image",
                     "pixels_image", "column_place", "column_image_sum", "scan_place", "along_height"}
    drawn = {path.name for path in (folder / "plots").iterdir()}
    assert drawn == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}
    assert len(read.all("figure")) == len(names) == len(read.data)
    ids = [held["id"] for _, held in read.elements if "id" in held]
    assert len(ids) == len(set(ids))
    for _, held in read.elements:
        for name in ("src", "href", "xlink:href"):
            assert held.get(name, "#").startswith(("#", "data:")), held
    assert re.search(r"\bnan\b", read.text, re.IGNORECASE) is None
    assert "spots" in read.text


def test_the_page_says_what_the_numbers_say(folder: Path) -> None:
    kept, content = load_tuned(folder), (folder / "tuned.html").read_text()
    told = [cell.replace("−", "-") for cell in cells(content)]
    for name in SPOTS.names:
        for which in ("means", "widths"):
            assert measured(*kept[which][name]) in told
        assert measured(*kept["truth"]["ratio"][name]) in told
        assert f"{kept['truth']['pull'][name]:+.1f}" in told
    assert measured(kept["correlations"][1][0], kept["correlation_errors"][1][0]) in told
    assert f"AUC {kept['auc'][0]:.3f} ± {kept['auc'][1]:.3f}" in content
    assert f"{kept['floor'][0]:.3f} ± {kept['floor'][1]:.3f}" in content
    assert "2 … 9" in told
    data = {held["name"]: held for held in Reader(content).data}
    columns = dict(data["parameter_place"]["columns"])
    draws = calque.read(folder / "parameters.h5")
    (_, edges), = data["parameter_place"]["axes"]
    inside = np.histogram(draws["place"], edges)[0] / len(draws)
    np.testing.assert_allclose(columns["found"], inside, atol=0.01)  # other draws of the same members
    np.testing.assert_allclose(columns["found"], (np.array(columns["member 0"]) + columns["member 1"]) / 2, atol=1e-6)


def test_the_page_comes_before_the_numbers(crude: Run, tmp_path: Path) -> None:
    """A tuning that could not write its page is not finished; one without plots has no page."""
    _, data = seen(300)
    blocked = tmp_path / "tuned" / "plots"
    blocked.parent.mkdir()
    blocked.write_text("no folder")
    with pytest.raises(FileError, match="cannot write"):
        tune(crude, data, simulator=SPOTS, out=tmp_path / "tuned", **{**BRIEF, "plots": True})
    assert not {"tuned.json", "tuned.html", "parameters.h5"} & {path.name for path in blocked.parent.iterdir()}
    blocked.unlink()
    again = tune(crude, data, simulator=SPOTS, out=tmp_path / "tuned", resume=True, **BRIEF)
    assert again.to_dict() == tune(crude, data, simulator=SPOTS, **BRIEF).to_dict(), "though nothing was trained"
    assert {path.name for path in (tmp_path / "tuned").iterdir()} >= {"tuned.json", "parameters.h5"}
    assert not (tmp_path / "tuned" / "tuned.html").exists()


def test_hostile_names_are_text(tmp_path: Path) -> None:
    """Parameters of any name, images that are pictures, no simulator: emulated images alone."""
    names, stream = HOSTILE[:2], np.random.default_rng(0)
    values = stream.uniform(1, 2, (300, 2))
    images = (values[:, :1, None] * np.ones((1, 4, 3)) + values[:, 1:, None] * np.eye(4, 3)
              + 0.1 * stream.normal(size=(300, 4, 3)))
    columns: dict[str, Any] = {**dict(zip(names, values.T, strict=True)), "<b>image</b>": images.astype(np.float32)}
    data = prepare(Table.of(columns), steps=[], context=list(names), judging=0.1, validation=0)
    run = calque.fit(data, "emulator", steps=2, batch=32, quiet=True, threads=1,
                     model={"grain": True, "features": 4, "nodes": 8})
    tune(run, Table.of(columns), out=tmp_path / "tuned", **{**BRIEF, "plots": True})
    content = (tmp_path / "tuned" / "tuned.html").read_text()
    read = Reader(content)
    assert not read.all("img")
    assert "<b>image" not in content
    running = [text for held, text in read.scripts if held.get("type") != "application/json"]
    assert len(running) == 1
    for name in names:
        assert name in read.text
    scan = next(held for held in read.data if held["name"].startswith("scan_"))
    assert "simulated" not in dict(scan["columns"])
    assert "emulated images of these parameters" in content.lower()


def test_a_scan_tells_how_far_the_emulator_is_from_the_simulation() -> None:
    at, none = np.array([0.0, 1.0, 2.0]), np.zeros(3)
    seen_in = {"emulated": (at + 0.3, np.full(3, 0.06)), "simulated": (at + 0.1, np.full(3, 0.08)),
               "tuner": (at + 0.1, none)}
    scan = Scan("a", at, 2.0, seen_in, {})
    np.testing.assert_allclose(scan.away("emulated"), ([0.1] * 3, [0.05] * 3))
    np.testing.assert_allclose(scan.away("tuner")[0], 0, atol=1e-12)
    alone = Scan("a", at, 2.0, {"emulated": seen_in["emulated"]}, {})
    np.testing.assert_allclose(alone.away("emulated"), ([0.15] * 3, [0.03] * 3))


def test_scans_stay_inside_the_simulator(crude: Run) -> None:
    """A rule that forbids half of a parameter's range: the other half is scanned."""
    rule = Parametric("ruled", SPOTS.names, SPOTS.low, SPOTS.high, SPOTS.function, inside=lambda v: v[:, 1] < 1.25)
    assert crude.data is not None
    question = pose(crude, seen(300)[1], crude.data.table, rule)
    teaching = Teaching(question, crude.config.tune, Stages(None, 0, True, threading.Event()))
    draws = tuple(Table.of({"place": shift + np.array([8.0, 9.0]), "height": shift + np.array([1.0, 1.4])})
                  for shift in (0.0, 0.0))
    found = Tuned(SPOTS.names, draws, (), 10, (0.5, 0.1), "simulated")
    height, place = places(teaching, found, 1), places(teaching, found, 0)
    np.testing.assert_allclose(height[:, 0], 8.5)
    assert 1.2 < height[:, 1].max() < 1.25
    assert len(height) < len(place) == POINTS
    np.testing.assert_allclose(place[[0, -1], 0], [7.75, 9.0])  # the middle three widths, to the end of the space
