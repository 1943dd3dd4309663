"""Two players: optimisers, schedules and turns of each; growth, spread within a batch, clipping."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gallery import image, loop_of, objective_of
from torch import Tensor

from calque.config import OptimiserConfig, PlayerConfig, build
from calque.errors import ConfigError
from calque.fitting import StoppedError, fit
from calque.fitting.adversarial import Adversarial
from calque.fitting.batches import Batches
from calque.fitting.fit import build_objective
from calque.fitting.loop import Loop
from calque.fitting.optimisers import player_settings, scheduled_rate
from calque.preparing import Data, prepare
from calque.run import build_generator
from calque.table import Layout, Table

TINY: dict[str, Any] = {"layers": 1, "base": 8, "shape": "flat", "norm": "none", "dropout": 0.0}


def data_of(rows: int = 300) -> Data:
    """Two normal columns."""
    stream = np.random.default_rng(0)
    table = Table.of({"a": stream.normal(size=rows), "b": stream.normal(size=rows)})
    return prepare(table, steps=["standardise a b"], seed=1)


def loop_with(optimiser: dict[str, Any], steps: int = 10, **objective: Any) -> Loop:
    """A small game of two columns."""
    torch.manual_seed(0)
    config = build(
        {
            "fit": {
                "kind": "gan",
                "steps": steps,
                "batch": 16,
                "model": {**TINY, "latent": 3},
                "objective": {**TINY, **objective},
                "optimiser": {"name": "adam", "beta1": 0.9, **optimiser},
            }
        },
        "here",
    )
    made = build_objective(config, build_generator(config, Layout.flat(["a", "b"]), 0))
    assert isinstance(made, Adversarial)
    rows = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    batches = Batches(rows, torch.zeros(64, 0), torch.ones(64), 16, torch.device("cpu"))
    return Loop(made.train(), batches, config.fit, 0)


def weights_of(loop: Loop, player: str) -> Tensor:
    """All weights of a player, as they are now."""
    return torch.cat([weight.detach().flatten().clone() for weight in loop.players[player]])


@pytest.mark.parametrize("name", ["adam", "adam-amsgrad", "rmsprop", "sgd"])
def test_each_player_moves_at_its_own_rate(name: str) -> None:
    """Adam's first move is the rate itself, RMSprop's ten times that, SGD's that times the slope."""
    loop = loop_with({"rate": 1e-2, "critic": {"name": name, "rate": 1e-4}})
    before = {player: weights_of(loop, player) for player in loop.players}
    slopes = []
    step = loop.optimisers["critic"].step

    def watched(*given: Any) -> Any:
        slopes.append(
            torch.cat(
                [
                    weight.grad.flatten()
                    for weight in loop.players["critic"]
                    if weight.grad is not None
                ]
            )
        )
        return step(*given)

    loop.optimisers["critic"].step = watched  # type: ignore[method-assign]
    loop.advance()
    moved = {player: (weights_of(loop, player) - before[player]).abs() for player in loop.players}
    expected = {"rmsprop": 1e-3, "sgd": 1e-4 * float(slopes[0].abs().max())}.get(name, 1e-4)
    assert float(moved["critic"].max()) == pytest.approx(expected, rel=1e-2)
    assert float(moved["generator"].max()) == pytest.approx(1e-2, rel=1e-2)


def test_what_a_player_does_not_set_is_everybody_s() -> None:
    common = OptimiserConfig(
        name="rmsprop",
        rate=0.5,
        momentum=0.3,
        schedule="cosine",
        critic=PlayerConfig(rate=0.1, schedule="constant"),
    )
    own = player_settings(common, ["critic", "generator"], "gan")
    assert own["critic"] == OptimiserConfig(name="rmsprop", rate=0.1, momentum=0.3)
    assert own["generator"] == common.model_copy(update={"critic": None})


def test_tables_that_repeat_what_everybody_has_change_nothing() -> None:
    """To the bit: weights after some steps, with and without tables of single players."""
    plain, repeated = (
        loop_with({"rate": 1e-2}),
        loop_with(
            {
                "rate": 1e-2,
                "critic": {"rate": 1e-2},
                "generator": {"name": "adam", "schedule": "constant"},
            }
        ),
    )
    for loop in (plain, repeated):
        for _ in range(4):
            loop.advance()
    for player in plain.players:
        assert torch.equal(weights_of(plain, player), weights_of(repeated, player))


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        (
            {"schedule": "cosine", "last": 0.2},
            [1, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5)), 0.2],
        ),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25, 0]),
        ({"schedule": "linear", "last": 0.5}, [1, 0.875, 0.75, 0.625, 0.5]),
        ({"schedule": "exponential"}, [1, 0.01**0.25, 0.1, 0.01**0.75, 0.01]),
        ({"schedule": "step", "last": 0.001}, [1, 0.1, 0.01, 0.001, 0.001]),
        ({"schedule": "step", "drops": 1, "last": 0.1}, [1, 1, 0.1, 0.1, 0.1]),
    ],
)
def test_schedules_are_their_formulas(settings: dict[str, Any], shares: list[float]) -> None:
    config = OptimiserConfig(rate=0.3, **settings)
    found = [scheduled_rate(config, quarter / 4) for quarter in range(5)]
    assert found == pytest.approx([0.3 * share for share in shares])


def test_each_player_follows_its_own_schedule() -> None:
    """At every step of ten, as the optimiser has it."""
    loop = loop_with(
        {"rate": 1e-2, "critic": {"schedule": "linear"}, "generator": {"schedule": "exponential"}}
    )
    for step in range(10):
        loop.advance()
        rates = {
            name: optimiser.param_groups[0]["lr"] for name, optimiser in loop.optimisers.items()
        }
        assert rates == pytest.approx(
            {"critic": 1e-2 * (1 - step / 10), "generator": 1e-2 * 0.01 ** (step / 10)}
        )


def test_a_generator_may_take_several_turns() -> None:
    loop = loop_with({}, critic_turns=2, generator_turns=3)
    assert loop.objective.turns == ("critic", "critic", "generator", "generator", "generator")
    loop.advance()
    loop.advance()
    assert loop.moves == {"critic": 4, "generator": 6}
    counts = {
        name: int(next(iter(optimiser.state.values()))["step"])
        for name, optimiser in loop.optimisers.items()
    }
    assert counts == loop.moves


def test_the_critic_moves_alone_in_the_first_steps() -> None:
    loop = loop_with({}, critic_first=3, critic_turns=2)
    still, critic = weights_of(loop, "generator"), weights_of(loop, "critic")
    for _ in range(3):
        loop.advance()
    assert torch.equal(weights_of(loop, "generator"), still)
    assert not torch.equal(weights_of(loop, "critic"), critic)
    assert set(loop.losses()) == {"critic"}
    loop.advance()
    assert not torch.equal(weights_of(loop, "generator"), still)
    assert set(loop.losses()) == {"critic", "generator"}


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stop a training after so many steps, as Ctrl-C does."""
    advance = Loop.advance

    def interrupted(self: Loop) -> None:
        advance(self)
        if self.step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Loop, "advance", interrupted)


OWN: dict[str, Any] = {
    "rate": 1e-2,
    "critic": {"name": "rmsprop", "momentum": 0.5, "schedule": "step"},
    "generator": {"name": "sgd", "momentum": 0.9, "schedule": "exponential", "last": 0.1},
}


@pytest.mark.parametrize("first", [0, 6])
def test_a_resumed_training_keeps_every_player_s_state(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights and mean losses, to the bit; also where the critic was still alone."""
    settings: dict[str, Any] = {
        "quiet": True,
        "steps": 12,
        "batch": 16,
        "watch": "latest",
        "measures": [],
        "watch_every": 4,
        "model": {**TINY, "latent": 3},
        "objective": {**TINY, "generator_turns": 2, "critic_first": first},
        "optimiser": OWN,
    }
    whole = fit(data_of(), "gan", **settings)
    interrupt_at(monkeypatch, 5)
    with pytest.raises(StoppedError):
        fit(data_of(), "gan", out=tmp_path / "run", **settings)
    monkeypatch.undo()
    resumed = fit(data_of(), "gan", out=tmp_path / "run", resume=True, **settings)
    for (name, one), other in zip(
        whole.generator.state_dict().items(), resumed.generator.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    assert whole.history == resumed.history


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (
            {"critik": {"rate": 1e-3}},
            r"no setting 'critik' in \[fit.optimiser\].*; nearest: critic",
        ),
        (
            {"critic": {"rat": 1e-3}},
            r"no setting 'rat' in \[fit.optimiser.critic\].*; nearest: rate",
        ),
        ({"critic": {"rate": 0}}, "fit.optimiser.critic.rate = 0"),
        ({"beta1": 1.0}, "fit.optimiser.beta1 = 1.0"),
        (
            {"prior": {"rate": 1e-3}},
            r"no player 'prior' of kind 'gan' \(fit.optimiser.prior\); nearest: ",
        ),
        (
            {"momentum": 0.5},
            "fit.optimiser.momentum = 0.5 would be ignored: name = 'adam', and it belongs to 'rmsprop'",
        ),
        (
            {"critic": {"drops": 2}},
            "fit.optimiser.critic.drops = 2 would be ignored: schedule = 'constant', and it",
        ),
        (
            {"schedule": "exponential", "last": 0.0},
            "last = 0: the schedule 'exponential' .* never reaches zero; take",
        ),
    ],
)
def test_what_no_optimiser_would_use_is_refused(optimiser: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        loop_with(optimiser)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator_turns": 0}, "each player takes one turn or more"),
        ({"critic_first": -1}, "no steps or more before"),
        (
            {"critic_first": 10},
            "critic_first = 10 of fit.steps = 10 leaves the generator none; take 9 or less",
        ),
    ],
)
def test_turns_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loop_with({}, **settings)


@pytest.mark.parametrize("steps", [0, 1, 7, 100])
@pytest.mark.parametrize("kind", ["progressive-gan", "stylegan"])
def test_a_growing_network_has_grown_when_its_training_ends(kind: str, steps: int) -> None:
    """The schedule is fitted in, and half of the steps are left for the whole network."""
    objective = objective_of(kind, image(16, 16))
    objective.growth.is_planned = True
    objective.plan(steps)
    grown = next(step for step in range(steps + 1) if not objective.is_growing(step))
    assert grown <= (steps + 1) // 2
    objective.growth.follow(steps)
    assert objective.growth.resolutions is not None
    assert objective.growth.resolutions.reached() == (2, 1.0)


def test_a_schedule_that_does_not_fit_is_refused_with_its_numbers() -> None:
    objective = objective_of("progressive-gan", image(16, 16), hold=30, fade=20)
    objective.plan(100)
    with pytest.raises(
        ConfigError,
        match=r"hold = 30 and fade = 20 takes 100 steps, and fit.steps = 99; "
        r".*let them add up to 49 or less",
    ):
        objective.plan(99)


def test_patience_does_not_count_while_networks_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a measure that never improves: two looks at the whole network, and no earlier weights."""
    from calque.fitting import watch

    counter = iter(range(100))
    monkeypatch.setattr(watch.Watch, "compare", lambda *given: {"auc": 0.5 + 0.01 * next(counter)})
    stream = np.random.default_rng(0)
    table = Table.of({"image": stream.normal(size=(400, 8, 8)).astype("f4")})
    run = fit(
        prepare(table, steps=[], seed=1, validation=0.3),
        "progressive-gan",
        quiet=True,
        steps=40,
        batch=16,
        watch_every=1,
        patience=2,
        model={"base": 4, "layers": 2},
        objective={"base": 4, "hold": 6, "fade": 4},
    )
    assert run.provenance["best_step"] == 9, "the first look at the whole network"
    assert run.provenance["steps"] == 11, "and two that are no better"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6, 16, 18, 31])
@pytest.mark.parametrize("kind", ["progressive-gan", "calogan"])
def test_no_spread_mixes_real_and_generated_events(kind: str, rows: int) -> None:
    """Other generated events leave the scores of real ones alone, and the other way round."""
    objective = objective_of(kind, image(4, 4))
    judge, context = objective.critic.eval(), torch.zeros(2 * rows, 1)
    real, fake, other = torch.rand(3, rows, 16, generator=torch.Generator().manual_seed(0))
    plain = judge(torch.cat([real, fake]), context, rows)[0]
    changed = judge(torch.cat([real, 3 * other]), context, rows)[0]
    torch.testing.assert_close(plain[:rows], changed[:rows], rtol=1e-5, atol=1e-6)
    changed = judge(torch.cat([3 * other, fake]), context, rows)[0]
    torch.testing.assert_close(plain[rows:], changed[rows:], rtol=1e-5, atol=1e-6)
    if rows > 1:
        alone = judge(real[:1].repeat(2, 1), context[:2], 2)[0]
        assert not torch.allclose(plain[:1], alone[:1], atol=1e-6), "the spread is told"


@pytest.mark.parametrize("game", ["relativistic", "cramer"])
def test_a_loss_does_not_mix_them_either(game: str) -> None:
    """The penalty on real events alone is the same whatever is generated."""
    for rows in (6, 16):
        objective = objective_of(
            "progressive-gan",
            image(4, 4),
            game=game,
            constraint="r1",
            strength=1.0,
            lazy=1,
            input_blur=0.0,
        )
        batch = loop_of(objective, rows).batches.draw(objective.noise("critic"))
        found = []
        for fake in (torch.zeros(2 * rows, 16), torch.rand(2 * rows, 16)):
            seen = objective.look(
                objective.critic, batch.x, fake[: rows * objective.game.draws], batch.context
            )
            found.append(seen.real.detach())
        torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("critic", ["dense", "convolutional", "layers", "growing"])
def test_clipping_holds_the_weights_that_act(critic: str) -> None:
    """Of every layer, also where what is learnt is scaled; and some do reach the limit."""
    objective = objective_of(
        "progressive-gan",
        image(6, 6),
        critic=critic,
        constraint="clip",
        strength=0.02,
        lazy=1,
        hold=0,
        fade=0,
    )
    loop = loop_of(objective)
    loop.advance()
    acting = torch.cat([weight.flatten().abs() for weight in acting_weights(objective.critic)])
    assert float(acting.max()) <= 0.02 * (1 + 1e-5)
    assert float((acting > 0.0199).float().mean()) > 0.05
    share = float((acting > 0.02 * (1 - 1e-5)).float().mean())
    assert loop.diagnostics()["clip/share"] == pytest.approx(share, abs=0.01)


def acting_weights(network: torch.nn.Module) -> list[Tensor]:
    """Weights and biases as the layers use them."""
    return [
        getattr(part, name).detach()
        for part in network.modules()
        for name in ("weight", "bias")
        if isinstance(getattr(part, name, None), Tensor)
    ]


def test_clipping_under_a_spectral_norm_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"'clip' would be undone: spectral norm divides .*norm = \"none\", or"
    ):
        loop_with({}, norm="spectral", constraint="clip")
