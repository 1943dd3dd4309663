"""Judging: numbers against closed forms and brute force, planted faults, bad input."""

from __future__ import annotations

import json
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calque.errors import CalqueError, ConfigError, DataError
from calque.judging import (
    DERIVED,
    Classifier,
    Copying,
    Estimate,
    Scores,
    View,
    derive,
    figure_of_merit,
    judge_tables,
    view,
)
from calque.judging.classifying.scores import chi2_error
from calque.judging.classifying.trees import bin_edges
from calque.judging.measure import normal_pull
from calque.judging.resampling import skewness
from calque.table import Table


def gaussian(rows: int, seed: int, shift: float = 0.0, columns: int = 3, **extra: Any) -> Table:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    values[:, 0] += shift
    return Table.of({**{f"c{i}": values[:, i] for i in range(columns)}, **extra}, weight="w" if "w" in extra else None)


def muons(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    pz, phi, r = 10 + rng.exponential(30, rows), rng.uniform(-np.pi, np.pi, rows), np.abs(rng.standard_t(3, rows))
    pt, turned = rng.gamma(2, 0.3 + 0.003 * pz), phi + rng.normal(0, 0.5, rows)
    return Table.of({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "x": r * np.cos(turned),
                     "y": r * np.sin(turned), "z": rng.uniform(-2, 0, rows)}, units={"px": "GeV", "x": "m"})


def shuffled(table: Table, share: float, seed: int) -> Table:
    rng, columns = np.random.default_rng(seed), {}
    for name in table.features:
        column, moved = table[name].copy(), np.flatnonzero(rng.random(len(table)) < share)
        column[moved] = column[rng.permutation(moved)]
        columns[name] = column
    return Table.of(columns, table.units)


def random_scores(seed: int, levels: int, rows: tuple[int, int] = (40, 60)) -> Scores:
    rng = np.random.default_rng(seed)
    real, fake = (rng.integers(0, levels, size) / levels for size in rows)
    return Scores(real, fake, rng.exponential(size=rows[0]), rng.exponential(size=rows[1]))


def pairwise_auc(scores: Scores) -> float:
    """AUC by its definition: every pair, ties half."""
    above = (scores.real[:, None] > scores.fake) + 0.5 * (scores.real[:, None] == scores.fake)
    pairs = scores.real_weights[:, None] * scores.fake_weights
    return float((above * pairs).sum() / pairs.sum())


# --- scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 3, 10, 10**9])
def test_weighted_auc_is_that_of_all_pairs(levels: int) -> None:
    scores = random_scores(levels, levels)
    assert scores.auc() == pytest.approx(pairwise_auc(scores), abs=1e-12)


def test_a_weight_of_two_is_a_row_twice() -> None:
    real, fake = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5])
    once = Scores(real, fake, np.array([1.0, 2.0, 1.0]), np.ones(2))
    twice = Scores(np.append(real, 0.5), fake, np.ones(4), np.ones(2))
    assert once.auc() == pytest.approx(twice.auc())
    assert once.overlap(10) == pytest.approx(twice.overlap(10))


def test_overlap_and_chi2_of_known_histograms() -> None:
    real, fake = np.repeat([0.25, 0.75], [300, 100]), np.repeat([0.25, 0.75], [100, 300])
    scores = Scores(real, fake, np.ones(400), np.ones(400))
    assert scores.overlap(2) == pytest.approx(0.5)
    chi2, ndf = scores.chi2(2)
    assert ndf == 1
    assert chi2 == pytest.approx(2 * 200**2 / 400)  # both bins: (300 − 100)² / (300 + 100)


def test_chi2_of_the_same_distribution_is_one_with_weights_too() -> None:
    values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values.append(Scores(rng.random(1000), rng.random(800), rng.exponential(size=1000), np.ones(800)).chi2(20)[0])
    assert np.mean(values) == pytest.approx(1.0, abs=0.1)
    assert np.std(values) == pytest.approx(chi2_error(1.0, 19), rel=0.2)


def test_separated_samples_share_nothing() -> None:
    scores = Scores(np.full(100, 0.9), np.full(100, 0.1), np.ones(100), np.ones(100))
    assert (scores.auc(), scores.overlap(50)) == (1.0, 0.0)
    assert scores.chi2(50)[0] > 50


def test_the_errors_of_auc_and_overlap_are_their_spread() -> None:
    def draw(seed: int) -> Scores:
        rng = np.random.default_rng(seed)
        return Scores(rng.beta(3, 2, 300), rng.beta(2, 3, 300), rng.exponential(size=300), np.ones(300))

    spread = np.std([draw(seed).auc() for seed in range(400)])
    assert draw(0).auc_error() == pytest.approx(spread, rel=0.2)
    spread = np.std([draw(seed).overlap(20) for seed in range(400)])
    assert draw(0).histograms(20).bootstrap(300, np.random.default_rng(0)).std() == pytest.approx(spread, rel=0.25)


# --- the classifier ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("folds", [0, 3])
def test_shifted_gaussians_have_the_auc_of_the_ideal_classifier(shift: float, folds: int) -> None:
    classifier = Classifier(repeats=2, folds=folds, replicas=50, threads=1)
    auc, chi2, overlap = classifier(*(gaussian(10_000, seed, s, 1) for seed, s in ((1, 0), (2, shift), (3, 0))))
    ideal = NormalDist().cdf(shift / math.sqrt(2))
    assert auc.value == pytest.approx(ideal, abs=4 * auc.error + 0.005)  # trees lose a little
    assert auc.floor == pytest.approx(0.5, abs=4 * auc.floor_error)
    assert abs(auc.excess) < 4 if shift == 0 else auc.excess > 10 and chi2.excess > 3 and overlap.excess > 10


def test_the_error_is_the_spread() -> None:
    classifier = Classifier(replicas=0, threads=1)
    measured = [classifier.numbers(classifier.scores(gaussian(300, 2 * i), gaussian(300, 2 * i + 1), i), i)["auc"]
                for i in range(40)]
    pulls = [(quantity.value - 0.5) / quantity.error for quantity in measured]
    assert np.std(pulls) == pytest.approx(1, abs=0.3)


def test_every_row_is_scored_once_in_folds() -> None:
    scores = Classifier(folds=3, threads=1).scores(gaussian(301, 1), gaussian(400, 2), seed=0)
    assert sum(len(part.real) for part in scores) == 301 == sum(len(part.fake) for part in scores)


def test_weights_that_match_bring_the_auc_to_a_half() -> None:
    shift, rows = 1.0, 20_000
    fake = gaussian(rows, 2, shift)
    weights = np.exp(-shift * fake["c0"] + shift**2 / 2)  # N(0, 1) / N(shift, 1)
    weighted = Table.of({**fake.columns, "w": weights}, weight="w")
    real = gaussian(rows, 1)
    assert figure_of_merit(real, fake).auc > 0.74
    matched = figure_of_merit(real, weighted)
    assert matched.auc == pytest.approx(0.5, abs=4 * matched.auc_error)
    assert matched.chi2 < 3


@pytest.mark.parametrize("weighted", [False, True])
def test_fast_agrees_with_the_notes_classifier(weighted: bool) -> None:
    real, fake = muons(6000, 1), shuffled(muons(6000, 2), 0.3, 3)
    if weighted:
        heavy = np.random.default_rng(0).choice([1.0, 5.0], 6000, p=[0.9, 0.1])
        real = Table.of({**real.columns, "w": heavy}, real.units, weight="w")
    fast, note = (figure_of_merit(real, fake, kind=kind) for kind in ("fast", "note"))
    assert note.auc > 0.6
    assert fast.auc == pytest.approx(note.auc, abs=0.01)


def test_equal_weights_change_nothing() -> None:
    real, fake = gaussian(500, 1), gaussian(500, 2, 0.5)
    weighted = Table.of({**real.columns, "w": np.full(500, 7.69, ">f4")}, weight="w")
    plain, heavy = figure_of_merit(real, fake), figure_of_merit(weighted, fake)
    assert heavy.auc == pytest.approx(plain.auc, abs=1e-3)


def test_the_seed_decides() -> None:
    real, fake = gaussian(400, 1), gaussian(400, 2, 0.3)
    assert figure_of_merit(real, fake, seed=3) == figure_of_merit(real, fake, seed=3)
    assert figure_of_merit(real, fake, seed=3) != figure_of_merit(real, fake, seed=4)


def test_images_are_judged_flat() -> None:
    def images(seed: int, scale: float) -> Table:
        return Table.of({"layer": np.random.default_rng(seed).exponential(scale, (1000, 3, 4))})

    assert figure_of_merit(images(1, 1.0), images(2, 1.5)).auc > 0.7


def test_bins_hold_equal_weight() -> None:
    column, weights = np.random.default_rng(0).normal(size=10_000), np.random.default_rng(1).exponential(size=10_000)
    held = np.bincount(np.searchsorted(bin_edges(column, weights), column), weights)
    assert len(held) == 255
    assert held.max() < 1.5 * weights.sum() / 255


def test_few_values_get_a_bin_each() -> None:
    edges = bin_edges(np.array([3.0, 1.0, 1.0, 2.0]), np.ones(4))
    assert np.searchsorted(edges, [1.0, 2.0, 3.0]).tolist() == [0, 1, 2]


# --- views ------------------------------------------------------------------------------------------------


def test_the_derived_view_is_invariant_under_rotation() -> None:
    table = muons(100, 1)
    c, s = math.cos(0.7), math.sin(0.7)
    turned = table.with_columns({
        "px": c * table["px"] - s * table["py"], "py": s * table["px"] + c * table["py"],
        "x": c * table["x"] - s * table["y"], "y": s * table["x"] + c * table["y"],
    })
    first, second = DERIVED(table), DERIVED(turned)
    assert set(first.features) == {"pz", "z", "pT", "r", "angle"}
    assert first.units["pT"] == "GeV"
    for name in first.features:
        np.testing.assert_allclose(first[name], second[name], atol=1e-9)


def test_on_axis_the_derived_view_has_three_columns() -> None:
    on_axis = muons(100, 1).select(["px", "py", "pz", "z"])
    assert set(DERIVED(on_axis).features) == {"pz", "z", "pT"}


def test_expressions_make_columns() -> None:
    table = Table.of({"px": [3.0, 0.0], "py": [4.0, 1.0], "w": [1.0, 2.0]}, units={"px": "GeV"}, weight="w")
    seen = derive(table, {"pT": "hypot(px, py)", "px": "px", "twice": "-2*px**2 / 1 + pi"})
    np.testing.assert_allclose(seen["pT"], [5.0, 1.0])
    np.testing.assert_allclose(seen["twice"], [math.pi - 18, math.pi])
    assert (seen.weight, seen.units) == ("w", {"px": "GeV"})


@pytest.mark.parametrize(("text", "says"), [
    ("hypot(px, pY)", "nearest: p"), ("sqr(px)", "nearest: sqrt"), ("__import__('os')", "no function"),
    ("px.real", "not arithmetic"), ("px +", "cannot read"), ("hypot(px)", "cannot evaluate"),
    ("(lambda: 1)()", "not arithmetic"), ("'a'", "not arithmetic"), ("px if px else py", "not arithmetic"),
])
def test_other_expressions_are_refused(text: str, says: str) -> None:
    with pytest.raises(CalqueError, match=says):
        derive(Table.of({"px": [1.0], "py": [2.0]}), {"a": text})


def test_a_flaw_that_the_raw_columns_hide_shows_in_a_view() -> None:
    real, other = gaussian(4000, 1, columns=2), gaussian(4000, 2, columns=2)
    radius = np.hypot(other["c0"], other["c1"])
    scale = np.where(radius > 0, np.sqrt(np.round(radius**2 * 2) / 2) / radius, 1)  # rings
    rings = Table.of({name: other[name] * scale for name in other.features})
    radial = View.of_expressions("radial", {"r2": "c0**2 + c1**2"})
    assert figure_of_merit(real, rings, view_name=radial).auc > figure_of_merit(real, rings).auc + 0.05


# --- copying ----------------------------------------------------------------------------------------------


def test_copies_are_found_and_fresh_rows_are_not() -> None:
    held, trained = gaussian(2000, 1), gaussian(2000, 2)
    (copied,) = Copying()(held, trained, trained)
    assert (copied.value, copied.details["identical"]) == (1.0, 1.0)
    assert copied.excess > 20
    (fresh,) = Copying()(held, gaussian(2000, 3), trained)
    assert fresh.value == pytest.approx(0.5, abs=4 * fresh.error)
    assert fresh.details["identical"] == fresh.details["identical_held"] == 0


def test_copies_are_found_among_many_training_rows() -> None:
    held, trained = gaussian(60_000, 1), gaussian(60_000, 2)
    fresh = gaussian(20_000, 3)
    few = np.arange(20_000) < 2000
    mixed = Table.of({name: np.where(few, trained[name][:20_000], fresh[name]) for name in fresh.features})
    (estimate,) = Copying(rows=4000)(held, mixed, trained)
    assert estimate.details["identical"] == 0.1, "of all generated rows, not of those that are asked"
    assert estimate.value == pytest.approx(0.55, abs=3 * estimate.error)
    assert estimate.excess > 4


@pytest.mark.parametrize("columns", [8, 9])
def test_the_nearest_row_is_the_nearest_of_all_in_few_and_many_columns(columns: int) -> None:
    held, fake, trained = (gaussian(300, seed, columns=columns) for seed in (1, 2, 3))
    ours, theirs, asked = (np.stack(list(table.columns.values()), axis=1) for table in (trained, held, fake))
    scale = np.concatenate([ours, theirs]).std(axis=0)
    nearest = [np.sqrt((((asked[:, None] - rows) / scale) ** 2).sum(axis=2)).min(axis=1) for rows in (ours, theirs)]
    (estimate,) = Copying()(held, fake, trained)
    assert estimate.value == np.mean(nearest[0] < nearest[1])
    assert estimate.details["median_distance_trained"] == pytest.approx(np.median(nearest[0]))
    (copied,) = Copying()(held, trained, trained)
    assert copied.value == 1
    assert copied.details["median_distance_trained"] == 0


def test_repeated_values_are_identical_to_held_rows_as_well() -> None:
    held, fake, trained = (Table.of({"n": np.random.default_rng(seed).integers(0, 4, 3000)}) for seed in (1, 2, 3))
    (estimate,) = Copying()(held, fake, trained)
    assert (estimate.details["identical"], estimate.details["identical_held"], estimate.value) == (1, 1, 0.5)


def test_repeats_are_counted_among_equally_many_rows_of_both_sets() -> None:
    """More training than held-out rows hit a coarse grid more often, and that is no copying."""
    stream = np.random.default_rng(1)
    held, fake, trained = (Table.of({name: stream.integers(0, 60, rows) for name in ("a", "b")})
                           for rows in (500, 2000, 5000))
    (estimate,) = Copying()(held, fake, trained)
    details = estimate.details
    assert details["identical"] > 5 * details["identical_held"]
    assert details["identical_trained"] == pytest.approx(details["identical_held"], abs=0.03)


def test_rotated_copies_show_in_the_derived_view() -> None:
    trained, held = muons(2000, 1), muons(2000, 2)
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 2000)
    c, s = np.cos(angle), np.sin(angle)
    turned = trained.with_columns({
        "px": c * trained["px"] - s * trained["py"], "py": s * trained["px"] + c * trained["py"],
        "x": c * trained["x"] - s * trained["y"], "y": s * trained["x"] + c * trained["y"],
    })
    report = judge_tables(held, turned, train=trained, measures=["trees", "copying"], repeats=1, replicas=0, threads=1)
    assert report["copying_raw"].value < 0.6
    assert report["copying_derived"].value > 0.99
    assert "copies its training rows" in report.verdict()


def test_ties_between_training_and_held_rows_count_half() -> None:
    lattice = Table.of({"n": np.arange(200) % 5, "m": np.arange(200) % 7})
    (estimate,) = Copying()(lattice, lattice, lattice)
    assert estimate.value == 0.5


def test_the_copying_error_is_the_spread() -> None:
    estimates = [Copying(rows=200)(gaussian(200, 3 * i), gaussian(200, 3 * i + 1), gaussian(200, 3 * i + 2))[0]
                 for i in range(150)]
    pulls = [(estimate.value - 0.5) / estimate.error for estimate in estimates]
    assert np.std(pulls) == pytest.approx(1, abs=0.25)


# --- the report -------------------------------------------------------------------------------------------


def test_a_report_is_strict_json_and_a_table() -> None:
    weights = np.random.default_rng(0).exponential(size=1000)
    report = judge_tables(gaussian(1000, 1, w=weights), gaussian(1200, 2, 1.0), train=gaussian(1000, 3, w=weights),
                          measures=["trees", "copying"], repeats=1, replicas=20, threads=1)
    content = json.loads(report.to_json())
    assert [entry["name"] for entry in content["estimates"]] == [
        "auc_raw", "chi2_output_raw", "overlap_output_raw", "copying_raw"]
    assert content["sizes"]["real"]["effective"] < 700
    assert content["sizes"]["fake"] == {"rows": 1200, "effective": 1200}
    assert "auc " in report.table()
    assert report.verdict().startswith("The copy can be told from the original: AUC 0.")
    assert len(report.judgements["trees_raw"].scores[0].real) == 500
    with pytest.raises(ConfigError, match="auc_raw"):
        report["auc raw"]


def test_the_floor_does_without_training_rows() -> None:
    report = judge_tables(gaussian(1000, 1), gaussian(1000, 2), measures="trees", repeats=1, replicas=0, threads=1)
    assert report["auc_raw"].details["floor_test_rows"] == 250
    assert "halves" in report["auc_raw"].how
    assert "not tested" in report.verdict()


def test_unknown_numbers_are_none_in_json() -> None:
    assert Estimate("a", "b", 1.0).to_dict()["error"] is None
    assert math.isnan(Estimate("a", "b", 1.0).excess)


# --- bad input --------------------------------------------------------------------------------------------


def with_column(values: NDArray[Any]) -> Table:
    return gaussian(len(values), 1, c3=values)


GOOD = gaussian(200, 2, c3=np.arange(200.0))


@pytest.mark.parametrize(("real", "fake", "says"), [
    (gaussian(200, 1), GOOD, "c3 only in"),
    (gaussian(20, 1), gaussian(200, 1), "20 rows"),
    (GOOD, with_column(np.where(np.arange(200) == 7, np.nan, np.arange(200))), r"1 rows of column 'c3'.*first: 7"),
    (with_column(np.full(200, 3.0)), GOOD, "c3 of .* are constant"),
    (gaussian(200, 1, w=np.arange(200) - 1.0), gaussian(200, 2), r"negative weights: 1 of 200 rows.*first rows: 0"),
    (gaussian(200, 1, w=np.zeros(200)), gaussian(200, 2), "all zero"),
    (Table.of(GOOD.columns, {"c3": "GeV"}), Table.of(GOOD.columns, {"c3": "MeV"}), "GeV in .* MeV"),
    (Table.of({"a": np.zeros((60, 2))}), Table.of({"a": np.zeros((60, 3))}), "shape"),
])
def test_what_cannot_be_compared_is_said(real: Table, fake: Table, says: str) -> None:
    with pytest.raises(DataError, match=says):
        figure_of_merit(real, fake)


def test_a_collapsed_generator_is_a_fault_not_an_error() -> None:
    assert figure_of_merit(GOOD, with_column(np.full(200, 3.0))).auc > 0.9


@pytest.mark.parametrize(("settings", "says"), [
    ({"kind": "fats"}, "nearest: fast"), ({"views": ["raww"]}, "nearest: raw"), ({"folds": 1}, "folds"),
    ({"rows": 10}, "rows = 10"), ({"views": []}, "no view"),
])
def test_impossible_settings_are_said(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        judge_tables(GOOD, GOOD, **settings)


def test_copying_needs_training_rows() -> None:
    with pytest.raises(DataError, match="training rows"):
        Copying()(GOOD, GOOD)


def test_a_view_keeps_its_name() -> None:
    assert view(view("derived")).name == "derived"


@pytest.mark.parametrize("freedom", [1, 2, 5])
def test_a_skew_null_raises_no_false_alarms(freedom: int) -> None:
    """Three standard deviations of a squared distance are common; three normal ones are 0.13 % of equal samples."""
    stream = np.random.default_rng(freedom)
    null, drawn = stream.chisquare(freedom, (40, 200)), stream.chisquare(freedom, (40, 500))
    pulls = [normal_pull((value - one.mean()) / one.std(), skewness(one)) for one, row in zip(null, drawn, strict=True)
             for value in row]
    plain = (drawn - null.mean(axis=1, keepdims=True)) / null.std(axis=1, keepdims=True)
    assert np.mean(plain > 3) > 0.008
    assert np.mean(np.array(pulls) > 3) < 0.004
    assert np.mean(np.array(pulls) > 5) == 0
