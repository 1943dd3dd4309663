"""Columns that are not smooth: exact points, bounds, whole numbers, through every family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from calque.fitting import fit
from calque.preparing import prepare
from calque.run import Run
from calque.table import Table

ROWS = 6000
FAMILIES: dict[str, dict[str, Any]] = {
    "flow": {"steps": 120, "batch": 256, "model": {"transforms": 2, "hidden": [32, 32]}, "optimiser": {"rate": 5e-3}},
    "flow-matching": {"steps": 800, "batch": 256, "model": {"nodes": 64}, "optimiser": {"rate": 5e-3}},
    "mixture": {"steps": 1, "model": {"components": 16}},
    "r3gan": {"preset": "fast", "steps": 400, "batch": 128},
    "vae": {"preset": "fast", "steps": 600, "batch": 256, "model": {"latent": 4}, "optimiser": {"rate": 3e-3}},
}


def beam(seed: int = 0, rows: int = ROWS) -> Table:
    """Half of the weight starts at x = y = 0 exactly and is harder there; charges; an energy above zero."""
    stream = np.random.default_rng(seed)
    at = stream.random(rows) < 0.25
    x, y = (stream.normal(0, 0.5, (2, rows)) + stream.choice([-1, 1], rows)).clip(-3.2, 3.2)
    columns = {"x": np.where(at, 0, x), "y": np.where(at, 0, y),
               "e": stream.gamma(2, 1, rows) + np.where(at, 5.0, 0.0)}
    return Table.of({**{name: column.astype("f4") for name, column in columns.items()},
                     "charge": stream.choice([-1, 2], rows, p=[0.3, 0.7]).astype("i2"),
                     "w": np.where(at, 3.0, 1.0)}, weight="w")


STEPS = ["bounds e low=0 high=30", "bounds x y low=-3.3 high=3.3", "spike x y", "discrete charge", "log e",
         "standardise *"]


@pytest.fixture(scope="module", params=FAMILIES)
def run(request: pytest.FixtureRequest) -> Run:
    """Every family on the same columns, none treated specially."""
    torch.set_num_threads(1)
    data = prepare(beam(), steps=STEPS, seed=1)
    average = {} if request.param == "mixture" else {"average": 0.98}
    return fit(data, request.param, watch_every=1000, quiet=True, **average, **FAMILIES[request.param])


def test_an_exact_point_comes_out_exactly_with_its_share_and_what_goes_with_it(run: Run) -> None:
    drawn = run.sample(20_000, seed=1)
    zero = drawn["x"] == 0
    assert np.array_equal(zero, drawn["y"] == 0), "one point, not one per column"
    assert zero.mean() == pytest.approx(0.5, abs=0.03), "the weighted share; a quarter of the rows"
    assert drawn["e"][zero].mean() == pytest.approx(7, abs=0.3)
    assert drawn["e"][~zero].mean() == pytest.approx(2, abs=0.4)
    assert drawn["x"][~zero].std() == pytest.approx(np.sqrt(1.25), abs=0.08), "nothing else changed"
    assert (np.abs(drawn["x"][~zero]) < 0.01).mean() < 0.02, "no heap around the point"


def test_whole_numbers_and_bounds_hold_whatever_the_network_puts_out(run: Run) -> None:
    """Normals up to ±40, which no draw has."""
    torch.manual_seed(0)
    normals = torch.randn(20_000, run.generator.noise + run.preparation.inverse_noise) * 15
    drawn = run.events(normals.clamp(-40, 40), None)
    assert {name: str(drawn[name].dtype) for name in drawn.names} == run.dtypes
    assert set(drawn["charge"]) <= {-1, 2}
    for name, low, high in (("e", 0, 30), ("x", -3.3, 3.3), ("y", -3.3, 3.3)):
        column = drawn[name].astype("f8")
        assert np.isfinite(column).all()
        assert column.min() >= low
        assert column.max() <= high
        assert (np.abs(column[drawn["x"] != 0]) == np.float32(high)).mean() < 3e-3, "no heap at the edge"


def test_a_density_of_rows_at_the_point_is_that_of_the_other_columns(run: Run) -> None:
    """Summed over the charges and integrated over e, the density at the point is its share."""
    if not run.generator.has_density:
        return
    e = np.linspace(0.05, 29.95, 300)
    grid = Table.of({"x": np.zeros(600), "y": np.zeros(600), "e": np.tile(e, 2), "charge": np.repeat([-1, 2], 300)})
    values = [np.exp(replace_seed(run, seed).log_prob(grid)).sum() * (e[1] - e[0]) for seed in range(20)]
    assert np.mean(values) == pytest.approx((run.sample(20_000, seed=2)["x"] == 0).mean(), abs=0.05)


def replace_seed(run: Run, seed: int) -> Run:
    """The same run, with other blurs in its densities."""
    return replace(run, config=run.config.model_copy(update={"seed": seed}))
