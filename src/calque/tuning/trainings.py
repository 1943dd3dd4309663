"""Settings of a tuning's trainings, and what of them cannot be."""

from __future__ import annotations

from typing import Any

from calque.config import Config, TuneConfig, merge
from calque.config import build as build_config
from calque.errors import ConfigError, unknown
from calque.fitting.fit import build_objective
from calque.kinds import KINDS, find_kind
from calque.models import Generator
from calque.run import Run, build_generator
from calque.table import Layout

SOFT = {"beta2": 0.99, "schedule": "cosine"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "fit": {"kind": "r3gan", "preset": "fast", "steps": 3000, "batch": 256, "average": 0.999,
            "optimiser": {"schedule": "cosine"}},
    "summary": {"kind": "emulator", "steps": 3000, "batch": 128, "average": 0.998, "optimiser": {"rate": 2e-3, **SOFT}},
    "refine": {"kind": "emulator", "steps": 600, "batch": 128, "average": 0.998, "optimiser": {"rate": 1e-3, **SOFT}},
    "shortcut": {"kind": "emulator", "steps": 3000, "batch": 256, "average": 0.998,
                 "optimiser": {"rate": 3e-3, **SOFT}},
}
# a critic of images takes longer steps than one of summaries: fewer, smaller batches
IMAGE_CRITIC: dict[str, Any] = {
    "steps": 1500,
    "batch": 128,
    "objective": {"critic": "convolutional", "layers": 3, "base": 8, "shape": "pyramid", "lazy": 4},
}
USED = ("steps", "batch", "average", "clip", "precision", "optimiser")
OF_PLAYERS = ("kind", "preset", "model", "objective")  # the other trainings have theirs


def settings(config: TuneConfig, table: str) -> Config:
    """The [fit] settings of a training; raises ConfigError for what does not exist, or would be ignored."""
    given, known = getattr(config, table), [*USED, *(OF_PLAYERS if table == "fit" else ())]
    for key in given:
        if key not in known:
            raise ConfigError(unknown("setting", key, known, f"that a tuning uses in [tune.{table}]"))
    base = {**DEFAULTS[table], "watch": "latest"}
    if table == "fit" and config.critic == "images":
        base = merge(base, IMAGE_CRITIC)
    wanted = merge(base, given)
    kind = wanted["kind"]
    if "preset" not in given and kind in KINDS and wanted.get("preset") not in KINDS[kind].presets:
        wanted.pop("preset", None)  # only kinds that have it learn with the faster settings
    return build_config({"fit": wanted}, f"[tune.{table}]")


def check_settings(config: TuneConfig, run: Run, frozen: bool) -> None:
    """Raise ConfigError for what cannot be trained with the emulator `run`, before anything is trained."""
    for table in DEFAULTS:
        settings(config, table)
    wanted = settings(config, "fit")
    if not plays(wanted.fit.kind):
        kinds = ", ".join(filter(plays, KINDS))
        raise ConfigError(f"tune.fit.kind = {wanted.fit.kind!r} plays no game against the data; these do: {kinds}")
    build_generator(wanted, Layout.flat(run.context.names), 0)
    build_objective(wanted, shown_to_critic(config, run))
    emulator = run.config.fit.kind
    if not frozen and find_kind(emulator).objective != "emulation":
        raise ConfigError(f"an emulator of kind {emulator!r} cannot be taught on; set tune.frozen = true to take "
                          "it as it is, or fit one of kind 'emulator'")


def shown_to_critic(config: TuneConfig, run: Run) -> Generator:
    """A stand-in without weights or noise, of the layout that the critic of a tuning sees."""
    layout = run.preparation.layout
    if config.critic == "summaries":
        layout = Layout.flat(run.context.names)
    generator = Generator(layout)
    generator.noise = 0
    return generator


def plays(kind: str) -> bool:
    """Whether a kind plays a game of numbers, as parameters are."""
    found = find_kind(kind)
    return found.objective == "adversarial" and not found.image
