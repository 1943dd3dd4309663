"""Known truth: adversarial kinds learn samples that are drawn from a formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calque.fitting import fit
from calque.judging.watching import watched
from calque.preparing import prepare
from calque.run import Run
from calque.seeds import numpy_stream
from calque.table import Table

ROWS = 4000
QUICK = {"optimiser": {"rate": 1e-3}}  # the papers' rates are for days of training

# steps, the AUC that they reach, what differs from the kind's own settings
KINDS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "r3gan": (250, 0.55, {}),
    "minimax-gan": (300, 0.57, {}),
    "lsgan": (600, 0.60, {}),
    "sngan": (400, 0.62, {}),
    "wgan-gp": (300, 0.62, {**QUICK, "objective": {"strength": 1.0}}),
    "wgan": (400, 0.64, {**QUICK, "objective": {"strength": 0.1}}),
    "gan": (600, 0.75, {"model": {"layers": 1, "base": 64, "norm": "none", "dropout": 0.0, "skip": True},
                        "objective": {"layers": 1, "base": 64, "dropout": 0.0},
                        "optimiser": {"rate": 1e-3, "beta1": 0.5}}),
}


def conditional(rows: int, seed: int) -> Table:
    """Two correlated normals; the charge turns their mean and their correlation."""
    stream = numpy_stream(seed, "conditional Gaussian")
    charge, (u, v) = stream.choice([-1, 1], rows), stream.normal(size=(2, rows))
    return Table.of({"x": (1.5 * charge + 0.5 * u).astype("f4"), "y": (0.8 * charge * u + 0.6 * v).astype("f4"),
                     "charge": charge.astype("i4")})


def learnt(truth: Table, kind: str, steps: int, settings: dict[str, Any], context: list[str], batch: int) -> Run:
    """A training on rows of the truth."""
    data = prepare(truth, steps=["standardise x y"], context=context, seed=1)
    return fit(data, kind, steps=steps, batch=batch, watch_every=steps, average=0.98, quiet=True, **settings)


def auc(real: Table, run: Run) -> float:
    """Separation of fresh rows from as many drawn ones."""
    return watched(("auc",), real, run.sample(len(real), seed=2), len(real), 0)["auc"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_conditional_gaussian_is_learnt(kind: str) -> None:
    """Untrained the AUC is 0.99; a swapped charge would bring it to 1."""
    steps, reached, settings = KINDS[kind]
    run = learnt(conditional(6000, 0), kind, steps, settings, ["charge"], 128)
    fresh, drawn = conditional(ROWS, 9), run.sample(ROWS, seed=2)
    assert auc(fresh, run) < reached
    for charge in (-1, 1):
        x, y = (drawn[name][drawn["charge"] == charge] for name in ("x", "y"))
        assert np.mean(x) == pytest.approx(1.5 * charge, abs=0.15)
        assert np.corrcoef(x, y)[0, 1] * charge > 0.4, "its truth is 0.8"
