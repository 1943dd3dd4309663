"""A shipped recipe on FairShip's files: muons in, muons for its generator out, in range and unit."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from calque.config import load_config
from calque.errors import DataError
from calque.pipeline import produce_run, train
from calque.reading import read
from calque.recipes import find_recipe

QUICK = ["fit.steps=4", "fit.watch_every=4", "fit.batch=64", "fit.threads=1", "produce.n=500", "produce.exact=true"]


def write_cbmsim(path: Path, events: int = 240) -> dict[str, np.ndarray]:
    """Events with a muon off the axis that has two hits; two of its columns have one value."""
    random = np.random.default_rng(5)
    tracks = {
        "fW": np.full(events, 2.0), "fStartX": random.normal(0, 3, events), "fStartY": random.normal(0, 3, events),
        "fStartZ": np.full(events, -7084.5), "fPx": random.normal(0, 1, events), "fPy": random.normal(0, 1, events),
        "fPz": np.full(events, 97.0),
    }  # fmt: skip
    hits = {name: np.repeat(values, 2) for name, values in (("fX", tracks["fStartX"]), ("fPz", tracks["fPz"] / 2))}
    hits |= {"fTrackID": np.zeros(2 * events, np.int32), "fPdgCode": np.full(2 * events, 13, np.int32)}
    branches = {f"MCTrack.{name}": ak.unflatten(values.astype(np.float32), 1) for name, values in tracks.items()}
    branches |= {f"vetoPoint.{name}": ak.unflatten(values, 2) for name, values in hits.items()}
    with uproot.recreate(path) as file:
        file.mktree("cbmsim", {name: array.type for name, array in branches.items()})
        file["cbmsim"].extend(branches)
    return tracks


def test_muons_for_the_generator_agree_with_the_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = write_cbmsim(tmp_path / "ship.root")
    config = load_config(find_recipe("fairship"), [f"read.files={tmp_path}/ship.root", *QUICK], str(tmp_path / "run"))
    runs = train(config, quiet=True)
    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path}/run/on_axis: category left out, no rows in")
    assert [run.folder.name for run in runs if run.folder is not None] == ["off_axis"]
    produce_run(config, runs, resume=False, quiet=True)
    muons = read(tmp_path / "run" / "muons.root", layout="fairship-muons")
    assert np.unique(muons["z"]).tolist() == [pytest.approx(-70.845)]
    assert np.unique(muons["pz"]).tolist() == [97.0]
    assert np.unique(muons["id"]).tolist() == [13]
    for name, factor in (("fStartX", 0.01), ("fStartY", 0.01), ("fPx", 1.0), ("fPy", 1.0)):
        column = name.removeprefix("fStart").removeprefix("f").lower()
        assert muons[column].std() == pytest.approx(tracks[name].std() * factor, rel=0.5), name


def test_all_categories_without_rows_are_an_error(tmp_path: Path) -> None:
    write_cbmsim(tmp_path / "ship.root", events=20)
    settings = [f"read.files={tmp_path}/ship.root", "read.where=pz > 1e6", *QUICK]
    config = load_config(find_recipe("fairship"), settings, str(tmp_path / "run"))
    with pytest.raises(DataError, match=r"no category has a row \(on_axis, off_axis\); no rows in"):
        train(config, quiet=True)
