"""What a kind of generator brings along to [fit], and what of [fit] a category takes over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calque.config.sections import FitConfig
from calque.errors import ConfigError, unknown
from calque.kinds import DEFAULT, FAST, KINDS

OF_STEPS = ("batch", "optimiser", "average", "clip", "precision")  # settings without a meaning where none is taken
OF_KINDS = ("preset", "batch")  # settings that differ from kind to kind, though they are no tables
KIND = FitConfig().kind
# what the [fit] of an older run folder always has, and has for all steps: it was complete when it was saved
SAVED = {"model", "objective", "optimiser", "average", "watch_rows", "checkpoint_every", "threads"}
SAVED_OPTIMISER = {"name", "rate", "beta1", "beta2", "decay", "schedule"}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, the second's values winning.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def with_presets(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put in what a kind of generator brings along; what the user sets wins."""
    fit = raw.get("fit", {})
    return {**raw, "fit": complete(fit)} if isinstance(fit, Mapping) else raw


def complete(fit: Mapping[str, Any]) -> dict[str, Any]:
    """A [fit] table with its kind's presets; a teacher's has its own, and sees and uses what its student does."""
    completed = merge(presets(fit), fit)
    if isinstance(fit.get("teacher"), Mapping):
        common = {key: fit[key] for key in ("weights", "device", "threads") if key in fit}
        completed["teacher"] = complete({**common, **fit["teacher"]})
    return completed


def presets(fit: Mapping[str, Any]) -> dict[str, Any]:
    """What kind and preset bring along to a [fit] table as it was written; nothing for a kind that does not exist.

    Raises ConfigError for a preset that the kind does not have.
    """
    kind = fit.get("kind", KIND)
    found = KINDS.get(kind) if isinstance(kind, str) else None
    if found is None:
        return {}
    if is_saved(fit):
        return {"preset": FAST if is_within(found.fast, fit) else DEFAULT}
    preset = fit.get("preset", DEFAULT)
    if isinstance(preset, str) and preset not in found.presets:
        raise ConfigError(unknown("preset", preset, found.presets, f"of kind {kind!r} (fit.preset)"))
    brought = found.tables(preset)
    model = get_table(fit, "model")
    if any(model.get(name, value) != value for name, value in found.need.items()):
        brought["objective"] = {}
    brought["optimiser"] = drop_claimed(brought.get("optimiser", {}), get_table(fit, "optimiser"))
    return brought


def get_table(fit: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table in [fit]; empty where there is none, or something else."""
    found = fit.get(name)
    return found if isinstance(found, Mapping) else {}


def drop_claimed(optimiser: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A kind's optimiser whose tables of single players leave out what a user sets for all of them."""
    found = dict(optimiser)
    for player, own in optimiser.items():
        if isinstance(own, Mapping):
            found[player] = {key: value for key, value in own.items() if key not in given}
    return found


def is_saved(fit: Mapping[str, Any]) -> bool:
    """Whether a [fit] table comes from a run folder that was saved before there were presets."""
    return "preset" not in fit and fit.keys() >= SAVED and get_table(fit, "optimiser").keys() >= SAVED_OPTIMISER


def is_within(tables: Mapping[str, Any] | None, fit: Mapping[str, Any]) -> bool:
    """Whether a [fit] table has all that a preset brings along."""
    return tables is not None and merge(fit, tables) == dict(fit)


def solved(kind: Any) -> bool:
    """Whether a kind takes no steps; a kind that does not exist is not solved either."""
    return isinstance(kind, str) and kind in KINDS and KINDS[kind].solved


def preset_names(kind: Any) -> tuple[str, ...]:
    """Presets of a kind; none for a kind that does not exist."""
    return KINDS[kind].presets if isinstance(kind, str) and kind in KINDS else ()


def check_used(fit: FitConfig) -> None:
    """Raise ConfigError for settings of steps, where the kind takes none."""
    ours = FitConfig()
    given = [f"fit.{name}" for name in OF_STEPS if getattr(fit, name) != getattr(ours, name)]
    if given and solved(fit.kind):
        raise ConfigError(f"{', '.join(given)} would be ignored: kind {fit.kind!r} is solved at once, not trained step "
                          f"by step; leave {'it' if len(given) == 1 else 'them'} out")


def for_category(fit: Mapping[str, Any], own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The common [fit] table, as it was written, as a category's own table finds it: with a teacher of its own.

    A category of another kind keeps the common preset where its kind has it.
    """
    kind = fit.get("kind", KIND)
    changed = own.get("kind", kind) != kind
    found = {**fit, "teacher": None} if changed else dict(fit)
    if changed and found.get("preset", DEFAULT) not in preset_names(own["kind"]):
        found.pop("preset", None)
    if changed and solved(own["kind"]):
        found = {key: value for key, value in found.items() if key not in OF_STEPS}
    teacher = found.get("teacher")
    if isinstance(teacher, str):
        found["teacher"] = str(Path(teacher) / name)
    elif teacher:
        theirs = own.get("teacher", {})
        found["teacher"] = for_category(teacher, theirs if isinstance(theirs, Mapping) else {}, name)
    return found
