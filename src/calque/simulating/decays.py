"""Decays to muons, forced and weighted by their branching fractions (PDG 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calque.simulating.kinematics import pair_mass, two_body
from calque.simulating.particles import ETA, KAON, KAON0, MUON, OMEGA, PION, PION0, Floats, Mask, Particles
from calque.simulating.target import Target


@dataclass(frozen=True)
class Channel:
    """parent → μ + partner (+ recoil): absolute PDG code, branching fraction, masses [GeV]."""

    parent: int
    fraction: float
    partner: float = 0.0
    recoil: float | None = None
    nominal: float = 0.0
    pole: float | None = None


IN_FLIGHT = (
    Channel(211, 0.99988),
    Channel(321, 0.6356),
    Channel(321, 0.03352, recoil=PION0, nominal=KAON),
    Channel(130, 0.2704, recoil=PION, nominal=KAON0),
)

# Form factors' poles: NA60, Phys. Lett. B 677 (2009) 260.
PROMPT = (
    Channel(113, 4.55e-5, partner=MUON),
    Channel(223, 7.4e-5, partner=MUON),
    Channel(333, 2.85e-4, partner=MUON),
    Channel(221, 3.1e-4, partner=MUON, recoil=0.0, nominal=ETA, pole=0.716),
    Channel(223, 1.34e-4, partner=MUON, recoil=PION0, nominal=OMEGA, pole=0.668),
)

RESONANCES = frozenset(channel.parent for channel in PROMPT)


def muons(channel: Channel, parents: Particles, rng: np.random.Generator) -> Particles:
    """Decay parents by one channel: one muon each, two where the partner is a muon; weights times the fraction."""
    pair = parents.momentum
    if channel.recoil is not None:
        drawn = pair_mass(pair, channel.nominal, channel.recoil, channel.partner, channel.pole, rng)
        pair, _ = two_body(pair, drawn, channel.recoil, rng)
    muon, partner = two_body(pair, MUON, channel.partner, rng)
    weight = parents.weight * channel.fraction
    # A positive parent gives μ⁺, code −13; a neutral one gives either, and both where a pair is made.
    sign = np.sign(parents.id) if channel.parent in (211, 321) else rng.choice([-1, 1], len(parents))
    first = Particles(-13 * sign, muon, parents.vertex, weight)
    if channel.partner == 0.0:
        return first
    return Particles.join([first, Particles(13 * sign, partner, parents.vertex, weight)])


def by_channels(channels: tuple[Channel, ...], parents: Particles, rng: np.random.Generator) -> Particles:
    """Decay every parent by each of its channels."""
    return Particles.join([muons(channel, parents.take(parents.kind == channel.parent), rng) for channel in channels])


def in_flight(hadrons: Particles, target: Target, rng: np.random.Generator) -> tuple[Particles, Mask]:
    """Force the decays of π±, K± and K_L in competition with interactions.

    Returns the muons, weighted by the probability to decay first, and a mask (N,) of the hadrons that this did not
    happen to, drawn with the same probability: only those may go on to interact.
    """
    lives = np.isfinite(hadrons.decay_length())
    mesons = hadrons.take(lives)
    z, chance = target.decay(mesons, rng)
    survives = np.ones(len(hadrons), dtype=bool)
    survives[lives] = rng.random(len(mesons)) >= chance
    forced = Particles(mesons.id, mesons.momentum, mesons.move(z), mesons.weight * chance)
    return by_channels(IN_FLIGHT, forced, rng), survives


def discretise(weights: Floats, base: float, factor: float, rng: np.random.Generator) -> Floats:
    """Round weights (N,) at random to 0, base, base·factor, base·factor², …, keeping every expectation.

    What becomes 0 is to be dropped: Russian roulette (H. Kahn, in Symposium on Monte Carlo Methods, Wiley 1956).

    >>> discretise(np.array([1.0, 10.0, 100.0]), 1.0, 10.0, np.random.default_rng(0))
    array([  1.,  10., 100.])
    """
    step = np.floor(np.log(np.maximum(weights, 1e-300) / base) / np.log(factor) + 1e-9)
    low = np.where(step < 0, 0.0, base * factor**step)
    high = np.where(step < 0, base, base * factor ** (step + 1))
    return np.where(rng.random(len(weights)) * (high - low) < weights - low, high, low)
