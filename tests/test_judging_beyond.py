"""Counts beyond quantiles of the real sample, and outside its support."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calque.judging import Estimate, Report
from calque.judging.columns.beyond import Beyond
from calque.judging.columns.cells import Column
from calque.judging.columns.counting import Count, as_pull, too_few, too_many
from calque.table import Table

Numbers = NDArray[np.float64]


def measured(real: Numbers, fake: Numbers, weights: Numbers | None = None) -> dict[str, Estimate]:
    """All three numbers of a column; the real rows may have weights."""
    known = Table.of({"e": real} if weights is None else {"e": real, "w": weights})
    known = known if weights is None else known.select(["e", "w"], weight="w")
    return {estimate.measure: estimate for estimate in Beyond()(known, Table.of({"e": fake}))}


def energies(rows: int, seed: int) -> Numbers:
    """A column with a minimum near zero and a long tail."""
    return np.random.default_rng(seed).exponential(size=rows)


def test_probabilities_are_those_of_the_order_of_both_samples() -> None:
    generator = np.random.default_rng(1)
    real, fake, place = 60, 40, 5
    order = generator.permuted(np.tile(np.arange(real + fake) < real, (20000, 1)), axis=1)  # from the outside inwards
    edge = np.argmax(np.cumsum(order, axis=1) == place, axis=1)
    beyond = edge + 1 - place
    ours = Count(place / real, place, real)
    for count in (1, 3, 6):
        theirs = Count(count / fake, count, fake)
        assert too_many(theirs, ours) == pytest.approx(np.mean(beyond >= count), abs=0.03)
        assert too_few(theirs, ours) == pytest.approx(np.mean(beyond <= count), abs=0.03)
    nothing = Count(0.0, 0.0, real)
    first = np.argmax(order, axis=1)
    assert too_many(Count(3 / fake, 3, fake), nothing) == pytest.approx(np.mean(first >= 3), abs=0.02)


@pytest.mark.parametrize(("side", "name"), [(1.0, "beyond_high"), (-1.0, "beyond_low")])
def test_a_missing_tail_is_found_on_its_side(side: float, name: str) -> None:
    real, fake = side * energies(20000, 1), side * energies(20000, 2)
    fake[np.abs(fake) > 5.0] = side * 1.0  # 0.7 % of the events
    found = measured(real, fake)
    assert found[name].excess > 5
    assert found[name].value < 0.6
    other = {"beyond_high": "beyond_low", "beyond_low": "beyond_high"}[name]
    assert found[other].excess < 4


def test_too_long_a_tail_is_found() -> None:
    real, fake = energies(5000, 1), energies(5000, 2)
    fake[:25] = 50.0
    found = measured(real, fake)
    assert found["beyond_high"].excess > 5
    assert found["support"].excess > 5
    assert "e > 50" not in str(found["beyond_high"].details["where"])


def test_a_few_negative_energies_are_named() -> None:
    real, fake = energies(5000, 1), energies(5000, 2)
    fake[:25] = -0.3
    support = measured(real, fake)["support"]
    assert support.value >= 0.005
    assert support.excess > 5
    assert support.details["where"] == "e negative"
    few = measured(real, np.concatenate([fake[:2], fake[25:]]))["support"]
    verdict = Report((few,), {}, 0).verdict()
    assert "0.04 % of the generated events have e negative, no real one has" in verdict


@pytest.mark.parametrize(("real", "wrong", "where"), [
    (np.random.default_rng(1).poisson(300, 2000).astype(float), 300.5, "e not a whole number"),
    (np.random.default_rng(1).choice([-13.0, 13.0], 2000), 0.0, "e other than its 2 real values"),
])
def test_values_that_do_not_exist_are_named(real: Numbers, wrong: float, where: str) -> None:
    fake = np.random.default_rng(2).permutation(real)
    assert measured(real, fake)["support"].value == 0
    fake[:40] = wrong
    support = measured(real, fake)["support"]
    assert support.value == pytest.approx(0.02)
    assert support.excess > 5
    assert support.details["where"] == where


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_samples_stay_within_their_errors(weighted: bool) -> None:
    pulls = []
    for seed in range(150):
        weights = np.random.default_rng(seed + 900).uniform(0.2, 2, 800) if weighted else None
        found = measured(energies(800, seed), energies(700, seed + 500), weights)
        pulls += [[found[name].excess for name in ("beyond_low", "beyond_high", "support")]]
    high = np.array(pulls)
    assert np.mean(high > 2, axis=0).max() < 0.06
    assert high.max() < 4


def test_a_heap_has_no_tail_on_its_side() -> None:
    values = np.maximum(np.random.default_rng(3).normal(size=3000), 0)
    found = measured(values, np.maximum(np.random.default_rng(4).normal(size=3000), 0))
    assert found["beyond_low"].details["level"] == 0
    assert max(one.excess for one in found.values()) < 4


def test_counts_know_weights() -> None:
    column = Column(np.arange(4.0), np.array([1.0, 1.0, 1.0, 3.0]))
    count = Count.of(column, column.values > 1)
    assert (count.share, count.events) == (pytest.approx(4 / 6), pytest.approx(1.6))
    assert as_pull(too_many(Count(0.0, 0.0, 10), count)) == 0
