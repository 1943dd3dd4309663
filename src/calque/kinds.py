"""Every kind of generator by its name: which network it is, how it is trained, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calque.errors import ConfigError, unknown


@dataclass(frozen=True)
class Kind:
    """One line of the table: a generator and an objective by their names, and what they are given.

    `model`, `settings` and `optimiser` are defaults of [fit.model], [fit.objective] and [fit.optimiser]; what a user
    sets wins. `density` says whether the generator has one, `passes` how many network passes a draw takes.
    """

    about: str
    paper: str
    generator: str
    objective: str
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    density: bool = False
    passes: str = "1"


KINDS: dict[str, Kind] = {
    "gan": Kind("the 2018 note's generator and critic", "arXiv:1406.2661; Marshall 2018", "dense", "adversarial"),
    "vae": Kind("the 2018 note's autoencoder", "arXiv:1312.6114; Marshall 2018", "autoencoder", "variational"),
    "flow": Kind("rational-quadratic spline flow, autoregressive", "arXiv:1906.04032", "spline-flow", "likelihood",
                 density=True, passes="one per column and transform"),
}


def find_kind(name: str) -> Kind:
    """Find a kind; raises ConfigError that names the nearest."""
    if name not in KINDS:
        raise ConfigError(unknown("kind", name, KINDS, "of generator (fit.kind)"))
    return KINDS[name]
