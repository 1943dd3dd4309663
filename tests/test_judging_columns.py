"""Distances of one column: closed forms, scipy, weights, pulls, planted faults."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calque.errors import ConfigError, DataError
from calque.judging import Columns, Estimate
from calque.judging.columns import DISTANCES
from calque.judging.columns.cells import Column, bin_edges, exact_shares, fine_shares
from calque.table import Table

Numbers = NDArray[np.float64]


def table(values: Numbers, weights: Numbers | None = None) -> Table:
    columns = {"x": values} | ({} if weights is None else {"w": weights})
    return Table.of(columns, {"x": "GeV"}, None if weights is None else "w")


def gaussian(rows: int, seed: int, mean: float = 0.0, width: float = 1.0) -> Numbers:
    return np.random.default_rng(seed).normal(mean, width, rows)


def judged(real: Table, fake: Table, seed: int = 0, **settings: object) -> dict[str, Estimate]:
    return {estimate.measure: estimate for estimate in Columns(**settings)(real, fake, seed=seed)}  # type: ignore[arg-type]


def test_every_distance_gives_one_estimate_of_its_column() -> None:
    found = judged(table(gaussian(2000, 1)), table(gaussian(1500, 2)))
    assert list(found) == list(DISTANCES)
    assert {estimate.of for estimate in found.values()} == {"x"}
    assert found["ks"].details["unit"] == "GeV"


def test_values_are_those_of_scipy() -> None:
    from scipy import stats

    stream = np.random.default_rng(0)
    real, fake = gaussian(3000, 1), gaussian(2000, 2, 0.2)
    found = judged(table(real), table(fake))
    assert found["ks"].value == pytest.approx(stats.ks_2samp(real, fake).statistic, abs=1e-12)
    assert found["wasserstein"].value == pytest.approx(stats.wasserstein_distance(real, fake), rel=1e-12)
    first, second = stream.exponential(size=3000), stream.exponential(size=2000)
    weighted = judged(table(real, first), table(fake, second))
    assert weighted["wasserstein"].value == pytest.approx(
        stats.wasserstein_distance(real, fake, first, second), rel=1e-12)


def test_gaussians_in_closed_form() -> None:
    """Unit Gaussians at distance d: KS = 2 Φ(d/2) − 1, W = d, KL = d²/2; JS and separation by quadrature."""
    from scipy import integrate, stats

    distance, rows = 0.5, 200_000
    found = judged(table(gaussian(rows, 1)), table(gaussian(rows, 2, distance)))
    x = np.linspace(-9, 9, 20_001)
    p, q = stats.norm.pdf(x), stats.norm.pdf(x, distance)
    js = integrate.trapezoid(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)), x) / 2
    expected = {
        "ks": 2 * stats.norm.cdf(distance / 2) - 1, "wasserstein": distance, "kl": distance**2 / 2, "js": js,
        "separation": integrate.trapezoid((p - q) ** 2 / (p + q), x) / 2,
    }
    for measure, value in expected.items():  # fifty bins lose a percent or two of what a density would show
        assert found[measure].value == pytest.approx(value, abs=4 * found[measure].error + 0.025 * value), measure


def test_chi2_counts_in_bins_of_equal_weight() -> None:
    """A slope shows as Σ(Δp)²/σ² does: n λ / 2 beyond one per bin."""
    stream = np.random.default_rng(3)
    rows, slope = 50_000, 0.05
    fake = (-1 + np.sqrt((1 - slope) ** 2 + 4 * slope * stream.uniform(size=rows)) + slope) / (2 * slope)
    found = judged(table(stream.uniform(size=rows)), table(fake))
    expected = 1 + rows / 2 * slope**2 / 3 / 49
    assert found["chi2"].value == pytest.approx(expected, abs=4 * found["chi2"].error)
    assert found["chi2"].details["bins"] == 50


def test_integer_weights_are_repeated_rows() -> None:
    stream = np.random.default_rng(4)
    values, counts = stream.normal(size=800), stream.integers(1, 4, 800)
    other = table(gaussian(900, 5, 0.3))
    weighted = judged(table(values, counts.astype(float)), other)
    repeated = judged(table(np.repeat(values, counts)), other)
    for measure in ("ks", "wasserstein"):  # histograms take fewer bins where fewer rows are effective
        assert weighted[measure].value == pytest.approx(repeated[measure].value, rel=1e-9), measure
        assert weighted[measure].error >= 0.95 * repeated[measure].error


def test_negative_weights_count_where_they_can_and_are_refused_where_not() -> None:
    """Rows of weight −1 take away a contamination that rows of weight 1 brought in."""
    clean, dirt = gaussian(4000, 6), gaussian(1000, 7, 4.0)
    values = np.concatenate([clean, dirt, dirt + 1e-6])
    weights = np.repeat([1.0, 1.0, -1.0], [4000, 1000, 1000])
    other = table(gaussian(4000, 8))
    found = judged(table(values, weights), other)
    assert set(found) == {"ks", "wasserstein", "chi2"}
    assert all(estimate.excess < 4 for estimate in found.values())
    assert judged(table(values, np.abs(weights)), other)["ks"].excess > 10
    with pytest.raises(DataError, match="js cannot use negative weights; ks, wasserstein, chi2 can"):
        judged(table(values, weights), other, distances=("ks", "js"))
    with pytest.raises(DataError, match="are all zero"):
        judged(table(values, np.zeros(6000)), other)


def pulls(make: object, count: int) -> dict[str, Numbers]:
    found: dict[str, list[float]] = {}
    for seed in range(count):
        for estimate in judged(*make(seed), seed=seed).values():  # type: ignore[operator]
            found.setdefault(estimate.measure, []).append((estimate.value - estimate.floor) / estimate.error)
    return {measure: np.array(values) for measure, values in found.items()}


@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_distribution_pulls_by_one(weighted: bool) -> None:
    def make(seed: int) -> tuple[Table, Table]:
        weights = np.random.default_rng(seed).exponential(size=1500) if weighted else None
        return table(gaussian(1500, 2 * seed + 1), weights), table(gaussian(1000, 2 * seed + 2))

    for measure, values in pulls(make, 60).items():
        assert abs(values.mean()) < 0.45, measure
        assert 0.7 < values.std() < 1.35, measure


def test_errors_hold_far_from_the_null() -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(40):
        for estimate in judged(table(gaussian(2000, 2 * seed)), table(gaussian(2000, 2 * seed + 1, 0.5))).values():
            found.setdefault(estimate.measure, []).append((estimate.value, estimate.error))
    for measure, pairs in found.items():
        values, errors = np.array(pairs).T
        assert 0.65 < errors.mean() / values.std() < 1.5, measure


def test_a_shifted_tail_is_seen_by_the_tail_and_hardly_by_the_bulk() -> None:
    real, fake = gaussian(100_000, 1), gaussian(100_000, 2)
    fake[fake > np.quantile(fake, 0.999)] += 0.6
    found = judged(table(real), table(fake))
    assert found["tail_high"].excess > 5
    assert found["tail_high"].value > 1.05
    assert abs(found["tail_low"].excess) < 3
    assert found["ks"].excess < 2


def test_a_few_values_have_bins_of_their_own_and_no_tails() -> None:
    stream = np.random.default_rng(9)
    found = judged(table(stream.choice([-13.0, 13.0], 3000)), table(stream.choice([-13.0, 13.0], 3000, p=[0.4, 0.6])))
    assert "tail_low" not in found
    assert found["chi2"].details["bins"] == 2
    assert found["ks"].value == pytest.approx(0.1, abs=0.04)
    assert found["ks"].excess > 4


def test_disjoint_samples_reach_the_bounds() -> None:
    found = judged(table(gaussian(1000, 1)), table(gaussian(1000, 2, 100.0)))
    assert found["ks"].value == pytest.approx(1)
    assert found["js"].value == pytest.approx(np.log(2))
    assert found["separation"].value == pytest.approx(1)


def test_cells_hold_what_the_rows_hold() -> None:
    real, fake = (Column(gaussian(5000, seed), np.random.default_rng(seed).exponential(size=5000)) for seed in (1, 2))
    edges = bin_edges(real, fake, 50)
    exact, fine = exact_shares(real, fake, edges), fine_shares(real, fake, edges)
    assert len(fine.position) < 2200
    for one in (exact, fine):
        assert one.real.sum() == pytest.approx(1)
        assert (one.real * one.real_scale).sum() == pytest.approx(1 / real.effective)
    assert exact.histograms()[0] == pytest.approx(fine.histograms()[0])
    assert DISTANCES["ks"].of(fine) == pytest.approx(DISTANCES["ks"].of(exact), rel=0.1)


def test_an_unknown_distance_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest: wasserstein"):
        Columns(distances=("waserstein",))
