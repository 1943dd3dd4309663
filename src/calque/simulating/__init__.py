"""Simulators that make training samples, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, cast

from calque.errors import ConfigError, unknown
from calque.table import Table

__all__ = ["SIMULATORS", "Progress", "Simulator", "simulate", "simulator"]

SIMULATORS = {"fixed-target": "fixed_target:FixedTarget", "lines": "shapes:Lines", "circles": "shapes:Circles",
              "pulse": "shapes:Pulse", "light-map": "light:LightMap"}

Progress = Callable[[float], object]


class Simulator(Protocol):
    """What a simulator does: a dataclass of settings that makes events."""

    @property
    def total(self) -> int:
        """What `progress` counts up to."""

    def run(self, progress: Progress | None = None) -> Table:
        """Simulate everything into one Table."""

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate block by block; `progress` hears how much is done."""


def simulator(name: str, **settings: Any) -> Simulator:
    """Set up a simulator of SIMULATORS; raises ConfigError for an unknown name or setting, or one without meaning."""
    if name not in SIMULATORS:
        raise ConfigError(unknown("simulator", name, SIMULATORS))
    module, _, kind = SIMULATORS[name].partition(":")
    # late, so that naming the simulators needs nothing of theirs
    chosen = getattr(importlib.import_module(f"calque.simulating.{module}"), kind)
    known = [field.name for field in fields(chosen)]
    for setting in settings:
        if setting not in known:
            raise ConfigError(unknown("setting", setting, known, f"of the simulator {name!r}"))
    if known[0] not in settings:
        raise ConfigError(f"the simulator {name!r} has to be told how many: {known[0]}")
    return cast(Simulator, chosen(**settings))


def simulate(
    name: str,
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

    chosen = simulator(name, **settings)
    with Sink(out, tree=tree, compression=compression) as sink:
        for block in chosen.stream(progress):
            sink.write(block)
    return sink.rows
