"""Rows that are not independent: copies, repeated events, and a few that carry all the weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import calque
from calque.cli import main
from calque.config import build
from calque.errors import DataError
from calque.judging import Classifier, Estimate, Report, figure_of_merit, judge_tables
from calque.judging.catalogue import CATALOGUE, choose_measures
from calque.judging.copies import find_copies, find_repeats
from calque.judging.repeats import describe_repeats, merge_repeats
from calque.table import Table

Numbers = NDArray[np.float64]

FAST = {"measures": ["trees"], "rows": 1000}


def normals(rows: int, columns: int, seed: int) -> Numbers:
    """Standard normals."""
    return np.random.default_rng(seed).normal(size=(rows, columns))


def table(values: NDArray[np.generic], source: str = "a table in memory", **more: object) -> Table:
    """Columns a, b, c … of rows."""
    return Table.of({**{"abcdefgh"[place]: column for place, column in enumerate(values.T)}, **more}, source=source)


@pytest.mark.parametrize("columns", [1, 2, 6])
@pytest.mark.parametrize("changed", [
    lambda x: x.astype(np.float32),
    lambda x: x + 1e-6 * np.random.default_rng(1).uniform(-1, 1, x.shape),
    lambda x: np.array([[float(f"{value:.7g}") for value in row] for row in x]),
    lambda x: x[::-1],
])
def test_rounded_copies_are_found(columns: int, changed: object) -> None:
    rows = normals(1000, columns, 5)
    copies = changed(rows)  # type: ignore[operator]
    assert find_copies(table(copies), table(rows)).mean() > 0.98
    assert find_copies(table(normals(1000, columns, 6)), table(rows)).mean() < 0.02
    with pytest.raises(DataError, match="rows of the copy lie in the original too"):
        judge_tables(table(rows, "the original"), table(copies, "the copy"), measures=["columns"])


def test_copies_of_large_numbers_are_found_after_rounding() -> None:
    rows = 1.6e9 + np.random.default_rng(0).uniform(0, 1e6, size=(500, 2))
    assert find_copies(table(rows.astype(np.float32)), table(rows)).all()


def test_a_lattice_has_no_copies() -> None:
    real, fake = (np.round(normals(2000, 2, seed), 1) for seed in (1, 2))
    assert find_copies(table(fake), table(real)).mean() > 0.6
    assert find_repeats(table(real)).sum() == 2000 - len(np.unique(real, axis=0))
    report = judge_tables(table(real), table(fake), **FAST)
    assert abs(report["auc_raw"].excess) < 4
    assert report.sizes["real"] == {"rows": 2000, "effective": 2000}
    assert not report.notes


def test_a_column_without_width_hides_no_copy() -> None:
    flag = np.where(np.arange(400) == 7, 5.0, 1.0)
    rows = np.stack([flag, normals(400, 1, 1)[:, 0]], axis=1)
    assert find_copies(table(rows.astype(np.float32)), table(rows)).all()
    other = np.stack([flag + 1, rows[:, 1]], axis=1)
    assert not find_copies(table(other), table(rows)).any()


@pytest.mark.parametrize(("different", "times"), [(1000, 2), (200, 10)])
def test_repeated_rows_count_once_and_tell_nothing(different: int, times: int) -> None:
    real = table(normals(different, 3, 5).repeat(times, axis=0), "the original")
    fake = table(normals(2000, 3, 6))
    report = judge_tables(real, fake, **FAST)
    assert report.sizes["real"] == {"rows": different * times, "effective": different}
    assert report["auc_raw"].excess < 3
    assert not report.told
    assert f"{different * (times - 1)} of {different * times} rows of the original repeat others" in report.notes[0]
    merit = figure_of_merit(real, fake, seed=1)
    assert abs(merit.auc - 0.5) < 5 * merit.auc_error
    (auc, *_) = Classifier("fast")(real, fake, seed=2)
    assert auc.excess < 3


def test_repeated_rows_of_all_kinds_are_merged_with_their_weights() -> None:
    rows = normals(300, 2, 1)
    drawn = np.random.default_rng(2).integers(300, size=1000)
    weights = np.random.default_rng(3).uniform(1, 2, 1000)
    real = Table.of({"a": rows[drawn, 0], "b": rows[drawn, 1], "w": weights}, weight="w")
    merged, note = merge_repeats(real)
    assert len(merged) == len(np.unique(drawn)) < 300
    assert merged.weights.sum() == pytest.approx(weights.sum())
    assert merged.weights[0] == pytest.approx(weights[drawn == drawn[0]].sum())
    assert note.startswith(f"{1000 - len(merged)} of 1000 rows")


def discrete(seed: int) -> Table:
    """Two whole numbers, and their sum."""
    generator = np.random.default_rng(seed)
    first, second = generator.poisson(3, 1000), generator.poisson(2, 1000)
    return Table.of({"a": first, "b": second, "sum": first + second})


def energies(seed: int) -> Table:
    """A third of the events has no energy in either column."""
    generator = np.random.default_rng(seed)
    hit = generator.random(1000) > 0.3
    return Table.of({"a": hit * generator.exponential(size=1000), "b": hit * generator.exponential(size=1000)})


def momenta(seed: int) -> Table:
    """One column of two decimals."""
    return table(np.round(normals(3000, 1, seed), 2))


def decades(seed: int) -> Table:
    """One column of a hundred logarithmic steps."""
    return table(10.0 ** (np.random.default_rng(seed).integers(0, 100, size=(3000, 1)) / 12.5))


def flags(seed: int) -> Table:
    """A number of the event, and a flag."""
    generator = np.random.default_rng(seed)
    return Table.of({"a": generator.normal(size=500), "flag": generator.integers(0, 2, 500)})


@pytest.mark.parametrize("make", [discrete, energies, momenta, decades, flags])
def test_rows_that_are_equal_by_chance_stay(make: object) -> None:
    real, fake = make(1), make(2)  # type: ignore[operator]
    merged, note = merge_repeats(real, fake)
    assert merged is real
    assert note == ""
    assert describe_repeats(fake, real) == ""


def test_oversampled_rows_on_a_lattice_are_merged() -> None:
    rows = np.round(normals(200, 3, 1), 2)
    merged, _ = merge_repeats(table(rows.repeat(5, axis=0)))
    assert len(merged) == 200


def test_a_generator_of_few_events_is_found_and_named() -> None:
    report = judge_tables(table(normals(2000, 3, 1)), table(normals(100, 3, 2).repeat(20, axis=0)), **FAST)
    assert report.told
    assert "1900 of 2000 generated rows" in report.notes[0]


@pytest.mark.filterwarnings("error")
def test_few_effective_rows_are_refused_with_the_numbers() -> None:
    weights = np.full(2500, 1e-6)
    weights[:3] = 1.0
    real = Table.of({"a": normals(2500, 1, 1)[:, 0], "w": weights}, weight="w", source="the original")
    fake = table(normals(2500, 1, 2))
    with pytest.raises(DataError, match=r"2500 rows of the original are worth 3 rows of equal weight"):
        judge_tables(real, fake, **FAST)
    with pytest.raises(DataError, match=r"2500 rows of the original are worth 3 rows"):
        Classifier("fast")(real, fake)
    with pytest.raises(DataError, match="are worth 3 rows"):
        judge_tables(fake, real, **FAST)


@pytest.mark.filterwarnings("error")
def test_some_sixty_effective_rows_give_finite_numbers() -> None:
    weights = np.where(np.arange(2500) < 60, 1.0, 1e-6)
    real = Table.of({"a": normals(2500, 1, 1)[:, 0], "w": weights}, weight="w")
    report = judge_tables(real, table(normals(2500, 1, 2)), **FAST)
    assert all(np.isfinite([one.value, one.error, one.floor]).all() for one in report.estimates)
    assert not report.told


def test_messages_count_the_rows_that_were_given() -> None:
    real = table(normals(80, 2, 1), "the original")
    with pytest.raises(DataError, match=r"80 rows in the original are too few for the floor of a classifier"):
        judge_tables(real, table(normals(500, 2, 2)), **FAST)


def test_an_estimate_far_below_its_floor_is_suspicious() -> None:
    auc = Estimate("auc", "raw", 0.268, 0.011, 0.478, 0.018, null_error=0.012)
    report = Report((auc, Estimate("energy", "raw", 0.001, 0.0001, 0.0012, 0.0001)), {}, 0)
    assert report.suspicious == [auc]
    assert report.verdict().startswith("This judgement is suspicious: AUC, boosted trees 0.268 ± 0.011 (raw) lies "
                                       "9.7 standard deviations below its floor 0.478 ± 0.018.")
    assert "cannot be told" not in report.verdict()
    assert "-9.7 ?" in report.table()
    assert "suspicious, not good" in report.table()


def test_changed_copies_are_suspicious() -> None:
    rows = normals(2000, 3, 5)
    fake = table(rows + 1e-4 * normals(2000, 3, 6))
    report = judge_tables(table(rows), fake, measures=["trees"])
    assert report["auc_raw"].excess < -4
    assert "suspicious" in report.verdict()


@pytest.mark.parametrize(("asked", "names", "strict"), [
    ("quick", ("trees", "columns", "beyond", "sliced"), False),
    (["quick"], ("trees", "columns", "beyond", "sliced"), False),
    ("none", (), False), ([], (), False), ("columns", ("columns",), True),
    ("sliced, columns", ("columns", "sliced"), True),
    (["quick", "energy"], ("trees", "columns", "beyond", "sliced", "energy"), True), ("all", tuple(CATALOGUE), False),
    (["all"], tuple(CATALOGUE), False), ("all,fpd", tuple(CATALOGUE), True),
])
def test_words_and_names_of_measures_mean_the_same_everywhere(
    asked: str | list[str], names: tuple[str, ...], strict: bool
) -> None:
    choice = choose_measures(asked)
    assert (choice.names, choice.is_strict) == (names, strict)
    assert build({"judge": {"measures": asked}}, "here").judge.measures == asked


def test_words_of_measures_and_views_are_taken_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("real.npz", "fake.npz")):
        rows = normals(200, 3, seed)
        np.savez(name, px=rows[:, 0], py=rows[:, 1], pz=rows[:, 2])
    taken = []
    monkeypatch.setattr("calque.pipeline.judge", lambda *_, **given: taken.append(given) or Report((), {}, 0))
    for words in (["--measures", "all"], ["--measures", "none"], ["--measures", "columns,fpd", "--views", "all"]):
        assert main(["judge", "real.npz", "fake.npz", "-o", "out", *words]) == 0
    assert [(one["measures"], one["views"]) for one in taken] == [("all", None), ("none", None), ("columns,fpd", "all")]
    real, fake = (calque.read(name) for name in ("real.npz", "fake.npz"))
    for views, seen in (("all", {"raw", "derived"}), ("derived", {"derived"}), ("raw, derived", {"raw", "derived"})):
        report = judge_tables(real, fake, measures="energy", views=views)
        assert {estimate.of for estimate in report.estimates} == seen
    assert "nothing that was tried" in judge_tables(real, fake, measures="none").verdict()
