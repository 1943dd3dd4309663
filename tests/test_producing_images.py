"""Productions of images: the same events in every format, given parameters, resumed, and read with conditions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot
from productions import TornError, make, same, torn_after

from calque.fitting import fit
from calque.preparing import prepare
from calque.producing import produce
from calque.reading import iterate, read, write
from calque.run import Run, load_run
from calque.table import Table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A little learnt of 3 × 4 images that a parameter makes, and of a number beside them."""
    stream = np.random.default_rng(0)
    a = stream.uniform(0, 3, 1500)
    image = np.exp(-((np.arange(4) - a[:, None, None]) ** 2)) * np.ones((1, 3, 1)) + stream.normal(0, 0.1, (1500, 3, 4))
    table = Table.of({"a": a, "image": image.astype("f4"), "hits": stream.poisson(1 + a[:, None], (1500, 2)),
                      "e": stream.exponential(1, 1500)}, {"image": "GeV"})
    data = prepare(table, steps=["discrete hits", "log e", "standardise *"], context=["a"], seed=1)
    return fit(data, "mixture", out=tmp_path_factory.mktemp("runs") / "images", quiet=True, model={"components": 3})


@pytest.mark.parametrize("suffix", ["h5", "npz", "parquet", "root"])
def test_images_are_written_and_read_as_they_were_drawn(run: Run, tmp_path: Path, suffix: str) -> None:
    read_again = make(load_run(run.folder), 250, tmp_path / f"fast.{suffix}", block=10_000)
    drawn = run.sample(250)
    assert {name: read_again[name].shape[1:] for name in read_again.names} == {
        "image": (3, 4), "hits": (2,), "e": (), "a": ()}
    assert read_again["image"].dtype == np.float32
    assert read_again["hits"].dtype == np.int64
    for name in drawn.names:
        np.testing.assert_array_equal(read_again[name], drawn[name])


def test_a_tree_holds_them_as_arrays_of_fixed_size(run: Run, tmp_path: Path) -> None:
    produce(run, 50, out=tmp_path / "fast.root", exact=True, quiet=True)
    with uproot.open(tmp_path / "fast.root") as file:
        tree = file["events"]
        assert tree["image"].member("fTitle").startswith("image[3][4]")
        assert tree["image"].array(library="np").shape == (50, 3, 4)
        assert {branch.name for branch in tree.branches} == {"image", "hits", "e", "a"}, "no counters"


def test_images_follow_their_parameters(run: Run, tmp_path: Path) -> None:
    for place in (0.5, 2.5):
        made = make(run, 400, tmp_path / f"at{place}.h5", context={"a": place})
        assert set(made["a"]) == {place}
        weights = np.clip(made["image"].mean((0, 1)), 0, None)
        assert abs(np.average(np.arange(4), weights=weights) - place) < 0.5


def test_a_production_of_images_goes_on_where_it_stopped(
        run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(run, 700, tmp_path / "whole.h5")
    torn_after(4, TornError, monkeypatch)
    with pytest.raises(TornError):
        make(run, 700, tmp_path / "torn.h5")
    monkeypatch.undo()
    assert same(make(run, 700, tmp_path / "torn.h5", resume=True), whole)


@pytest.mark.parametrize("suffix", ["h5", "npz", "parquet", "root"])
def test_rows_of_images_are_chosen_by_numbers(run: Run, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"some.{suffix}"
    drawn = run.sample(300)
    write(drawn, path)
    wanted = drawn["a"] > 1.5
    found = read(path, columns=["image", "a"], where="a > 1.5", flags={"late": "a > 2"})
    np.testing.assert_array_equal(found["image"], drawn["image"][wanted])
    np.testing.assert_array_equal(found["late"], drawn["a"][wanted] > 2)
    pieces = list(iterate(path, columns=["image"], rows=70))
    assert [len(piece) for piece in pieces] == [70, 70, 70, 70, 20]
    np.testing.assert_array_equal(np.concatenate([piece["image"] for piece in pieces]), drawn["image"])
