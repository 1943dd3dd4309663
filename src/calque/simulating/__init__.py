"""Simulators that make training samples, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from calque.errors import ConfigError, unknown
from calque.simulating.simulator import Progress, Simulator

__all__ = ["PARAMETRIC", "SIMULATORS", "Progress", "Simulator", "find", "simulate", "simulator"]

EVENTS = {"fixed-target": "fixed_target:FixedTarget", "light-map": "light:LightMap"}
PARAMETRIC = {"lines": "shapes:Lines", "circles": "shapes:Circles", "pulse": "shapes:Pulse", "light-map": "light:Light"}
SIMULATORS = {**PARAMETRIC, **EVENTS}


def find(name: str, known: Mapping[str, str] = SIMULATORS) -> Any:
    """The class of a simulator that ships; raises ConfigError that names the nearest."""
    if name not in known:
        raise ConfigError(unknown("simulator", name, known))
    module, _, kind = known[name].partition(":")
    # late, so that naming the simulators needs nothing of theirs
    return getattr(importlib.import_module(f"calque.simulating.{module}"), kind)


SAMPLING = ("n", "seed", "parameters", "repeat")
OPENING = ("space", "workers", "chunk", "folder")


def simulator(name: str, **settings: Any) -> Simulator:
    """Set up a simulator of SIMULATORS, or a function `module:function`; raises ConfigError for what has no meaning.

    Those with parameters take n, seed, parameters ("prior", "truth" or a file), repeat, space, workers, chunk, folder,
    and settings of their own. The light map is one if it is asked for one of these, else it has the images' errors
    too.
    """
    asked = ({*SAMPLING, *OPENING} - {"n", "seed"}) & set(settings)
    if ":" in name or (name in PARAMETRIC and (asked or name not in EVENTS)):
        return of_images(name, settings)
    chosen = find(name)
    known = [one.name for one in fields(chosen)]
    for setting in settings:
        if setting not in known:
            raise ConfigError(unknown("setting", setting, known, f"of the simulator {name!r}"))
    check_told(name, known[0], settings)
    return cast(Simulator, chosen(**settings))


def of_images(name: str, settings: Mapping[str, Any]) -> Simulator:
    """Images of a simulator with parameters; settings that are not about sampling are its own."""
    from calque.simulating.opening import parametric
    from calque.simulating.sample import Sample

    sampling, opening = ({key: settings[key] for key in keys if key in settings} for keys in (SAMPLING, OPENING))
    own = {key: value for key, value in settings.items() if key not in sampling and key not in opening}
    opened = parametric(name, own, **opening)
    return Sample(opened, **sampling)


def check_told(name: str, how_many: str, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError where the number of events is not said."""
    if how_many not in settings:
        raise ConfigError(f"the simulator {name!r} has to be told how many: {how_many}")


def simulate(
    name: str | Simulator,
    out: str | Path,
    *,
    tree: str = "muons",
    compression: str = "zstd-19",
    progress: Progress | None = None,
    **settings: Any,
) -> int:
    """Simulate into a file, block by block; returns the rows written.

    Raises what `simulator` does, FileError where `out` cannot be written (before anything is simulated) and
    MissingExtraError where the simulator's library is not installed.
    """
    # late: only writing needs the file formats
    from calque.reading import Sink

    chosen = name if isinstance(name, Simulator) else simulator(name, **settings)
    with Sink(out, tree=tree, compression=compression) as sink:
        for block in chosen.stream(progress):
            sink.write(block)
    return sink.rows
