"""Hadron–nucleon collisions of any energy by Pythia 8 (C. Bierlich et al., SciPost Phys. Codebases 8 (2022))."""

from __future__ import annotations

from typing import Any

import numpy as np

from calque.errors import CalqueError
from calque.extras import need
from calque.simulating.decays import RESONANCES
from calque.simulating.particles import CARRIED, Integers, Particles

PURPOSE = "calque simulate fixed-target"
SEEDS = 900_000_000
TRIES = 10

# Pythia ships this table of multiparton interactions; without it, starting takes half a minute instead of 0.3 s.
TABLE = "include = setups/InitDefaultMPI.cmnd"


def start(settings: list[str], seed: int) -> Any:
    """Start a quiet Pythia with a seed of any size; raises CalqueError where it refuses to."""
    pythia = need("pythia8mc", PURPOSE).Pythia("", False)
    own = ["Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed % (SEEDS - 1) + 1}"]
    stay = [f"{kind}:mayDecay = off" for kind in (*sorted(CARRIED), 111)]
    refused = [line for line in own + stay + settings if not pythia.readString(line) and line != TABLE]
    if refused or not pythia.init():
        raise CalqueError(f"Pythia does not start{f': it does not know {refused[0]!r}' if refused else ''}; "
                          "install the version of calque's constraints: pip install 'calque[simulate]'")
    return pythia


class Collider:
    """Collide hadrons with nucleons at rest; keep what is above an energy `least` [GeV].

    Kept are the hadrons to carry on and the light mesons that can decay to muon pairs. All soft inelastic processes,
    projectile and energy new in each collision.
    """

    def __init__(self, momentum: float, least: float, seed: int) -> None:
        self.least = least
        self.pythia = start([
            "SoftQCD:inelastic = on", "Beams:frameType = 3", f"Beams:pzA = {momentum}", "Beams:pzB = 0",
            "Beams:allowVariableEnergy = on", "Beams:allowIDAswitch = on", TABLE,
        ], seed)

    def collide(self, hadrons: Particles, nucleons: Integers) -> Particles:
        """Collide each hadron (N) with a nucleon (N,) of code 2212 or 2112; products start where the hadron is."""
        found: list[tuple[int, int, float, float, float, float]] = []
        pairs = zip(hadrons.id.tolist(), nucleons.tolist(), hadrons.momentum[:, :3].tolist(), strict=True)
        for row, (kind, nucleon, momentum) in enumerate(pairs):
            if self._next(kind, nucleon, momentum):
                found.extend(self._products(row))
        table = np.array(found, dtype=np.float64).reshape(-1, 6)
        parent = table[:, 0].astype(np.int64)
        return Particles(table[:, 1].astype(np.int64), table[:, 2:], hadrons.vertex[parent], hadrons.weight[parent])

    def _next(self, kind: int, nucleon: int, momentum: list[float]) -> bool:
        pythia = self.pythia
        ready = pythia.setBeamIDs(kind, nucleon) and pythia.setKinematics(*momentum, 0.0, 0.0, 0.0)
        return bool(ready) and any(pythia.next() for _ in range(TRIES))

    def _products(self, row: int) -> list[tuple[int, int, float, float, float, float]]:
        least, kept = self.least, []
        for particle in self.pythia.event:
            energy = particle.e()
            if energy > least:
                code = particle.id()
                kind = abs(code)
                if kind in RESONANCES or (kind in CARRIED and particle.isFinal()):
                    kept.append((row, code, particle.px(), particle.py(), particle.pz(), energy))
        return kept
