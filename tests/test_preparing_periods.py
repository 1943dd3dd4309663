"""Angles that stay in their period, and values that stay on their lattice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import ConfigError, DataError
from calque.preparing import Preparation, prepare
from calque.preparing.lattice import find_lattice
from calque.table import Array, Table

ROWS = 4000


def peaked(rows: int, width: float = 0.3) -> Array:
    """Angles around ±π, in [−π, π)."""
    around = math.pi + width * np.random.default_rng(0).normal(size=rows)
    return np.remainder(around + math.pi, 2 * math.pi) - math.pi


def drawn(preparation: Preparation, normal: torch.Tensor) -> dict[str, Array]:
    return preparation.float().decode(normal.float(), torch.zeros(normal.shape[0], preparation.inverse_noise))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("low", "period"), [(-math.pi, 2 * math.pi), (0.0, 360.0), (0.1, 0.7)])
def test_no_draw_leaves_the_period(dtype: str, low: float, period: float) -> None:
    angle = (low + period * np.random.default_rng(0).uniform(0.01, 0.99, ROWS)).astype(dtype)
    data = prepare(Table.of({"phi": angle}), steps=[f"periodic phi low={low} period={period}"])
    normal = torch.cat([torch.linspace(-9, 9, 5001), torch.tensor([-40.0, 40.0, -math.inf, math.inf])])[:, None]
    phi = drawn(data.preparation, normal)["phi"]
    assert phi.dtype == np.dtype(dtype)
    assert (phi.astype("f8") >= low).all()
    assert (phi.astype("f8") < low + period).all()


def test_a_peak_at_the_seam_has_no_edge_there() -> None:
    """Perfect normals give both sides of ±π the same density, and that of the sample."""
    angle = peaked(20_000)
    data = prepare(Table.of({"phi": angle}), steps=["periodic phi"])
    step = data.preparation.typed_steps()[0]
    assert abs(float(step.cut)) < 1.6
    phi = drawn(data.preparation, torch.randn(200_000, 1, generator=torch.Generator().manual_seed(1)))["phi"]
    edges = np.linspace(0, 0.6, 7)
    for side in (phi[phi > 0], -phi[phi < 0]):
        shares = np.histogram(math.pi - side, edges)[0] / len(phi)
        normal = torch.distributions.Normal(0.0, 0.3).cdf(torch.from_numpy(edges)).diff().numpy()
        assert np.abs(shares - normal).max() < 0.012
    assert abs((phi > math.pi - 0.05).mean() / (phi < 0.05 - math.pi).mean() - 1) < 0.1


def test_the_density_of_angles_integrates_to_one_and_their_normals_are_standard() -> None:
    data = prepare(Table.of({"phi": peaked(ROWS, 1.0)}), steps=["periodic phi"])
    packed = data.preparation.encode(data.table, np.random.default_rng(0))[0]
    assert abs(packed.mean()) < 0.05
    assert abs(packed.std() - 1) < 0.05
    phi = torch.linspace(-math.pi, math.pi, 200_001)[:-1].double()
    y, slope = data.preparation({"phi": phi}, torch.zeros(200_000, 0).double())
    density = (slope - 0.5 * y[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)).exp()
    assert abs(float(density.mean()) * 2 * math.pi - 1) < 1e-3


def test_angles_outside_the_period_are_refused_with_the_setting() -> None:
    degrees = Table.of({"phi": np.linspace(0, 359, 300)})
    with pytest.raises(DataError, match=r"'phi' is outside \[-3.14159, 3.14159\) in .* such as low=0 period=360"):
        prepare(degrees, steps=["periodic phi"])
    with pytest.raises(ConfigError, match="needs a period above 0"):
        prepare(Table.of({"phi": np.linspace(0, 3, 300)}), steps=["periodic phi period=0"])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.one_of(st.sampled_from([1.0, 0.5, 0.25, 0.1, 0.01, 1e-7, 250.0, 1 / 1024]), st.floats(0.003, 30)),
       st.integers(-3000, 3000), st.sampled_from(["f4", "f8"]), st.integers(2, 3000))
def test_a_lattice_of_any_step_is_found_and_kept(step: float, start: int, dtype: str, sites: int) -> None:
    count = start + np.random.default_rng(sites).integers(0, sites, ROWS)
    column = (count * step).astype(dtype)
    if len(np.unique(column)) < 2:
        return
    grid = find_lattice(column)
    assert grid is not None
    assert not grid.off(column).any()
    assert round(grid.step / step, 3) == round(max(1, int(np.gcd.reduce(np.diff(np.unique(count))))), 3)
    if sites < 20:
        return
    data = prepare(Table.of({"v": column}), steps=["lattice v", "standardise v"])
    phantom = drawn(data.preparation, torch.randn(500, 1))["v"]
    assert phantom.dtype == np.dtype(dtype)
    assert not grid.off(phantom).any()
    assert len(np.setdiff1d(phantom[np.abs(phantom - column.mean()) < column.std() / 2], column)) <= sites


def test_numbers_of_two_decimals_come_back_bit_for_bit() -> None:
    column = np.random.default_rng(0).lognormal(3, 1, ROWS).round(2)
    data = prepare(Table.of({"v": column}), steps=["lattice v", "quantile v"])
    packed, jacobian = data.preparation.encode(data.table, np.random.default_rng(0))
    back = drawn(data.preparation, packed)["v"]
    assert (back == column).mean() > 0.999  # but for those that the packed vector's rounding takes over a cell's edge
    fresh = drawn(data.preparation, torch.randn(2000, 1))["v"]
    assert np.array_equal(fresh, fresh.round(2))
    assert torch.isfinite(jacobian).all()


def test_the_density_of_a_lattice_is_the_probability_of_its_values() -> None:
    """Of a normal in two decimals: one draw within the cell, averaged, gives the probability of the cell."""
    column = np.random.default_rng(0).normal(size=ROWS).round(1)
    preparation = prepare(Table.of({"v": column}), steps=["lattice v step=0.1"]).preparation
    y, slope = preparation({"v": torch.full((50_000,), 0.7).double()}, torch.randn(50_000, 1).double())
    normal = torch.distributions.Normal(0.0, 1.0)
    found = float((normal.log_prob(y[:, 0]) + slope).exp().mean())
    assert abs(found - float(normal.cdf(torch.tensor(0.75)) - normal.cdf(torch.tensor(0.65)))) < 1e-4


@pytest.mark.parametrize("kind", ["normal", "uniform", "lognormal", "exponential"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_smooth_columns_have_no_lattice(kind: str, dtype: str) -> None:
    column = getattr(np.random.default_rng(0), kind)(size=ROWS).astype(dtype)
    assert find_lattice(column) is None
    if dtype != "f2":  # half precision has few enough numbers to be a lattice in double
        assert find_lattice(column.astype("f8")) is None


def test_a_step_that_does_not_fit_is_refused() -> None:
    column = np.random.default_rng(0).normal(size=300)
    with pytest.raises(DataError, match="'v' has values that have no step in common"):
        prepare(Table.of({"v": column}), steps=["lattice v"])
    with pytest.raises(DataError, match=r"'v' has values that are no multiples of 0.1: .* give another step="):
        prepare(Table.of({"v": column.round(2)}), steps=["lattice v step=0.1"])
    with pytest.raises(ConfigError, match="needs step=… above 0"):
        prepare(Table.of({"v": column}), steps=["lattice v step=-1"])
