"""What distributions of single columns do not show: grain, and exact relations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from calque.judging import judge_tables
from calque.judging.columns.granularity import Granularity
from calque.judging.measure import Estimate
from calque.judging.tied_views import Directions, mass_view, tied_views
from calque.table import Array, Table

ROWS = 2000
Make = Callable[[np.random.Generator], Array]


def smooth(stream: np.random.Generator) -> Array:
    return stream.normal(size=ROWS)


GRAIN: dict[str, Make] = {
    "two decimals": lambda stream: stream.normal(size=ROWS).round(2),
    "two decimals, wide": lambda stream: (1000 * stream.uniform(size=ROWS)).round(2),
    "single precision": lambda stream: (7 * stream.normal(size=ROWS)).round(1).astype("f4"),
    "counts of a converter": lambda stream: 0.0137 * stream.integers(0, 4096, ROWS),
    "one value in a tenth": lambda stream: np.where(stream.uniform(size=ROWS) < 0.1, 1.5, stream.normal(size=ROWS)),
    "even numbers": lambda stream: 2 * stream.integers(0, 5000, ROWS),
    "some reals": lambda stream: stream.choice(np.sqrt(np.arange(2, 9)), ROWS),
}


def blurred(column: Array, stream: np.random.Generator) -> Array:
    """The same distribution as a generator of continuous numbers gives it."""
    if column.dtype.kind == "i":
        return column + stream.integers(0, 2, len(column))
    return (column + 1e-3 * column.std() * stream.normal(size=len(column))).astype(column.dtype)


def grain(real: Array, fake: Array, train: Array | None) -> Estimate:
    reference = None if train is None else Table.of({"a": train})
    found, = Granularity()(Table.of({"a": real}), Table.of({"a": fake}), reference, 3)
    return found


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", GRAIN)
def test_grain_that_generated_rows_lack_is_found_and_nothing_else(name: str, known: bool) -> None:
    stream = np.random.default_rng(0)
    real, fake, train = (GRAIN[name](stream) for _ in range(3))
    honest = grain(real, fake, train if known else None)
    assert abs(honest.value) < 0.05
    assert honest.excess < 4
    lacking = grain(real, blurred(fake, stream), train if known else None)
    assert lacking.value < -0.05
    assert lacking.excess > 5


def test_single_precision_alone_is_no_grain() -> None:
    """The same law, drawn in double precision and by an exponential in single precision."""
    stream = np.random.default_rng(5)
    real, fake = (np.exp(stream.normal(2, 1, 40_000)).astype("f4") for _ in range(2))
    drawn = np.exp(np.round(np.log(fake), 5)).astype("f4")
    assert len(np.unique(drawn)) < 0.95 * len(np.unique(fake)), "it does repeat more often"
    assert grain(real[:20_000], drawn[:20_000], real[20_000:]).excess < 4


@pytest.mark.parametrize("seed", range(4))
def test_weighted_and_unweighted_rows_of_one_law_repeat_alike(seed: int) -> None:
    """A few thousand values, drawn by their probability or evenly and weighted with it."""
    stream = np.random.default_rng(seed)
    values, share = stream.normal(size=4000), np.exp(-np.arange(4000) / 800)
    share /= share.sum()
    even = stream.integers(0, 4000, 40_000)
    real = Table.of({"x": values[even], "w": share[even]}, weight="w")
    fake = Table.of({"x": values[stream.choice(4000, 20_000, p=share)]})
    found, = Granularity()(real.rows(slice(0, None, 2)), fake, real.rows(slice(1, None, 2)), seed)
    assert found.details["generated"] > 0.1, "values do repeat"
    assert found.excess < 4


def test_values_that_a_generator_repeats_are_found_too() -> None:
    stream = np.random.default_rng(1)
    real, fake, train = (smooth(stream) for _ in range(3))
    stuck = grain(real, stream.choice(fake[:50], ROWS), train)
    assert stuck.value > 0.5
    assert stuck.excess > 5


def test_weights_count_and_a_seed_gives_the_same() -> None:
    stream = np.random.default_rng(2)
    column = np.where(np.arange(ROWS) % 4 == 0, 1.0, smooth(stream))
    real = Table.of({"a": column, "w": np.where(column == 1.0, 3.0, 1.0)}, weight="w")
    fake = Table.of({"a": smooth(stream)})
    found, = Granularity()(real, fake, None, 0)
    assert abs(found.details["real"] - 0.5) < 0.03
    assert found.to_dict() == Granularity()(real, fake, None, 0)[0].to_dict()


def muons(stream: np.random.Generator, kept: bool) -> Table:
    """Muons on their mass shell, or with an energy that a network has smeared by a per mille."""
    px, py, pz = stream.normal(size=ROWS), stream.normal(size=ROWS), 10 + stream.exponential(20, ROWS)
    e = np.sqrt(px**2 + py**2 + pz**2 + 0.1057**2)
    return Table.of({"px": px, "py": py, "pz": pz, "e": e if kept else e * (1 + 1e-3 * stream.normal(size=ROWS))},
                    {"e": "GeV"})


def test_the_mass_is_a_view_of_its_own_and_tells_a_smeared_shell() -> None:
    stream = np.random.default_rng(3)
    real, good, bad = muons(stream, True), muons(stream, True), muons(stream, False)
    assert "mass" in [view.name for view in tied_views(real)]
    view = mass_view(real)
    assert view is not None
    seen = view(real)
    assert seen.names == ("px", "py", "pz", "mass")
    assert seen.units["mass"] == "GeV"
    np.testing.assert_allclose(seen["mass"], 0.1057, rtol=1e-6)
    told = [judge_tables(real, fake, measures=["trees"], views=["raw", "mass"], rows=1500, threads=1)
            for fake in (good, bad)]
    raw, mass = ([report.of("auc")[place].value for report in told] for place in (0, 1))
    assert mass[0] < 0.56
    assert mass[1] > 0.95
    assert raw[1] < 0.7
    assert mass_view(real.select(["px", "py", "pz"])) is None
    assert mass_view(real.with_columns({"mass": real["px"]})) is not None


@pytest.mark.parametrize("tie", ["copy", "sum"])
def test_the_narrowest_direction_tells_columns_that_came_apart(tie: str) -> None:
    stream = np.random.default_rng(4)

    def drawn(apart: float) -> Table:
        a, b = stream.normal(size=(2, ROWS))
        c = (a if tie == "copy" else a + b) + apart * stream.normal(size=ROWS)
        return Table.of({"a": a, "b": b, "c": c})

    real, good, bad = drawn(0), drawn(0), drawn(1e-3)
    assert [view.name for view in tied_views(real)] == ["principal"]
    aucs = [judge_tables(real, fake, measures=["trees"], views=["principal"], rows=1500, threads=1).of("auc")[0].value
            for fake in (good, bad)]
    assert aucs[0] < 0.56
    assert aucs[1] > 0.9


def test_a_sample_without_ties_is_seen_as_before() -> None:
    stream = np.random.default_rng(5)
    table = Table.of({name: smooth(stream) for name in "abc"})
    assert tied_views(table) == ()
    directions = Directions.of(table)
    assert directions is not None
    np.testing.assert_allclose([column.std() for column in directions(table).columns.values()], 1, rtol=1e-3)
    asked = judge_tables(table, Table.of({name: smooth(stream) for name in "abc"}), views=["principal"],
                         measures=["columns"])
    assert {estimate.of for estimate in asked.estimates} == {"direction_1", "direction_2"}
    assert Directions.of(table.select(["a"])) is None
