"""The simulator that a command names: by its name, or in a TOML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calque.config.config import load_config, parse_setting
from calque.errors import ConfigError
from calque.recipes import find_recipe


def named_simulator(
    name: str, given: Mapping[str, Any], space: Sequence[str] = (), own: Sequence[str] = ()
) -> tuple[str, dict[str, Any]]:
    """The name of a simulator and its settings: those of a TOML file's [simulate], and on top what is given.

    >>> named_simulator("lines", {"n": 5, "pot": None}, ["m=0:2"], ["hard=true"])
    ('lines', {'n': 5, 'space': {'m': (0.0, 2.0)}, 'hard': True})
    """
    settings: dict[str, Any] = {}
    if name.endswith(".toml"):
        name, settings = of_file(name)
    if given.get("parameters") not in (None, "prior", "truth"):
        settings.pop("n", None)  # a file of parameters has its own number of rows
    settings |= {key: value for key, value in given.items() if value is not None}
    if space:
        settings["space"] = {**settings.get("space", {}), **dict(parse_range(text) for text in space)}
    for text in own:
        settings |= parse_setting(text)
    return name, settings


def of_file(path: str) -> tuple[str, dict[str, Any]]:
    """What the [simulate] of a TOML file, or of a shipped recipe, says; its seed too."""
    config = load_config(find_recipe(path))
    if config.simulate is None:
        raise ConfigError(f"{path} has no section [simulate]; it names a simulator and its space")
    wanted = config.simulate.model_dump()
    return wanted.pop("simulator"), {**wanted.pop("settings"), **wanted, "seed": config.seed}


def parse_range(text: str) -> tuple[str, tuple[float, float]]:
    """Read one `NAME=LOW:HIGH`."""
    name, _, limits = text.partition("=")
    low, _, high = limits.partition(":")
    try:
        return name.strip(), (float(low), float(high))
    except ValueError:
        raise ConfigError(f"--space takes NAME=LOW:HIGH, as in m=0:2.5; it was given {text!r}") from None
