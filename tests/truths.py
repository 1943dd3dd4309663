"""Known truths in two dimensions, for tests of what a training learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.fitting import fit
from calque.judging.watching import watched
from calque.preparing import prepare
from calque.run import Run
from calque.seeds import numpy_stream
from calque.table import Table

SPOTS = 8


def conditional(rows: int, seed: int) -> Table:
    """Two correlated normals; the charge turns their mean and their correlation."""
    stream = numpy_stream(seed, "conditional Gaussian")
    charge, (u, v) = stream.choice([-1, 1], rows), stream.normal(size=(2, rows))
    return Table.of({"x": (1.5 * charge + 0.5 * u).astype("f4"), "y": (0.8 * charge * u + 0.6 * v).astype("f4"),
                     "charge": charge.astype("i4")})


def moving(rows: int, seed: int) -> Table:
    """The same, with a mean of x that moves with an energy too."""
    still, energy = conditional(rows, seed), numpy_stream(seed, "energy").normal(size=rows).astype("f4")
    return still.with_columns({"x": still["x"] + 0.5 * energy, "energy": energy})


def ring(rows: int, seed: int) -> Table:
    """Eight spots of width 0.1 on a circle of radius 1."""
    stream = numpy_stream(seed, "ring")
    angle, (u, v) = 2 * math.pi / SPOTS * stream.integers(0, SPOTS, rows), 0.1 * stream.normal(size=(2, rows))
    return Table.of({"x": (np.cos(angle) + u).astype("f4"), "y": (np.sin(angle) + v).astype("f4")})


def shares(table: Table) -> NDArray[np.float64]:
    """Share (8,) of all events that lie within three widths of each spot."""
    spots = np.exp(2j * np.pi / SPOTS * np.arange(SPOTS))
    near = np.abs(table["x"][:, None] + 1j * table["y"][:, None] - spots) < 0.3
    return np.asarray(near.mean(0))


def learnt(truth: Table, kind: str, steps: int, settings: dict[str, Any], context: list[str], batch: int = 128) -> Run:
    """A training on rows of a truth."""
    data = prepare(truth, steps=["standardise x y"], context=context, seed=1)
    return fit(data, kind, steps=steps, **{"batch": batch, "watch_every": steps, "quiet": True, **settings})


def separation(truth: Table, run: Run) -> float:
    """AUC of fresh rows against as many drawn ones."""
    return watched(("auc",), truth, run.sample(len(truth), seed=2), len(truth), 0)["auc"]
