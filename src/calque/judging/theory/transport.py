"""Moving earth: discrete optimal transport, its dual, and the two parallel lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calque.errors import DataError
from calque.judging.theory.discrete import Numbers, normalised, pair

PILES, HOLES = (3, 2, 1, 4), (1, 2, 4, 3)  # the example of four piles, ten shovelfuls (Weng, arXiv:1904.08994)


@dataclass(frozen=True)
class Transport:
    """A plan (K, L): how much moves from place k to place l; and what it costs."""

    plan: Numbers
    cost: float


def distances(first: ArrayLike, second: ArrayLike) -> Numbers:
    """Euclidean distances (K, L) between places (K,) or (K, D) and (L,) or (L, D).

    >>> distances([0, 3], [1]).tolist()
    [[1.0], [2.0]]
    """
    a, b = (np.asarray(places, dtype=np.float64) for places in (first, second))
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=-1))


def transport(a: ArrayLike, b: ArrayLike, cost: ArrayLike) -> Transport:
    """Cheapest plan γ ≥ 0 with row sums a (K,) and column sums b (L,): min Σ γ cost (K, L).

    The lecture's piles: five shovelfuls by one place each, of ten.

    >>> moved = transport(PILES, HOLES, distances(range(4), range(4)))
    >>> round(10 * moved.cost, 9), (10 * moved.plan.sum(axis=0)).round(9).tolist()
    (5.0, [1.0, 2.0, 4.0, 3.0])

    Source: Kantorovich, 1942. Raises DataError for a cost of another shape.
    """
    first, second, costs = normalised(a), normalised(b), np.asarray(cost, dtype=np.float64)
    if costs.shape != (len(first), len(second)):
        raise DataError(f"the cost has shape {costs.shape}; {(len(first), len(second))} is needed")
    rows = np.kron(np.eye(len(first)), np.ones(len(second)))
    columns = np.kron(np.ones(len(first)), np.eye(len(second)))
    solved = solve(costs.ravel(), equal=(np.concatenate([rows, columns]), np.concatenate([first, second])))
    return Transport(solved.reshape(costs.shape), float(solved @ costs.ravel()))


def best_critic(a: ArrayLike, b: ArrayLike, distance: ArrayLike) -> tuple[Numbers, float]:
    """Critic f (K,) with |f(x) − f(y)| ≤ distance (K, K) that maximises Σ (a − b) f, and that maximum.

    By Kantorovich's duality the maximum is the cost of the cheapest transport: it is what a WGAN's critic seeks.

    >>> critic, gain = best_critic(PILES, HOLES, distances(range(4), range(4)))
    >>> round(10 * gain, 9), np.diff(critic).round(9).tolist()
    (5.0, [-1.0, -1.0, 1.0])
    """
    first, second = pair(a, b)
    steps = np.asarray(distance, dtype=np.float64)
    x, y = np.nonzero(~np.eye(len(first), dtype=bool))
    slopes = np.eye(len(first))[x] - np.eye(len(first))[y]
    anchor = np.eye(len(first))[:1]  # a constant added to the critic changes nothing
    critic = solve(second - first, below=(slopes, steps[x, y]), equal=(anchor, np.zeros(1)), positive=False)
    return critic, float((first - second) @ critic)


def solve(
    cost: Numbers,
    equal: tuple[Numbers, Numbers],
    below: tuple[Numbers, Numbers] | None = None,
    positive: bool = True,
) -> Numbers:
    """Minimise a linear cost under A x = b, and A x ≤ b where given."""
    from scipy.optimize import linprog

    upper, limit = (None, None) if below is None else below
    solution = linprog(cost, upper, limit, *equal, bounds=(0, None) if positive else (None, None))
    if not solution.success:
        raise DataError(f"no transport was found: {solution.message}")
    return np.asarray(solution.x)


def wasserstein_1d(places: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Area between both cumulative distributions, ∫ |A − B| dx, over places (K,) in one dimension.

    >>> round(wasserstein_1d(range(4), [3, 2, 1, 4], [1, 2, 4, 3]), 12)
    0.5
    """
    where = np.asarray(places, dtype=np.float64)
    order = np.argsort(where)
    first, second = pair(a, b)
    ahead = np.cumsum((first - second)[order])[:-1]
    return float(np.abs(ahead) @ np.diff(where[order]))


@dataclass(frozen=True)
class Lines:
    """Distances between the uniform lines x = 0 and x = θ, 0 ≤ y ≤ 1."""

    kl: float
    js: float
    total_variation: float
    wasserstein: float


def parallel_lines(theta: float) -> Lines:
    """Why a critic learns where a discriminator cannot: only W says how far apart disjoint lines are.

    >>> parallel_lines(-0.5)
    Lines(kl=inf, js=0.693..., total_variation=1.0, wasserstein=0.5)
    >>> parallel_lines(0.0)
    Lines(kl=0.0, js=0.0, total_variation=0.0, wasserstein=0.0)

    Source: Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875, example 1.
    """
    return Lines(math.inf, math.log(2), 1.0, abs(theta)) if theta else Lines(0.0, 0.0, 0.0, 0.0)
