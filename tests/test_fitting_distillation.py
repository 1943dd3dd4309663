"""Teacher and student: linear teachers exactly, known truths closely, folders that stand alone, resume to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STEPS
from truths import conditional

from calque.config import build, load_config, to_toml
from calque.errors import ConfigError, FileError
from calque.fitting import fit
from calque.fitting.batches import Batches
from calque.fitting.distillation import Distillation
from calque.fitting.loop import Loop
from calque.fitting.objective import Batch
from calque.judging.watching import watched
from calque.mixture import load
from calque.models import DenseGenerator, FlowMatching
from calque.pipeline import train
from calque.preparing import TRAIN, Data, prepare
from calque.run import Run
from calque.table import Layout, Table

LINEAR = {"kind": "mixture", "model": {"components": 1}}  # one normal: a linear map of its noise
BENT = {"kind": "flow-matching", "steps": 60, "batch": 64, "watch_every": 30, "model": {"nodes": 16, "passes": 2}}
SHORT: dict[str, Any] = {"steps": 40, "batch": 64, "watch_every": 10, "checkpoint_every": 10, "quiet": True,
                         "objective": {"pairs": 1000}}


@pytest.fixture(scope="module")
def data() -> Data:
    """Two correlated normals whose mean and correlation follow a charge."""
    return prepare(conditional(4000, 0), steps=["standardise *"], context=["charge"], seed=1)


@pytest.fixture(scope="module")
def taught(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short training of both, in a folder."""
    torch.set_num_threads(1)
    return fit(data, "student", out=tmp_path_factory.mktemp("runs") / "student", teacher=BENT, **SHORT)


def state(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.generator.state_dict())


def same(one: Run, other: Run) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one).values(), state(other).values(), strict=True))


def distance(student: Run, teacher: Run, rows: int = 20_000) -> float:
    """Root mean squared distance of events of the same fresh noise and context."""
    noise = torch.randn(rows, teacher.generator.noise, generator=torch.Generator().manual_seed(5))
    context = torch.eye(2).repeat(rows // 2, 1)
    with torch.inference_mode():
        away = student.generator.sample(noise, context) - teacher.generator.sample(noise, context)
    return float(away.square().mean().sqrt())


def test_a_linear_teacher_is_learnt_before_the_first_step() -> None:
    """With the network's end at zero, the linear path is the teacher's matrix."""
    sample = prepare(Table.of({"x": np.random.default_rng(0).normal(2, 3, 500), "y": np.arange(500.0)}), steps=[])
    teacher = fit(sample, quiet=True, **LINEAR)
    generator = DenseGenerator(sample.preparation.layout, latent=3, layers=1, base=8, norm="none", skip=True)
    torch.nn.init.zeros_(generator.head[0].weight)
    torch.nn.init.zeros_(generator.head[0].bias)
    objective = Distillation(generator, pairs=100)
    objective.learn_from(teacher.generator, torch.device("cpu"))
    batches = Batches(*sample.encode(TRAIN), 50, torch.device("cpu"))
    objective.begin(batches.draw)
    assert len(objective.pool) == 2
    assert float(objective.loss("generator", batches.draw({}), 0).detach()) < 1e-6


def test_the_distance_falls_and_is_the_same_on_fresh_noise(data: Data) -> None:
    """Of a bent teacher less than a tenth of its way from the best line is left, on noise never seen."""
    teacher = fit(data, "flow-matching", steps=300, batch=128, watch_every=300, model={"nodes": 16}, quiet=True)
    line = fit(data, "student", teacher=teacher, **{**SHORT, "steps": 0})
    long = {**SHORT, "steps": 800, "batch": 256, "watch_every": 800, "objective": {"pairs": 50_000}}
    run = fit(data, "student", teacher=teacher, **long)
    assert distance(run, teacher) < 0.1 * distance(line, teacher)
    (entry,) = run.history
    assert entry["distance/fresh noise"] == pytest.approx(distance(run, teacher), rel=0.3)
    drawn = watched(("auc",), teacher.sample(8000, seed=1), run.sample(8000, seed=2), 8000, 0)
    assert drawn["auc"] < 0.52


def test_the_folder_needs_no_teacher(taught: Run, tmp_path: Path) -> None:
    assert taught.folder is not None
    copied = shutil.copytree(taught.folder, tmp_path / "copy")
    shutil.rmtree(copied / "teacher")
    drawn = load(copied).sample(100, seed=3)
    assert np.array_equal(drawn["x"], taught.sample(100, seed=3)["x"])
    assert taught.generator.noise == 2
    assert isinstance(taught.generator, DenseGenerator)


def test_the_teacher_is_a_run_of_its_own_and_named(taught: Run) -> None:
    assert taught.folder is not None
    teacher = load(taught.folder / "teacher")
    assert isinstance(teacher, Run)
    assert isinstance(teacher.generator, FlowMatching)
    named = taught.provenance["teacher"]
    assert named["kind"] == "flow-matching"
    assert named["folder"] == str(taught.folder / "teacher")
    assert named["best_step"] == teacher.provenance["best_step"]
    assert len(named["weights"]) == 64
    assert taught.provenance["best_step"] == taught.provenance["steps"] == 40, "the latest weights are the best"


def test_run_folder_and_settings_teach_the_same(taught: Run, data: Data) -> None:
    assert taught.folder is not None
    folder = taught.folder / "teacher"
    for teacher in (folder, str(folder), load(folder), BENT):
        again = fit(data, "student", teacher=teacher, **SHORT)  # type: ignore[arg-type]
        assert same(again, taught)


@pytest.mark.parametrize("stop", [("teacher", 45), ("student", 25), ("student", 40)])
def test_a_killed_fit_ends_with_the_same_bits(stop: tuple[str, int], taught: Run, data: Data, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    who, at = stop
    advance, save = Loop.advance, Run.save

    def killed(loop: Loop) -> None:
        if loop.step >= at and isinstance(loop.objective, Distillation) is (who == "student"):
            raise KeyboardInterrupt
        advance(loop)

    def killed_late(run: Run, folder: Path) -> None:
        if run.config.fit.kind == "student":
            raise KeyboardInterrupt
        save(run, folder)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "advance", killed)
        patched.setattr(Run, "save", killed_late)
        with pytest.raises(KeyboardInterrupt):
            fit(data, "student", out=tmp_path / "run", teacher=BENT, **SHORT)
    again = fit(data, "student", out=tmp_path / "run", teacher=BENT, resume=True, **SHORT)
    assert same(again, taught)
    assert [entry["distance/fresh noise"] for entry in again.history] == [
        entry["distance/fresh noise"] for entry in taught.history]


def test_a_condition_is_passed_on(muons: Table) -> None:
    """The teacher's mean of each category, to a hundredth of its width."""
    own = prepare(muons, steps=STEPS, context=["id"], seed=1)
    teacher = fit(own, quiet=True, **LINEAR)
    run = fit(own, "student", teacher=teacher, **{**SHORT, "steps": 200, "objective": {"pairs": 20_000}})
    assert distance(run, teacher) < 0.02


def test_each_category_has_its_own_teacher(tmp_path: Path, muons: Table) -> None:
    from calque.reading.sink import write

    write(muons, tmp_path / "muons.root")
    common = {"read": {"files": str(tmp_path / "muons.root"), "columns": ["pz", "z"]},
              "prepare": {"steps": ["standardise *"]}, "out": str(tmp_path / "own"),
              "fit": {"kind": "student", "steps": 5, "batch": 32, "objective": {"pairs": 100}, "teacher": LINEAR},
              "categories": {"up": {"where": "z > 0"}, "down": {"where": "z <= 0"}}}
    runs = train(build(common, "here"), quiet=True, say=lambda _: None)
    named = {"fit": {**common["fit"], "teacher": str(tmp_path / "own")}, "out": str(tmp_path / "other")}  # type: ignore[dict-item]
    for category, run in zip(("up", "down"), runs, strict=True):
        assert run.provenance["teacher"]["folder"] == str(tmp_path / "own" / category / "teacher")
        config = build({**common, **named}, "here").category(category)
        assert config.fit.teacher == str(tmp_path / "own" / category)


def test_settings_of_a_teacher_are_settings(tmp_path: Path) -> None:
    """Its kind brings its presets, it uses what its student does, and all of it is kept."""
    raw = {"fit": {"kind": "student", "weights": "none", "teacher": {"kind": "flow-matching", "steps": 7}}}
    teacher = build(raw, "here").fit.teacher
    assert not isinstance(teacher, str)
    assert teacher is not None
    assert (teacher.kind, teacher.steps, teacher.weights) == ("flow-matching", 7, "none")
    assert teacher.optimiser.schedule == "cosine"
    written = tmp_path / "config.toml"
    written.write_text(to_toml(build(raw, "here").model_dump()))
    assert load_config(written) == build(raw, "here")


def test_a_category_changes_its_teacher() -> None:
    raw: dict[str, Any] = {"fit": {"kind": "student", "teacher": {"kind": "flow-matching", "steps": 7}},
                           "categories": {"a": {"fit": {"teacher": {"kind": "mixture"}}},
                                          "b": {"fit": {"kind": "flow"}}}}
    config = build(raw, "here")
    teacher = config.category("a").fit.teacher
    assert not isinstance(teacher, str)
    assert teacher is not None
    assert (teacher.kind, teacher.steps, teacher.optimiser.schedule) == ("mixture", 7, "constant")
    assert config.category("b").fit.teacher is None


@pytest.mark.parametrize(("kind", "settings", "message"), [
    ("student", {}, "learns from a teacher: set fit.teacher to the folder of a run"),
    ("flow", {"teacher": LINEAR}, "fit.teacher would be ignored: kind 'flow' learns from events"),
    ("student", {"teacher": {"kind": "flow", "stepz": 3}}, r"no setting 'stepz' in \[fit.teacher\] of .*: steps"),
    ("student", {"teacher": {"kind": "flaw"}}, "no kind 'flaw' of generator"),
    ("student", {"teacher": {**LINEAR, "weights": "none"}}, "fit.teacher.weights = 'none', but the student's are"),
    ("student", {"teacher": LINEAR, "model": {"latent": 7}}, "of 3 normals, the student of 7; leave fit.model.latent"),
    ("student", {"teacher": LINEAR, "objective": {"pairs": 0}}, "fit.objective.pairs = 0 teaches nothing"),
])
def test_a_wrong_setting_is_one_clear_line(kind: str, settings: Any, message: str, data: Data) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(data, kind, quiet=True, **settings)


def test_a_teacher_of_another_preparation_is_refused(taught: Run, tmp_path: Path) -> None:
    assert taught.folder is not None
    other = prepare(conditional(4000, 0), steps=["standardise *"], context=["charge"], seed=2)
    with pytest.raises(ConfigError, match="was trained with other steps, or steps fitted on other rows"):
        fit(other, "student", teacher=taught.folder / "teacher", **SHORT)
    with pytest.raises(FileError, match="is no run folder"):
        fit(other, "student", teacher=tmp_path / "nowhere", **SHORT)
    assert not (tmp_path / "out").exists()


def test_a_student_alone_says_so() -> None:
    objective = Distillation(DenseGenerator(Layout.flat(["a"]), latent=1))
    batch = Batch(torch.zeros(5, 1), torch.zeros(5, 0), {"latent": torch.zeros(5, 1)})
    with pytest.raises(ConfigError, match="a student without a teacher"):
        objective.begin(lambda _: batch)
