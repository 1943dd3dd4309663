"""Joint measures: closed forms, slow definitions, weights, pulls, planted faults, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging import View
from calque.judging.joint import (
    Correlation,
    EnergyDistance,
    FrechetPhysicsDistance,
    KernelPhysicsDistance,
    SlicedWasserstein,
)
from calque.judging.joint.correlation import Ranked
from calque.judging.joint.draws import counts, every
from calque.judging.joint.frechet import apart
from calque.judging.joint.kernel import Rows, quadratic
from calque.judging.joint.kpd import features, of_pairs, polynomial
from calque.judging.joint.moments import Gaussians, Moments
from calque.judging.joint.sliced import directions, linearised
from calque.judging.measure import Estimate, Measure
from calque.judging.samples import Sample
from calque.table import Table

Values = NDArray[np.float64]
FREE = (SlicedWasserstein(replicas=60, directions=16), FrechetPhysicsDistance(replicas=60),
        KernelPhysicsDistance(replicas=60), EnergyDistance(replicas=60), Correlation(replicas=60))
BY_NAME = {measure.name.removesuffix("_raw"): measure for measure in FREE}
SIGNED = ("fpd", "kpd", "energy")
ORDERED = ("sliced_wasserstein", "correlation")


def table(values: Values, weights: Values | None = None) -> Table:
    columns = {f"c{place}": column for place, column in enumerate(np.atleast_2d(values.T))}
    return Table.of(columns) if weights is None else Table.of({**columns, "w": weights}, weight="w")


def gaussian(rows: int, seed: int, columns: int = 3) -> Values:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def correlated(rows: int, seed: int, rho: float) -> Values:
    x, y = gaussian(rows, seed, 2).T
    return np.stack([x, rho * x + math.sqrt(1 - rho**2) * y], axis=1)


def single(measure: Measure, real: Table, fake: Table, reference: Table | None = None, seed: int = 0) -> Estimate:
    (found,) = measure(real, fake, reference, seed)
    return found


def number(name: str, real: Table, fake: Table) -> float:
    """What no random number enters: FPD before it is extrapolated, the value of all others."""
    found = single(BY_NAME[name], real, fake)
    return float(found.details["plain"]) if name == "fpd" else found.value


# --- sliced Wasserstein -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [1, 2, 6])
def test_a_shift_is_seen_along_every_direction(columns: int) -> None:
    real, shift = gaussian(400, 1, columns), 0.7
    fake = real + shift * real.std(axis=0) * np.eye(columns)[0]
    found = single(SlicedWasserstein(directions=600, replicas=20), table(real), table(fake)).value
    gamma = math.gamma(columns / 2) / (math.gamma((columns + 1) / 2) * math.sqrt(math.pi))  # E|u₁|
    assert found == pytest.approx(shift * gamma, rel=1e-9 if columns == 1 else 0.04)


def test_one_direction_is_scipys_weighted_distance() -> None:
    from scipy.stats import wasserstein_distance

    x, y = gaussian(300, 1, 1), np.round(gaussian(200, 2, 1) * 2 + 0.3, 1)
    w, v = np.random.default_rng(0).exponential(size=300), np.random.default_rng(1).exponential(size=200)
    (found,), _ = linearised(Sample(x, w), Sample(y, v), np.ones((1, 1)))
    assert found == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0], w, v), rel=1e-12)


def test_the_change_with_a_row_is_the_derivative() -> None:
    x, y, axes, step = gaussian(59, 1), gaussian(50, 2) + 0.4, directions(3, 8, 0), 1e-7  # k/59 is no k/50: no kink
    along, (change, change_too) = linearised(Sample(x, np.ones(59)), Sample(y, np.ones(50)), axes)
    for row in (3, 40):
        for place, (size, found) in enumerate([(59, change), (50, change_too)]):
            weights = [np.ones(59), np.ones(50)]
            weights[place][row] += step
            moved, _ = linearised(Sample(x, weights[0]), Sample(y, weights[1]), axes)
            slope = (moved.mean() - along.mean()) / step * size
            assert slope == pytest.approx(found[row] - found.mean(), abs=1e-5)


def test_directions_are_orthogonal_unit_vectors() -> None:
    axes = directions(4, 10, 0)
    assert axes.shape == (10, 4)
    np.testing.assert_allclose(axes[:4] @ axes[:4].T, np.eye(4), atol=1e-12)


# --- Fréchet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0])
def test_gaussians_at_a_distance(distance: float) -> None:
    real, fake = gaussian(20_000, 1), gaussian(20_000, 2) + distance * np.eye(3)[0]
    found = single(FrechetPhysicsDistance(), table(real), table(fake))
    scale = np.abs(real[:, 0]).max()
    assert found.value * scale**2 == pytest.approx(distance**2, abs=4 * found.error * scale**2)


def test_gaussians_in_closed_form() -> None:
    from scipy.linalg import sqrtm

    a, b = (np.cov(gaussian(9, seed), rowvar=False) for seed in (1, 2))
    exact = 14 + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    first, second = Gaussians(np.zeros((1, 3)), a[None]), Gaussians(np.array([[1.0, 2, 3]]), b[None])
    assert apart(first, second)[0] == pytest.approx(exact, rel=1e-12)
    wide = Gaussians(np.zeros((1, 2)), np.diag([4.0, 9.0])[None])
    flat = Gaussians(np.zeros((1, 2)), np.diag([1.0, 0.0])[None])
    assert apart(wide, flat)[0] == pytest.approx(1 + 9)


def test_extrapolation_removes_the_bias() -> None:
    found = [single(FrechetPhysicsDistance(replicas=20), table(gaussian(500, 2 * i)), table(gaussian(500, 2 * i + 1)))
             for i in range(40)]
    values, plain = np.array([(one.value, one.details["plain"]) for one in found]).T
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(40)
    assert plain.mean() > 5 * plain.std() / math.sqrt(40)


def test_moments_of_any_blocks_are_those_of_their_rows() -> None:
    values, weights = gaussian(90, 1), np.random.default_rng(0).normal(1, 1, 90)  # some negative
    halves = [Moments.of(Sample(values[part], weights[part]), 10, 0) for part in (slice(40), slice(40, 90))]
    joined = (halves[0] + halves[1]).joined(np.ones((1, 20)))
    mean = weights @ values / weights.sum()
    biased = ((values - mean) * weights[:, None]).T @ (values - mean) / weights.sum()
    np.testing.assert_allclose(joined.mean[0], mean)
    np.testing.assert_allclose(joined.covariance[0], biased / (1 - np.sum(weights**2) / weights.sum() ** 2))
    once = halves[0].joined(np.eye(10)[:2])
    np.testing.assert_allclose(halves[0].joined(np.array([[1.0, 1.0] + [0.0] * 8])).mean[0], once.mean.mean(axis=0),
                               atol=np.ptp(once.mean))


# --- energy and kernels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_energy_of_gaussians_in_closed_form(distance: float) -> None:
    found = single(EnergyDistance(replicas=40), table(gaussian(3000, 1, 1)), table(gaussian(3000, 2, 1) + distance))
    across = 2 / math.sqrt(math.pi) * math.exp(-distance**2 / 4) + distance * math.erf(distance / 2)
    assert found.value - found.floor == pytest.approx(2 * across - 4 / math.sqrt(math.pi), abs=4 * found.error)


def test_energy_of_neighbouring_uniforms() -> None:
    grid = (np.arange(2000) + 0.5)[:, None] / 2000
    found = single(EnergyDistance(replicas=20), table(grid), table(grid + 1)).value
    assert found == pytest.approx(4 / 3 * math.sqrt(12), rel=1e-5)


def test_the_quadratic_form_in_chunks_is_that_of_the_whole_matrix() -> None:
    points, z = gaussian(2500, 1), gaussian(2500, 2, 5) / 2500
    whole = (points @ points.T / 3 + 1) ** 4 - 1
    np.testing.assert_allclose(quadratic(polynomial, points, z[:, :3]), np.sum(z * (whole @ z), axis=0)[:3], rtol=1e-9)
    np.testing.assert_allclose(quadratic(polynomial, points, z), np.sum(z * (whole @ z), axis=0), rtol=1e-3)


def kernel(x: Values, y: Values) -> float:
    return float((x @ y / len(x) + 1) ** 4)


def loops(x: Values, y: Values) -> float:
    """Unbiased discrepancy by its definition."""
    n, m = len(x), len(y)
    inner = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    inner_too = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return inner + inner_too - 2 * float(np.mean([[kernel(a, b) for b in y] for a in x]))


@pytest.mark.parametrize("columns", [1, 3, 12])  # the last by pairs, the others by features
def test_kpd_is_the_mean_over_pairs_of_different_rows(columns: int) -> None:
    x, y = gaussian(60, 1, columns), gaussian(50, 2, columns) * 1.5
    scale = np.abs(x).max(axis=0)
    exact = loops(x / scale, y / scale)
    assert single(BY_NAME["kpd"], table(x), table(y)).value == pytest.approx(exact, rel=1e-9)
    rows = [Rows(values / scale, np.ones(len(values))) for values in (x, y)]
    assert of_pairs(rows[0], rows[1], every(rows[0]), every(rows[1]))[0] == pytest.approx(exact, rel=1e-9)


def test_features_multiply_to_the_kernel() -> None:
    x, y = gaussian(5, 1), gaussian(5, 2)
    np.testing.assert_allclose(features(x) @ features(y).T, (x @ y.T / 3 + 1) ** 4)


# --- correlations -----------------------------------------------------------------------------------------


def test_rank_correlations_of_a_gaussian_copula() -> None:
    real, fake = correlated(20_000, 1, 0.5), np.exp(correlated(20_000, 2, 0.9))
    found = single(Correlation(), table(real), table(fake))
    exact = 6 / math.pi * (math.asin(0.45) - math.asin(0.25))
    assert found.details["pairs"]["c0:c1"] == pytest.approx(exact, abs=4 * found.error)
    assert found.value == found.details["pairs"][found.details["worst"]]


def test_ties_get_their_mean_rank() -> None:
    from scipy.stats import spearmanr

    values = np.round(correlated(300, 1, 0.6) * 1.5)
    ranked = Ranked.of(Sample(values, np.ones(300)), 20)
    assert ranked.correlations(every(ranked))[0, 0, 1] == pytest.approx(spearmanr(values).statistic, rel=1e-12)


def test_the_influence_of_a_row_is_the_derivative() -> None:
    values, step, rows = np.round(correlated(80, 1, 0.7), 1), 1e-6, 80
    whole = Ranked.of(Sample(values, np.ones(rows)), 40)  # blocks of two rows
    heavier = Ranked.of(Sample(values, np.where(np.arange(rows) // 2 == 5, 1 + step, 1.0)), 40)
    np.testing.assert_allclose((heavier.covariance - whole.covariance) / step, whole.influence[5], atol=1e-6)


def test_the_worst_pair_is_named() -> None:
    real, fake = gaussian(3000, 1, 4), gaussian(3000, 2, 4)
    fake[:, 3] = fake[:, 3] - 0.6 * fake[:, 1]
    found = single(Correlation(), table(real), table(fake))
    assert found.details["worst"] == "c1:c3"
    assert len(found.details["pairs"]) == 6
    assert found.details["pairs"]["c1:c3"] < 0
    assert found.excess > 10


def test_cells_of_images_are_named_by_their_indices() -> None:
    image, other = (Table.of({"layer": gaussian(500, seed, 4).reshape(-1, 2, 2)}) for seed in (1, 2))
    pairs = single(Correlation(replicas=20), image, other).details["pairs"]
    assert "layer[0, 0]:layer[1, 1]" in pairs


def test_one_column_has_no_pair() -> None:
    assert Correlation()(table(gaussian(100, 1, 1)), table(gaussian(100, 2, 1))) == ()


# --- weights, order, seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sliced_wasserstein", "energy", "correlation"])
def test_a_weight_of_three_is_a_row_thrice(name: str) -> None:
    times = np.random.default_rng(0).integers(1, 4, 120)
    x, y = np.round(correlated(120, 1, 0.5), 1), correlated(90, 2, 0.8)
    repeated = table(np.repeat(x, times, axis=0))
    assert number(name, table(x, times.astype(float)), table(y)) == pytest.approx(number(name, repeated, table(y)))


@pytest.mark.parametrize("name", list(BY_NAME))
def test_weights_that_match_bring_it_to_the_floor(name: str) -> None:
    x, y = gaussian(2000, 1, 2), correlated(4000, 2, 0.5)
    density = np.exp(-np.sum(y**2, axis=1) / 2 + (y[:, 0]**2 - y[:, 0] * y[:, 1] + y[:, 1]**2) / 1.5)
    plain, matched = (single(BY_NAME[name], table(x), table(y, w)) for w in (None, density))
    assert plain.excess > 5
    assert abs(matched.excess) < 3.5


def test_a_row_of_weight_minus_one_takes_a_row_away() -> None:
    x, y, wrong = gaussian(400, 1), gaussian(300, 2), gaussian(30, 3) + 2
    weights = np.concatenate([np.ones(330), -np.ones(30)])
    undone = number("energy", table(x), table(np.concatenate([y, wrong, wrong]), weights))
    assert undone == pytest.approx(number("energy", table(x), table(y)), abs=1e-12)


@pytest.mark.parametrize("name", SIGNED)
def test_negative_weights_subtract_a_background(name: str) -> None:
    x, y = gaussian(3000, 1), gaussian(3000, 2)
    background, side_band = gaussian(600, 3) + 1, gaussian(600, 4) + 1
    weights = np.concatenate([np.ones(3600), -np.ones(600)])
    spoilt = single(BY_NAME[name], table(x), table(np.concatenate([y, background])))
    undone = single(BY_NAME[name], table(x), table(np.concatenate([y, background, side_band]), weights))
    assert spoilt.excess > 4
    assert abs(undone.excess) < 3


@pytest.mark.parametrize("name", SIGNED)
def test_negative_weights_keep_floor_and_error(name: str) -> None:
    weights = np.random.default_rng(0).choice([1.0, -0.5], 1000, p=[0.9, 0.1])
    found = single(BY_NAME[name], table(gaussian(1000, 1), weights), table(gaussian(1000, 2)))
    assert abs(found.excess) < 4
    assert found.error > 0


@pytest.mark.parametrize("name", ORDERED)
def test_negative_weights_have_no_order(name: str) -> None:
    weights = np.where(np.arange(100) == 7, -1.0, 1.0)
    with pytest.raises(DataError, match=r"cannot use negative weights: 1 of 100 rows .*first rows: 7"):
        BY_NAME[name](table(gaussian(100, 1), weights), table(gaussian(100, 2)))


@pytest.mark.parametrize("name", SIGNED)
def test_weights_that_sum_to_nothing_are_refused(name: str) -> None:
    weights = np.where(np.arange(100) < 50, -1.0, 1.0)
    with pytest.raises(DataError, match="sum to 0; a sample needs a positive sum"):
        BY_NAME[name](table(gaussian(100, 1)), table(gaussian(100, 2), weights))


@pytest.mark.parametrize("name", list(BY_NAME))
def test_order_of_rows_and_scale_of_weights_play_no_part(name: str) -> None:
    x, y = gaussian(300, 1), gaussian(200, 2) * 1.3
    order = np.random.default_rng(0).permutation(300)
    assert number(name, table(x), table(y)) == pytest.approx(number(name, table(x[order]), table(y[::-1])), rel=1e-9)
    heavy = number(name, table(x, np.full(300, 20.0)), table(y, np.full(200, 3.0)))
    assert heavy == pytest.approx(number(name, table(x), table(y)), rel=1e-9)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_same_seed_same_numbers(name: str) -> None:
    given = table(gaussian(300, 1)), table(gaussian(200, 2)), table(gaussian(250, 3))
    first, again, other = (single(BY_NAME[name], *given, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.error != other.error
    assert (first.measure, first.of, first.name) == (name, "raw", BY_NAME[name].name)


# --- error and floor --------------------------------------------------------------------------------------


def pulls(measure: Measure, times: int, rows: tuple[int, int] = (400, 300), weighted: bool = False) -> Values:
    """(value − floor) / error of equal samples."""
    found = []
    for turn in range(times):
        stream = np.random.default_rng(turn)
        real, more, fake = (stream.standard_t(6, (size, 3)) @ [[1, 0.5, 0], [0, 1, 0], [0, 0.2, 2]]
                            for size in (rows[0], rows[0], rows[1]))
        weights = stream.choice([1.0, 5.0], rows[0], p=[0.8, 0.2]) if weighted else None
        one = single(measure, table(real, weights), table(fake), table(more) if weighted else None, turn)
        found.append((one.value - one.floor) / one.error)
    return np.array(found)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_equal_samples_lie_at_the_floor_within_the_error(name: str) -> None:
    found = pulls(BY_NAME[name], 60)
    assert np.std(found) == pytest.approx(1, abs=0.35)
    assert abs(np.mean(found)) < 0.45


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(BY_NAME))
def test_pulls_have_unit_width(name: str, weighted: bool) -> None:
    measure: Any = BY_NAME[name]
    found = pulls(replace(measure, replicas=200), 500, (1000, 800), weighted)
    assert np.std(found) == pytest.approx(1, abs=0.15)
    assert abs(np.mean(found)) < 0.2


@pytest.mark.parametrize("name", ["energy", "sliced_wasserstein", "correlation"])
def test_far_away_the_error_is_the_spread(name: str) -> None:
    found = []
    for turn in range(40):
        fake = gaussian(400, 2 * turn + 1)
        fake[:, 0] += 0.8 * fake[:, 1] + 0.8
        found.append(single(BY_NAME[name], table(gaussian(400, 2 * turn)), table(fake), seed=0))
    spread = np.std([one.value for one in found])
    assert spread / np.median([one.error for one in found]) == pytest.approx(1.1, abs=0.4)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_the_floor_is_that_of_the_sizes_at_hand(name: str) -> None:
    """Halving both samples, the floor and its spread grow as the measure's order in 1/N says."""
    large, small = (single(BY_NAME[name], table(gaussian(rows, 1)), table(gaussian(rows, 2))) for rows in (4000, 1000))
    order = 1 if name in SIGNED else 0.5
    if name in ("energy", "sliced_wasserstein", "correlation"):
        assert small.floor / large.floor == pytest.approx(4**order, rel=0.25)
    assert small.error / large.error == pytest.approx(4**order, rel=0.6)


# --- planted faults ---------------------------------------------------------------------------------------


def modes(rows: int, seed: int, dropped: bool = False) -> Values:
    """Five separate modes in three columns, or four."""
    stream = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(scale=4, size=(5, 3))
    return stream.normal(size=(rows, 3)) + centres[stream.integers(1 if dropped else 0, 5, rows)]


def drop_a_mode(rows: int, seed: int) -> Values:
    return modes(rows, seed, dropped=True)


def shuffle_a_column(rows: int, seed: int) -> Values:
    values = modes(rows, seed)
    return np.stack([np.random.default_rng(seed).permutation(values[:, 0]), values[:, 1], values[:, 2]], axis=1)


def swap_columns(rows: int, seed: int) -> Values:
    return modes(rows, seed)[:, [1, 0, 2]]


def widen(rows: int, seed: int) -> Values:
    values = modes(rows, seed)
    return values.mean(axis=0) + 1.25 * (values - values.mean(axis=0))


FAULTS: dict[Callable[[int, int], Values], tuple[str, ...]] = {
    drop_a_mode: tuple(BY_NAME), shuffle_a_column: tuple(BY_NAME), swap_columns: tuple(BY_NAME),
    widen: ("sliced_wasserstein", "fpd", "kpd", "energy"),
}


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, names in FAULTS.items() for name in names])
def test_planted_faults_are_found(fault: Callable[[int, int], Values], name: str) -> None:
    found = single(BY_NAME[name], table(modes(2500, 1)), table(fault(2500, 2)), table(modes(2500, 3)))
    assert found.excess > 3
    assert found.details["null_above"] == 0


def test_correlations_do_not_see_widths() -> None:
    found = single(BY_NAME["correlation"], table(modes(1500, 1)), table(widen(1500, 2)))
    assert abs(found.excess) < 3.5


# --- odd input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BY_NAME))
def test_images_views_and_constant_copies_are_measured(name: str) -> None:
    stream = np.random.default_rng(0)
    real = Table.of({"image": stream.random((200, 2, 2)), "e": stream.random(200)})
    fake = Table.of({"image": stream.random((150, 2, 2)), "e": np.full(150, 0.5)})
    seen = View("twice", lambda given: given.with_columns({"e": 2 * given["e"]}))
    measure: Any = BY_NAME[name]
    found = single(replace(measure, view=seen), real, fake)
    assert math.isfinite(found.excess)
    assert found.of == "twice"


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize("dead", [0.0, 0.1])
def test_a_dead_cell_of_an_image_changes_nothing_but_for_a_copy_that_fills_it(name: str, dead: float) -> None:
    def images(seed: int, dead: float) -> Table:
        cells = gaussian(500, seed, 4)
        cells[:, 3] = dead * (1 if dead < 1 else np.arange(500) % 2)
        return Table.of({"layer": cells.reshape(-1, 2, 2)})

    honest, filled = (single(BY_NAME[name], images(1, dead), images(2, fake)) for fake in (dead, 5.0))
    assert abs(honest.excess) < 4
    assert math.isfinite(filled.value)
    assert filled.excess > 10 or name == "correlation", "a constant cell correlates with nothing"


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize("sizes", [(50, 50), (3000, 60), (60, 3000)])
def test_small_and_unequal_samples(name: str, sizes: tuple[int, int]) -> None:
    found = single(BY_NAME[name], table(gaussian(sizes[0], 1, 2)), table(gaussian(sizes[1], 2, 2)))
    assert abs(found.excess) < 5
    assert math.isfinite(found.floor)


@pytest.mark.parametrize("measure", [SlicedWasserstein, FrechetPhysicsDistance, KernelPhysicsDistance, EnergyDistance,
                                     Correlation])
def test_impossible_settings_are_said(measure: Any) -> None:
    with pytest.raises(ConfigError, match="replicas = 1 is too small; at least 20"):
        measure(replicas=1)


def test_counts_are_those_of_each_replica() -> None:
    np.testing.assert_array_equal(counts(np.array([[0, 0, 2], [1, 1, 1]]), 3), [[2, 0, 1], [0, 3, 0]])
