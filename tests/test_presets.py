"""Settings that a kind brings along: its source's, those of the preset "fast", and an older run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from calque.config import Config, build, load_config, to_toml
from calque.errors import ConfigError
from calque.fitting import fit
from calque.fitting.fit import build_objective
from calque.kinds import KINDS
from calque.leaderboard.ranking import cells, heads, ranked
from calque.leaderboard.scores import Score
from calque.models import Style
from calque.preparing import prepare
from calque.run import build_generator
from calque.table import Layout, Table

IMAGE = Layout(("image",), ((8, 8),))
NUMBERS = Layout.flat(["a", "b"])
ADAM = {"name": "adam", "beta2": 0.999}
SHARED = {"label_blur": 0.0, "norm": "batch", "norm_place": "before"}
# what is read in the sources: optimiser, objective, model, batch; tables of docs/models say where
SOURCES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]] = {
    "gan": ({"name": "adam-amsgrad", "rate": 2e-4, "beta1": 0.5}, {}, {}, 100),
    "vae": (
        {"name": "adam", "rate": 1e-3},
        {"reconstruction": 1000},
        {"likelihood": "bernoulli"},
        512,
    ),
    "wgan": ({"name": "rmsprop", "rate": 5e-5}, {"strength": 0.01, "critic_turns": 5}, {}, 64),
    "wgan-gp": (
        {**ADAM, "rate": 1e-4, "beta1": 0.0, "beta2": 0.9},
        {"strength": 10, "critic_turns": 5},
        {},
        64,
    ),
    "sngan": (
        {**ADAM, "rate": 2e-4, "beta1": 0.5},
        {"critic_turns": 1, "norm": "spectral"},
        {},
        64,
    ),
    "dcgan": ({**ADAM, "rate": 2e-4, "beta1": 0.5}, SHARED, {"latent": 100, "norm": "batch"}, 128),
    "progressive-gan": (
        {**ADAM, "rate": 1e-3, "beta1": 0.0, "beta2": 0.99},
        {"strength": 10},
        {},
        16,
    ),
    "stylegan": (
        {**ADAM, "rate": 1e-3, "beta1": 0.0, "beta2": 0.99},
        {"strength": 10, "constraint": "r1"},
        {"mapping": 8, "noise_per": "layer"},
        32,
    ),
    "calogan": ({**ADAM, "rate": 2e-4, "beta1": 0.5}, {}, {}, 256),
}
EVERY = [(name, preset) for name, kind in KINDS.items() for preset in kind.presets]


def config_of(kind: str, **settings: Any) -> Config:
    return build({"fit": {"kind": kind, **settings}}, "a test")


def objective_of(config: Config) -> Any:
    """Ready to train, of numbers or of an image."""
    torch.manual_seed(0)
    layout = IMAGE if KINDS[config.fit.kind].image else NUMBERS
    if config.fit.kind == "two-step":
        layout = Layout(("e", "image"), ((), (8, 8)))
    return build_objective(config, build_generator(config, layout, 1))


@pytest.mark.parametrize("kind", SOURCES)
def test_a_kind_has_the_settings_of_its_source(kind: str) -> None:
    optimiser, objective, model, batch = SOURCES[kind]
    found = config_of(kind).fit
    assert found.optimiser.model_dump() | optimiser == found.optimiser.model_dump()
    assert found.objective | objective == found.objective
    assert found.model | model == found.model
    assert found.batch == batch


def test_the_note_s_networks_are_the_note_s() -> None:
    """256, 512, 1024 nodes, 100 latent numbers, batch norm and dropout in every layer, blurred labels."""
    objective = objective_of(config_of("gan"))
    for network in (objective.generator.body, objective.critic.body):
        assert [part.out_features for part in network if isinstance(part, nn.Linear)] == [
            256,
            512,
            1024,
        ]
        assert len([part for part in network if isinstance(part, nn.BatchNorm1d)]) == 3
        assert len([part for part in network if isinstance(part, nn.Dropout)]) == 3
    assert (objective.generator.latent, objective.label_blur, objective.input_blur) == (
        100,
        0.3,
        0.001,
    )
    assert objective.turns == ("critic", "generator")


def test_the_game_of_algorithm_1_is_played() -> None:
    objective = objective_of(config_of("wgan-gp"))
    assert objective.turns == ("critic",) * 5 + ("generator",)
    assert (objective.strength, objective.constraint.strength) == (10, 10)


def test_dcgan_s_batch_norm_comes_before_the_activation() -> None:
    """In every layer but the generator's last and the critic's first; by choice it comes after."""
    objective = objective_of(config_of("dcgan"))
    generator, critic = objective.generator, objective.critic.eyes[0]
    orders = [
        [type(part) for part in (*generator.start, *generator.body)],
        [type(part) for part in critic.layers],
    ]
    assert orders[0] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.ConvTranspose2d]
    assert orders[1][:2] == [nn.Conv2d, nn.LeakyReLU]
    assert orders[1][2:] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 2
    after = objective_of(
        config_of("dcgan", model={"norm_place": "after"}, objective={"norm_place": "after"})
    )
    assert [type(part) for part in after.critic.eyes[0].layers] == [
        nn.Conv2d,
        nn.LeakyReLU,
        nn.BatchNorm2d,
    ] * 3


def test_every_layer_of_a_styled_generator_has_noise_of_its_own() -> None:
    """In the last resolution the second layer's noise leaves the first layer alone; shared noise does not."""
    for noise_per, parts in (("layer", 2), ("resolution", 1)):
        torch.manual_seed(0)
        generator = Style(IMAGE, 0, base=4, nodes=8, layers=2, noise_per=noise_per)
        for name, weight in generator.named_parameters():
            if name.endswith("grain"):
                nn.init.ones_(weight)
        assert generator.noise == generator.latent + parts * (16 + 64)
        seen: list[torch.Tensor] = []
        generator.first[1].register_forward_hook(
            lambda part, given, made, seen=seen: seen.append(made)
        )
        noise = torch.randn(2, generator.noise)
        other = noise.clone()
        other[:, -64:] += 1.0 + torch.rand(64)
        drawn = [generator.sample(one, torch.zeros(2, 0)) for one in (noise, other)]
        assert not torch.allclose(*drawn)
        assert torch.allclose(*seen) == (noise_per == "layer")


@pytest.mark.parametrize(("kind", "preset"), EVERY)
def test_every_preset_can_be_built_and_saved(kind: str, preset: str, tmp_path: Path) -> None:
    """What a run folder keeps has the same values again, whatever the kind would bring along."""
    config = config_of(kind, preset=preset)
    assert bool(objective_of(config).turns) != KINDS[kind].solved
    (tmp_path / "config.toml").write_text(to_toml(config.model_dump()))
    again = load_config(tmp_path / "config.toml")
    assert again == config
    assert again.fit.preset == preset


@pytest.mark.parametrize(
    "kind", [name for name, kind in KINDS.items() if kind.objective == "adversarial"]
)
def test_every_adversarial_kind_has_a_preset_for_minutes(kind: str) -> None:
    """At ten times the rate of its source or as it was chosen here, and never slower."""
    slow, fast = (
        config_of(kind, preset=preset).fit.optimiser.rate for preset in ("default", "fast")
    )
    assert fast >= slow


def test_the_fast_presets_are_what_the_published_results_were_made_with() -> None:
    fast = config_of("wgan-gp", preset="fast").fit
    assert (fast.objective["strength"], fast.objective["critic_turns"]) == (1.0, 3)
    assert (fast.optimiser.rate, fast.optimiser.beta1, fast.optimiser.beta2) == (2e-3, 0.0, 0.9)
    assert config_of("sngan", preset="fast").fit.objective["critic_turns"] == 2
    assert config_of("vae", preset="fast").fit.model == {}
    assert config_of("stylegan", preset="fast").fit.objective["game"] == "relativistic"


def older(config: Config, path: Path) -> Config:
    """A configuration as it was saved before there were presets and players' optimisers, read again."""
    tables = config.model_dump()
    del tables["fit"]["preset"]
    tables["fit"]["optimiser"] = {
        name: tables["fit"]["optimiser"][name]
        for name in ("name", "rate", "beta1", "beta2", "decay", "schedule")
    }
    path.write_text(to_toml(tables))
    return load_config(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_run_keeps_its_settings(kind: str, tmp_path: Path) -> None:
    """Also where the kind has others by now; it is named "fast" where it has all of that."""
    preset = KINDS[kind].presets[-1]
    config = config_of(kind, preset=preset, objective={}, batch=77)
    again = older(config, tmp_path / "config.toml")
    assert again == config
    changed = config_of(kind, preset=preset, optimiser={"rate": 0.125})
    again = older(changed, tmp_path / "config.toml")
    assert (again.fit.model, again.fit.objective) == (changed.fit.model, changed.fit.objective)
    assert again.fit.optimiser.rate == 0.125


def test_what_a_user_sets_wins() -> None:
    """Also for a player that the kind treats in its own way."""
    plain = config_of("calogan").fit.optimiser
    assert plain.critic is not None
    assert (plain.rate, plain.critic.rate) == (2e-4, 2e-5)
    own = config_of("calogan", optimiser={"rate": 1e-3}).fit.optimiser
    assert own.critic is not None
    assert (own.rate, own.critic.rate) == (1e-3, None)
    both = config_of("wgan-gp", preset="fast", batch=32, objective={"critic_turns": 4}).fit
    assert (both.batch, both.objective["critic_turns"], both.objective["strength"]) == (32, 4, 1.0)


def test_the_note_s_factor_belongs_to_its_cross_entropy() -> None:
    """Another likelihood is a density, which a factor of a thousand would spoil."""
    assert config_of("vae").fit.objective == {"reconstruction": 1000.0}
    assert config_of("vae", model={"likelihood": "gaussian"}).fit.objective == {}
    assert config_of("vae", model={"likelihood": "bernoulli"}).fit.objective == {
        "reconstruction": 1000.0
    }


@pytest.mark.parametrize(
    ("kind", "preset", "message"),
    [
        (
            "wgan-gp",
            "fats",
            r"no preset 'fats' of kind 'wgan-gp' \(fit.preset\); nearest: fast, default",
        ),
        ("flow", "fast", r"no preset 'fast' of kind 'flow' \(fit.preset\); nearest: default"),
    ],
)
def test_a_preset_that_a_kind_does_not_have_is_refused(
    kind: str, preset: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(kind, preset=preset)


def test_python_takes_presets() -> None:
    """By name, and in place of those of a configuration; what was written there counts."""
    table = Table.of({"a": np.random.default_rng(0).normal(size=200)})
    data = prepare(table, steps=["standardise a"], seed=1)
    run = fit(data, "wgan-gp", preset="fast", steps=0, batch=16, quiet=True)
    assert run.config.fit.objective["strength"] == 1.0
    config = build(
        {"fit": {"kind": "wgan-gp", "batch": 16, "steps": 0, "objective": {"base": 32}}}, "a test"
    )
    found = fit(data, config=config, preset="fast", quiet=True).config.fit
    assert (found.preset, found.objective["strength"], found.objective["base"], found.batch) == (
        "fast",
        1.0,
        32,
        16,
    )


def test_a_category_of_another_kind_keeps_the_preset_that_its_kind_has() -> None:
    config = build(
        {
            "fit": {"kind": "wgan-gp", "preset": "fast"},
            "categories": {
                "a": {"fit": {"kind": "sngan"}},
                "b": {"fit": {"kind": "nsf"}},
                "c": {"fit": {"preset": "default"}},
            },
        },
        "a test",
    )
    found = {name: config.category(name).fit for name in "abc"}
    assert {name: one.preset for name, one in found.items()} == {
        "a": "fast",
        "b": "default",
        "c": "default",
    }
    assert found["a"].objective["critic_turns"] == 2
    assert found["c"].objective["critic_turns"] == 5


def test_the_leaderboard_says_which_preset_it_used() -> None:
    scores = [
        Score("x", "wgan-gp", 0, failed="no", preset="fast"),
        Score("y", "flow", 0, failed="no"),
    ]
    place = heads([]).index("preset")
    assert [cells(line, [])[place] for line in ranked(scores, {})] == ["fast", "default"]
