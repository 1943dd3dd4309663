"""Spread: ensembles whose spread, and whose distance from the truth, is known."""

from __future__ import annotations

import json
import math
from statistics import NormalDist

import numpy as np
import pytest

from calque.errors import CalqueError
from calque.judging.ensemble import Spread, root, squared_trace
from calque.judging.measure import Estimate
from calque.table import Table

CUTS = np.array([NormalDist().inv_cdf(k / 32) for k in range(1, 32)])
BELL = np.diff([0.0, *(NormalDist().pdf(cut) for cut in CUTS), 0.0])
RELATIVE = math.sqrt(np.sum(BELL**2) * 32)  # of the shares, for a shift by one


def gaussian(rows: int, rng: np.random.Generator, mean: float = 0.0) -> Table:
    return Table.of({"x": rng.normal(mean, 1, rows)})


def ensemble(trainings: int, spread: float, seed: int, bias: float = 0.0, rows: int = 5000) -> list[Estimate]:
    rng = np.random.default_rng(seed)
    means = bias + rng.normal(0, spread, trainings)
    return list(Spread()(gaussian(40_000, rng), [gaussian(rows, rng, mean) for mean in means], seed))


def values(found: list[list[Estimate]], which: int) -> np.ndarray:
    return np.array([(one[which].value, one[which].error, one[which].excess) for one in found]).T


@pytest.mark.parametrize(("trainings", "spread"), [(2, 0.1), (5, 0.05), (20, 0.2)])
def test_the_spread_of_known_means_is_found(trainings: int, spread: float) -> None:
    value, error, _ = values([ensemble(trainings, spread, seed) for seed in range(100)], 0)
    mean_square = float(np.mean(value**2))
    assert mean_square == pytest.approx((spread * RELATIVE) ** 2, abs=4 * np.std(value**2) / 10)
    if trainings > 2:
        assert math.sqrt(np.mean(error**2)) == pytest.approx(np.std(value), rel=0.25)


def test_the_floor_is_what_identical_trainings_give() -> None:
    found = [ensemble(6, 0.0, seed) for seed in range(150)]
    for which in (0, 1):
        value, _, excess = values(found, which)
        assert np.mean(value) == pytest.approx(found[0][which].floor, rel=0.25)
        assert np.std(value) == pytest.approx(found[0][which].floor_error, rel=0.25)
        assert np.mean(excess > 2) < 0.03


def test_a_real_spread_is_seen() -> None:
    _, _, excess = values([ensemble(10, 0.1, seed) for seed in range(20)], 0)
    assert np.min(excess) > 2


def test_a_common_bias_is_not_covered_by_the_spread() -> None:
    fair, biased = (ensemble(8, 0.1, 1, bias) for bias in (0.0, 0.3))
    assert fair[1].details["ratio"] < 1
    assert biased[1].value == pytest.approx(0.3 * RELATIVE, abs=0.1)
    assert biased[1].details["ratio"] - 2 * biased[1].details["ratio_error"] > 1
    assert biased[1].excess > 5


def test_the_mean_of_a_fair_ensemble_is_nearer_by_the_root_of_its_size() -> None:
    found = [ensemble(9, 0.2, seed) for seed in range(60)]
    spread, deviation = values(found, 0)[0], values(found, 1)[0]
    assert math.sqrt(np.mean(deviation**2) / np.mean(spread**2)) == pytest.approx(1 / 3, rel=0.25)


def test_bins_are_given_for_plots() -> None:
    estimate, other = ensemble(12, 0.3, 3, rows=20_000)
    details = estimate.details
    assert [estimate.name, other.name] == ["spread_x", "deviation_x"]
    assert len(details["edges"]) == 33
    assert details["edges"] == sorted(details["edges"])
    assert sum(details["mean"]) == pytest.approx(1)
    np.testing.assert_allclose(details["real"], 1 / 32, rtol=0.15)
    np.testing.assert_allclose(details["statistical"], math.sqrt(1 / 32 / 20_000), rtol=0.5)
    slope = np.abs(BELL)
    between = np.array(details["between"])
    assert between[slope > 0.04].min() > 0.005
    assert between[slope < 0.01].max() < between[slope > 0.04].min(), "where the density is flat, a shift moves little"
    assert np.sum(between * slope) / math.sqrt(np.sum(between**2) * np.sum(slope**2)) > 0.95
    relative = np.sqrt(np.sum(between**2 / np.array(details["mean"])))
    assert relative == pytest.approx(estimate.value, rel=0.05)
    json.dumps(estimate.to_dict(), allow_nan=False)


def test_weights_count() -> None:
    rng, tables = np.random.default_rng(1), []
    for mean in rng.normal(0, 0.2, 10):
        x = rng.normal(0, 1, 10_000)  # weighed to a moved Gaussian
        tables.append(Table.of({"x": x, "w": np.exp(mean * x - mean**2 / 2)}, weight="w"))
    spread, _ = Spread()(gaussian(40_000, rng), tables)
    assert spread.value == pytest.approx(0.2 * RELATIVE, abs=3 * spread.error)
    assert Spread()(gaussian(40_000, rng), [table.select(["x"]) for table in tables])[0].excess < 2


def test_an_image_counts_as_its_sum_and_the_seed_decides() -> None:
    rng = np.random.default_rng(2)
    tables = [Table.of({"layer": rng.exponential(scale, (2000, 3, 2))}) for scale in (1.0, 1.0, 1.1, 0.9)]
    first, again, other = (Spread()(tables[0], tables[1:], seed)[0] for seed in (0, 0, 1))
    assert first.excess > 1
    assert first.value == again.value != other.value


def test_the_squared_trace_is_unbiased() -> None:
    true = np.diag([3.0, 1.0, 0.5])
    rng = np.random.default_rng(0)
    for freedom in (2, 5):
        drawn = [squared_trace(np.cov(rng.multivariate_normal(np.zeros(3), true, freedom + 1), rowvar=False), freedom)
                 for _ in range(4000)]
        assert np.mean(drawn) == pytest.approx(10.25, abs=4 * np.std(drawn) / math.sqrt(4000))


def test_roots_of_negative_estimates_are_zero() -> None:
    assert root(-1.0, 0.25) == (0.0, 0.5)


def test_what_has_no_spread_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(CalqueError, match="at least two trainings"):
        Spread()(gaussian(100, rng), [gaussian(100, rng)])
    with pytest.raises(CalqueError, match="depth = 11"):
        Spread(depth=11)
    with pytest.raises(CalqueError, match="different columns"):
        Spread()(gaussian(100, rng), [gaussian(100, rng), Table.of({"y": np.arange(100.0)})])
