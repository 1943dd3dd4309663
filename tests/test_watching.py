"""Looks during a training: any measure of the judge, none that ends the training, and samples of a few rows."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import STEPS, make_muons, small_fit
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.cli import main
from calque.errors import ConfigError
from calque.fitting import fit
from calque.fitting.watch import Watch
from calque.judging.catalogue import CATALOGUE, NEEDS_GEOMETRY, PIXELS
from calque.judging.goals import Goal
from calque.judging.judge import judge_tables
from calque.judging.watching import OTHER_NAMES, Watched, list_numbers, measure_of, numbers_of
from calque.preparing import TRAIN, prepare
from calque.run import Run, new_run
from calque.table import Table

GAN: dict[str, Any] = {"steps": 12, "batch": 32, "watch_every": 3, "quiet": True}
TAKEN = [name for name in CATALOGUE if name not in (*NEEDS_GEOMETRY, *PIXELS)]


def weighted(weights: np.ndarray, seed: int = 0) -> Table:
    """Two columns that tell nothing of the weights."""
    stream = np.random.default_rng(seed)
    rows = len(weights)
    return Table.of({"x": stream.normal(size=rows), "y": stream.exponential(1, rows), "w": weights}, weight="w")


def draw_untrained(table: Table, steps: Sequence[str] | None = None) -> np.ndarray:
    """Weights as an untrained generator draws them: normal in what was prepared."""
    data = prepare(table, steps=steps, weights="column", seed=1)
    noise = np.random.default_rng(2).normal(size=(2000, data.preparation.layout.size)) * 2
    torch = pytest.importorskip("torch")
    normals = torch.randn(2000, data.preparation.inverse_noise)
    return data.preparation.float().decode(torch.from_numpy(noise).float(), normals)["w"]


@given(decades=st.floats(0.1, 12), shift=st.floats(-8, 8), zeros=st.booleans(), quantile=st.booleans())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_of_positive_weights_only_positive_ones_are_drawn(
    decades: float, shift: float, zeros: bool, quantile: bool
) -> None:
    weights = 10 ** (np.random.default_rng(3).uniform(-decades, 0, 600) + shift)
    weights[: 60 * zeros] = 0.0
    drawn = draw_untrained(weighted(weights), ["quantile *"] if quantile else None)
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert (drawn == 0).any() == zeros
    assert np.median(drawn[drawn > 0]) == pytest.approx(np.median(weights[weights > 0]), rel=10 ** (decades / 2))


@pytest.mark.parametrize(("weights", "steps", "expected"), [
    (np.geomspace(1e-6, 1, 600), None, ["log", "standardise"]),
    (np.geomspace(1e-6, 1, 600), ["standardise x y"], ["log", "standardise", "standardise"]),
    (np.geomspace(1e-6, 1, 600), ["arcsinh w", "standardise *"], ["arcsinh", "standardise"]),
    (np.linspace(1, 2, 600), ["log *"], None),
    (np.tile([1.0, 20.0], 300), None, ["discrete", "standardise"]),
    (np.tile([1.0, -1.0], 300), None, ["discrete", "standardise"]),
    (np.linspace(-1, 2, 600), None, ["standardise"]),
    (np.full(600, 3.0), None, ["constant", "standardise"]),
])
def test_a_step_is_put_before_a_weight_that_has_none(
    weights: np.ndarray, steps: list[str] | None, expected: list[str] | None
) -> None:
    table = weighted(weights)
    if expected is None:
        table = table.with_columns({"x": np.exp(table["x"])})
        expected = ["log"]
    data = prepare(table, steps=steps, weights="column", seed=1)
    assert [step.kind for step in data.preparation.typed_steps()] == expected
    assert prepare(table, steps=["standardise x"], seed=1).preparation.to_dict()["steps"][0]["kind"] == "standardise"


@pytest.mark.parametrize("error", [ValueError("one class"), np.linalg.LinAlgError("singular"), ZeroDivisionError(),
                                   RuntimeError("not implemented"), AssertionError(), IndexError("no row")])
def test_no_measure_of_generated_rows_ends_a_training(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> dict[str, float]:
        raise error

    monkeypatch.setattr("calque.fitting.watch.Watched.take", refuse)
    data = prepare(make_muons(900), steps=STEPS, context=["id"], seed=1)
    with pytest.warns(UserWarning, match="trees cannot be taken at step 3, the training goes on") as told:
        run = fit(data, "r3gan", **GAN)
    assert len([one for one in told if "cannot be taken" in str(one.message)]) == 1, "one note, not one a look"
    assert [entry["step"] for entry in run.history] == [3, 6, 9, 12]
    assert run.provenance["best_step"] == 12, "the latest, while none can be scored"
    assert len(run.sample(10)) == 10


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_degenerate_rows_are_watched_as_far_as_they_can_be(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are constant or no numbers early in a training, and fine afterwards."""
    imitate = Run.imitate

    def degenerate(self: Run, real: Table, seed: int = 0) -> Table:
        fake = imitate(self, real, seed)
        return fake.with_columns({"pz": np.full(len(fake), value)}) if seed < 9 else fake

    monkeypatch.setattr(Run, "imitate", degenerate)
    data = prepare(make_muons(900), steps=STEPS, context=["id"], seed=1)
    measures = ["auc", "columns", "fpd", "sliced"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = fit(data, "r3gan", measures=measures, patience=3, **GAN)
    assert run.history[-1].keys() >= {"auc", "ks", "fpd", "sliced_wasserstein"}
    assert run.provenance["best_step"] >= 9 or np.isfinite(value), "a look without a number is never the best"
    assert "NaN" not in json.dumps(run.history)


def test_a_fit_with_learnt_weights_goes_on_whatever_is_drawn(tmp_path: Path) -> None:
    """A step of the user's own lets weights be negative, which classifiers refuse."""
    weights = 10 ** np.random.default_rng(1).uniform(-6, 0, 900)
    data = prepare(weighted(weights), weights="column", seed=1, w="standardise")
    with pytest.warns(UserWarning, match="trees cannot be taken at step 3, .* negative weights: .* of generated"):
        run = fit(data, "r3gan", out=tmp_path / "run", measures=["auc", "energy"], **GAN)
    assert all("energy" in entry for entry in run.history)
    assert run.folder is not None


def look(run: Run, names: Sequence[str], **wishes: Any) -> dict[str, float]:
    """One look of a training at these measures."""
    from calque.config import FitConfig

    assert run.data is not None
    made = new_run(run.config, run.data, run.generator)
    watch = Watch(made, run.data, FitConfig(kind="flow", measures=list(names), **wishes))
    return watch.compare(run.generator, 0)


@pytest.fixture(scope="module")
def known() -> Run:
    """A tiny flow with its sample in memory."""
    return small_fit(make_muons(4000).without_weight(), None, steps=20)


def test_every_measure_of_the_judge_can_be_watched(known: Run) -> None:
    found = look(known, TAKEN, watch_rows=250)
    expected = {number for name in TAKEN for number in numbers_of(name)}
    assert expected - found.keys() <= {"tail_low", "tail_high"}, "tails of few values"
    assert np.isfinite(list(found.values())).all()


def test_single_numbers_are_taken_alone(known: Run) -> None:
    assert look(known, ["js", "recall"]).keys() == {"js", "recall"}
    assert look(known, ["overlap_output"]).keys() == {"auc", "chi2", "overlap"}, "they cost one training"


def test_goals_are_those_of_the_report() -> None:
    """A number that the report finds bad when higher is better when smaller, and so on."""
    real, fake = make_muons(600, seed=1).without_weight(), make_muons(600, seed=2).without_weight()
    report = judge_tables(real, fake, train=make_muons(900, seed=3).without_weight(), context=("id",),
                          measures=[name for name in TAKEN if name not in ("network", "ranks", "conditional")])
    directions = {"higher": ("smaller", "nearest"), "lower": ("larger",), "away": ("nearest",)}
    for estimate in report.estimates:
        number = OTHER_NAMES.get(estimate.measure, estimate.measure)
        assert Goal.of(number).direction in directions[estimate.worse], number


@pytest.mark.parametrize(("number", "values", "best"), [
    ("overlap", [0.5, 0.9, 0.7, 0.6], 20),
    ("chi2", [5.0, 2.0, 3.0, 4.0], 20),
    ("auc", [0.9, 0.2, 0.6, 0.8], 30),
    ("copying", [0.9, 0.2, 0.6, 0.8], 30),
    ("fpd", [0.1, -0.1, 0.2, 0.3], 20),
    ("tail_high", [0.2, 0.7, 1.1, 1.6], 30),
])
def test_the_best_look_and_the_plateau_follow_the_goal(
    number: str, values: list[float], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([*values, values[-1], values[-1]])
    monkeypatch.setattr("calque.fitting.watch.Watched.take", lambda *_: {number: next(told)})
    run = small_fit(make_muons(900), None, steps=60, watch=number, measures=[], patience=2)
    assert run.provenance["best_step"] == best
    assert run.history[-1]["step"] == best + 20, "two looks without a better one"


def test_names_are_checked_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text('[read]\nfiles = "nowhere.npz"\n[fit]\nwatch = "overlop"\n')
    assert main(["fit", str(toml)]) == 2
    assert "no measure 'overlop' to watch (fit.watch, fit.measures); nearest: overlap" in capsys.readouterr().err
    data = prepare(make_muons(900), steps=STEPS, context=["id"], seed=1)
    with pytest.raises(ConfigError, match=r"no measure 'treees' .*; nearest: trees"):
        fit(data, "flow", out=tmp_path / "run", measures=["treees"], quiet=True, batch=16)
    with pytest.raises(ConfigError, match="'calibration' needs a layout of showers"):
        fit(data, "flow", out=tmp_path / "run", watch="calibration", quiet=True, watch_rows=50, batch=16)
    assert not (tmp_path / "run").exists()


def test_every_number_has_one_measure() -> None:
    numbers = list_numbers()
    assert len(numbers) == len(set(numbers))
    assert all(number in numbers_of(measure_of(number)) for number in numbers)


def test_a_look_takes_no_more_rows_than_it_may(monkeypatch: pytest.MonkeyPatch, known: Run) -> None:
    sizes: list[tuple[int, int]] = []

    def count(self: Watched, real: Table, fake: Table, seed: int = 0) -> dict[str, float]:
        sizes.append((len(real), len(fake)))
        return {}

    monkeypatch.setattr("calque.fitting.watch.Watched.take", count)
    look(known, ["auc", "ks"], watch_rows=60)
    assert sizes == [(60, 60), (60, 60)]


@pytest.mark.parametrize("rows", [10, 30, 100])
@pytest.mark.parametrize("kind", ["flow", "r3gan", "vae", "mixture", "flow-matching"])
def test_a_few_rows_are_trained_on(rows: int, kind: str) -> None:
    data = prepare(make_muons(rows), steps=["standardise *"], seed=1)
    preset = "fast" if kind == "vae" else "default"
    wishes = {"preset": preset} if kind == "mixture" else {"preset": preset, "steps": 4, "watch_every": 2}
    with pytest.warns(UserWarning, match="validation rows") as told:
        run = fit(data, kind, quiet=True, **wishes)
    notes = [str(one.message) for one in told]
    trained = int((data.part == TRAIN).sum())
    few = [f"fit: a batch of {trained} events, as so many rows train; fit.batch = 512 takes more rows"]
    assert notes[:-1] == few * (kind != "mixture")
    assert re.match(r"fit: \d validation rows, measures take 50: ", notes[-1])
    assert np.isfinite(run.sample(20)["pz"]).all()
    dense = kind in ("flow", "mixture")
    assert all(("log_prob" in entry) == dense for entry in run.history)
    assert ("the log density alone is watched" in notes[-1]) == dense


@pytest.mark.parametrize("rows", [10, 30, 100])
def test_a_run_of_a_few_rows_ends_with_events(
    rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is too little to judge is told, and does not keep events from being produced."""
    stream = np.random.default_rng(0)
    np.savez(tmp_path / "events.npz", x=stream.normal(size=rows), y=stream.normal(size=rows))
    toml = tmp_path / "run.toml"
    toml.write_text(f"""
out = "{tmp_path}/run"
[read]
files = "{tmp_path}/events.npz"
[fit]
steps = 2
watch_every = 1
model = {{ transforms = 1, hidden = [4] }}
[produce]
n = 40
out = "events.npz"
exact = true
""")
    assert main(["run", str(toml), "--quiet"]) == 0
    said = capsys.readouterr()
    judged = round(rows / 3)
    assert f"run: not judged: {judged} rows are left for it, at least 50 are needed; give more rows" in said.out
    validated = round((rows - judged) / 10)
    assert f"fit: {validated} validation rows, measures take 50: the log density alone is watched" in said.err
    assert "40 events in" in said.out
