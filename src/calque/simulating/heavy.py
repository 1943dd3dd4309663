"""Prompt muons of charm, beauty and J/ψ made by the beam protons, in runs of their own that make nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calque.simulating.collisions import start
from calque.simulating.particles import PROTON, Floats, Integers, Particles
from calque.simulating.target import Target


@dataclass(frozen=True)
class Process:
    """A hard process: Pythia's switch, events per interacting proton in nature and per beam proton here.

    `forced` names hadrons made to decay to muons only, with the fraction that do so in nature.
    """

    switch: str
    natural: float
    simulated: float
    forced: Mapping[int, float] = field(default_factory=dict)


# Charm and beauty: ratios of the SHiP collaboration, JHEP 04 (2019) 077, σ(cc̄) and σ(bb̄) over σ(inelastic) on
# molybdenum. Inclusive D⁰, D⁺, D_s⁺, Λ_c⁺ → μ (PDG 2022; e for the last two). J/ψ → μμ: 0.99 nb per nucleon for
# 0.3 < y < 0.6 (NA50, as in arXiv:2604.03661), over all y (Gaussian of width 0.85) 8 nb, on 10.6 mb per
# nucleon; 0.205 of Pythia's charmonium events hold one.
CHARM = {421: 0.068, 411: 0.176, 431: 0.063, 4122: 0.040}
PROCESSES = (
    Process("HardQCD:hardccbar", 1.7e-3, 1.0, CHARM),
    Process("HardQCD:hardbbbar", 1.6e-7, 0.02),
    Process("Charmonium:all", 7.6e-7 / 0.0596 / 0.205, 0.02, {443: 0.0596}),
)


def is_heavy(kind: Integers) -> Any:
    """Tell charm, beauty and τ (which comes of them) by the PDG code."""
    quarks = (kind // 100 % 10, kind // 1000 % 10)
    return np.any([np.isin(quark, (4, 5)) for quark in quarks], axis=0) | (kind == 15)


class Heavy:
    """Generate one process at the beam's momentum [GeV] on protons at rest."""

    def __init__(self, process: Process, momentum: float, seed: int) -> None:
        self.process = process
        force = [line for kind in process.forced for line in (f"{kind}:onMode = off", f"{kind}:onIfAny = 13")]
        energy = [f"Beams:eA = {np.hypot(momentum, PROTON)}", "Beams:eB = 0", "Beams:frameType = 2"]
        self.pythia = start([f"{process.switch} = on", *energy, *force], seed)

    def muons(self, protons: int, target: Target, rng: np.random.Generator) -> Particles:
        """Muons of as many events as go with these beam protons, on the axis at the depth where one interacts."""
        count = max(1, round(protons * self.process.simulated))
        momentum, code, mother, event, made = self._events(count)
        fraction = np.ones(len(code))
        for kind, forced in self.process.forced.items():
            fraction[np.abs(mother) == kind] = forced
        beam = Particles.beam(made, 1.0, target.front)
        z = target.interact(beam, rng)[event]
        vertex = np.stack([np.zeros(len(z)), np.zeros(len(z)), z], axis=1)
        weight = fraction * self.process.natural * protons / made
        return Particles(code, momentum, vertex, weight).take(np.isfinite(z))

    def _events(self, count: int) -> tuple[Floats, Integers, Integers, Integers, int]:
        import awkward as ak

        particles = self.pythia.nextBatch(count).prt
        muon = (abs(particles.id) == 13) & (particles.status > 0)
        mother = particles.id[particles.mother1[muon]]
        event = np.repeat(np.arange(len(particles)), ak.to_numpy(ak.sum(muon, axis=1)))
        chosen = particles.p[muon]
        momentum = np.stack([ak.to_numpy(ak.flatten(chosen[name])) for name in ("px", "py", "pz", "e")], axis=1)
        code, mother = (ak.to_numpy(ak.flatten(array)).astype(np.int64) for array in (particles.id[muon], mother))
        keep = is_heavy(np.abs(mother))
        return momentum[keep], code[keep], mother[keep], event[keep], len(particles)
