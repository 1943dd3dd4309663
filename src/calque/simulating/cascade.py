"""The cascade: generations of hadrons that fly straight, decay or collide, until none is energetic enough."""

from __future__ import annotations

import numpy as np

from calque.simulating.collisions import Collider
from calque.simulating.decays import PROMPT, RESONANCES, by_channels, in_flight
from calque.simulating.particles import CARRIED, Particles
from calque.simulating.target import Target


def among(particles: Particles, kinds: frozenset[int]) -> Particles:
    """Keep the particles of some absolute PDG codes."""
    return particles.take(np.isin(particles.kind, list(kinds)))


def energetic(particles: Particles, least: float) -> Particles:
    """Keep what flies forward with a momentum above `least` [GeV]."""
    return particles.take((particles.size > least) & (particles.momentum[:, 2] > 0.0))


def thin(hadrons: Particles, full: float, rng: np.random.Generator) -> Particles:
    """Russian roulette that leaves no hadron lighter than full / p: expectations stay (A. M. Hillas, ICRC 1981).

    Most collisions are of soft hadrons, which make few muons: this is what makes the cascade fast.
    """
    wanted = np.maximum(full / hadrons.size, 1.0)
    chance = np.minimum(hadrons.weight / wanted, 1.0)
    kept = rng.random(len(hadrons)) < chance
    heavier = Particles(hadrons.id, hadrons.momentum, hadrons.vertex, hadrons.weight / chance)
    return heavier.take(kept)


def collide(hadrons: Particles, target: Target, collider: Collider, rng: np.random.Generator) -> Particles:
    """Let hadrons interact where they do; those that leave the target are gone."""
    z = target.interact(hadrons, rng)
    stays = np.isfinite(z)
    inside = hadrons.take(stays)
    moved = Particles(inside.id, inside.momentum, inside.move(z[stays]), inside.weight)
    return collider.collide(moved, target.struck(moved, rng))


def cascade(beam: Particles, target: Target, collider: Collider, full: float, rng: np.random.Generator) -> Particles:
    """Weighted muons of all generations that begin with the beam: decays in flight and of light mesons."""
    born, hadrons = [], beam
    while len(hadrons):
        decayed, survives = in_flight(hadrons, target, rng)
        products = energetic(collide(thin(hadrons.take(survives), full, rng), target, collider, rng), collider.least)
        born += [decayed, by_channels(PROMPT, among(products, RESONANCES), rng)]
        hadrons = among(products, CARRIED)
    return Particles.join(born)
