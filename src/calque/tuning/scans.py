"""One parameter after another moved through the data's range: what is seen in emulated and in simulated images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from calque.table import Array
from calque.tuning.sight import Sight, in_parts
from calque.tuning.teaching import Teaching
from calque.tuning.tuned import Tuned

POINTS = 21
REPEATS = 16  # images of each point: simulators and emulators may be noisy
WIDTHS = 3.0  # of the data, in whose middle lies the mean
LEAST = 3  # points, below which there is nothing to see
Seen = tuple[Array, Array]  # means (K,) and their errors


@dataclass(frozen=True)
class Scan:
    """One parameter at K places, the others at the means that were found.

    `seen` are what the summary network says of it, on average: of "emulated" images, as the "tuner" saw them (by its
    shortcut, corrected), and of "simulated" ones. `images` are one of each at every place, encoded (K, D).
    """

    name: str
    at: Array
    width: float
    seen: Mapping[str, Seen]
    images: Mapping[str, Tensor]

    def away(self, which: str) -> Seen:
        """How far something is seen from where the simulation is, or the parameter, in found widths; with errors."""
        value, error = self.seen[which]
        middle, other = self.seen.get("simulated", (self.at, np.zeros_like(error)))
        return (value - middle) / self.width, np.hypot(error, other) / self.width


def scans(teaching: Teaching, sight: Sight, tuned: Tuned) -> Iterator[Scan]:
    """Scan every parameter that can be moved."""
    asked = teaching.question
    with torch.no_grad():
        for column, name in enumerate(asked.names):
            vectors = places(teaching, tuned, column)
            if len(vectors) >= LEAST:
                yield scan(teaching, sight, vectors, column, tuned.widths[name][0])


def places(teaching: Teaching, tuned: Tuned, column: int) -> Array:
    """Parameters (K, P) along one of them, within its bounds and what the simulator can simulate."""
    asked = teaching.question
    means, width = (np.array([of[name][0] for name in asked.names]) for of in (tuned.means, tuned.widths))
    low, high = (asked.decode(end[None])[0] for end in (asked.low, asked.high))
    start, end = (float(np.clip(means[column] + side * WIDTHS / 2 * width[column], low[column], high[column]))
                  for side in (-1, 1))
    vectors = np.tile(np.clip(means, low, high), (POINTS, 1))
    vectors[:, column] = np.linspace(start, end, POINTS)
    return vectors if asked.simulator is None else vectors[asked.simulator.inside(vectors[:, asked.order])]


def scan(teaching: Teaching, sight: Sight, vectors: Array, column: int, width: float) -> Scan:
    """Look at images of parameters (K, P) that differ in one column."""
    asked, name = teaching.question, teaching.question.names[column]
    many = np.repeat(vectors, REPEATS, axis=0)
    encoded = asked.encode(many)
    noise = teaching.normals(f"scan {name}", len(many), sight.emulator.noise + sight.noise)
    images = {"emulated": in_parts(sight.emulator.sample, noise[:, : sight.emulator.noise], encoded)}
    if asked.simulator is not None:
        images["simulated"] = teaching.simulated(f"scan-{column}", many)[1]
    looks = {which: estimates(sight, pictures) for which, pictures in images.items()}
    looks["tuner"] = plain(sight, in_parts(sight.of_parameters, encoded, noise[:, sight.emulator.noise :]))
    seen = {which: averaged(asked.decode(look)[:, column]) for which, look in looks.items()}
    return Scan(name, vectors[:, column], width, seen, {which: made[::REPEATS] for which, made in images.items()})


def estimates(sight: Sight, images: Tensor) -> Tensor:
    """Parameters (N, P), encoded, that the network sees in encoded images (N, D)."""
    return in_parts(sight.summary.sample, images[:, :0], images)


def plain(sight: Sight, looks: Tensor) -> Tensor:
    """Summaries (N, P) in the data's scale back as encoded parameters."""
    back: Tensor = torch.linalg.inv(sight.whiten)
    return looks @ back + sight.mean


def averaged(values: Array) -> Seen:
    """Mean (K,) over the repeats of each place, and its error."""
    each = values.reshape(-1, REPEATS)
    return each.mean(1), each.std(1, ddof=1) / np.sqrt(REPEATS)
