"""Pictures during a training, and runs that are opened before their training has ended."""

from __future__ import annotations

import base64
import json
import re
import shutil
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_muons, small_fit
from safetensors.torch import load_file, save_file

import calque
from calque.cli import main
from calque.errors import ConfigError
from calque.fitting import fit
from calque.fitting.fit import StoppedError
from calque.fitting.loop import Loop
from calque.folder import contiguous
from calque.mixture import load
from calque.preparing import prepare
from calque.run import Run
from calque.table import Table

PNG = b"\x89PNG\r\n"


class Tags(HTMLParser):
    """Tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The same training with and without pictures."""
    data = prepare(make_muons(900).keep(["px", "pz"]), steps=["standardise *"], seed=1)
    folder = tmp_path_factory.mktemp("runs")
    wishes: dict[str, Any] = {"steps": 20, "batch": 32, "watch_every": 10, "quiet": True}
    return (fit(data, "r3gan", out=folder / "shown", show_every=15, **wishes),
            fit(data, "r3gan", out=folder / "plain", **wishes))


def test_pictures_lie_in_the_run_folder(shown: tuple[Run, Run]) -> None:
    run, plain = shown
    assert run.folder is not None
    assert plain.folder is not None
    folder = run.folder / "progress"
    assert sorted(path.name for path in folder.iterdir()) == ["0000015", "0000020", "progress.html"]
    names = {path.stem for path in (folder / "0000020").glob("*.png")}
    assert names == {"curves", "classifier_trees", "column_px", "column_pz", "pair_px_pz"}
    assert all(path.read_bytes().startswith(PNG) for path in folder.rglob("*.png"))
    assert not (plain.folder / "progress").exists()


def test_pictures_change_nothing_of_the_training(shown: tuple[Run, Run]) -> None:
    run, plain = shown
    assert run.history == plain.history
    for name, column in plain.sample(200, seed=2).columns.items():
        assert np.array_equal(column, run.sample(200, seed=2)[name]), name


def test_the_page_is_self_contained_and_ends_reloading(shown: tuple[Run, Run]) -> None:
    assert shown[0].folder is not None
    text = (shown[0].folder / "progress" / "progress.html").read_text()
    tags = Tags(text)
    assert "Step 20 of 20: the training has ended" in text
    assert not [meta for meta in tags.of("meta") if meta.get("http-equiv") == "refresh"]
    pictures = [picture["src"] or "" for picture in tags.of("img")]
    assert len(pictures) == 5
    for picture in pictures:
        assert base64.b64decode(picture.removeprefix("data:image/png;base64,")).startswith(PNG)
    assert [link["href"] for link in tags.of("a")] == ["0000015/"]
    assert not tags.of("script")


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have a training killed after so many steps."""
    advance = Loop.advance

    def killed(self: Loop) -> None:
        advance(self)
        if self.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "advance", killed)


def test_a_page_reloads_while_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns may be called as they like; what they are called is only text."""
    table = make_muons(900).keep(["px", "pz"])
    named = Table.of({"<script>alert(1)</script>": table["px"], "pz": table["pz"]})
    interrupt(monkeypatch, 12)
    with pytest.raises(KeyboardInterrupt):
        fit(prepare(named, steps=["standardise *"], seed=1), "r3gan", out=tmp_path / "run", steps=20, batch=32,
            show_every=10, watch_every=10, quiet=True)
    text = (tmp_path / "run" / "progress" / "progress.html").read_text()
    tags = Tags(text)
    (refresh,) = [meta for meta in tags.of("meta") if meta.get("http-equiv") == "refresh"]
    assert 1 <= int(refresh["content"] or 0) <= 60
    assert "Step 10 of 20; this page reloads itself" in text
    assert not tags.of("script")


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_what_cannot_be_drawn_ends_no_training(value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imitate = Run.imitate
    monkeypatch.setattr(Run, "imitate", lambda self, real, seed=0: imitate(self, real, seed).with_columns(
        {"pz": np.full(len(real), value)}))
    data = prepare(make_muons(900).keep(["px", "pz"]), steps=["standardise *"], seed=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run = fit(data, "r3gan", out=tmp_path / "run", steps=6, batch=32, show_every=6, quiet=True)
    assert run.provenance["steps"] == 6
    notes = [str(one.message) for one in told if "a picture cannot be taken" in str(one.message)]
    assert len(notes) == (1 if np.isnan(value) else 0)
    drawn = tmp_path / "run" / "progress" / "0000006" / "column_pz.png"
    assert drawn.is_file() == np.isfinite(value), "a constant column is a picture, and tells much"


def test_pictures_need_a_folder() -> None:
    with pytest.raises(ConfigError, match=r"fit\.show_every = 5 draws into the run folder; name one with out"):
        small_fit(make_muons(300), None, show_every=5)


@pytest.mark.parametrize("rows", [30, 100])
def test_few_rows_are_drawn_beside_the_training(rows: int, tmp_path: Path) -> None:
    data = prepare(make_muons(rows).keep(["px", "pz"]), steps=["standardise *"], seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(data, "flow", out=tmp_path / "run", steps=2, quiet=True, show_every=2, model={"transforms": 1})
    folder = tmp_path / "run" / "progress"
    assert (folder / "0000002" / "column_pz.png").is_file()
    assert (folder / "0000002" / "classifier_trees.png").is_file() == (rows == 100)
    assert "training rows" in (folder / "progress.html").read_text()


TOML = """
seed = 3
out = "{folder}/run"
[read]
files = "{folder}/events.npz"
[fit]
kind = "{kind}"
steps = 40
batch = 32
watch_every = 10
checkpoint_every = 5
[judge]
measures = "quick"
plots = false
[produce]
n = 300
out = "events.npz"
"""


@pytest.fixture(scope="module", params=["realnvp", "r3gan"])
def cut(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training that was killed at step 27 of 40."""
    folder = tmp_path_factory.mktemp(request.param)
    stream = np.random.default_rng(1)
    np.savez(folder / "events.npz", x=stream.normal(size=2000), y=stream.exponential(1, 2000))
    (folder / "run.toml").write_text(TOML.format(folder=folder, kind=request.param))
    states: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 27)
        killed = Loop.advance
        patch.setattr(Loop, "advance", lambda self: (killed(self), states.update(averaged(self)))[0])
        with pytest.raises(KeyboardInterrupt):
            calque.fit(prepare(calque.read(folder / "events.npz"), seed=3), config=config_of(folder / "run.toml"),
                       out=folder / "run", quiet=True, inputs=inputs_of(folder / "run.toml"))
    save_file(states, folder / "averaged.safetensors")
    return folder


def averaged(loop: Loop) -> dict[str, Any]:
    """The averaged weights at step 25."""
    return contiguous(loop.averaged().state_dict()) if loop.step == 25 else {}


def config_of(toml: Path) -> Any:
    """The settings in a file."""
    from calque.config import load_config

    return load_config(toml)


def inputs_of(toml: Path) -> list[dict[str, Any]]:
    """Fingerprints of what a file reads."""
    from calque.pipeline import inputs_of

    return inputs_of(config_of(toml))


NOTE = r"run is unfinished: at step 25 of 40, with the {} weights so far; its training goes on with --resume"


def test_an_unfinished_run_is_opened_and_drawn_from(cut: Path) -> None:
    with pytest.warns(UserWarning, match=NOTE.format("best")) as told:
        best = load(cut / "run")
    assert len(told) == 1
    with pytest.warns(UserWarning, match=NOTE.format("latest")):
        latest = load(cut / "run", weights="latest")
    assert isinstance(best, Run)
    assert isinstance(latest, Run)
    assert best.rate == 2000
    assert best.provenance["unfinished"] == {"step": 25, "steps": 40, "weights": "best"}
    drawn = best.sample(500, seed=1)
    assert np.isfinite(drawn["x"]).all()
    assert not np.array_equal(drawn["x"], latest.sample(500, seed=1)["x"])
    with pytest.raises(ConfigError, match="no weights 'last'; nearest: latest"):
        load(cut / "run", weights="last")  # type: ignore[arg-type]


def test_the_latest_weights_are_the_averaged_ones_of_the_checkpoint(cut: Path) -> None:
    with pytest.warns(UserWarning, match="is unfinished"):
        latest = load(cut / "run", weights="latest")
    assert isinstance(latest, Run)
    kept = load_file(cut / "averaged.safetensors")
    assert kept
    for name, weights in latest.generator.state_dict().items():
        assert weights.equal(kept[name]), name


def test_an_unfinished_run_is_judged_produced_and_resumed(
    cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(cut, tmp_path / "copy"))
    for path in (folder / "run" / "config.toml", folder / "run.toml"):
        path.write_text(path.read_text().replace(str(cut), str(folder)))
    run = str(folder / "run")
    assert main(["judge", run, "--quick"]) == 0
    said = capsys.readouterr()
    assert re.search(NOTE.format("best"), said.err)
    assert "The copy can" in said.out
    assert "unfinished" in json.loads((folder / "run" / "report.json").read_text())["settings"]
    assert main(["produce", run, "-n", "100", "--exact", "--quiet", "-o", str(folder / "early.npz")]) == 0
    assert len(calque.read(folder / "early.npz")) == 100
    capsys.readouterr()
    assert main(["run", str(folder / "run.toml"), "--resume", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "judged already" not in said.out, "that was another state of it"
    assert "unfinished" not in said.err
    ended = load(run)
    assert isinstance(ended, Run)
    assert ended.provenance["steps"] == 40
    assert [entry["step"] for entry in ended.history] == [10, 20, 30, 40]


def test_ctrl_c_leaves_a_run_that_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the first look: there are no best weights, and the latest stand in."""
    import signal

    advance = Loop.advance

    def stopped(self: Loop) -> None:
        advance(self)
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Loop, "advance", stopped)
    with pytest.raises(StoppedError, match="stopped at step 3 of 30"):
        small_fit(make_muons(600), tmp_path / "run")
    with pytest.warns(UserWarning, match="at step 3 of 30"):
        run = load(tmp_path / "run")
    assert len(run.sample(50)) == 50
