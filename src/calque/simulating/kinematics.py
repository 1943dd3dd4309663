"""Decays of many particles at once: two-body, and pairs with a recoil."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from calque.simulating.particles import MUON, Floats

GRID = 2000


def mass(momentum: Floats) -> Floats:
    """Invariant masses [GeV] (N,) of four-momenta (N, 4)."""
    return np.asarray(np.sqrt(np.maximum(momentum[:, 3] ** 2 - np.square(momentum[:, :3]).sum(axis=1), 0.0)))


def breakup(parent: ArrayLike, first: ArrayLike, second: ArrayLike) -> Floats:
    """Momentum [GeV] of either daughter in the parent's rest frame, from the masses (PDG, Kinematics).

    >>> float(breakup(0.1395704, 0.1056584, 0.0).round(5))
    0.02979
    """
    m, a, b = np.asarray(parent), np.asarray(first), np.asarray(second)
    return np.asarray(np.sqrt(np.maximum((m**2 - (a + b) ** 2) * (m**2 - (a - b) ** 2), 0.0)) / (2.0 * m))


def directions(count: int, rng: np.random.Generator) -> Floats:
    """Unit vectors (N, 3), isotropic."""
    cosine, angle = rng.uniform(-1.0, 1.0, count), rng.uniform(0.0, 2.0 * np.pi, count)
    sine = np.sqrt(1.0 - cosine**2)
    return np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)


def boost(momentum: Floats, frame: Floats) -> Floats:
    """Carry four-momenta (N, 4) out of the rest frames of `frame` (N, 4)."""
    rest = mass(frame)
    along = (momentum[:, :3] * frame[:, :3]).sum(axis=1)
    energy = (momentum[:, 3] * frame[:, 3] + along) / rest
    scale = (momentum[:, 3] + energy) / (frame[:, 3] + rest)
    return np.concatenate([momentum[:, :3] + scale[:, None] * frame[:, :3], energy[:, None]], axis=1)


def two_body(
    parent: Floats, first: ArrayLike, second: ArrayLike, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Decay four-momenta (N, 4) isotropically into two of given masses [GeV]: theirs (N, 4), (N, 4)."""
    size = breakup(mass(parent), first, second)
    energy = np.sqrt(size**2 + np.square(np.asarray(first)))
    rest = np.concatenate([directions(len(parent), rng) * size[:, None], energy[:, None]], axis=1)
    daughter = boost(rest, parent)
    return daughter, parent - daughter


def pair_mass(
    parent: Floats, nominal: float, recoil: float, partner: float, pole: float | None, rng: np.random.Generator
) -> Floats:
    """Draw masses [GeV] (N,) of the pair (muon, partner) in parent → pair + recoil.

    Phase space by default. With the `pole` of a form factor [GeV]: a virtual photon's muon pair (N. M. Kroll and
    W. Wada, Phys. Rev. 98 (1955) 1355; L. G. Landsberg, Phys. Rept. 128 (1985) 301). Parents off their nominal mass
    have the range of the pair's mass stretched.
    """
    low, high = MUON + partner, nominal - recoil
    grid = low + (high - low) * (np.arange(GRID) + 0.5) / GRID
    density = breakup(nominal, grid, recoil) * breakup(grid, MUON, partner)
    if pole is not None:
        turn = np.sqrt(1.0 - (low / grid) ** 2) * (1.0 + 0.5 * (low / grid) ** 2) / grid
        density = turn * breakup(nominal, grid, recoil) ** 3 / (1.0 - (grid / pole) ** 2) ** 2
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    fraction = np.interp(rng.random(len(parent)), cumulative / cumulative[-1], np.linspace(0.0, 1.0, GRID + 1))
    return np.asarray(low + fraction * (mass(parent) - recoil - low))
