"""A scintillation counter read out for 128 ns: photoelectrons, pile-up and electronics.

It knows nothing of calque: any function that takes parameters (N, P) and a seed and returns N arrays of one shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLES, STEP = 64, 2.0  # of STEP nanoseconds
TRIGGER, BEFORE = 20.0, 60.0  # the pulse begins there [ns]; so long before the window pile-up still matters
RISE = 4.0  # of the answer to one photoelectron [ns]

Array = NDArray[np.float64]


def waveform(parameters: Array, seed: int, *, noise: float = 0.3) -> Array:
    """Parameters (N, 3): mean photoelectrons, decay time [ns], pile-up pulses per 100 ns → waveforms (N, 64).

    `noise` is the width of the electronics' noise in the height of one photoelectron.
    """
    light, decay, rate = parameters.T
    stream = np.random.default_rng(seed)
    pulses, begins = pile_up(rate, stream)
    owner = np.concatenate([np.arange(len(parameters)), pulses])  # which waveform a pulse is in
    starts = np.concatenate([np.full(len(parameters), TRIGGER), begins])
    photons = stream.poisson(light[owner])
    of, begin = np.repeat(owner, photons), np.repeat(starts, photons)
    counts = counted(of, begin + stream.exponential(decay[of]), len(parameters))
    return shaped(counts) + noise * stream.normal(size=(len(parameters), SAMPLES))


def pile_up(rate: Array, stream: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
    """Waveforms that other pulses are in, and when those begin."""
    window = SAMPLES * STEP + BEFORE
    pulses = np.repeat(np.arange(len(rate)), stream.poisson(rate * window / 100))
    return pulses, stream.uniform(-BEFORE, SAMPLES * STEP, len(pulses))


def counted(of: NDArray[np.intp], times: Array, rows: int) -> Array:
    """Photoelectrons (rows, samples) in steps of time, from BEFORE the window on."""
    steps = SAMPLES + int(BEFORE / STEP)
    place = ((times + BEFORE) / STEP).astype(int)
    inside = place < steps
    counts = np.bincount(of[inside] * steps + place[inside], minlength=rows * steps)
    return counts.reshape(rows, steps).astype(float)


def shaped(counts: Array) -> Array:
    """Waveforms (N, 64): each photoelectron answers with t/RISE · exp(1 − t/RISE)."""
    t = STEP * (np.arange(int(BEFORE / STEP)) + 0.5) / RISE
    answer, steps = t * np.exp(1 - t), counts.shape[1]
    kernel = np.zeros((steps, steps))
    for shift, height in enumerate(answer):
        kernel += height * np.eye(steps, k=shift)
    return (counts @ kernel)[:, -SAMPLES:]
