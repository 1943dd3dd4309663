"""The tuner finds known parameters, says what it does not know, and goes on where it was stopped."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import calque
from calque.cli import main
from calque.config import build
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.fitting import StoppedError
from calque.models import Generator
from calque.preparing import prepare
from calque.run import Run
from calque.simulating.parametric import Parametric
from calque.table import Array, Layout, Table
from calque.tuning import Tuned, load_tuned, tune
from calque.tuning.correction import fit_correction, regress, standardise
from calque.tuning.sight import correct_sight, look_at
from calque.tuning.stages import Stages
from calque.tuning.teaching import Teaching
from calque.tuning.tuned import widening

PIXELS = np.arange(12)
BRIEF: dict[str, Any] = {"quiet": True, "plots": False, "members": 2, "rounds": 1, "simulations": 200,
                         "fit": {"steps": 6, "batch": 64}, "summary": {"steps": 6}, "refine": {"steps": 6},
                         "shortcut": {"steps": 6}}


def spots(parameters: Array, seed: int) -> Array:
    """Spots of a place and a height, with a little noise."""
    place, height = parameters.T[:, :, None]
    noise = 0.02 * np.random.default_rng(seed).normal(size=(len(parameters), 12))
    return height * np.maximum(0, 1 - np.abs(PIXELS - place) / 2) + noise


SPOTS = Parametric("spots", ("place", "height"), np.array([2.0, 0.5]), np.array([9.0, 2.0]), spots, chunk=500)
TRUTH = np.array([[5.0, 1.2], [0.6, 0.15]])  # means and widths
CORRELATION = 0.6


def seen(n: int, seed: int = 7) -> tuple[Array, Table]:
    """True parameters, correlated, and images without them."""
    normal = np.random.default_rng(seed).normal(size=(n, 2))
    normal[:, 1] = CORRELATION * normal[:, 0] + np.sqrt(1 - CORRELATION**2) * normal[:, 1]
    vectors = np.clip(TRUTH[0] + TRUTH[1] * normal, SPOTS.low, SPOTS.high)
    return vectors, Table.of({"image": SPOTS.images(vectors, seed)})


def emulator(steps: int) -> Run:
    """Trained on the whole space."""
    vectors = SPOTS.choose(4000, 0)
    table = Table.of({"place": vectors[:, 0], "height": vectors[:, 1], "image": SPOTS.images(vectors, 0)})
    data = prepare(table, steps=[], context=["place", "height"], judging=0.1, validation=0)
    return calque.fit(data, "emulator", steps=steps, batch=64, quiet=True, threads=1, average=0.99,
                      model={"grain": True, "features": 16, "nodes": 32})


@pytest.fixture(scope="module")
def crude() -> Run:
    """An emulator that has learnt next to nothing."""
    return emulator(2)


@pytest.fixture(scope="module")
def trained() -> Run:
    """An emulator that has learnt its simulator."""
    return emulator(400)


def test_a_tuner_finds_what_made_the_data(trained: Run, tmp_path: Path) -> None:
    """Means within a tenth of the true widths, widths within a tenth, and the correlation."""
    vectors, data = seen(4000)
    found = tune(trained, data, simulator=SPOTS, members=2, rounds=1, simulations=2000, quiet=True,
                 fit={"steps": 400, "batch": 128, "average": 0.99}, summary={"steps": 400, "batch": 64},
                 refine={"steps": 200, "batch": 64}, shortcut={"steps": 500, "batch": 128}, out=tmp_path / "tuned",
                 plots=False)
    for number, name in enumerate(SPOTS.names):
        true = vectors[:, number]
        assert abs(found.means[name][0] - true.mean()) < 0.1 * true.std(), name
        assert found.widths[name][0] == pytest.approx(true.std(), rel=0.1), name
        assert 0 < found.means[name][1] < 0.1 * true.std()
    value, error = (matrix[1, 0] for matrix in found.correlations)
    assert value == pytest.approx(np.corrcoef(vectors.T)[0, 1], abs=0.1)
    assert error < 0.1
    assert found.origin == "simulated"
    assert found.auc[0] < 0.6
    assert "no parameters" not in found.verdict()
    kept = load_tuned(tmp_path / "tuned")
    assert kept == json.loads(json.dumps(found.to_dict()))
    again = calque.load(tmp_path / "tuned").sample(500, seed=3)
    assert np.array_equal(again["place"], found.sample(500, seed=3)["place"])
    assert len(calque.read(tmp_path / "tuned" / "parameters.h5")) == 40_000
    for name, low, high in zip(SPOTS.names, SPOTS.low, SPOTS.high, strict=True):
        assert low <= again[name].min() <= again[name].max() <= high


def test_a_critic_of_images_finds_the_parameters_too(trained: Run) -> None:
    """The source's own second stage: a frozen emulator, a critic of images, no rounds."""
    vectors, data = seen(3000)
    found = tune(trained, data, members=2, rounds=0, critic="images", frozen=True, quiet=True, plots=False,
                 fit={"steps": 300, "batch": 64, "average": 0.99}, summary={"steps": 200, "batch": 64},
                 shortcut={"steps": 0})
    middle = (SPOTS.low + SPOTS.high) / 2
    for number, name in enumerate(SPOTS.names):
        true = vectors[:, number]
        offset = abs(found.means[name][0] - true.mean())
        assert offset < 0.3 * true.std(), name
        assert offset < abs(middle[number] - true.mean())
    assert found.origin == "emulated"


def test_a_kind_of_image_critic_is_checked_before_anything_is_trained(crude: Run) -> None:
    _, data = seen(200)
    with pytest.raises(ConfigError, match="no critic 'convolutionel'; nearest: convolutional"):
        tune(crude, data, simulator=SPOTS, critic="images",
             **{**BRIEF, "fit": {"objective": {"critic": "convolutionel"}}})


class Straight(Generator):
    """Summaries and images that are linear functions, with noise."""

    def __init__(self, slope: torch.Tensor, shift: torch.Tensor, width: float) -> None:
        super().__init__(Layout.flat(["a", "b"]), 2)
        self.slope, self.shift, self.width, self.noise = slope, shift, width, 2

    def sample(self, noise: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return context @ self.slope + self.shift + (self.width * noise if noise.shape[1] else 0)


def test_what_an_emulator_lacks_is_corrected() -> None:
    """Another slope, another shift and less noise than the simulator's: afterwards mean and scatter are right."""
    torch.manual_seed(0)
    true = Straight(torch.tensor([[1.0, 0.2], [0.0, 1.0]]), torch.tensor([0.3, 0.0]), 0.5)
    wrong = Straight(torch.eye(2), torch.tensor([0.0, -0.4]), 0.1)
    summary = Straight(torch.eye(2), torch.zeros(2), 0.0)
    parameters = torch.randn(50_000, 2) * torch.tensor([1.0, 0.5]) + 2
    images = true.sample(torch.randn(50_000, 2), parameters)
    sight = look_at(wrong, summary, images)
    looks = sight.all_of(images)
    torch.testing.assert_close(looks.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(looks.T), torch.eye(2), atol=1e-3, rtol=0)
    mended = correct_sight(sight, parameters, images, torch.randn(50_000, 2))
    assert mended.noise == 4
    fresh = 2 + torch.randn(50_000, 2) * torch.tensor([1.0, 0.5])
    u = standardise(fresh, fresh.mean(0), fresh.std(0)).double()
    wanted, got, before = (regress(seen, u) for seen in (
        sight.of_images(true.sample(torch.randn(50_000, 2), fresh)),
        mended.of_parameters(fresh, torch.randn(50_000, 4)),
        sight.emulated(fresh, torch.randn(50_000, 2))))
    torch.testing.assert_close(got[0], wanted[0], atol=0.02, rtol=0.05)
    torch.testing.assert_close(torch.cov(got[1].T), torch.cov(wanted[1].T), atol=0.02, rtol=0.05)
    assert float((before[0] - wanted[0]).abs().max()) > 0.1
    assert float((torch.cov(before[1].T) - torch.cov(wanted[1].T)).abs().max()) > 0.1


def test_noise_that_depends_on_the_parameters_is_corrected() -> None:
    """A curved mean and a width that grows with a parameter: both are found, and end where the fit ends."""
    torch.manual_seed(1)
    parameters = torch.randn(20_000, 2)
    first, second = parameters.T
    mean = torch.stack([0.3 * first**2 + 0.2, 0.5 * first * second], 1)
    simulated = mean + 0.4 * torch.exp(0.5 * second)[:, None] * torch.randn(20_000, 2)
    found = fit_correction(parameters, simulated, torch.zeros(20_000, 2), is_deterministic=True)
    place = torch.tensor([[1.5, -1.0]]).repeat(50_000, 1)
    drawn = found.apply(torch.zeros(50_000, 2), place, torch.randn(50_000, 2))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([0.3 * 2.25 + 0.2, -0.75]), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.full((2,), 0.4 * np.exp(-0.5)), atol=0.02, rtol=0)
    far, farther = (found.apply(torch.zeros(1, 2), torch.full((1, 2), at), torch.ones(1, 2)) for at in (9.0, 90.0))
    torch.testing.assert_close(far, farther)


def test_images_that_are_all_alike_have_no_distribution(crude: Run) -> None:
    data = Table.of({"image": np.ones((200, 12), np.float32)})
    with pytest.raises(DataError, match="images are all alike"):
        tune(crude, data, simulator=SPOTS, **BRIEF)


def test_data_that_no_parameters_make_are_told(crude: Run) -> None:
    images = np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)
    found = tune(crude, Table.of({"image": images}), simulator=SPOTS, **BRIEF)
    assert found.auc[0] > 0.9
    assert "no parameters in this space make such data" in str(found)


def stop_after(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Ask for a stop as soon as the training of this name has begun."""
    play = Stages.play

    def stopped(self: Stages, stage: str, *given: Any) -> Any:
        if stage == name:
            self.stop.set()
        return play(self, stage, *given)

    monkeypatch.setattr(Stages, "play", stopped)


def test_a_stopped_tuning_ends_like_one_that_was_not(crude: Run, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = seen(400)
    whole = tune(crude, data, simulator=SPOTS, out=tmp_path / "whole", **BRIEF)
    for number, name in enumerate(("summary", "emulator-0", "shortcut-0", "member-1")):
        with monkeypatch.context() as patch:
            stop_after(patch, name)
            with pytest.raises(StoppedError, match=rf"of {name}; go on with --resume"):
                tune(crude, data, simulator=SPOTS, out=tmp_path / "parts", resume=number > 0, **BRIEF)
        assert not (tmp_path / "parts" / "tuned.json").exists()
    parts = tune(crude, data, simulator=SPOTS, out=tmp_path / "parts", resume=True, **BRIEF)
    assert parts.to_dict() == whole.to_dict()
    assert str(parts) == str(whole)


def test_a_tuning_stops_while_it_simulates(crude: Run, tmp_path: Path) -> None:
    """And simulates the rest when it goes on."""
    _, data = seen(400)
    chunks: list[int] = []

    def impatient(parameters: Array, seed: int) -> Array:
        chunks.append(len(parameters))
        if len(chunks) == 3:
            signal.raise_signal(signal.SIGINT)
        return spots(parameters, seed)

    brief = {**BRIEF, "simulator": replace(SPOTS, function=impatient, chunk=50), "out": tmp_path / "tuned"}
    with pytest.raises(StoppedError, match=r"stopped at image 150 of 200 of simulations-0; go on with --resume"):
        tune(crude, data, **brief)
    parts = tune(crude, data, **brief, resume=True)
    assert chunks[:4] == [50] * 4
    whole = tune(crude, data, **{**brief, "out": None})
    assert parts.to_dict() == whole.to_dict()


def test_what_was_trained_is_not_prepared_for_again(crude: Run, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a training that is done stay unseen; the answer is the same."""
    _, data = seen(400)
    first = tune(crude, data, simulator=SPOTS, out=tmp_path / "tuned", **BRIEF)
    monkeypatch.setattr(Teaching, "sample", lambda self: pytest.fail("asked for rows"))
    monkeypatch.setattr(Stages, "play", lambda *given: pytest.fail("trained again"))
    again = tune(crude, data, simulator=SPOTS, out=tmp_path / "tuned", resume=True, **BRIEF)
    assert again.to_dict() == first.to_dict()


def test_what_was_simulated_is_read_with_its_parameters(crude: Run, tmp_path: Path) -> None:
    """On another processor the parameters of now differ in the last digit."""
    _, data = seen(400)
    out = tmp_path / "tuned"
    first = tune(crude, data, simulator=SPOTS, out=out, **BRIEF)
    for path in (out / "stages" / "member-0.safetensors", out / "stages" / "tuner-0.safetensors"):
        tensors = {name: tensor * (1 + 1e-6) for name, tensor in load_file(path).items()}
        save_file(tensors, path)
    again = tune(crude, data, simulator=SPOTS, out=out, resume=True, **BRIEF)
    assert again.means["place"][0] == pytest.approx(first.means["place"][0], rel=1e-4)
    assert again.to_dict() != first.to_dict()


def refusals() -> dict[str, tuple[dict[str, Any], type[CalqueError], str]]:
    _, data = seen(400)
    others = Table.of({"image": np.zeros((200, 7), np.float32)})
    holes = Table.of({"image": np.where(np.arange(200) == 3, np.nan, 1.0)[:, None] * np.ones((200, 12))})
    elsewhere = Parametric("other", ("place", "width"), SPOTS.low, SPOTS.high, spots)
    return {
        "another shape": ({"data": others}, DataError, r"holds events of shape \(7,\); the emulator makes \(12,\)"),
        "too few": ({"data": data.rows(slice(0, 20))}, DataError, "has 20 events; a distribution .* takes 100 or more"),
        "no numbers": ({"data": holes}, DataError, r"not finite in 1 of 200 events \(first rows \[3\]\)"),
        "no image": ({"data": Table.of({"picture": np.zeros((200, 12))})}, DataError, "no column 'image'"),
        "other parameters": ({"data": data, "simulator": elsewhere}, ConfigError, "has the parameters place, width"),
        "no game": ({"data": data, "fit": {"kind": "flow"}}, ConfigError, "'flow' plays no game .* these do: gan"),
        "no kind": ({"data": data, "fit": {"kind": "r3gn"}}, ConfigError, r"no kind 'r3gn' .* nearest: r3gan"),
        "no such layers": ({"data": data, "fit": {"model": {"layerz": 2}}}, ConfigError, "no setting .*'layerz'"),
        "no such steps": ({"data": data, "summary": {"stps": 2}}, ConfigError,
                          r"no setting 'stps' that a tuning uses in \[tune.summary\]; nearest: steps"),
        "no such rate": ({"data": data, "refine": {"optimiser": {"rat": 2}}}, ConfigError,
                         r"no setting 'rat' .*\[tune.refine\]"),
        "a setting that nobody uses": ({"data": data, "fit": {"patience": 3}}, ConfigError,
                                       "no setting 'patience' that a tuning uses"),
        "a network of another kind": ({"data": data, "shortcut": {"kind": "gan"}}, ConfigError, "no setting 'kind'"),
        "no setting": ({"data": data, "member": 3}, ConfigError, "no setting 'member' .* nearest: members"),
    }


@pytest.mark.parametrize("name", refusals())
def test_what_cannot_be_asked_is_one_clear_line(crude: Run, name: str, tmp_path: Path) -> None:
    """And takes no folder, so that the mended command does not meet a tuning of other settings."""
    given, error, message = refusals()[name]
    with pytest.raises(error, match=message):
        tune(crude, **{"simulator": SPOTS, "out": tmp_path / "tuned", **BRIEF, **given})
    assert not (tmp_path / "tuned").exists()


def test_what_cannot_be_taught_on_is_told_before(crude: Run, tmp_path: Path) -> None:
    other = replace(crude, config=build({"fit": {"kind": "nsf"}}, "here"))
    with pytest.raises(ConfigError, match=r"kind 'nsf' cannot be taught on; set tune.frozen = true"):
        tune(other, seen(200)[1], simulator=SPOTS, out=tmp_path / "tuned", **BRIEF)
    assert not (tmp_path / "tuned").exists()


def test_a_run_that_is_no_emulator_is_named(tmp_path: Path) -> None:
    """Before the data are looked for."""
    table = Table.of({name: np.random.default_rng(number).normal(size=600) for number, name in enumerate("abc")})
    for context, message in ((["c"], r"\(kind 'nsf'\) is not, draws one image, but the events are a, b; leave"),
                             ([], r"\(kind 'nsf'\) is no emulator with continuous parameters .* prepare.context")):
        run = calque.fit(prepare(table, steps=[], context=context), "nsf", steps=1, batch=64, quiet=True, threads=1)
        with pytest.raises(ConfigError, match=message):
            tune(run, tmp_path / "absent.h5", **BRIEF)


def test_a_folder_is_not_mixed_up(crude: Run, tmp_path: Path) -> None:
    _, data = seen(400)
    brief = {**BRIEF, "simulator": SPOTS, "out": tmp_path / "tuned"}
    tune(crude, data, **brief)
    with pytest.raises(FileError, match="holds a tuning already; go on with --resume"):
        tune(crude, data, **brief)
    with pytest.raises(ConfigError, match=r"was begun with another tune\.members;"):
        tune(crude, data, **{**brief, "members": 3}, resume=True)
    with pytest.raises(ConfigError, match="was begun with another images"):
        tune(crude, data.rows(slice(1, None)), **brief, resume=True)
    with pytest.raises(FileError, match="holds no finished tuning"):
        load_tuned(tmp_path)
    crude.save(tmp_path / "run")
    with pytest.raises(FileError, match="holds a run; choose another folder"):
        tune(crude, data, **{**brief, "out": tmp_path / "run"})


def test_a_frozen_emulator_needs_no_simulator(crude: Run) -> None:
    _, data = seen(400)
    alone = tune(crude, data, **BRIEF)
    asked = tune(crude, data, simulator=SPOTS, frozen=True, **{**BRIEF, "shortcut": {"steps": 0}})
    assert alone.origin == asked.origin == "emulated"
    before = [parameter.clone() for parameter in crude.generator.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, crude.generator.parameters(), strict=True))


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate, fit, simulate the data, tune: a pulse."""
    monkeypatch.chdir(tmp_path)
    Path("pulse.toml").write_text('out = "run"\n[simulate]\nsimulator = "pulse"\nn = 400\nworkers = 0\n[fit]\n'
                                  'kind = "emulator"\nsteps = 3\nbatch = 32\n[fit.model]\ngrain = true\n')
    brief = [f"--set=tune.{name}={value}" for name, value in
             {"plots": "false", "members": 2, "rounds": 1, "simulations": 100, "fit.steps": 3, "summary.steps": 3,
              "refine.steps": 3, "shortcut.steps": 3}.items()]
    assert main(["fit", "pulse.toml", "--quiet"]) == 0
    assert main(["simulate", "pulse", "-n", "150", "--parameters", "truth", "-o", "data.h5", "--quiet"]) == 0
    assert main(["tune", "run", "data.h5", "-o", "tuned", "--quiet", *brief]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("parameter", "t0", "AUC", "truth in the file: compared, not used"))
    assert main(["tune", "run", "data.h5", "-o", "tuned", "--set", "fit.steps=3"]) == 2
    assert "only settings of [tune]" in capsys.readouterr().err
    assert main(["produce", "tuned", "-n", "50", "-o", "draws.npz", "--exact", "--quiet"]) == 0
    assert calque.read("draws.npz").names == ("t0", "w", "a")


def test_the_answer_tells_spread_as_error() -> None:
    """Members that differ by known amounts, and what covers 68 % with two of them."""
    draws = tuple(Table.of({"a": np.array([-1.0, 1.0]) + shift}) for shift in (0.0, 2.0))
    answer = Tuned(("a",), draws, (), 10, (0.5, 0.1), "simulated")
    assert answer.means["a"] == pytest.approx((1.0, 1.8373 * np.sqrt(1.5) * np.sqrt(2)), rel=1e-4)
    assert answer.widths["a"] == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize("members", [2, 5])
def test_a_widened_spread_covers_what_one_error_should(members: int) -> None:
    """However few members, of which the spread is hardly known."""
    drawn = np.random.default_rng(members).standard_normal((100_000, members + 1))
    found, truth = drawn[:, :members], drawn[:, members]
    error = found.std(1, ddof=1) * widening(members)
    assert abs((np.abs(found.mean(1) - truth) < error).mean() - 0.683) < 0.006
