"""Precision, recall, density and coverage: a slow double loop, dropped and invented modes, weights, pulls."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calque.errors import ConfigError, DataError
from calque.judging.measure import Estimate
from calque.judging.neighbours.coverage import Coverage, balls
from calque.judging.samples import NotMeasurableError
from calque.table import Array, Table


def modes(rows: int, seed: int, share: float = 0.5, distance: float = 50.0, width: float = 1.0) -> Table:
    """Two Gaussian modes far apart, the second with this share of the rows."""
    rng = np.random.default_rng(seed)
    values = width * rng.normal(size=(rows, 2))
    values[:, 0] += distance * (rng.random(rows) < share)
    return Table.of({"a": values[:, 0], "b": values[:, 1]})


def measured(real: Table, fake: Table, reference: Table | None = None, **settings: int) -> dict[str, Estimate]:
    return {estimate.measure: estimate for estimate in Coverage(**settings)(real, fake, reference)}


def by_hand(real: Array, fake: Array, k: int) -> tuple[float, float, float, float]:
    """The definitions, pair by pair."""
    def radius(rows: Array, row: int) -> float:
        return sorted(math.dist(rows[row], rows[other]) for other in range(len(rows)) if other != row)[k - 1]

    ours, theirs = ([radius(rows, row) for row in range(len(rows))] for rows in (real, fake))
    pairs = [[math.dist(x, y) for y in fake] for x in real]
    held = [[pairs[i][j] <= ours[i] for i in range(len(real))] for j in range(len(fake))]
    reached = [any(pairs[i][j] <= theirs[j] for j in range(len(fake))) for i in range(len(real))]
    covered = [any(held[j][i] for j in range(len(fake))) for i in range(len(real))]
    return (sum(map(any, held)) / len(fake), sum(reached) / len(real), sum(map(sum, held)) / k / len(fake),
            sum(covered) / len(real))


@pytest.mark.parametrize(("k", "digits"), [(1, 9), (3, 9), (5, 0)])
def test_the_fast_way_agrees_with_the_definitions(k: int, digits: int) -> None:
    rng = np.random.default_rng(k)
    real, fake = (np.round(rng.normal(size=(rows, 3)), digits) for rows in (40, 55))  # whole numbers: ties
    assert balls(real, fake, k) == pytest.approx(by_hand(real, fake, k), abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    whole = balls(real, fake, 5)
    monkeypatch.setattr("calque.judging.neighbours.coverage.BLOCK", 7)
    assert balls(real, fake, 5) == whole


# --- planted faults ---------------------------------------------------------------------------------------


def test_the_same_distribution_is_at_its_floors() -> None:
    found = measured(modes(4000, 1), modes(4000, 2), modes(8000, 3))
    assert all(abs(estimate.excess) < 3.5 for estimate in found.values())
    assert found["density"].value == pytest.approx(1, abs=4 * found["density"].error)
    assert found["coverage"].value == pytest.approx(1 - 2.0**-5, abs=0.01), "of k nearest one is generated"


def test_a_dropped_mode_costs_half_of_recall_and_coverage() -> None:
    found = measured(modes(4000, 1), modes(4000, 2, share=0.0), modes(8000, 3))
    assert found["recall"].value == pytest.approx(0.5, abs=0.05)
    assert found["coverage"].value == pytest.approx(0.5, abs=0.05)
    assert found["precision"].value > 0.9
    assert found["recall"].excess > 10 < found["coverage"].excess


def test_an_invented_mode_costs_half_of_precision_alone() -> None:
    found = measured(modes(4000, 1, share=0.0), modes(4000, 2), modes(8000, 3, share=0.0))
    assert found["precision"].value == pytest.approx(0.5, abs=0.05)
    assert found["recall"].value > 0.9
    assert found["precision"].excess > 10 > abs(found["recall"].excess)


def test_far_away_nothing_is_precise() -> None:
    found = measured(modes(1000, 1), modes(1000, 2, distance=1e4).with_columns({"b": np.full(1000, 1e3)}))
    assert [found[name].value for name in ("precision", "recall", "density", "coverage")] == [0, 0, 0, 0]
    assert all(estimate.excess > 10 for estimate in found.values())


def test_too_narrow_a_copy_recalls_little_and_is_no_denser() -> None:
    found = measured(modes(4000, 1, 0.0), modes(4000, 2, 0.0, width=0.3), modes(8000, 3, 0.0))
    assert found["recall"].value < 0.6
    assert found["coverage"].value < 0.8
    assert found["density"].value == pytest.approx(1, abs=0.05), "k of n balls hold a row, wherever it lies inside"


def test_the_excess_rises_with_the_fault() -> None:
    found = [measured(modes(4000, 1), modes(4000, 2, share), modes(8000, 3)) for share in (0.5, 0.1, 0.03, 0.0)]
    for name in ("recall", "coverage"):
        excess = [one[name].excess for one in found]
        assert excess == sorted(excess)


@pytest.mark.parametrize("dead", [0.0, 0.1])
def test_a_dead_cell_of_an_image_changes_nothing(dead: float) -> None:
    flat, images = [], []
    for seed in (1, 2, 3):
        cells = np.random.default_rng(seed).normal(size=(1000, 3))
        flat.append(Table.of({f"c{place}": cells[:, place] for place in range(3)}))
        images.append(Table.of({"layer": np.column_stack([cells, np.full(1000, dead)]).reshape(-1, 2, 2)}))
    assert [one.value for one in Coverage()(*images)] == pytest.approx([one.value for one in Coverage()(*flat)])


# --- weights, errors --------------------------------------------------------------------------------------


def test_weights_bring_a_thinned_mode_back() -> None:
    real, fake = modes(6000, 1), modes(6000, 2, share=0.1)
    weights = np.where(fake["a"] > 25, 9.0, 1.0)
    weighted = Table.of({**fake.columns, "w": weights}, weight="w")
    plain, mended = (measured(real, table, modes(8000, 3)) for table in (fake, weighted))
    assert plain["coverage"].excess > 5
    assert abs(mended["coverage"].excess) < 3.5


def test_equal_weights_change_nothing() -> None:
    real, fake = modes(500, 1), modes(500, 2)
    weighted = Table.of({**real.columns, "w": np.full(500, 0.37)}, weight="w")
    assert [one.value for one in Coverage()(weighted, fake)] == [one.value for one in Coverage()(real, fake)]


@pytest.mark.parametrize("referenced", [True, False])
def test_the_excess_has_unit_width_where_samples_agree(referenced: bool) -> None:
    found = []
    for seed in range(100):
        more = modes(1000, 3 * seed + 2) if referenced else None
        found.append(signed(Coverage()(modes(1000, 3 * seed), modes(500, 3 * seed + 1), more)))
    pulls = np.array(found)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 / math.sqrt(len(pulls)))
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=0.3)


def signed(estimates: tuple[Estimate, ...]) -> list[float]:
    return [(one.value - one.floor) / math.hypot(one.error, one.floor_error) for one in estimates]


def test_the_error_is_the_spread_away_from_the_floor_too() -> None:
    found = [Coverage()(modes(600, 2 * seed, 0.0), modes(600, 2 * seed + 1, 0.0, width=0.5), modes(1200, 7, 0.0))
             for seed in range(60)]
    values, errors = (np.array([[getattr(one, name) for one in entry] for entry in found])
                      for name in ("value", "error"))
    ratio = values.std(axis=0) / errors.mean(axis=0)
    np.testing.assert_allclose(ratio[1:], 1, atol=0.3)
    assert ratio[0] < 1.3, "nearly every row is precise, and the error is then that of one row"


def test_too_few_rows_for_an_error_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match=r"rows of equal weight .* 75 are needed"):
        measured(modes(60, 1), modes(60, 2))


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "says"), [
    (np.arange(200.0) - 1, "negative weights"), (np.where(np.arange(200) == 3, 1e6, 1.0), "carry most of the weight")])
def test_weights_that_leave_nothing_are_refused(weights: Array, says: str) -> None:
    with pytest.raises(NotMeasurableError, match=says):
        Coverage()(Table.of({**modes(200, 1).columns, "w": weights}, weight="w"), modes(200, 2))


def test_impossible_neighbours_are_refused() -> None:
    with pytest.raises(ConfigError, match="k = 0"):
        Coverage(k=0)
    with pytest.raises(DataError, match="too few for 30 neighbours"):
        Coverage(k=30)(modes(100, 1), modes(100, 2))
