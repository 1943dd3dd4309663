"""Bundles of particles, and the constants of those that matter here (R. L. Workman et al., PDG, PTEP 2022, 083C01)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

MUON, PION, PION0, KAON, KAON0, PROTON = 0.1056584, 0.1395704, 0.1349768, 0.493677, 0.497611, 0.9382721  # GeV
ETA, OMEGA = 0.547862, 0.78266

# Mean decay lengths cτ [m] and masses [GeV] of the mesons whose decays to muons compete with interactions.
FLIGHT = {211: (7.8045, PION), 321: (3.711, KAON), 130: (15.34, KAON0)}

# Inelastic interaction lengths [g/cm²]: protons and pions as the PDG's tables interpolate in the mass number to
# molybdenum (between copper and tungsten, to 2 %); kaons from σ(Kp)/σ(πp)/σ(pp) by the power that joins those two.
NUCLEON_LENGTH, PION_LENGTH, KAON_LENGTH = 156.0, 185.0, 198.0
LENGTHS = {211: PION_LENGTH, 321: KAON_LENGTH, 130: KAON_LENGTH, 310: KAON_LENGTH}

# Inelastic cross-sections on a nucleon [mb] at some 100 GeV (PDG's total ones without the elastic).
NUCLEON_SECTION, PION_SECTION, KAON_SECTION = 32.0, 20.5, 17.0
SECTIONS = {211: PION_SECTION, 321: KAON_SECTION, 130: KAON_SECTION, 310: KAON_SECTION}

# What is carried through the target; every other hadron decays where it is made.
CARRIED = frozenset((211, 321, 130, 310, 2112, 2212, 3122, 3112, 3222, 3312, 3322, 3334))


@dataclass(frozen=True)
class Particles:
    """PDG codes (N,), four-momenta px, py, pz, E [GeV] (N, 4), vertices x, y, z [m] (N, 3) and weights (N,)."""

    id: Integers
    momentum: Floats
    vertex: Floats
    weight: Floats

    @classmethod
    def join(cls, bundles: Sequence[Particles]) -> Particles:
        """Put bundles one after another."""
        return cls(
            np.concatenate([bundle.id for bundle in bundles]),
            np.concatenate([bundle.momentum for bundle in bundles]),
            np.concatenate([bundle.vertex for bundle in bundles]),
            np.concatenate([bundle.weight for bundle in bundles]),
        )

    @classmethod
    def beam(cls, count: int, momentum: float, z: float) -> Particles:
        """Protons along the axis x = y = 0 that start at z."""
        four = np.tile([0.0, 0.0, momentum, np.hypot(momentum, PROTON)], (count, 1))
        return cls(np.full(count, 2212), four, np.tile([0.0, 0.0, z], (count, 1)), np.ones(count))

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: Mask | Integers) -> Particles:
        """Keep rows by mask or index."""
        return Particles(self.id[index], self.momentum[index], self.vertex[index], self.weight[index])

    @property
    def kind(self) -> Integers:
        """Absolute PDG codes (N,)."""
        return np.abs(self.id)

    @property
    def size(self) -> Floats:
        """Momenta |p| [GeV] (N,)."""
        return np.asarray(np.linalg.norm(self.momentum[:, :3], axis=1))

    @property
    def cosine(self) -> Floats:
        """Cosines of the angle to the beam (N,)."""
        return np.asarray(self.momentum[:, 2] / self.size)

    def move(self, z: Floats) -> Floats:
        """Vertices (N, 3) after straight flight to z [m] (N,)."""
        slope = self.momentum[:, :3] / self.momentum[:, 2:3]
        return np.asarray(self.vertex + slope * (z - self.vertex[:, 2])[:, None])

    def interaction_length(self) -> Floats:
        """Interaction lengths [g/cm²] (N,), nucleons' for baryons."""
        return self._by_kind(LENGTHS, NUCLEON_LENGTH)

    def cross_section(self) -> Floats:
        """Inelastic cross-sections on a nucleon [mb] (N,)."""
        return self._by_kind(SECTIONS, NUCLEON_SECTION)

    def _by_kind(self, known: Mapping[int, float], otherwise: float) -> Floats:
        values = np.full(len(self), otherwise)
        for kind, value in known.items():
            values[self.kind == kind] = value
        return values

    def decay_length(self) -> Floats:
        """Mean decay lengths βγcτ [m] (N,); infinite for what is not in FLIGHT."""
        length = np.full(len(self), np.inf)
        for kind, (ctau, mass) in FLIGHT.items():
            chosen = self.kind == kind
            length[chosen] = self.size[chosen] / mass * ctau
        return length
