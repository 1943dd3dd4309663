"""Every measure of the catalogue: the same invariants, bad input, planted faults, pulls."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from faults import FAULTS, honest, planted, table

from calque.errors import CalqueError, ConfigError
from calque.judging import Estimate, Report, judge_tables
from calque.judging.catalogue import CATALOGUE, QUICK, Budget, choose_measures
from calque.judging.glossary import GLOSSARY
from calque.judging.report import STANDS_OUT
from calque.judging.views import RAW
from calque.table import Table

PAGES = Path(__file__).resolve().parents[1] / "docs" / "measures"
COLUMNS = ("px", "pz", "z", "q", "t")
BUDGET = {"rows": 800, "neighbours": 500, "replicas": 40, "threads": 1, "context": ("q",)}
HEADINGS = ["Formula", "Error and floor", "Trust it", "Do not trust it", "Source"]


def three(seed: int, rows: int = 600) -> tuple[Table, Table, Table]:
    """Real, generated and training rows of one distribution."""
    stream = np.random.default_rng(seed)
    real, fake, train = (table(honest(size, stream)).select(COLUMNS) for size in (rows, rows, 2 * rows))
    return real, fake, train


def take(name: str, real: Table, fake: Table, train: Table | None, seed: int = 0) -> tuple[Estimate, ...]:
    return CATALOGUE[name](RAW, Budget(**BUDGET))(real, fake, train, seed)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report() -> Report:
    real, fake, train = three(1)
    return judge_tables(real, fake, train=train, **BUDGET)  # type: ignore[arg-type]


def test_everything_is_there_once_with_words_and_a_page(report: Report) -> None:
    names = [estimate.name for estimate in report.estimates]
    assert len(names) == len(set(names))
    measures = {estimate.measure for estimate in report.estimates}
    assert measures <= set(GLOSSARY)
    pages = "".join(path.read_text().splitlines()[0] for path in PAGES.glob("*.md"))
    for measure in measures:
        assert f"`{measure}`" in pages, measure
    for estimate in report.estimates:
        assert math.isfinite(estimate.value), estimate.name
        assert "floor" in estimate.how, estimate.name
    json.loads(report.to_json())


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_says_formula_source_and_when_to_trust_it(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert [line[3:] for line in lines if line.startswith("## ")] == HEADINGS


def test_what_several_views_show_is_judged_once() -> None:
    stream = np.random.default_rng(8)
    real, fake = (table(honest(300, stream)).select(("px", "py", "pz", "q")) for _ in range(2))
    found = judge_tables(real, fake, measures=["columns", "ranks", "conditional"], **BUDGET)  # type: ignore[arg-type]
    names = [estimate.name for estimate in found.estimates]
    assert len(names) == len(set(names))
    assert {"ks_px", "ks_pT", "ks_pz", "ranks_pT", "ranks_pz", "auc_in_bins_q"} <= set(names)


def test_same_samples_stay_near_their_floors(report: Report) -> None:
    beyond = [estimate.name for estimate in report.estimates if estimate.excess > 5]
    assert not beyond
    assert report.verdict().startswith("The copy cannot be told")


@pytest.mark.parametrize("name", CATALOGUE)
def test_one_seed_gives_the_same_numbers(name: str) -> None:
    real, fake, train = three(2, 300)
    first, again = (take(name, real, fake, train, seed=5) for _ in range(2))
    assert [estimate.to_dict() for estimate in first] == [estimate.to_dict() for estimate in again]


@pytest.mark.parametrize("name", CATALOGUE)
def test_units_play_no_part_in_what_is_found(name: str) -> None:
    """A column in MeV is as far from its floor as in GeV."""
    real, fake, train = three(3, 300)
    scaled = [one.with_columns({"pz": 1000.0 * one["pz"]}) for one in (real, fake, train)]
    for one, other in zip(take(name, real, fake, train), take(name, *scaled), strict=True):
        if math.isfinite(one.excess):
            assert other.excess == pytest.approx(one.excess, abs=0.3), one.name


GOOD, FAKE, TRAIN = three(4, 200)
CONSTANT = {name: np.full(200, 1.0) if name == "pz" else GOOD[name] for name in COLUMNS}
NAN = {name: np.where(np.arange(200) == 7, np.nan, GOOD[name]) if name == "pz" else GOOD[name] for name in COLUMNS}
NOTHING = Table.of({**{name: GOOD[name] for name in COLUMNS}, "w": np.zeros(200)}, weight="w")
BAD = {
    "different columns": (GOOD, FAKE.select(COLUMNS[:-1]), "different columns: t only in"),
    "different units": (GOOD, Table.of(FAKE.to_dict(), {"pz": "MeV"}), "column 'pz' is in GeV in .*, in MeV"),
    "too few rows": (GOOD, FAKE.rows(slice(0, 20)), "20 rows in .* are too few to judge"),
    "an empty class": (GOOD, FAKE.rows(slice(0, 0)), "0 rows in .* are too few to judge"),
    "constant columns": (Table.of(CONSTANT), FAKE, "columns pz of .* are constant"),
    "NaN": (Table.of(NAN), FAKE, r"1 rows of column 'pz' of .* are not finite \(first: 7\)"),
    "all weights zero": (NOTHING, FAKE, "weights of .* (are all zero|sum to)"),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("name", CATALOGUE)
def test_bad_input_is_one_clear_line_from_every_measure(name: str, fault: str) -> None:
    real, fake, says = BAD[fault]
    with pytest.raises(CalqueError, match=says) as told:
        take(name, real, fake, TRAIN)
    assert "\n" not in str(told.value)


def test_measures_are_chosen_by_name() -> None:
    assert choose_measures("all").names == tuple(CATALOGUE)
    assert set(choose_measures("quick").names) == set(QUICK)
    assert choose_measures(["fpd", "trees"]).names == ("trees", "fpd")
    with pytest.raises(ConfigError, match="nearest: trees"):
        choose_measures(["trese"])


TRIED = ("trees", "columns", "network", "region", "sliced", "correlation", "fpd", "kpd", "energy", "coverage",
         "copying", "conditional")


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_by_what_should_find_them(fault: str) -> None:
    real, fake, train = planted(fault, FAULTS[fault].rows, seed=1)
    views = ["raw", "derived"] if "turned" in fault else ["raw"]
    found = judge_tables(real, fake, train=train, views=views, measures=TRIED, rows=FAULTS[fault].used, neighbours=3000,
                         replicas=20, threads=1, context=("q",))
    for measure in FAULTS[fault].found_by:
        assert max(estimate.excess for estimate in found.of(measure)) > STANDS_OUT, measure
    for measure in FAULTS[fault].blind:
        assert found.of(measure)
        assert all(estimate.excess < 5 for estimate in found.of(measure)), measure
    assert found.told == bool(set(FAULTS[fault].found_by) - {"copying"})


def test_a_larger_fault_lies_farther_beyond_the_floor() -> None:
    """The error of a value grows with it; what is beyond the floor counts in the spread of equal samples."""
    stream = np.random.default_rng(0)
    real, fake, train = (table(honest(size, stream)).select(COLUMNS) for size in (3000, 3000, 6000))
    seen = []
    for shift in (0.1, 0.2, 0.4, 0.8):
        wrong = fake.with_columns({"t": fake["t"] + shift, "q": fake["q"]})
        measures = ["trees", "columns", "network", "sliced", "fpd", "kpd", "energy"]
        report = judge_tables(real, wrong, train=train, measures=measures, rows=3000, neighbours=2000, threads=1)
        seen.append({estimate.name: estimate.excess for estimate in report.estimates if estimate.of in ("t", "raw")})
    for name in seen[0]:
        if not name.startswith("tail"):
            assert seen[1][name] < seen[2][name] < seen[3][name], name


def test_flags_contexts_of_one_value_and_integers_are_no_obstacle() -> None:
    stream = np.random.default_rng(1)

    def drawn() -> Table:
        return Table.of({"x": stream.normal(size=300), "flag": stream.uniform(size=300) < 0.3,
                         "n": stream.integers(0, 100, 300), "m": stream.integers(0, 100, 300)})

    for _ in range(20):
        judge_tables(drawn().select(["n", "m"]), drawn().select(["n", "m"]), measures="columns")
    report = judge_tables(drawn(), drawn(), train=drawn(), **{**BUDGET, "context": ("flag",)})  # type: ignore[arg-type]
    assert {"auc", "ks", "energy", "coverage"} <= {estimate.measure for estimate in report.estimates}


def test_one_measure_that_cannot_be_taken_does_not_stop_the_others() -> None:
    real, fake, train = three(5, 60)
    report = judge_tables(real, fake, train=train, **BUDGET)  # type: ignore[arg-type]
    assert report.of("ks")
    assert any("left out" in note for note in report.notes)
    with pytest.raises(CalqueError):
        judge_tables(real, fake, train=train, measures=["conditional"], **BUDGET)  # type: ignore[arg-type]


@pytest.mark.slow
def test_pulls_of_everything_have_width_one() -> None:
    """Four hundred resamplings of 1000 rows, ten minutes: (value − floor) / error of every measure."""
    found: dict[str, list[float]] = {}
    for seed in range(400):
        stream = np.random.default_rng([seed, 1])
        real, fake, train = (table(honest(size, stream)).select(COLUMNS) for size in (1000, 1000, 2000))
        report = judge_tables(real, fake, train=train, rows=1000, threads=1, seed=seed)
        for estimate in report.estimates:
            spread = math.hypot(estimate.error, estimate.floor_error)
            found.setdefault(estimate.measure, []).append((estimate.value - estimate.floor) / spread)
    for measure in set(found) - {"worth"}:  # its floor is no null
        least = 0.78 if measure == "kpd" else 0.85  # it is careful
        assert least < np.std(found[measure]) < 1.15, measure
