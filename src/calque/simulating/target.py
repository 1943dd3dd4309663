"""A row of slabs with gaps between them, and where along it hadrons interact or decay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calque.simulating.particles import Floats, Particles

# Slabs of the SHiP target along the beam [m] (SHiP collaboration, CERN-SPSC-2015-016); 5 mm of water between them.
SLABS = (0.08, *(0.025,) * 7, 0.05, 0.05, 0.065, 0.08, 0.08, 0.05, 0.08, 0.10, 0.20, 0.35)

AVOGADRO = 6.022e-4  # nucleons per gram and mb per cm²: turns mb · g/cm² into a number


@dataclass(frozen=True)
class Target:
    """Slabs of one element (molybdenum unless told) from `front` [m] on, endless sideways, with empty gaps.

    >>> target = Target(front=0.0, slabs=(0.1, 0.2), gap=0.05)
    >>> target.depth(np.array([0.1, 0.12, 0.2])), target.place(np.array([0.05, 0.15]))
    (array([0.1 , 0.1 , 0.15]), array([0.05, 0.2 ]))
    """

    front: float = -2.345
    slabs: tuple[float, ...] = SLABS
    gap: float = 0.005
    density: float = 10.22  # g/cm³
    protons: int = 42
    nucleons: float = 95.95

    @cached_property
    def edges(self) -> Floats:
        """Front and back of every slab, in order: z [m] (2S,)."""
        steps = [step for length in self.slabs for step in (length, self.gap)][:-1]
        return self.front + np.concatenate([[0.0], np.cumsum(steps)])

    @cached_property
    def depths(self) -> Floats:
        """Solid matter in front of every edge [m] (2S,)."""
        solid = np.cumsum(self.slabs)
        return np.stack([solid - self.slabs, solid], axis=1).reshape(-1)

    def depth(self, z: Floats) -> Floats:
        """Solid matter [m] in front of z (N,)."""
        return np.asarray(np.interp(z, self.edges, self.depths))

    def place(self, depth: Floats) -> Floats:
        """Give z [m] (N,) at a depth of solid matter (N,): the inverse of `depth` inside slabs, NaN behind the last."""
        slab = np.searchsorted(self.depths[1::2], depth)
        inside = slab < len(self.slabs)
        slab = np.minimum(slab, len(self.slabs) - 1)
        return np.where(inside, self.edges[::2][slab] + depth - self.depths[::2][slab], np.nan)

    def metres(self, length: Floats) -> Floats:
        """Turn lengths [g/cm²] into metres of the slabs' element."""
        return length / self.density / 100.0

    def interact(self, hadrons: Particles, rng: np.random.Generator) -> Floats:
        """Draw where hadrons interact, z [m] (N,): exponential in solid matter, NaN for those that leave."""
        path = rng.exponential(self.metres(hadrons.interaction_length()))
        return self.place(self.depth(hadrons.vertex[:, 2]) + path * hadrons.cosine)

    def struck(self, hadrons: Particles, rng: np.random.Generator) -> list[list[int]]:
        """Draw the nucleons (codes) that each hadron strikes in the nucleus where it interacts.

        A·σ(hN)/σ(hA) of them on average, geometric; every other one after the first is only excited, which leaves
        the hadron as it is, and is left out (T. Sjöstrand and M. Utheim, Eur. Phys. J. C 82 (2022) 21).
        """
        mean = hadrons.cross_section() * hadrons.interaction_length() * AVOGADRO
        counts = rng.geometric(1.0 / (1.0 + 0.5 * (mean - 1.0)))
        codes = np.where(rng.random(counts.sum()) < self.protons / self.nucleons, 2212, 2112)
        return [part.tolist() for part in np.split(codes, np.cumsum(counts)[:-1])] if len(counts) else []

    def decay(self, hadrons: Particles, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Force decays before interaction and before the end of the target.

        Returns z [m] (N,), drawn from the decays' own distribution, and the probability (N,) to decay so. In a slab
        the rates of decay and interaction add; in a gap only decay acts.
        """
        start, cosine = hadrons.vertex[:, 2], hadrons.cosine[:, None]
        decays = 1.0 / hadrons.decay_length()[:, None]
        interacts = 1.0 / self.metres(hadrons.interaction_length())[:, None]
        path = np.maximum(self.edges - start[:, None], 0.0) / cosine
        matter = np.maximum(self.depths - self.depth(start)[:, None], 0.0) / cosine
        alive = np.exp(-path * decays - matter * interacts)
        solid = np.arange(len(self.edges) - 1) % 2 == 0
        rate = decays + solid * interacts
        chance = (alive[:, :-1] - alive[:, 1:]) * decays / rate
        total = chance.sum(axis=1)
        rows = np.arange(len(hadrons))
        draw = rng.random((2, len(hadrons)))
        part = np.minimum((chance.cumsum(axis=1) < (draw[0] * total)[:, None]).sum(axis=1), chance.shape[1] - 1)
        lost = 1.0 - alive[rows, part + 1] / alive[rows, part]
        flown = path[rows, part] - np.log1p(-draw[1] * lost) / rate[rows, part]
        return start + flown * cosine[:, 0], total
