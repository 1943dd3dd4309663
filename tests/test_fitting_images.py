"""Games of images: growth, constrainers, every choice with every network, known truth, refusals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gallery import SHOWER, batch_of, image, loop_of, objective_of

from calque.errors import ConfigError, DataError
from calque.fitting import StoppedError, fit
from calque.fitting.adversarial import Adversarial
from calque.fitting.constrainer import Constrainer
from calque.fitting.constraints import CONSTRAINTS
from calque.fitting.games import GAMES
from calque.fitting.loop import Loop
from calque.fitting.objective import Batch
from calque.kinds import KINDS
from calque.models.images import Resolutions
from calque.preparing import Data, prepare
from calque.table import Layout, Table

IMAGES = [name for name, kind in KINDS.items() if kind.image and kind.objective == "adversarial"]


@pytest.mark.parametrize(("hold", "fade", "reached"), [
    (2, 2, [0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2]), (0, 4, [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2, 2]),
    (3, 0, [0, 0, 0, 1, 1, 1, 2, 2]), (0, 0, [2, 2])])
def test_all_networks_grow_with_the_steps(hold: int | None, fade: int | None, reached: list[float]) -> None:
    """Generator, critic, and the real images that both see, at every step; also while a training is looked at."""
    objective = objective_of("progressive-gan", image(16, 16), hold=hold, fade=fade)
    loop = loop_of(objective)
    for step, grown in enumerate(reached):
        assert loop.step == step
        parts = [part for part in objective.modules() if isinstance(part, Resolutions)]
        assert len(parts) == 2
        for part in parts:
            level, share = part.reached()
            assert level - 1 + share == pytest.approx(grown, abs=1e-4)
        loop.diagnostics()
        loop.advance()
    assert loop.average is not None
    assert torch.equal(loop.averaged().resolutions.grown, objective.generator.resolutions.grown)


def test_resumed_in_the_middle_of_a_fade_it_ends_with_the_same_bits(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = spots(200, 0)
    settings: dict[str, Any] = {
        "quiet": True, "steps": 12, "batch": 16, "watch": "latest", "measures": [], "watch_every": 4,
        "model": {"base": 4, "latent": 4}, "objective": {"base": 4, "hold": 2, "fade": 4}}
    advance = Loop.advance

    def interrupted(self: Loop) -> None:
        advance(self)
        if self.step == 5:
            signal.raise_signal(signal.SIGINT)

    for kind in ("progressive-gan", "stylegan"):
        whole = fit(data, kind, **settings)
        monkeypatch.setattr(Loop, "advance", interrupted)
        with pytest.raises(StoppedError):
            fit(data, kind, out=tmp_path / kind, **settings)
        monkeypatch.undo()
        resumed = fit(data, kind, out=tmp_path / kind, resume=True, **settings)
        for (name, a), b in zip(whole.generator.state_dict().items(), resumed.generator.state_dict().values(),
                                strict=True):
            assert torch.equal(a, b), name


CHOICES = [*({"game": game} for game in GAMES), *({"constraint": name} for name in CONSTRAINTS),
           {"unroll": 1, "constraint": "none"}, {"feature_matching": True}, {"constrain": 1.0}]


@pytest.mark.parametrize("settings", CHOICES, ids=str)
@pytest.mark.parametrize("kind", IMAGES)
def test_any_game_and_constraint_plays_with_any_network(kind: str, settings: dict[str, Any]) -> None:
    """All of a player moves, and nothing of another's."""
    quiet = {"strength": None, "lazy": 1, "label_blur": None}
    grown = {"layers": 2, "hold": 0, "fade": 2} if KINDS[kind].settings["critic"] == "growing" else {}
    model = {"layers": 2} if grown else {}
    objective = objective_of(kind, image(6, 6), model=model, **{**quiet, **grown, **settings})
    loop = loop_of(objective)
    for player in dict.fromkeys(objective.turns):
        before = {name: value.detach().clone() for name, value in objective.named_parameters()}
        loop.turn(player)
        own = {id(parameter) for parameter in objective.players[player]}
        for name, parameter in objective.named_parameters():
            assert torch.equal(before[name], parameter) != (id(parameter) in own), f"{name} in the {player}'s turn"
            assert parameter.isfinite().all()
    assert all(np.isfinite(value).all() for value in objective.diagnose(batch_of(objective, "critic")).values())


def constrained(**settings: Any) -> tuple[Adversarial, Batch]:
    objective = objective_of("dcgan", image(4, 4), context=2, model={"norm": "none"}, constrain=3.0, **settings)
    return objective, batch_of(objective, "generator")


def test_a_constrainer_teaches_the_generator_and_learns_from_real_events() -> None:
    """Its term reaches the generator and no weight of its own; its own loss is of real events alone."""
    objective, batch = constrained()
    assert objective.turns == ("critic", "constrainer", "generator")
    assert objective.constrainer is not None
    fake = objective.generated(batch)
    errors = objective.constrainer.errors(fake, batch.context).mean(0)
    real = objective.constrainer.errors(batch.x, batch.context).mean(0)
    term = objective.constrainer.mismatch(batch, fake)
    torch.testing.assert_close(term, (errors - real).abs().mean())
    whole, plain = objective.loss("generator", batch, 0), objective.generator_loss(objective.critic, batch, fake)
    torch.testing.assert_close(whole, plain + 3 * term)
    slopes = torch.autograd.grad(term, list(objective.generator.parameters()), allow_unused=True)
    assert all(slope is not None and (slope != 0).any() for slope in slopes)
    loop = loop_of(objective)
    loop.turn("generator")
    assert all(parameter.grad is None for parameter in objective.constrainer.parameters())
    own = objective.constrainer.loss(batch)
    torch.testing.assert_close(own, real.mean())
    reached = torch.autograd.grad(own, list(objective.generator.parameters()), allow_unused=True)
    assert all(slope is None for slope in reached)


def test_a_constrainer_asks_for_no_more_than_the_real_events_tell() -> None:
    """Events that follow their context as real ones do cost nothing; those of other contexts do."""
    torch.manual_seed(0)
    constrainer = Constrainer(image(4, 4), 1)
    context = torch.randn(64, 1)
    x = context + 0.1 * torch.randn(64, 16)
    optimiser = torch.optim.Adam(constrainer.parameters(), 1e-2)
    batch = Batch(x, context, {})
    for _ in range(100):
        optimiser.zero_grad()
        constrainer.loss(batch).backward()
        optimiser.step()
    again = context + 0.1 * torch.randn(64, 16)
    close, other = (float(constrainer.mismatch(batch, fake).detach()) for fake in (again, again.roll(1, 0)))
    assert close < 0.05 < 0.5 < other
    assert float(constrainer.mismatch(batch, x).detach()) == 0


def spots(rows: int, seed: int, *shapes: tuple[int, int]) -> Data:
    """Images with one bright spot at the middle, as bright as the context says, and a number as large as they are."""
    stream = np.random.default_rng(seed)
    energy = stream.uniform(1, 3, rows).astype("f4")
    columns: dict[str, Any] = {"energy": energy}
    for place, shape in enumerate(shapes or [(8, 8)]):
        y, x = (np.arange(length) - (length - 1) / 2 for length in shape)
        share = stream.uniform(0.7, 1.3, rows)
        spot = np.exp(-(y[:, None] ** 2 + x**2) / 4)
        columns[f"layer_{place}"] = ((energy * share)[:, None, None] * spot).astype("f4")
    if len(shapes) > 1:
        columns["e"] = (columns["layer_0"].sum((1, 2)) / 10).astype("f4")
    return prepare(Table.of(columns), steps=[], context=["energy"], judging=0.1, validation=0, seed=1)


KNOWN: dict[str, tuple[int, dict[str, Any]]] = {
    "dcgan": (300, {"model": {"base": 8}, "objective": {"base": 8}}),
    "calogan": (200, {"model": {"channels": 4, "nodes": 32}, "objective": {"base": 4}}),
    "progressive-gan": (250, {"objective": {"hold": 30, "fade": 30}}),
    "stylegan": (250, {"model": {"nodes": 32}, "objective": {"hold": 30, "fade": 30}}),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_a_spot_is_learnt_with_its_context(kind: str) -> None:
    """Its mean image, and how bright it is where more energy is asked for, two and a third times as bright."""
    steps, settings = KNOWN[kind]
    shapes = [(8, 8), (3, 6)] if kind == "calogan" else [(8, 8)]
    data = spots(2000, 0, *shapes)
    run = fit(data, kind, preset="fast", steps=steps, batch=32, quiet=True, watch="latest", measures=[],
              watch_every=steps, average=0.98, **settings)
    means = {}
    for energy in (1.2, 2.8):
        drawn = run.sample(500, context={"energy": energy})
        for place, shape in enumerate(shapes):
            y, x = (np.arange(length) - (length - 1) / 2 for length in shape)
            truth = energy * np.exp(-(y[:, None] ** 2 + x**2) / 4)
            found = drawn[f"layer_{place}"]
            means[energy, place] = found.sum((1, 2)).mean() / truth.sum()
            assert np.abs(found.mean(0) - truth).mean() < 0.25 * truth.mean()
    assert all(0.75 < ratio < 1.3 for ratio in means.values()), means


def test_a_lazy_penalty_is_as_strong_on_average() -> None:
    objective = objective_of("dcgan", image(4, 4), lazy=4, constraint="r1", strength=1e4)
    batch = batch_of(objective, "critic")
    losses = [float(objective.loss("critic", batch, step).detach()) for step in range(5)]
    objective.lazy, every = 1, float(objective_of("dcgan", image(4, 4), lazy=1, constraint="r1", strength=1e4).loss(
        "critic", batch, 0).detach())
    assert losses[1] == losses[2] == losses[3]
    assert losses[0] == losses[4] > losses[1]
    assert (losses[0] - losses[1]) / 4 == pytest.approx(every - losses[1], rel=1e-4)


def refusals() -> Iterator[tuple[str, Layout, dict[str, Any], str]]:
    """A kind, a layout, settings and what is said."""
    mixed, numbers = Layout(("a", "b"), ((4, 4), (3, 4))), Layout.flat(["x", "y"])
    for kind in ("dcgan", "progressive-gan", "stylegan"):
        yield kind, mixed, {}, r"takes images of one shape, but the events are a \(4, 4\), b \(3, 4\); .*'calogan'"
        yield kind, SHOWER, {}, r"takes images of one shape, but .*layer_0 \(3, 10\), e \(\).*prepare.context"
        yield kind, numbers, {}, r"images of one to three axes, but the events are x \(\), y \(\); take a kind"
    yield "calogan", numbers, {}, "images of one to three axes"
    yield "calogan", Layout(("a", "b"), ((4, 4), (3,))), {}, "draws images of as many axes each"
    yield "calogan", image(2, 2, 2, 2), {}, "images of one to three axes"
    yield "dcgan", image(4, 4), {"critic": "convolutionall"}, "no critic 'convolutionall'; nearest: convolutional"
    yield "dcgan", image(4, 4), {"hold": 3}, "hold = 3 would be ignored: the generator does not grow"
    yield "progressive-gan", image(16, 16), {"layers": 2}, "grows through 3 resolutions, the critic through 2; set"
    yield "progressive-gan", image(16, 16), {"fade": -1}, "numbers of steps are zero or more"
    yield "stylegan", image(8, 8), {"norm": "layer"}, "a growing critic has equalised layers"
    yield "stylegan", image(8, 8), {"momentum": 0.5}, "momentum = 0.5 would be ignored"
    yield "dcgan", image(4, 4), {"lazy": 0}, "a penalty is taken every so many steps, 1 or more"
    yield "dcgan", image(4, 4), {"constraint": "none", "strength": None, "lazy": 2}, "lazy = 2 would be ignored"


@pytest.mark.parametrize(("kind", "layout", "settings", "message"), list(refusals()))
def test_what_a_network_cannot_take_is_refused(kind: str, layout: Layout, settings: dict[str, Any],
                                               message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        objective_of(kind, layout, **settings)
    assert "\n" not in str(refused.value)


def test_constraining_without_a_context_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"constrain = 1.0 would be ignored: events without a context have none"):
        objective_of("dcgan", image(4, 4), context=0, constrain=1.0)


@pytest.mark.parametrize(("kind", "settings", "message"), [
    ("dcgan", {"constrain": 1.0}, "squared errors have no lower bound"),
    ("progressive-gan", {}, "told the spread of events of both signs; .*critic = \"convolutional\"")])
def test_signed_weights_are_unsound_where_events_are_told_together(kind: str, settings: dict[str, Any],
                                                                   message: str) -> None:
    objective = objective_of(kind, image(4, 4), **settings)
    weights = torch.ones(16)
    weights[:3] = -1
    batch = batch_of(objective, "critic")
    assert not objective.signed
    with pytest.raises(DataError, match=message):
        objective.loss("critic", Batch(batch.x, batch.context, batch.noise, weights), 0)
    assert objective_of(kind, image(4, 4), critic="convolutional").signed
