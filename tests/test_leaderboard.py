"""Every entry is trained with every seed, judged in every part, ranked, and put on one page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calque.cli import main
from calque.config import build
from calque.errors import ConfigError
from calque.leaderboard.page import render_page
from calque.leaderboard.ranking import Number, ranked, table
from calque.leaderboard.scores import Score
from calque.seeds import numpy_stream

KINDS = {"mixture": {"model": {"components": 2}},
         "<i>flow": {"kind": "flow", "steps": 2, "watch_every": 2, "batch": 64},
         "runaway": {"kind": "flow", "steps": 40, "watch_every": 2, "batch": 64, "optimiser": {"rate": 1e30}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of three entries on a sample of two parts, finished."""
    folder = tmp_path_factory.mktemp("board")
    stream = numpy_stream(0, "leaderboard")
    side = stream.choice([0, 1], 1800)
    np.savez(folder / "events.npz", a=stream.normal(3.0 * side, 1.0), b=stream.normal(size=1800), side=side)
    lines = [f'out = "{folder / "runs"}"', "[read]", f'files = "{folder / "events.npz"}"', "[prepare]",
             'context = ["side"]', "[judge]", 'classifier = "fast"', "[leaderboard]", "seeds = [0, 1]",
             'parts = { left = "side == 0", right = "side == 1" }']
    (folder / "board.toml").write_text("\n".join(lines))
    return folder


def settings() -> list[str]:
    """The entries, as a command line sets them."""
    return [word for name, own in KINDS.items() for word in ("--set", f"leaderboard.kinds.{name}={inline(own)}")]


def inline(value: object) -> str:
    """A value of TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(entry)}" for key, entry in value.items()) + "}"
    return json.dumps(value)


def test_a_board_is_trained_judged_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", str(folder / "board.toml"), "--quiet", *settings()]
    assert main(command) == 0
    told = capsys.readouterr().out
    numbers = json.loads((folder / "runs" / "leaderboard.json").read_text())
    assert [line["name"] for line in numbers] == ["mixture", "<i>flow", "runaway"]
    best, poor, failed = numbers
    assert set(best["figures"]) == {"left raw", "right raw"}, "the context is one value in each part"
    assert best["seeds"] == 2
    assert best["worst"]["value"] < 0.6 < poor["worst"]["value"]
    assert all(line["rate"] > 1000 for line in (best, poor))
    assert "loss is" in failed["failed"]
    assert "runaway" in told
    page = (folder / "runs" / "leaderboard.html").read_text()
    assert "&lt;i&gt;flow" in page
    assert "<i>flow" not in page
    assert main(command) == 2
    assert "go on with --resume" in capsys.readouterr().err


def test_what_is_done_stays_and_what_is_lost_is_made_again(folder: Path) -> None:
    scores = sorted((folder / "runs").glob("seed-*/*/score.json"))
    assert len(scores) == 6
    kept = {path: path.read_bytes() for path in scores}
    lost = next(path for path in scores if "mixture" in str(path))
    lost.unlink()
    assert main(["run", str(folder / "board.toml"), "--quiet", "--resume", *settings()]) == 0
    again = {path: json.loads(path.read_bytes()) for path in scores}
    assert {path: one["parts"] for path, one in again.items()} == {
        path: json.loads(one)["parts"] for path, one in kept.items()}


def score(name: str, seed: int, auc: float) -> Score:
    """A score with one figure."""
    return Score(name, "flow", seed, parts={"all": {"auc_raw": {"value": auc, "error": 0.001, "floor": 0.5}}})


def test_the_front_holds_what_nothing_beats_in_quality_and_speed() -> None:
    scores = [score(name, seed, auc + shift) for seed, shift in ((0, -0.01), (1, 0.01)) for name, auc in
              (("good", 0.51), ("fast", 0.55), ("slow", 0.56), ("between", 0.53))]
    lines = ranked(scores, {"good": 1e3, "fast": 1e6, "slow": 1e5, "between": 1e4})
    assert [line.name for line in lines] == ["good", "between", "fast", "slow"]
    assert [line.front for line in lines] == [True, True, True, False]
    assert vars(lines[0].worst) == pytest.approx(vars(Number(0.51, 0.01, 0.5))), "two seeds 0.02 apart: spread over √2"
    assert "0.510 ± 0.010" in table(lines)
    page = render_page(lines, build({}, "a test"))
    assert "On the front, from slow to fast: good (0.51 at" in page


@pytest.mark.parametrize(("board", "says"), [
    ({"kinds": {}}, "needs entries"), ({"kinds": {"a/b": {"kind": "flow"}}}, "leave out /"),
    ({"kinds": {"flw": {}}}, "nearest: flow"), ({"kinds": {"flow": {"stepps": 1}}}, "nearest: steps")])
def test_a_board_that_means_nothing_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], board: dict[str, object], says: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f'out = "{tmp_path / "runs"}"\nread.files = "{folder / "events.npz"}"\n'
                    f"leaderboard = {inline(board)}\n")
    assert main(["run", str(path), "--quiet"]) == 2
    assert says in capsys.readouterr().err
    with pytest.raises(ConfigError):
        build({"leaderboard": {"seeds": ["a"]}}, "here")
