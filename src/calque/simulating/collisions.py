"""Hadron–nucleon collisions of any energy by Pythia 8 (C. Bierlich et al., SciPost Phys. Codebases 8 (2022))."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calque.errors import CalqueError
from calque.extras import need
from calque.simulating.decays import RESONANCES
from calque.simulating.particles import CARRIED, Particles

PURPOSE = "calque simulate fixed-target"
SEEDS = 900_000_000
TRIES = 10

# Pythia's own table of multiparton interactions (8.317 on): without it, starting takes half a minute, not a second.
TABLE = "setups/InitDefaultMPI.cmnd"

Product = tuple[int, int, float, float, float, float]


def start(settings: list[str], seed: int) -> Any:
    """Start a quiet Pythia with a seed of any size; raises CalqueError where it refuses to."""
    pythia = need("pythia8mc", PURPOSE).Pythia("", False)
    own = ["Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed % (SEEDS - 1) + 1}"]
    stay = [f"{kind}:mayDecay = off" for kind in (*sorted(CARRIED), 111)]
    refused = [line for line in own + stay + settings if not pythia.readString(line)]
    if refused or not pythia.init():
        raise CalqueError(f"Pythia does not start{f': it does not know {refused[0]!r}' if refused else ''}; "
                          "install the version of calque's constraints: pip install 'calque[simulate]'")
    return pythia


def table() -> list[str]:
    """Setting that reads Pythia's table of multiparton interactions, where it has one."""
    root = Path(need("pythia8mc", PURPOSE).Pythia("", False).word("xmlPath")).parent
    return [f"include = {TABLE}"] if (root / TABLE).is_file() else []


class Collider:
    """Collide hadrons with nucleons at rest; keep what is above an energy `least` [GeV].

    Kept are the hadrons to carry on and the light mesons that can decay to muon pairs. All soft inelastic processes,
    projectile and energy new in each collision.
    """

    def __init__(self, momentum: float, least: float, seed: int) -> None:
        self.least = least
        self.pythia = start([
            "SoftQCD:inelastic = on", "Beams:frameType = 3", f"Beams:pzA = {momentum}", "Beams:pzB = 0",
            "Beams:allowVariableEnergy = on", "Beams:allowIDAswitch = on", *table(),
        ], seed)

    def collide(self, hadrons: Particles, struck: Sequence[Sequence[int]]) -> Particles:
        """Collide each hadron (N) with its nucleons (codes 2212 or 2112), one after another where it is.

        The most energetic hadron that comes out of one collision goes into the next (T. Sjöstrand and M. Utheim,
        Eur. Phys. J. C 82 (2022) 21).
        """
        found: list[Product] = []
        projectiles = np.column_stack([hadrons.id, hadrons.momentum]).tolist()
        for row, (projectile, nucleons) in enumerate(zip(projectiles, struck, strict=True)):
            found.extend(self._through((row, int(projectile[0]), *projectile[1:]), nucleons))
        table = np.array(found, dtype=np.float64).reshape(-1, 6)
        parent = table[:, 0].astype(np.int64)
        return Particles(table[:, 1].astype(np.int64), table[:, 2:], hadrons.vertex[parent], hadrons.weight[parent])

    def _through(self, projectile: Product, nucleons: Sequence[int]) -> list[Product]:
        row, kept, going = projectile[0], [], [projectile]
        for nucleon in nucleons:
            if not going or not self._next(going[0][1], nucleon, going[0][2:5]):
                break
            products = sorted(self._products(row), key=lambda product: -product[5])
            going = [product for product in products if abs(product[1]) in CARRIED][:1]
            kept += [product for product in products if product not in going]
        return kept + going

    def _next(self, kind: int, nucleon: int, momentum: tuple[float, float, float]) -> bool:
        pythia = self.pythia
        ready = pythia.setBeamIDs(kind, nucleon) and pythia.setKinematics(*momentum, 0.0, 0.0, 0.0)
        return bool(ready) and any(pythia.next() for _ in range(TRIES))

    def _products(self, row: int) -> list[Product]:
        least, kept = self.least, []
        for particle in self.pythia.event:
            energy = particle.e()
            if energy > least:
                code = particle.id()
                kind = abs(code)
                if kind in RESONANCES or (kind in CARRIED and particle.isFinal()):
                    kept.append((row, code, particle.px(), particle.py(), particle.pz(), energy))
        return kept
