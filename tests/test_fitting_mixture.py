"""The mixture of Gaussians: against scikit-learn, weights against repeated rows, densities, conditions, resume."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STEPS
from torch import Tensor

from calque.config import OF_STEPS, build
from calque.errors import ConfigError
from calque.fitting import OBJECTIVES, fit
from calque.fitting.expectation import Expectation
from calque.judging.watching import watched
from calque.kinds import KINDS
from calque.mixture import load
from calque.models import DenseGenerator, GaussianMixture
from calque.preparing import prepare
from calque.run import Run
from calque.table import Layout, Table


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three bent clouds x (N, 2) whose place follows a number c (N, 1)."""
    stream = np.random.default_rng(seed)
    c, cloud = stream.normal(size=count), stream.integers(0, 3, count)
    x = np.stack([3 * cloud + c + 0.5 * stream.normal(size=count), np.abs(c) + 0.3 * stream.normal(size=count)], 1)
    return torch.from_numpy(x), torch.from_numpy(c[:, None])


def solved(x: Tensor, context: Tensor, weights: Tensor, components: int = 4, **settings: Any) -> GaussianMixture:
    """A mixture in double precision, fitted."""
    mixture = GaussianMixture(Layout.flat(["a", "b"]), context.shape[1], components=components).double()
    torch.manual_seed(0)
    Expectation(mixture, **settings).solve(x, context, weights)
    return mixture


def densities(mixture: GaussianMixture, x: Tensor, context: Tensor) -> Tensor:
    with torch.inference_mode():
        return mixture.log_prob(x, context)


def test_without_weights_it_is_scikit_learn_s() -> None:
    """The same likelihood after each number of iterations, from the same beginning."""
    reference = pytest.importorskip("sklearn.mixture").GaussianMixture
    x, _ = rows(2000)
    none, ones = torch.zeros(len(x), 0, dtype=torch.float64), torch.ones(len(x), dtype=torch.float64)
    torch.manual_seed(1)
    objective = Expectation(GaussianMixture(Layout.flat(["a", "b"]), components=4))
    mixture = objective.started((x, none, ones))
    covariance = mixture.width @ mixture.width.transpose(1, 2)
    start = {"weights_init": mixture.log_shares.exp(), "means_init": mixture.mean,
             "precisions_init": torch.linalg.inv(covariance)}
    start = {name: value.detach().numpy() / (value.sum().item() if "weights" in name else 1)
             for name, value in start.items()}
    for iterations in (1, 10, 50):
        ours = copy.deepcopy(mixture)
        with torch.no_grad():
            for _ in range(iterations):
                objective.improve(ours, (x, none, ones))
        with pytest.warns(match="did not converge"):
            theirs = reference(4, max_iter=iterations, tol=0, **start).fit(x.numpy())
        np.testing.assert_allclose(densities(ours, x, none).numpy(), theirs.score_samples(x.numpy()), rtol=1e-7)


def test_weights_are_repeated_rows() -> None:
    x, context = rows(400)
    times = torch.from_numpy(np.random.default_rng(1).integers(0, 5, len(x)))
    weighted = solved(x, context, times.double())
    repeated = solved(x.repeat_interleave(times, 0), context.repeat_interleave(times, 0), torch.ones(int(times.sum())))
    for (name, one), other in zip(weighted.state_dict().items(), repeated.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6, msg=name)
    assert (weighted.mean - solved(x, context, torch.ones(len(x))).mean).abs().max() > 0.01, "weights do something"


def test_each_iteration_is_likelier() -> None:
    x, context = rows(1000)
    objective = Expectation(GaussianMixture(Layout.flat(["a", "b"]), 1, components=5))
    given = x, context, torch.rand(len(x), dtype=torch.float64)
    mixture = objective.started(given)
    with torch.no_grad():
        scores = [objective.improve(mixture, given) for _ in range(60)]
    assert min(np.diff(scores)) > -1e-6, "but for the floor of the variances"
    assert scores[-1] > scores[0] + 0.05


def test_the_conditional_density_is_the_joint_s_quotient() -> None:
    """p(x | c) = p(x, c) / ∫ p(x, c) dx, with the joint fitted as events without context."""
    x, context = rows(1500)
    ones, mixture = torch.ones(len(x)), solved(*rows(1500), torch.ones(1500), starts=1)
    joint = GaussianMixture(Layout.flat(["c", "a", "b"]), components=4).double()
    torch.manual_seed(0)
    Expectation(joint, starts=1).solve(torch.cat([context, x], 1), context[:, :0], ones)
    side = torch.linspace(-9, 15, 700, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    cell = float(side[1] - side[0]) ** 2
    for value in (-1.5, 0.0, 0.7):
        given = torch.full((len(grid), 1), value, dtype=torch.float64)
        density = densities(mixture, grid, given).exp()
        together = densities(joint, torch.cat([given, grid], 1), given[:, :0]).exp()
        assert float(density.sum()) * cell == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(density, together / (together.sum() * cell), rtol=1e-4, atol=1e-6)


def test_draws_follow_the_conditional_density() -> None:
    x, context = rows(3000)
    mixture = solved(x, context, torch.ones(len(x)))
    noise = torch.randn(100_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = torch.full((len(noise), 1), 1.2, dtype=torch.float64)
    with torch.inference_mode():
        drawn = mixture.sample(noise, given)
    side = torch.linspace(-6, 13, 400, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    share = torch.softmax(densities(mixture, grid, given[:1].expand(len(grid), 1)), 0)
    mean = (share[:, None] * grid).sum(0)
    covariance = (share[:, None] * (grid - mean)).T @ (grid - mean)
    error = (covariance.diagonal() / len(drawn)).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 4 * error).all()
    torch.testing.assert_close(torch.cov(drawn.T), covariance, rtol=0.03, atol=0.01)


def test_categories_have_their_own_shares() -> None:
    """With one component a level, each level gets its own normal, as if it were fitted alone."""
    stream = torch.Generator().manual_seed(0)
    level = torch.randint(0, 3, (6000,), generator=stream)
    spread, place = torch.tensor([0.1, 0.5, 1.0]), torch.tensor([0.0, 5.0, 12.0])
    x = (place[level, None] + spread[level, None] * torch.randn(6000, 2, generator=stream)).double()
    context = torch.nn.functional.one_hot(level, 3).double()
    mixture = solved(x, context, torch.ones(6000), components=3)
    assert mixture.hot.all()
    for number in range(3):
        own = x[level == number]
        normal = torch.distributions.MultivariateNormal(own.mean(0), torch.cov(own.T, correction=0))
        given = context[level == number]
        torch.testing.assert_close(densities(mixture, own, given), normal.log_prob(own), rtol=1e-3, atol=1e-3)


def table(count: int, seed: int) -> Table:
    """A ring of eight spots whose radius follows a number, and whose sense follows a charge."""
    stream = np.random.default_rng(seed)
    angle = 2 * math.pi / 8 * stream.integers(0, 8, count)
    energy, charge = stream.normal(size=count), stream.choice([-1, 1], count)
    radius = 4 + 0.5 * energy * charge
    return Table.of({"x": radius * np.cos(angle) + 0.2 * stream.normal(size=count),
                     "y": radius * np.sin(angle) + 0.2 * stream.normal(size=count),
                     "energy": energy, "charge": charge.astype("i4")})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Fitted with both conditions, in a folder."""
    torch.set_num_threads(1)
    data = prepare(table(9000, 0), context=["energy", "charge"], steps=["standardise *"])
    return fit(data, "mixture", out=tmp_path_factory.mktemp("runs") / "mixture", model={"components": 24}, quiet=True)


def test_it_learns_a_ring_with_conditions(run: Run) -> None:
    judged = table(4000, 1)
    auc = watched(("auc",), judged, run.imitate(judged, seed=3), 4000, 0)["auc"]
    assert auc < 0.53
    for charge in (-1, 1):
        drawn = run.sample(5000, context={"energy": 1.5, "charge": charge})
        assert np.hypot(drawn["x"], drawn["y"]).mean() == pytest.approx(4 + 0.75 * charge, abs=0.05)


def test_a_solved_fit_takes_one_step_and_one_look(run: Run) -> None:
    (entry,) = run.history
    assert entry["step"] == 1
    assert run.provenance["best_step"] == run.provenance["steps"] == 1
    assert entry["log_prob"] > 0.3


def test_a_solved_fit_goes_on_from_its_checkpoint(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the checkpoint, it is not solved again; killed before it, it gives the same."""
    data = prepare(table(9000, 0), context=["energy", "charge"], steps=["standardise *"])
    settings: dict[str, Any] = {"model": {"components": 24}, "quiet": True}
    with monkeypatch.context() as patched:
        patched.setattr(Run, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(data, "mixture", out=tmp_path, **settings)
    monkeypatch.setattr(Expectation, "solve", killed)
    again = fit(data, "mixture", out=tmp_path, resume=True, **settings)
    for one, other in zip(run.generator.state_dict().values(), again.generator.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert [entry["log_prob"] for entry in again.history] == [entry["log_prob"] for entry in run.history]
    assert np.array_equal(load(tmp_path).sample(50, seed=1)["x"], run.sample(50, seed=1)["x"])


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_weights_of_events_are_used(muons: Table) -> None:
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    flat = prepare(muons, steps=STEPS, context=["id"], seed=1, weights="none")
    settings: dict[str, Any] = {"model": {"components": 4}, "quiet": True}
    one, other = fit(data, "mixture", **settings), fit(flat, "mixture", **settings)
    assert not torch.allclose(one.generator.mean, other.generator.mean, atol=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("settings", "message"), [
    ({"batch": 100}, "^fit.batch would be ignored: kind 'mixture' is solved at once, .* by step; leave it out$"),
    ({"optimiser": {"rate": 0.1}, "average": 0.9}, "^fit.optimiser, fit.average would be ignored: .* leave them out$"),
    ({"clip": 1.0}, "fit.clip would be ignored"),
    ({"precision": "bf16"}, "fit.precision would be ignored"),
])
def test_settings_of_steps_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = prepare(table(900, 0), context=["energy", "charge"], steps=["standardise *"])
    with pytest.raises(ConfigError, match=message):
        fit(data, "mixture", out=tmp_path / "run", quiet=True, **settings)
    with pytest.raises(ConfigError, match=message):
        fit(data, "student", teacher={"kind": "mixture", **settings}, steps=1, quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_few_rows_are_enough() -> None:
    """There is no batch that they would have to fill."""
    run = fit(prepare(table(60, 0), steps=["standardise x y energy"]), "mixture", model={"components": 1}, quiet=True)
    assert np.isfinite(run.sample(10)["x"]).all()


def test_a_common_table_may_steer_the_others() -> None:
    """What a solved category has no use for is left out of the common settings, and refused among its own."""
    common = {"batch": 64, "average": 0.9, "steps": 7, "optimiser": {"rate": 0.1}}
    categories = {"a": {"fit": {"kind": "mixture"}}, "b": {}}
    config = build({"fit": {"kind": "nsf", **common}, "categories": categories}, "here")
    assert (config.category("a").fit.batch, config.category("b").fit.batch) == (512, 64)
    alone = build({"fit": {"kind": "mixture"}}, "here").fit
    assert all(getattr(config.category("a").fit, name) == getattr(alone, name) for name in OF_STEPS)


def test_a_kind_named_in_python_brings_its_own_settings_along() -> None:
    """Those of a configuration's kind stay behind; what was written in it counts, where it means something."""
    config = build({"fit": {"kind": "wgan-gp", "steps": 7, "batch": 16}}, "here")
    data = prepare(table(60, 0), steps=["standardise x y energy"])
    assert fit(data, "mixture", config=config, quiet=True).config.fit.objective == {}
    other = fit(data, "lsgan", config=config, steps=0, quiet=True).config.fit
    alone = build({"fit": {"kind": "lsgan"}}, "here").fit
    assert (other.model, other.objective, other.batch) == (alone.model, alone.objective, 16)


def test_the_table_of_kinds_knows_which_are_solved() -> None:
    for kind in KINDS.values():
        turns = OBJECTIVES[kind.objective].turns
        assert kind.solved == (isinstance(turns, tuple) and not turns)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: GaussianMixture(Layout.flat(["a"]), components=0), "components = 0 makes no mixture"),
    (lambda: GaussianMixture(Layout(("a",), ((40_500,),)), components=1),
     "a Gaussian of 40500 numbers needs 6.56 GB for its covariance"),
    (lambda: Expectation(GaussianMixture(Layout.flat(["a"])), starts=0), "starts = 0 and floor = 1e-06 fit no mixture"),
    (lambda: Expectation(DenseGenerator(Layout.flat(["a"]))), "fits a mixture, not a DenseGenerator"),
])
def test_a_wrong_setting_is_one_clear_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
