"""What a kind of generator brings along to [fit], and what of [fit] a category takes over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calque.config.sections import FitConfig
from calque.errors import ConfigError
from calque.kinds import KINDS

OF_STEPS = ("batch", "optimiser", "average", "clip", "precision")  # settings without a meaning where none is taken
KIND = FitConfig().kind


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
    completed = merge(presets(fit.get("kind", KIND)), fit)
    if isinstance(fit.get("teacher"), Mapping):
        common = {key: fit[key] for key in ("weights", "device", "threads") if key in fit}
        completed["teacher"] = complete({**common, **fit["teacher"]})
    return completed


def presets(kind: Any) -> dict[str, Mapping[str, Any]]:
    """What a kind of generator brings along, as tables of [fit]; nothing for a kind that does not exist."""
    found = KINDS.get(kind) if isinstance(kind, str) else None
    return {"model": found.model, "objective": found.settings, "optimiser": found.optimiser} if found else {}


def solved(kind: Any) -> bool:
    """Whether a kind takes no steps; a kind that does not exist is not solved either."""
    return isinstance(kind, str) and kind in KINDS and KINDS[kind].solved


def check_used(fit: FitConfig) -> None:
    """Raise ConfigError for settings of steps, where the kind takes none."""
    ours = FitConfig()
    given = [f"fit.{name}" for name in OF_STEPS if getattr(fit, name) != getattr(ours, name)]
    if given and solved(fit.kind):
        raise ConfigError(f"{', '.join(given)} would be ignored: kind {fit.kind!r} is solved at once, not trained step "
                          f"by step; leave {'it' if len(given) == 1 else 'them'} out")


def for_category(fit: Mapping[str, Any], own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The common [fit] table, as it was written, as a category's own table finds it: with a teacher of its own."""
    kind = fit.get("kind", KIND)
    changed = own.get("kind", kind) != kind
    found = {**fit, "teacher": None} if changed else dict(fit)
    if changed and solved(own["kind"]):
        found = {key: value for key, value in found.items() if key not in OF_STEPS}
    teacher = found.get("teacher")
    if isinstance(teacher, str):
        found["teacher"] = str(Path(teacher) / name)
    elif teacher:
        theirs = own.get("teacher", {})
        found["teacher"] = for_category(teacher, theirs if isinstance(theirs, Mapping) else {}, name)
    return found
