"""The contracts of objectives and of the loop, over the whole catalogue."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STEPS, small_fit
from safetensors.torch import load_file

from calque.config import Config, build
from calque.errors import ConfigError, DataError, DivergedError, FileError
from calque.fitting import OBJECTIVES, StoppedError, fit
from calque.fitting.adversarial import Adversarial
from calque.fitting.batches import Batches
from calque.fitting.fit import build_objective
from calque.fitting.loop import Loop
from calque.fitting.objective import Objective
from calque.fitting.variational import Variational
from calque.kinds import KINDS
from calque.mixture import load
from calque.models import GENERATORS, Autoencoder, DenseGenerator
from calque.models.network import SpectralLinear, widths
from calque.preparing import TRAIN, Data, prepare
from calque.run import Run, build_generator
from calque.simulating import simulator
from calque.table import Layout, Table

CATALOGUE: dict[str, dict[str, Any]] = {
    "the note's gan": {"kind": "gan", "model": {"layers": 1, "output": "tanh"}, "objective": {"layers": 1}},
    "minimax, real labels blurred, flat": {
        "kind": "gan", "model": {"layers": 2, "base": 16, "shape": "flat", "output": "linear", "skip": True},
        "objective": {"game": "minimax", "blur_labels": "real", "layers": 1, "base": 16, "critic_turns": 2}},
    "r1 and r2": {"kind": "gan", "model": {"layers": 1, "base": 16, "norm": "none"},
                  "objective": {"constraint": "r1r2", "norm": "none", "layers": 1, "base": 16}},
    "least squares": {"kind": "lsgan", "model": {"base": 16}, "objective": {"base": 16, "label_blur": 0.1}},
    "wasserstein, clipped": {"kind": "wgan", "model": {"base": 16}, "objective": {"base": 16, "strength": 0.05}},
    "wasserstein, penalised": {"kind": "wgan-gp", "model": {"base": 16}, "objective": {"base": 16, "norm": "layer"}},
    "the note's game, penalised": {"kind": "minimax-gan", "model": {"base": 16},
                                   "objective": {"base": 16, "constraint": "gradient-penalty", "strength": 1.0}},
    "spectral norm": {"kind": "sngan", "model": {"layers": 1, "base": 16, "norm": "spectral"},
                      "objective": {"layers": 1, "base": 16}},
    "relativistic": {"kind": "r3gan", "model": {"base": 16}, "objective": {"base": 16}},
    "adversarial lipschitz": {"kind": "wgan-alp", "model": {"base": 16}, "objective": {"base": 16}},
    "cramer": {"kind": "cramer-gan", "model": {"base": 16}, "objective": {"base": 16}},
    "unrolled": {"kind": "unrolled-gan", "model": {"base": 16}, "objective": {"base": 16, "unroll": 2}},
    "features": {"kind": "feature-gan", "model": {"base": 16}, "objective": {"base": 16}},
    "codes": {"kind": "infogan", "model": {"base": 16}, "objective": {"base": 16}},
    "the note's vae": {"kind": "vae", "model": {"likelihood": "bernoulli"}, "objective": {"reconstruction": 1000.0}},
    "gaussian vae": {"kind": "vae", "model": {"norm": "batch", "dropout": 0.1},
                     "objective": {"reconstruction": 1.0, "beta": 0.5}},
    "beta vae": {"kind": "beta-vae"},
    "infovae": {"kind": "infovae", "model": {"width": 0.2}, "objective": {"alpha": 0.5}},
    "lossy vae": {"kind": "vlae", "model": {"latent": 3}, "objective": {"free": 0.05}},
    "quantised vae": {"kind": "vq-vae", "model": {"slots": 3, "codes": 8, "dropout": 0.1}},
    "delta vae": {"kind": "delta-vae", "model": {"window": 2}},
    "flow": {"kind": "flow", "model": {"hidden": [16]}},
    "masked couplings": {"kind": "flow", "model": {"hidden": [16], "passes": 2}, "objective": {"input_blur": 0.01}},
    "couplings": {"kind": "nsf", "model": {"hidden": [16], "transforms": 3}},
    "two steps": {"kind": "two-step", "model": {"hidden": [16], "numbers_hidden": [16], "transforms": 2}},
    "affine couplings": {"kind": "realnvp", "model": {"hidden": [16], "transforms": 3, "mixing": "lu"}},
    "affine": {"kind": "maf", "model": {"hidden": [16], "transforms": 2, "mixing": "lu"}},
    "inverse": {"kind": "iaf", "model": {"hidden": [16], "transforms": 2, "mixing": "permutation"}},
    "continuous": {"kind": "cnf", "model": {"nodes": 16}},
    "mixture": {"kind": "mixture", "model": {"components": 5}},
    "student": {"kind": "student", "model": {"latent": 5}, "objective": {"pairs": 64}},
    "flow matching": {"kind": "flow-matching", "model": {"nodes": 16, "solver": "rk4", "passes": 32}},
    "flow matching by transport": {"kind": "ot-flow-matching", "model": {"nodes": 16}},
    "mean response": {"kind": "response", "model": {"nodes": 16}},
    "flow matching in one step": {"kind": "flow-matching", "model": {"layers": 1, "solver": "euler", "passes": 1}},
    "emulator": {"kind": "emulator", "model": {"features": 8, "nodes": 16}},
    "grainy emulator": {"kind": "emulator", "model": {"features": 8, "nodes": 16, "grain": True}},
    "convolutional emulator": {"kind": "convolutional-emulator", "model": {"base": 4, "layers": 2}},
    "siamese emulator": {"kind": "siamese-emulator", "model": {"features": 8, "nodes": 16}},
    "least squares against a siamese network alone": {
        "kind": "siamese-emulator", "objective": {"pixel": 0.0, "adversary": 1.0, "game": "least-squares"}},
    "convolutional": {"kind": "dcgan", "model": {"base": 4, "norm": "batch"}, "objective": {"base": 4, "lazy": 1}},
    "convolutional, normalised, constrained": {
        "kind": "dcgan", "model": {"base": 4, "norm": "spectral", "skip": True},
        "objective": {"base": 4, "norm": "spectral", "constraint": "none", "strength": 0.0, "lazy": 1,
                      "constrain": 1.0}},
    "layers": {"kind": "calogan", "model": {"channels": 2}, "objective": {"base": 2, "constrain": 0.5}},
    "growing, half way": {"kind": "progressive-gan", "model": {"base": 4, "layers": 2},
                          "objective": {"base": 4, "layers": 2, "hold": 0, "fade": 2}},
    "styled, half way": {"kind": "stylegan", "model": {"base": 4, "layers": 2},
                         "objective": {"base": 4, "layers": 2, "hold": 0, "fade": 2}},
}


@pytest.fixture(scope="module")
def data(muons: Table) -> Data:
    """The toy sample in good coordinates."""
    return prepare(muons, steps=STEPS, context=["id"], seed=1)


@cache
def images(beside: tuple[str, ...] = ()) -> Data:
    """Circles, every one of them simulated twice; numbers that are learnt beside the image are no context."""
    table = simulator("circles", n=60, repeat=2).run()
    context = [name for name in table.names if name not in ("image", *beside)]
    return prepare(table, steps=[], context=context, judging=0, validation=0)


def objective_of(data: Data, name: str) -> tuple[Objective, Loop]:
    """An entry of the catalogue, ready to play; image kinds have a sample of their own."""
    torch.manual_seed(0)
    config = build({"fit": {"batch": 64, **CATALOGUE[name]}}, "the catalogue")
    if KINDS[config.fit.kind].image:
        data = images(("r", "n") if config.fit.kind == "two-step" else ())
    objective = build_objective(config, build_generator(config, data.preparation.layout, data.context.size))
    batches = Batches(*data.encode(TRAIN), 64, torch.device("cpu"), objective.paired)
    loop = Loop(objective, batches, config.fit, 0)
    if objective.taught:
        teacher = build_generator(config, data.preparation.layout, data.context.size)
        objective.learn_from(teacher, torch.device("cpu"))
    objective.begin(loop.batches.draw)
    return objective, loop


def state(objective: Objective, player: str, own: bool) -> list[torch.Tensor]:
    mine = {id(parameter) for parameter in objective.players[player]}
    return [p.detach().clone() for p in objective.parameters() if (id(p) in mine) == own]


def test_the_catalogue_is_complete() -> None:
    assert {entry["kind"] for entry in CATALOGUE.values()} == set(KINDS)
    assert {kind.generator for kind in KINDS.values()} == set(GENERATORS)
    assert {kind.objective for kind in KINDS.values()} == set(OBJECTIVES)
    for kind in KINDS.values():
        assert GENERATORS[kind.generator].has_density == kind.density


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_player_moves_its_own_parameters_and_no_others(data: Data, name: str) -> None:
    objective, loop = objective_of(data, name)
    objective.train()
    for player in dict.fromkeys(objective.turns):
        own, others = state(objective, player, True), state(objective, player, False)
        loop.turn(player)
        assert all(not torch.equal(a, b) for a, b in zip(own, state(objective, player, True), strict=True)), player
        assert all(torch.equal(a, b) for a, b in zip(others, state(objective, player, False), strict=True)), player
        assert all(p.grad is None and p.requires_grad for p in objective.parameters())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_draw_is_a_pure_function_whatever_the_batch(data: Data, name: str) -> None:
    objective, _ = objective_of(data, name)
    generator = objective.generator.eval()
    noise, context = torch.randn(40, generator.noise), torch.randn(40, generator.context)
    with torch.inference_mode():
        whole = generator.sample(noise, context)
        parts = torch.cat([generator.sample(n, c) for n, c in zip(noise.split(7), context.split(7), strict=True)])
        other = generator.sample(noise, context + 1)
    assert whole.shape == (40, generator.size)
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole, other)


NEAR = ("flow matching by transport", "flow matching in one step")  # few passes only come near to their density
EXACT = [name for name, entry in CATALOGUE.items() if KINDS[entry["kind"]].density and name not in NEAR]


@pytest.mark.parametrize("name", EXACT)
def test_a_density_integrates_to_one_and_matches_its_draws(name: str) -> None:
    """Counts of draws in the squares of a chessboard are those of the density, within their chance."""
    torch.manual_seed(0)
    config = build({"fit": CATALOGUE[name]}, "the catalogue")
    layout = Layout(("a", "b"), ((), (1,))) if KINDS[config.fit.kind].image else Layout.flat(["a", "b"])
    generator = build_generator(config, layout, 0)
    side = torch.linspace(-6.98, 6.98, 350)
    grid = torch.cartesian_prod(side, side)
    with torch.inference_mode():
        density = generator.log_prob(grid, torch.zeros(len(grid), 0)).exp().view(350, 350)
        drawn = generator.sample(torch.randn(100_000, generator.noise), torch.zeros(100_000, 0))
    shares = density.unfold(0, 10, 10).unfold(1, 10, 10).sum((2, 3)).flatten() * 0.04**2
    assert float(shares.sum()) == pytest.approx(1, abs=1e-3)
    places = ((drawn + 7) / 0.4).long().clamp(0, 34)
    counts = torch.bincount(35 * places[:, 0] + places[:, 1], minlength=35 * 35)
    seen = shares > 1e-4
    expected = shares[seen] * len(drawn)
    assert float(((counts[seen] - expected).square() / expected).mean()) == pytest.approx(1, abs=0.3)


def test_widths_are_the_note_s() -> None:
    assert widths(4, 1) == [256, 512, 1024, 2048]
    assert widths(2, 3) == [768, 1536]
    generator = DenseGenerator(Layout.flat(["a"] * 6), layers=3)
    linear = [m.out_features for m in generator.modules() if isinstance(m, torch.nn.Linear)]
    assert linear == [256, 512, 1024, 6]
    assert sum(isinstance(m, torch.nn.BatchNorm1d) for m in generator.modules()) == 3
    assert sum(isinstance(m, torch.nn.Dropout) for m in generator.modules()) == 3


def test_clipped_weights_are_inside_the_clip_after_every_step(data: Data) -> None:
    objective, loop = objective_of(data, "wasserstein, clipped")
    assert isinstance(objective, Adversarial)
    for _ in range(3):
        loop.advance()
        largest = [float(parameter.detach().abs().max()) for parameter in objective.critic.parameters()]
        assert max(largest) == pytest.approx(0.05)
    assert max(float(parameter.detach().abs().max()) for parameter in objective.generator.parameters()) > 0.05


def norms(network: torch.nn.Module) -> dict[str, float]:
    """What acts in every normalised layer, by its singular values."""
    return {name: float(torch.linalg.svdvals(layer.normed().detach())[0])
            for name, layer in network.named_modules() if isinstance(layer, SpectralLinear)}


def test_a_normalised_layer_has_norm_one(data: Data) -> None:
    """In both players, in the middle of a training, and in the averaged weights."""
    objective, loop = objective_of(data, "spectral norm")
    for _ in range(40):
        loop.advance()
    assert norms(objective.train()) == pytest.approx(dict.fromkeys(norms(objective), 1.0), abs=0.1), "on the way"
    assert set(norms(objective)) == {"generator.body.0", "critic.body.0", "critic.head"}
    assert norms(objective.eval()) == pytest.approx(dict.fromkeys(norms(objective), 1.0), abs=1e-3)
    assert norms(loop.averaged()) == pytest.approx({"body.0": 1.0}, abs=1e-3)


def test_a_normalised_generator_comes_back_from_its_folder(data: Data, tmp_path: Path) -> None:
    """In Python and from the file, with the same events."""
    run = fit(data, out=tmp_path / "run", quiet=True, steps=20, batch=64, watch_every=10, **CATALOGUE["spectral norm"])
    again = load(tmp_path / "run")
    for name, column in run.sample(300, seed=4).columns.items():
        assert np.array_equal(column, again.sample(300, seed=4)[name]), name


def test_the_evidence_bound_is_its_formula(data: Data) -> None:
    """KL of a known normal, and the note's weights: factor · dim · cross-entropy + KL."""
    vae = Autoencoder(Layout.flat(["a", "b"]), latent=3, encoder_layers=0, decoder_layers=0, likelihood="bernoulli")
    for parameter in vae.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(vae.encoder[0].bias, 0.5)  # type: ignore[index]
    _, loop = objective_of(data, "the note's vae")
    batch = replace(loop.batches.draw({"latent": 3}), x=torch.full((64, 2), 0.25), context=torch.zeros(64, 0))
    divergence = 3 * 0.5 * (0.5**2 + np.exp(0.5) - 1 - 0.5)
    entropy = np.log(2)  # of logit 0, whatever x is
    loss = Variational(vae, reconstruction=1000, beta=2).loss("generator", batch, 0)
    assert loss.item() == pytest.approx(1000 * 2 * entropy + 2 * divergence, rel=1e-6)


def test_draws_follow_the_weights() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0])
    batches = Batches(torch.arange(3.0)[:, None], torch.zeros(3, 0), weights, 3, torch.device("cpu"))
    batches.size = 100_000
    torch.manual_seed(0)
    shares = torch.bincount(batches.rows(), minlength=3) / batches.size
    torch.testing.assert_close(shares, weights / 4, rtol=0, atol=0.01)


def test_averaged_weights_are_the_running_mean(data: Data) -> None:
    _, loop = objective_of(data, "flow")
    assert loop.average is not None
    loop.average.decay = 0.5
    loop.average.count = 100
    before = [value.clone() for value in loop.average.values]
    loop.advance()
    for old, new, now in zip(before, loop.average.values, loop.average.source, strict=True):
        torch.testing.assert_close(new, (old + now) / 2)


def test_a_plateau_stops_and_the_best_weights_are_kept(muons: Table) -> None:
    run = small_fit(muons, None, steps=2000, patience=2, optimiser={"rate": 0.2}, average=0.0)
    best = max(run.history, key=lambda entry: entry["log_prob"])
    assert run.history[-1]["step"] < 2000
    assert run.provenance["best_step"] == best["step"]


def test_a_fit_learns_and_its_seed_decides(muons: Table) -> None:
    first, second = small_fit(muons, None, steps=60), small_fit(muons, None, steps=60)
    for a, b in zip(first.generator.parameters(), second.generator.parameters(), strict=True):
        assert torch.equal(a, b)
    assert first.history[-1]["log_prob"] > first.history[0]["log_prob"]


PROGRAM = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from conftest import make_muons, small_fit
kind = sys.argv[1]
settings = dict(steps=240, watch_every=80, checkpoint_every=5, average=0.9)
from calque.fitting import fit
from calque.preparing import prepare
from conftest import STEPS
data = prepare(make_muons(), steps=STEPS, context=["id"], seed=1)
models = {{"gan": dict(layers=1, base=32), "vae": {{}}, "flow": dict(transforms=1, hidden=[16])}}
fit(data, kind, out=sys.argv[2], resume=True, quiet=True, batch=32, model=models[kind], **settings)
"""


@pytest.mark.parametrize("kind", ["gan", "flow"])
def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    """SIGKILL at random moments; dropout and batch norm included."""
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", program, kind]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    stream, checkpoint = np.random.default_rng(0), tmp_path / "killed" / "checkpoint" / "state.safetensors"
    for _ in range(3):
        begun, process = time.time(), subprocess.Popen([*command, str(tmp_path / "killed")])
        while not (checkpoint.exists() and checkpoint.stat().st_mtime > begun):
            assert process.poll() is None, "it has to be killed before its end"
            time.sleep(0.005)
        time.sleep(stream.uniform(0, 0.1))
        process.kill()
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    histories = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "killed")]
    assert histories[0] == histories[1]


def test_ctrl_c_saves_and_says_how_to_go_on(muons: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    from calque.fitting import loop as loop_module

    advance = loop_module.Loop.advance

    def interrupted(self: Loop) -> None:
        advance(self)
        if self.step == 12:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop_module.Loop, "advance", interrupted)
    with pytest.raises(StoppedError, match=r"stopped at step 12 of 30; go on with --resume"):
        small_fit(muons, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(FileError, match="holds a run already; go on with --resume"):
        small_fit(muons, tmp_path / "run")
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    config = load_config_of(tmp_path / "run")
    resumed = fit(data, config=config, out=tmp_path / "run", resume=True, quiet=True)
    whole = small_fit(muons, None)
    for a, b in zip(resumed.generator.parameters(), whole.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def load_config_of(folder: Path) -> Config:
    from calque.folder import read_config

    return read_config(folder)


@pytest.mark.parametrize(("settings", "message"), [
    ({"kind": "flw"}, r"no kind 'flw' of generator \(fit.kind\); nearest: flow"),
    ({"model": {"transfroms": 3}}, r"no setting of kind 'flow' \(fit.model\) 'transfroms'.*nearest: transforms"),
    ({"model": {"transforms": "many"}}, "transforms = 'many'"),
    ({"model": {"activation": "sillu"}}, "no activation 'sillu'; nearest: silu"),
    ({"stepz": 3}, "no setting 'stepz' in .*; nearest: steps"),
    ({"optimiser": {"name": "adamm"}}, "fit.optimiser.name = 'adamm'"),
    ({"batch": 10_000}, "1800 training rows are fewer than a batch of 10000; lower fit.batch"),
    ({"device": "tpu"}, "no device 'tpu' here"),
    ({"watch": "kss"}, r"no measure 'kss' to watch \(fit.watch, fit.measures\); nearest: ks"),
    ({"kind": "gan", "model": {}, "watch": "log_prob"}, "kind 'gan' has no density to watch"),
    ({"kind": "gan", "model": {"output": "tanh"}}, r"go from -\S+ to \S+, but .* in \[-1, 1\]; .*'minmax \*"),
    ({"kind": "vae", "model": {"likelihood": "bernoulli"}}, r"in \[0, 1\]; .*fit.model.likelihood = .gaussian."),
    ({"weights": "none"}, "was prepared with weights = 'draw'"),
    ({"kind": "gan", "model": {}, "objective": {"constraint": "r1"}}, "batch norm mixes them"),
    ({"kind": "gan", "model": {}, "objective": {"constraint": "gradient-penalty"}}, "batch norm mixes them"),
    ({"kind": "wgan", "model": {}, "objective": {"label_blur": 0.3}}, "'wasserstein' has no labels to blur; leave"),
    ({"kind": "r3gan", "model": {}, "objective": {"blur_labels": "real"}}, "'relativistic' has no labels to blur"),
    ({"kind": "gan", "model": {}, "objective": {"strength": 2.0}}, "the constraint 'none' has no strength"),
    ({"kind": "wgan", "model": {}, "objective": {"strength": 0.0}}, "strength = 0 leaves nothing of .* 'clip'"),
    ({"kind": "gan", "model": {}, "objective": {"game": "minmax"}}, "no game 'minmax'; nearest: minimax"),
])
def test_a_wrong_setting_is_one_clear_line(data: Data, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        fit(data, quiet=True, **settings)


def test_the_measures_that_were_chosen_are_watched(muons: Table, tmp_path: Path) -> None:
    measures = ["auc", "ks", "js", "sliced_wasserstein", "fpd", "energy", "correlation"]
    run = small_fit(muons, tmp_path / "run", measures=measures, watch="ks", tensorboard=True, average=0.0)
    assert [entry["step"] for entry in run.history] == [10, 20, 30]
    for entry in run.history:
        assert set(measures) | {"chi2", "overlap", "log_prob"} < set(entry)
    best = min(run.history, key=lambda entry: entry["ks"])
    assert run.provenance["best_step"] == best["step"]
    shown = scalars(tmp_path / "run" / "tensorboard")
    assert shown["ks"] == {entry["step"]: pytest.approx(entry["ks"]) for entry in run.history}
    assert shown["log_prob"][30] == pytest.approx(run.history[-1]["log_prob"])


def test_of_perfect_looks_the_latest_is_kept(muons: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AUC as near to one half as its chance, below or above, is no better than another such."""
    told = iter([0.8, 0.47, 0.505, 0.53, 0.495, 0.60])
    monkeypatch.setattr("calque.fitting.watch.Watched.take", lambda *_: {"auc": next(told)})
    run = small_fit(muons, None, steps=60, watch="auc")
    assert run.provenance["best_step"] == 50
    told = iter([0.8, 0.47, 0.505, 0.495, 0.53, 0.60])
    assert small_fit(muons, None, steps=60, watch="auc", patience=3).history[-1]["step"] == 50


def test_a_critic_s_weights_are_a_histogram_on_the_board(muons: Table, tmp_path: Path) -> None:
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    run = fit(data, "wgan", out=tmp_path / "run", quiet=True, steps=4, watch_every=2, batch=32, watch="latest",
              measures=[], tensorboard=True)
    held = board(tmp_path / "run" / "tensorboard").Histograms("weights/all")
    assert [event.step for event in held] == [2, 4]
    for event, entry in zip(held, run.history, strict=True):
        assert event.histogram_value.bucket[-40:] == pytest.approx(entry["weights/shares"])
        assert event.histogram_value.max == pytest.approx(entry["weights/largest"])


def board(folder: Path) -> Any:
    """What TensorBoard itself reads."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    loaded = reader.EventAccumulator(str(folder), size_guidance={"histograms": 0})
    loaded.Reload()
    return loaded


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    loaded = board(folder)
    return {tag: {event.step: event.value for event in loaded.Scalars(tag)} for tag in loaded.Tags()["scalars"]}


def test_what_is_watched_reacts_to_faults(muons: Table) -> None:
    from calque.judging.goals import Goal
    from calque.judging.watching import watched

    names = ("trees", "columns", "sliced", "fpd", "kpd", "energy", "correlation", "coverage", "region")
    train, judge = muons.without_weight().rows(slice(0, 1500)), muons.without_weight().rows(slice(1500, None))
    wrong = train.with_columns({"pz": 1.5 * train["pz"], "px": train["px"] + 0.02 * train["pz"]})
    right, seen = (watched(names, judge, fake, 1500) for fake in (train, wrong))
    assert right.keys() == seen.keys() >= {"auc", "chi2", "overlap", "ks", "column_chi2", "tail_high", "recall"}
    for name in seen.keys() - {"tail_low"}:
        assert Goal.of(name).goodness(seen[name]) < Goal.of(name).goodness(right[name]), name


def test_a_training_that_diverges_says_so_and_keeps_what_was_good(muons: Table, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the generator's loss is .* at step \d+; .* lower fit.optimiser.rate"):
        small_fit(muons, tmp_path / "run", optimiser={"rate": 1e30}, average=0.0, checkpoint_every=1)
    kept = load_file(tmp_path / "run" / "checkpoint" / "state.safetensors")
    assert kept["sums/generator"].isfinite()


def test_a_run_folder_rebuilds_the_run(flow_run: Run) -> None:
    assert flow_run.folder is not None
    again = load(flow_run.folder)
    assert isinstance(again, Run)
    for name, column in flow_run.sample(500, seed=4).columns.items():
        assert np.array_equal(column, again.sample(500, seed=4)[name]), name
    assert not list(flow_run.folder.rglob("*.part")), "nothing half written stays"
