"""The corner that gives a copy away: planted holes and excesses, what is said of them, and silence where none is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from calque.errors import DataError
from calque.judging.classifying.classifier import Classifier, Trial
from calque.judging.classifying.region import Box, Region
from calque.judging.classifying.scores import Scores
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample, flat_names
from calque.judging.views import DERIVED
from calque.table import Array, Table

INF = math.inf


def sample(rows: int, seed: int, weight: str | None = None) -> Table:
    rng = np.random.default_rng(seed)
    pt, phi = rng.exponential(0.4, rows), rng.uniform(-np.pi, np.pi, rows)
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": 10 + rng.exponential(40, rows)}
    if weight:
        columns[weight] = rng.choice([1.0, 3.0], rows)
    return Table.of(columns, {"px": "GeV", "py": "GeV", "pz": "GeV"}, weight)


def corner(table: Table) -> Array:
    """About 5 % of the events."""
    return (np.hypot(table["px"], table["py"]) < 0.3) & (table["pz"] > 70) & (table["pz"] < 150)


def thinned(table: Table, keep: float, seed: int = 0) -> Table:
    """Drop events of the corner."""
    return table.rows(~corner(table) | (np.random.default_rng(seed).random(len(table)) < keep))


def region(real: Table, fake: Table, rows: int = 100_000) -> Estimate:
    return Region(Classifier(view=DERIVED, rows=rows, threads=1))(real, fake)[0]


@pytest.mark.parametrize(("keep_real", "keep_fake"), [(1.0, 0.0), (1.0, 0.3), (0.3, 1.0)])
def test_a_planted_corner_is_found_and_named(keep_real: float, keep_fake: float) -> None:
    found = region(thinned(sample(16_000, 1), keep_real), thinned(sample(16_000, 2), keep_fake))
    where = found.details["where"]
    assert "pz" in where
    assert "pT" in where
    assert "GeV" in where
    assert found.value == pytest.approx(keep_fake / keep_real, abs=3 * found.error + 0.15)  # the box is not exact
    assert found.excess > 5
    assert np.sign(found.details["significance"]) == np.sign(keep_fake - keep_real)


def test_what_is_quoted_is_what_the_words_say() -> None:
    real, fake = sample(16_000, 1), thinned(sample(16_000, 2), 0.1)
    found = region(real, fake)
    fresh_real, fresh_fake = (DERIVED(table) for table in (sample(50_000, 3), thinned(sample(50_000, 4), 0.1)))
    for fresh, name in ((fresh_real, "share_real"), (fresh_fake, "share_fake")):
        share = np.mean(inside(found.details["where"], fresh))
        assert share == pytest.approx(found.details[name], abs=4 * found.details[f"{name}_error"])


def inside(where: str, table: Table) -> Array:
    """Read "pz > 70 GeV and 0.1 < pT ≤ 0.3 GeV" back."""
    kept = np.ones(len(table), dtype=bool)
    for part in where.split(" and "):
        words = part.removesuffix(" GeV").split()
        if len(words) == 5:
            kept &= (float(words[0]) < table[words[2]]) & (table[words[2]] <= float(words[4]))
        elif words[1] == ">":
            kept &= table[words[0]] > float(words[2])
        else:
            kept &= table[words[0]] <= float(words[2])
    return kept


def test_weights_undo_a_planted_corner() -> None:
    real, fake = sample(16_000, 1), thinned(sample(16_000, 2), 0.3)
    mended = Table.of({**fake.columns, "w": np.where(corner(fake), 1 / 0.3, 1.0)}, fake.units, "w")
    assert region(real, fake).excess > 5
    assert region(real, mended).excess < 4


def test_the_ratio_is_one_where_samples_agree() -> None:
    found = [region(sample(1500, 2 * seed, "w"), sample(1500, 2 * seed + 1)) for seed in range(60)]
    pulls = np.array([one.excess * np.sign(one.value - 1) for one in found])
    assert abs(pulls.mean()) < 4 / math.sqrt(len(pulls))
    assert pulls.std() == pytest.approx(1, abs=0.3)


def test_the_excess_rises_with_the_fault() -> None:
    real = thinned(sample(16_000, 1), 0.1)
    excess = [region(real, thinned(sample(16_000, 2), keep)).excess for keep in (0.1, 0.3, 0.5, 1.0)]
    assert excess == sorted(excess)
    assert excess[-1] > 15, "many generated rows where few real ones are: their own error is no excuse"


def test_huge_values_are_read_as_others() -> None:
    real, fake = sample(4000, 1), thinned(sample(4000, 2), 0.2)
    huge = [table.with_columns({"px": table["px"] * 1e39, "pz": table["pz"] * 1e300}) for table in (real, fake)]
    found = Region(Classifier(threads=1))(*huge)[0]
    assert math.isfinite(found.excess)
    both = real.with_columns({"far": np.where(np.arange(4000) % 2, 1e39, -1e39)})
    spoilt = sample(4000, 2).with_columns({"far": np.full(4000, 1e39)})
    assert Region(Classifier(threads=1))(both, spoilt)[0].details["where"].startswith("far ")


def test_rows_without_weight_are_refused_in_one_line() -> None:
    values, ones = np.arange(100.0)[:, None], np.ones(100)
    one_row = Sample(values, (values[:, 0] == 3) * 1.0)
    trial = Trial(Scores(values[:, 0], values[:, 0], one_row.weights, ones), one_row, Sample(values, ones))
    with pytest.raises(NotMeasurableError, match="no weight at all"):
        Region().estimate(trial, {"a": ""})


def test_an_empty_corner_has_a_ratio_and_an_error() -> None:
    real = sample(4000, 1)
    moved = real.rows(real["pz"] < 60)
    found = region(sample(4000, 2), moved)
    assert 0 < found.value < 0.1
    assert found.error < 0.1
    assert found.excess > 5


def test_too_few_events_name_no_corner() -> None:
    found = region(sample(60, 1), sample(60, 2))
    assert (found.details["where"], found.value) == ("everywhere", 1.0)


def test_negative_weights_are_refused() -> None:
    table = Table.of({**sample(200, 1).columns, "w": np.arange(200) - 5.0}, weight="w")
    with pytest.raises(DataError, match="negative weights"):
        region(table, sample(200, 2))


# --- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "says"), [
    ((-INF, -INF), (INF, INF), "everywhere"), ((12.5, -INF), (INF, INF), "a > 12.5 m"),
    ((-INF, 0.0), (3.0, 1e-4), "a ≤ 3 m and 0 < b ≤ 0.0001"),
])
def test_a_box_in_words(low: tuple[float, float], high: tuple[float, float], says: str) -> None:
    units: Mapping[str, str] = {"a": "m"}
    assert Box(np.array(low), np.array(high)).describe(["a", "b"], units) == says


def test_bounds_take_as_many_digits_as_their_rows_need() -> None:
    rng = np.random.default_rng(0)
    box = Box(np.array([70.1234567]), np.array([INF]))
    assert box.readable(10 + rng.exponential(40, (5000, 1))).low[0] == 70
    near = Box(np.array([1000.01234567]), np.array([INF]))
    assert near.readable(1000 + 0.02 * rng.random((5000, 1))).low[0] == pytest.approx(1000.0123, abs=2e-4)


def test_cells_of_images_have_names() -> None:
    table = Table.of({"e": np.ones(2), "layer": np.ones((2, 2, 2))}, {"layer": "MeV"})
    names = flat_names(table)
    assert list(names) == ["e", "layer[0, 0]", "layer[0, 1]", "layer[1, 0]", "layer[1, 1]"]
    assert (names["e"], names["layer[1, 1]"]) == ("", "MeV")
