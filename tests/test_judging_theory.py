"""Exact theory: the lectures' examples, duality, and closed forms against sampling and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calque.errors import DataError
from calque.judging.theory import discrete, gaussians, transport
from calque.judging.theory.gaussians import Gaussian

NARROW, WIDE = Gaussian.of(0.0, 1.0), Gaussian.of(1.5, 4.0)
TILTED = Gaussian.of([0.0, 1.0, -1.0], [[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 1.5]])
ROUND = Gaussian.of([0.5, 0.0, 0.0], [[1.0, -0.2, 0.1], [-0.2, 3.0, 0.0], [0.1, 0.0, 1.0]])


def contents(seed: int, size: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=size)


def rows(gaussian: Gaussian, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(gaussian.mean, gaussian.covariance, count)


# --- the game ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_no_discriminator_beats_the_optimal_one(seed: int) -> None:
    a, b, rng = contents(seed), contents(seed + 100), np.random.default_rng(seed)
    best = discrete.optimal_discriminator(a, b)
    value = discrete.game_value(best, a, b)
    for _ in range(50):
        other = np.clip(best + rng.normal(0, 0.1, len(best)), 1e-6, 1 - 1e-6)
        assert discrete.game_value(other, a, b) <= value
    assert value == pytest.approx(-2 * math.log(2) + 2 * discrete.js(a, b), abs=1e-12)
    assert discrete.js_from_game(value) == pytest.approx(discrete.js(a, b), abs=1e-12)


def test_disjoint_distributions_leave_nothing_to_learn_from() -> None:
    a, b = [1, 0], [0, 1]
    assert discrete.kl(a, b) == math.inf
    assert discrete.js(a, b) == pytest.approx(math.log(2))
    assert discrete.game_value(discrete.optimal_discriminator(a, b), a, b) == 0.0
    assert discrete.total_variation(a, b) == 1.0


def test_divergences_are_ordered() -> None:
    for seed in range(20):
        a, b = contents(seed), contents(seed + 100)
        js, kl, apart = discrete.js(a, b), discrete.kl(a, b), discrete.total_variation(a, b)
        assert 2 * apart**2 <= kl, "Pinsker"
        assert js <= apart * math.log(2) + 1e-12, "Lin, 1991"
        assert js == pytest.approx(discrete.js(b, a))
        assert discrete.kl(a, a) == discrete.js(a, a) == 0.0


@pytest.mark.parametrize("bad", [[-1, 2], [0, 0], [math.nan, 1], [[1, 2]], [math.inf, 1]])
def test_what_is_no_distribution_is_refused(bad: list[float]) -> None:
    with pytest.raises(DataError, match="no distribution"):
        discrete.kl(bad, [1, 1])
    with pytest.raises(DataError, match="same values"):
        discrete.kl([1, 1, 1], [1, 1])


# --- transport --------------------------------------------------------------------------------------------


def test_the_piles_of_the_lecture_need_five_steps() -> None:
    moved = transport.transport(transport.PILES, transport.HOLES, transport.distances(range(4), range(4)))
    assert 10 * moved.cost == pytest.approx(5)
    np.testing.assert_allclose(10 * moved.plan.sum(axis=1), transport.PILES, atol=1e-9)
    np.testing.assert_allclose(10 * moved.plan.sum(axis=0), transport.HOLES, atol=1e-9)
    surplus = np.cumsum(np.subtract(transport.PILES, transport.HOLES))
    np.testing.assert_array_equal(surplus, [2, 2, -1, 0])  # two past the first, two past the second, one back


@pytest.mark.parametrize("seed", range(5))
def test_primal_is_dual_is_the_area_between(seed: int) -> None:
    a, b, places = contents(seed), contents(seed + 100), np.random.default_rng(seed).normal(size=6)
    apart = transport.distances(places, places)
    moved = transport.transport(a, b, apart)
    critic, gain = transport.best_critic(a, b, apart)
    assert moved.cost == pytest.approx(gain, abs=1e-9)
    assert moved.cost == pytest.approx(transport.wasserstein_1d(places, a, b), abs=1e-9)
    assert (np.abs(critic[:, None] - critic) <= apart + 1e-9).all()


@pytest.mark.parametrize("theta", [-2.0, 0.3, 0.0])
def test_parallel_lines_as_points(theta: float) -> None:
    heights, level = np.linspace(0, 1, 9), np.ones(9)
    left, right = np.stack([np.zeros(9), heights], 1), np.stack([np.full(9, theta), heights], 1)
    lines = transport.parallel_lines(theta)
    moved = transport.transport(level, level, transport.distances(left, right))
    assert moved.cost == pytest.approx(lines.wasserstein, abs=1e-9)
    nothing = np.zeros(9)
    first, second = (np.r_[level, nothing], np.r_[nothing, level]) if theta else (level, level)
    assert discrete.kl(first, second) == lines.kl
    assert discrete.js(first, second) == pytest.approx(lines.js)
    assert discrete.total_variation(first, second) == pytest.approx(lines.total_variation)


def test_a_cost_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        transport.transport([1, 1], [1, 1], [[0, 1, 2], [1, 0, 1]])


# --- Gaussians --------------------------------------------------------------------------------------------


def fine(a: Gaussian, b: Gaussian) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both densities on a fine grid."""
    x = np.linspace(-15, 17, 40_001)
    return x, *(np.array([one.single.pdf(float(value)) for value in x]) for one in (a, b))


def test_one_dimension_agrees_with_a_fine_grid() -> None:
    x, p, q = fine(NARROW, WIDE)
    step = x[1] - x[0]
    between = (np.cumsum(p) - np.cumsum(q)) * step
    assert gaussians.kl(NARROW, WIDE) == pytest.approx(discrete.kl(p, q), rel=1e-6)
    assert gaussians.js(NARROW, WIDE) == pytest.approx(discrete.js(p, q), rel=1e-6)
    assert gaussians.wasserstein1(NARROW, WIDE) == pytest.approx(np.abs(between).sum() * step, rel=1e-4)
    assert gaussians.energy(NARROW, WIDE) == pytest.approx(2 * np.square(between).sum() * step, rel=1e-4)
    shifted = Gaussian.of(1.2, 1.0)
    _, p, q = fine(NARROW, shifted)
    assert gaussians.overlap(NARROW, shifted) == pytest.approx(1 - discrete.total_variation(p, q), rel=1e-6)


def test_kl_in_three_dimensions_is_the_mean_log_ratio() -> None:
    def log_density(one: Gaussian, x: np.ndarray) -> np.ndarray:
        apart = x - one.mean
        return -0.5 * np.sum(apart * np.linalg.solve(one.covariance, apart.T).T, 1) \
            - 0.5 * np.linalg.slogdet(one.covariance)[1]

    x = rows(TILTED, 400_000, 1)
    ratio = log_density(TILTED, x) - log_density(ROUND, x)
    assert gaussians.kl(TILTED, ROUND) == pytest.approx(ratio.mean(), abs=4 * ratio.std() / math.sqrt(len(x)))


def test_the_bures_map_moves_one_gaussian_onto_the_other() -> None:
    values, vectors = np.linalg.eigh(TILTED.covariance)
    root, back = (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T
    inner, axes = np.linalg.eigh(root @ ROUND.covariance @ root)
    push = back @ ((axes * np.sqrt(inner)) @ axes.T) @ back  # gradient of a convex function: it is optimal
    np.testing.assert_allclose(push @ TILTED.covariance @ push, ROUND.covariance, atol=1e-12)
    stretch = push - np.eye(3)
    cost = np.trace(stretch @ TILTED.covariance @ stretch) + np.sum((TILTED.mean - ROUND.mean) ** 2)
    assert gaussians.frechet(TILTED, ROUND) == pytest.approx(cost)
    assert gaussians.wasserstein2(TILTED, ROUND) == pytest.approx(math.sqrt(cost))
    assert gaussians.frechet(TILTED, TILTED) == pytest.approx(0, abs=1e-12)
    assert gaussians.frechet(NARROW, WIDE) == pytest.approx(1.5**2 + 1)


def pair_share(first: np.ndarray, second: np.ndarray) -> float:
    """AUC of scores: the share of pairs in order."""
    return float(np.searchsorted(np.sort(first), second).mean() / len(first))


def test_the_auc_is_that_of_the_likelihood_ratio() -> None:
    moved = Gaussian.of(TILTED.mean + np.array([0.5, -0.4, 0.3]), TILTED.covariance)
    direction = np.linalg.solve(TILTED.covariance, moved.mean - TILTED.mean)
    drawn = pair_share(rows(TILTED, 200_000, 1) @ direction, rows(moved, 200_000, 2) @ direction)
    assert gaussians.auc(TILTED, moved) == pytest.approx(drawn, abs=0.003)
    apart = gaussians.mahalanobis(TILTED, moved)
    assert gaussians.kl(TILTED, moved) == pytest.approx(apart**2 / 2)
    assert gaussians.auc(NARROW, Gaussian.of(1.0, 1.0)) == pytest.approx(0.5 * (1 + math.erf(0.5)))


def test_no_line_beats_the_auc_where_covariances_differ() -> None:
    best = np.linalg.solve(TILTED.covariance + ROUND.covariance, ROUND.mean - TILTED.mean)
    rng = np.random.default_rng(0)
    for direction in (best, *rng.normal(size=(50, 3))):
        width = direction @ (TILTED.covariance + ROUND.covariance) @ direction
        auc = gaussians.PHI(direction @ (ROUND.mean - TILTED.mean) / math.sqrt(width))
        assert auc <= gaussians.auc(TILTED, ROUND) + 1e-12
    assert gaussians.PHI(best @ (ROUND.mean - TILTED.mean) / math.sqrt(
        best @ (TILTED.covariance + ROUND.covariance) @ best)) == pytest.approx(gaussians.auc(TILTED, ROUND))


def test_widths_are_told_by_the_distance_from_the_mean() -> None:
    rng = np.random.default_rng(0)
    drawn = pair_share(np.abs(rng.normal(0, 1, 200_000)), np.abs(rng.normal(0, 2, 200_000)))
    assert gaussians.auc_of_widths(1, 2) == gaussians.auc_of_widths(2, 1) == pytest.approx(drawn, abs=0.003)


def test_impossible_gaussians_are_refused() -> None:
    with pytest.raises(DataError, match="positive covariance"):
        Gaussian.of([0, 0], [[1, 2], [2, 1]])
    with pytest.raises(DataError, match="one dimension"):
        gaussians.js(TILTED, ROUND)
    with pytest.raises(DataError, match="equal covariances"):
        gaussians.overlap(NARROW, WIDE)
