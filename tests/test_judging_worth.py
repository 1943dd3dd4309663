"""Worth: generators of known bias, copies, fits to few events; pulls, limits, weights."""

from __future__ import annotations

import json
import math
from statistics import NormalDist

import numpy as np
import pytest

from calque.errors import CalqueError
from calque.judging.contents import Cells, Contents, squared_distance
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample
from calque.judging.worth import LIMIT, Worth, inverse_worth, worth
from calque.table import Table

CELLS = 32
CUTS = np.array([NormalDist().inv_cdf(k / CELLS) for k in range(1, CELLS)])
EVEN = 1 - 1 / CELLS
FINE = Worth(depth=5)


def gaussian(rows: int, seed: int, mean: float = 0.0, width: float = 1.0, columns: int = 1) -> Table:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    values[:, 0] = mean + width * values[:, 0]
    return Table.of({f"c{i}": values[:, i] for i in range(columns)})


def shares(mean: float = 0.0, width: float = 1.0) -> np.ndarray:
    """Shares of a Gaussian in the cells that a standard one fills equally."""
    below = [NormalDist(mean, width).cdf(cut) for cut in CUTS]
    return np.diff([0.0, *below, 1.0])


def drawn(share: np.ndarray, rows: int, rng: np.random.Generator) -> Contents:
    return Contents.of(np.repeat(np.arange(len(share)), rng.multinomial(rows, share)), np.ones(rows), len(share))


def inverses(estimates: list[Estimate]) -> tuple[float, float]:
    """Mean of 1/worth and the error of that mean."""
    values = [estimate.details["inverse"] for estimate in estimates]
    return float(np.mean(values)), float(np.std(values) / math.sqrt(len(values)))


# --- the estimate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "real", "fake"), [
    (0.0, 5000, 5000), (0.1, 5000, 5000), (0.05, 5000, 20_000), (0.5, 3000, 3000),
])
def test_pulls_of_the_inverse(mean: float, real: int, fake: int) -> None:
    rng, p, q = np.random.default_rng(0), shares(), shares(mean)
    exact = (np.sum((q - p) ** 2) + (1 - np.sum(q**2)) / fake) / EVEN
    estimates = [inverse_worth(drawn(p, real, rng), drawn(q, fake, rng)) for _ in range(1000)]
    pulls = [(value - exact) / error for value, error in estimates]
    assert np.mean(pulls) == pytest.approx(0, abs=0.25)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    values = [value for value, _ in estimates]
    assert np.mean(values) == pytest.approx(exact, abs=4 * np.std(values) / math.sqrt(1000))


def test_the_lower_limit_holds_in_95_of_100() -> None:
    rng, p, rows = np.random.default_rng(1), shares(), 100_000
    limits = [worth(*inverse_worth(drawn(p, 2000, rng), drawn(p, rows, rng))) for _ in range(400)]
    assert np.mean([limited for *_, limited in limits]) > 0.9
    assert np.mean([value <= rows for value, *_ in limits]) > 0.93


@pytest.mark.parametrize("weights", ["plain", "heavy", "negative"])
def test_the_covariance_is_that_of_many_samples(weights: str) -> None:
    rng, p = np.random.default_rng(2), np.array([0.5, 0.3, 0.2])

    def once() -> Contents:
        place = rng.choice(3, 200, p=p)
        heavy = np.where(place == 2, rng.exponential(3, 200), 1.0)
        weight = {"plain": np.ones(200), "heavy": heavy, "negative": rng.choice([-1.0, 2.0], 200, p=[0.2, 0.8])}
        return Contents.of(place, weight[weights], 3)

    many = [once() for _ in range(3000)]
    expected = np.cov([one.share for one in many], rowvar=False)
    np.testing.assert_allclose(np.mean([one.covariance for one in many], axis=0), expected,
                               atol=0.12 * expected.diagonal().max())
    assert np.mean([squared_distance(*two)[0] for two in zip(many[::2], many[1::2], strict=True)]) == pytest.approx(
        0, abs=0.1 * np.trace(expected))
    if weights == "plain":
        assert once().size == pytest.approx(200)


# --- generators -------------------------------------------------------------------------------------------


def test_a_perfect_generator_is_worth_its_rows() -> None:
    found = [FINE(gaussian(20_000, 3 * i), gaussian(2000, 3 * i + 1))[0] for i in range(60)]
    mean, error = inverses(found)
    assert mean == pytest.approx(1 / 2000, abs=4 * error)
    assert error < 0.05 / 2000
    assert all(estimate.details["generated_rows"] == pytest.approx(2000) for estimate in found)


def test_copies_of_the_training_rows_are_worth_those_rows() -> None:
    whole, resampled, checks = [], [], []
    for i in range(60):
        real, train = gaussian(20_000, 3 * i), gaussian(500, 3 * i + 1)
        again = train.rows(np.random.default_rng(i).integers(0, 500, 20_000))
        whole += FINE(real, train, train)
        resampled += FINE(real, again, train)
        checks.append(whole[-1].details["training_inverse"] == whole[-1].details["inverse"])
    mean, error = inverses(whole)
    assert mean == pytest.approx(1 / 500, abs=4 * error)
    mean, error = inverses(resampled)
    assert mean == pytest.approx(1 / 500 + 1 / 20_000, abs=4 * error)
    assert error < 0.05 / 500
    assert all(checks)
    assert whole[0].floor == whole[0].details["training_rows"] == pytest.approx(500)
    assert whole[0].floor_error == pytest.approx(500 * math.sqrt(2 / 31), rel=0.05)
    assert np.median([estimate.excess for estimate in resampled]) == pytest.approx(0, abs=0.5), "no better, no worse"


def test_a_biased_generator_saturates_at_its_bias() -> None:
    limit = EVEN / np.sum((shares(0.2) - shares()) ** 2)
    worths = {rows: FINE(gaussian(200_000, 1), gaussian(rows, 2, 0.2))[0] for rows in (1000, 10_000, 400_000)}
    for rows, estimate in worths.items():
        expected = 1 / (1 / limit + 1 / rows)
        tolerance = 4 * estimate.error + 0.02 * limit  # the cells are not those of the closed form exactly
        assert estimate.value == pytest.approx(expected, abs=tolerance)
    assert worths[400_000].details["infinite_rows"] == pytest.approx(limit, rel=0.1)
    assert worths[400_000].error < 0.1 * limit


def test_a_fit_to_a_hundred_events_amplifies_as_its_information_says() -> None:
    """The fit misses Σ (∂p/∂μ)² σ²/N + (∂p/∂σ)² σ²/2N, which is much less than (1 − 1/K)/N."""
    bell = np.array([0.0, *(NormalDist().pdf(cut) for cut in CUTS), 0.0])
    moved, widened = np.diff(bell), np.diff(bell * np.array([0.0, *CUTS, 0.0]))
    amplification = EVEN / (np.sum(moved**2) + np.sum(widened**2) / 2)
    assert amplification > 10
    found = []
    for i in range(100):
        train = gaussian(100, 1000 + i)
        fit = train["c0"].mean(), train["c0"].std()
        found += FINE(gaussian(20_000, 3 * i), gaussian(50_000, 3 * i + 1, *map(float, fit)), train)
    mean, error = inverses(found)
    assert mean - 1 / 50_000 == pytest.approx(1 / (100 * amplification), abs=4 * error + 0.1 / (100 * amplification))
    assert error < 0.15 / (100 * amplification)
    better = [estimate.details["amplification"] > 1 for estimate in found]
    assert np.mean(better) > 0.95


def test_jointly_a_generator_without_correlation_is_worth_little() -> None:
    def correlated(rows: int, seed: int) -> Table:
        table = gaussian(rows, seed, columns=2)
        return table.with_columns({"c1": 0.6 * table["c0"] + 0.8 * table["c1"]})

    estimates = {estimate.name: estimate for estimate in Worth()(
        correlated(20_000, 1), gaussian(20_000, 2, columns=2), correlated(20_000, 3))}
    assert list(estimates) == ["worth_c0", "worth_c1", "worth_raw"]
    assert min(estimates["worth_c0"].value, estimates["worth_c1"].value) > 3000
    assert estimates["worth_raw"].value < 1000
    assert estimates["worth_raw"].excess > 10
    honest = Worth()(correlated(20_000, 1), correlated(20_000, 2), correlated(20_000, 3))[-1]
    assert abs(honest.excess) < 3


# --- weights, cells, settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("negative", [False, True])
def test_weights_that_undo_a_shift_leave_a_perfect_generator(negative: bool) -> None:
    found = []
    for i in range(40):
        rng = np.random.default_rng(i)
        real, x = gaussian(20_000, 3 * i + 1), rng.normal(0.3, 1, 5000)
        sign = rng.choice([-1.0, 1.0], 5000, p=[0.1, 0.9]) if negative else 1.0
        fake = Table.of({"c0": x, "w": sign * np.exp(-0.3 * x + 0.045)}, weight="w")
        found += FINE(real, fake)
    mean, error = inverses(found)
    size = float(np.mean([estimate.details["generated_rows"] for estimate in found]))
    assert size < 5000 * (0.8**2 if negative else 1)
    assert mean == pytest.approx(1 / size, abs=4 * error)
    assert error < 0.1 / size


@pytest.mark.parametrize("columns", [1, 3])
def test_cells_hold_equal_shares_of_other_rows(columns: int) -> None:
    sample = Sample.of(gaussian(40_000, 1, columns=columns), [f"c{i}" for i in range(columns)])
    cells = Cells.of(sample.rows(slice(20_000)), 5, np.arange(columns))
    place = cells.place(sample.values[20_000:])
    held = np.bincount(place, minlength=len(cells)) / 20_000
    np.testing.assert_allclose(held, 1 / CELLS, rtol=0.25)
    if columns == 1:
        assert (np.diff(place[np.argsort(sample.values[20_000:, 0])]) >= 0).all()
        np.testing.assert_allclose(cells.edges, CUTS, atol=0.15)
        np.testing.assert_array_equal(np.searchsorted(cells.edges, sample.values[20_000:, 0]), place)


def test_few_values_make_few_cells() -> None:
    def dice(seed: int) -> Table:
        return Table.of({"n": np.random.default_rng(seed).choice(4, 5000, p=[0.7, 0.1, 0.1, 0.1])})

    found = [FINE(dice(2 * i), dice(2 * i + 1))[0] for i in range(60)]
    assert {estimate.details["cells"] for estimate in found} == {4}
    mean, error = inverses(found)
    assert mean == pytest.approx(1 / 5000, abs=4 * error)


def flagged(seed: int, **more: np.ndarray) -> Table:
    """A flag that one row in two thousand has."""
    return Table.of({"flag": np.arange(2000) == 7 * seed, **more})


def test_a_rare_flag_is_left_out() -> None:
    tables = [flagged(seed, x=np.random.default_rng(seed).normal(size=2000)) for seed in (1, 2, 3)]
    assert [estimate.name for estimate in Worth()(*tables)] == ["worth_x", "worth_raw"]
    with pytest.raises(NotMeasurableError, match="no two cells"):
        Worth()(*map(flagged, (1, 2, 3)))


def test_more_truth_tells_more() -> None:
    real, fake = gaussian(2000, 1), gaussian(20_000, 2, 0.03)
    alone, helped = FINE(real, fake)[0], Worth(truth=gaussian(200_000, 3))(real, fake)[0]
    assert alone.details["lower_limit"]
    assert "95 %" in alone.how
    assert not helped.details["lower_limit"]
    assert helped.details["inverse_error"] < alone.details["inverse_error"] / 10
    assert helped.details["real_rows"] == pytest.approx(151_500)
    assert alone.details["resolution"] == pytest.approx(1500 * math.sqrt(CELLS / 2) / LIMIT, rel=0.1)


def test_an_estimate_is_plain() -> None:
    first, again, other = (FINE(gaussian(1000, 1), gaussian(1000, 2), gaussian(1000, 3), seed)[0] for seed in (0, 0, 1))
    assert first == again or json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert first.details["inverse"] != other.details["inverse"]
    json.dumps(first.to_dict(), allow_nan=False)


def test_without_training_rows_there_is_no_floor() -> None:
    (estimate,) = FINE(gaussian(1000, 1), gaussian(1000, 2))
    assert math.isnan(estimate.floor)
    assert math.isnan(estimate.details["amplification"])


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(CalqueError, match="joint_depth = 0"):
        Worth(joint_depth=0)
    hopeless = Table.of({"c0": np.arange(100.0), "w": np.tile([1.0, -1.0], 50)}, weight="w")
    with pytest.raises(CalqueError, match="judge without weights"):
        FINE(gaussian(1000, 1), hopeless)
