"""p(x | c): a copy that is right on average and wrong in every context, and ranks of every shape."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from calque.errors import ConfigError, DataError
from calque.judging.classifying.classifier import Classifier
from calque.judging.conditional.auc import ConditionalAUC
from calque.judging.conditional.bins import Bins
from calque.judging.conditional.ranked import Ranked, flatness
from calque.judging.conditional.ranks import Ranks, among
from calque.judging.measure import Estimate
from calque.judging.samples import NotMeasurableError, Sample
from calque.judging.views import View
from calque.table import Table

X_ALONE = View.of_expressions("x", {"x": "x"})


def events(rows: int, seed: int, slope: float = 1.0, width: float = 1.0, shift: float = 0.0, **more: float) -> Table:
    """x given c is Gaussian about slope · c; whatever slope and width, "q" is a sign that says nothing."""
    rng = np.random.default_rng(seed)
    c, q = rng.normal(size=rows), rng.choice([-1, 1], rows)
    x = slope * c + shift + width * rng.normal(size=rows) + more.get("charge", 0.0) * q
    return Table.of({"x": x, "c": c, "q": q}, {"c": "GeV"})


def careless(rows: int, seed: int) -> Table:
    """The right x and the right c, that know nothing of each other."""
    return events(rows, seed, slope=0.0, width=math.sqrt(2))


def drawer(slope: float = 1.0, width: float = 1.0, shift: float = 0.0) -> Callable[[Table, int], Table]:
    def draw(contexts: Table, seed: int) -> Table:
        noise = np.random.default_rng(seed).normal(size=len(contexts))
        return contexts.with_columns({"x": slope * contexts["c"] + shift + width * noise})
    return draw


def asked(
    real: Table, fake: Table, seed: int = 0, context: tuple[str, ...] = ("c",), **settings: int
) -> list[Estimate]:
    return list(ConditionalAUC(context, threads=1, **settings)(real, fake, None, seed))


# --- a generator that ignores its context -----------------------------------------------------------------


def test_the_marginal_passes_and_the_conditional_measures_object() -> None:
    real, fake, spare = events(4000, 1), careless(4000, 2), events(4000, 3)
    marginal = Classifier(view=X_ALONE, threads=1)(real, fake, spare)[0]
    assert abs(marginal.excess) < 3
    auc, local = ConditionalAUC(("c",), trainings=8, threads=1)(real, fake, spare)
    assert (auc.name, local.name) == ("auc_in_bins_c", "local_c")
    assert auc.value > 0.7
    assert auc.excess > 5 < local.excess
    (by_cells,) = Ranks(("c",))(real.select(["x", "c"]), fake.select(["x", "c"]))
    assert by_cells.excess > 5
    (drawn,) = Ranks(("c",), draw=drawer(slope=0.0, width=math.sqrt(2)))(
        real.select(["x", "c"]), fake.select(["x", "c"]))
    assert drawn.excess > 5
    assert by_cells.details["shape"] == drawn.details["shape"] == "flat", "over all contexts together it is right"
    assert {by_cells.details["shape_there"], drawn.details["shape_there"]} <= {"too low", "too high"}


def test_the_worst_bin_is_named() -> None:
    real, fake = events(6000, 1), events(6000, 2)
    spoilt = fake.with_columns({"x": np.where(fake["c"] > 1, fake["x"] + 1.5, fake["x"])})
    auc, local = asked(real, spoilt, trainings=5)
    assert auc.details["where"] == local.details["where"] == auc.details["bins"][-1]["label"]
    assert auc.details["where"].startswith("c > ")
    assert auc.details["where"].endswith(" GeV")
    assert auc.details["bins"][1]["value"] < 0.55 < 0.7 < auc.value


def test_a_context_of_two_values_has_two_bins() -> None:
    real, fake = events(3000, 1, charge=1.0), events(3000, 2, charge=-1.0)
    (auc,) = asked(real, fake, context=("q",), trainings=0)
    assert [entry["label"] for entry in auc.details["bins"]] == ["q = -1", "q = 1"]
    assert auc.excess > 5


def test_weights_mend_a_bin() -> None:
    real, fake = events(6000, 1), events(6000, 2, shift=1.0)
    ratio = np.exp(-(fake["x"] - fake["c"]) + 0.5)  # N(c, 1) / N(c + 1, 1)
    (plain,), (mended,) = (asked(real, table, trainings=0) for table in
                           (fake, Table.of({**fake.columns, "w": ratio}, fake.units, "w")))
    assert plain.excess > 10
    assert mended.excess < 4


def test_the_worst_of_bins_is_at_its_floor_where_samples_agree() -> None:
    excess = [asked(events(400, 2 * seed), events(400, 2 * seed + 1), seed, trainings=0)[0].excess
              for seed in range(50)]
    assert abs(np.mean(excess)) < 4 / math.sqrt(len(excess))
    assert np.std(excess) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("referenced", [True, False])
def test_the_local_test_is_at_its_floor_where_samples_agree(referenced: bool) -> None:
    excess = [ConditionalAUC(("c",), trainings=6, threads=1)(
        events(200, 3 * seed), events(200, 3 * seed + 1), events(200, 3 * seed + 2) if referenced else None, seed,
    )[1].excess for seed in range(8)]
    assert abs(np.mean(excess)) < 4 / math.sqrt(len(excess))


# --- ranks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize(("fault", "shape"), [
    ({"width": 0.7}, "too narrow"), ({"width": 1.5}, "too wide"), ({"shift": 0.3}, "too high"),
    ({"shift": -0.3}, "too low"), ({}, "flat")])
def test_faults_shape_the_ranks(fault: dict[str, float], shape: str, drawn: bool) -> None:
    real, fake = (table.select(["x", "c"]) for table in (events(2500, 1), events(20_000, 2, **fault)))
    measure = Ranks(("c",), draw=drawer(**fault) if drawn else None, bins=5 if drawn else 12)
    (ranks,) = measure(real, fake)
    assert ranks.details["shape"] == shape
    assert ranks.excess < 3.5 if shape == "flat" else ranks.excess > 3
    ends, middle = np.sum(np.array(ranks.details["histogram"])[[0, -1]]), np.sum(ranks.details["histogram"][4:6])
    if "width" in fault:
        assert (ends > 1.2 * middle) == (shape == "too narrow")


def test_calibrated_draws_have_pulls_of_unit_width() -> None:
    measure = Ranks(("c",), draw=drawer(), draws=7, rows=300)
    found = [measure(table, table, None, seed)[0] for seed, table in
             ((seed, events(300, seed).select(["x", "c"])) for seed in range(200))]
    check_flat(found)


def test_calibrated_tables_have_pulls_of_unit_width_with_weights_too() -> None:
    def table(rows: int, seed: int) -> Table:
        rng = np.random.default_rng(seed)
        c = rng.integers(0, 3, rows)
        return Table.of({"x": c + rng.normal(size=rows), "n": rng.poisson(1 + c), "c": c,
                         "w": rng.choice([1.0, 4.0], rows)}, weight="w")

    found = [one for seed in range(150) for one in Ranks(("c",))(table(400, 2 * seed), table(300, 2 * seed + 1))]
    check_flat(found)


@pytest.mark.parametrize("drawn", [True, False])
def test_several_contexts_take_fewer_bins_and_see_the_fault(drawn: bool) -> None:
    def beam(rows: int, seed: int, slope: float = 1.0) -> Table:
        rng = np.random.default_rng(seed)
        contexts = {f"c{place}": rng.normal(size=rows) for place in range(4)}
        return Table.of({**contexts, "x": slope * contexts["c3"] + math.hypot(1, 1 - slope) * rng.normal(size=rows)})

    names = tuple(f"c{place}" for place in range(4))
    for slope, wrong in ((1.0, False), (0.0, True)):
        def draw(contexts: Table, seed: int, slope: float = slope) -> Table:
            return contexts.with_columns({"x": beam(len(contexts), seed, 0.0)["x"] / math.sqrt(2) * math.hypot(
                1, 1 - slope) + slope * contexts["c3"]})

        (found,) = Ranks(names, draw=draw if drawn else None)(beam(2000, 1), beam(2000, 2, slope))
        assert len(found.details["cells"]) == 2**4
        assert (found.excess > 5) == wrong
    (small,) = Ranks(names, draw=draw if drawn else None)(beam(80, 1), beam(80, 2))
    assert [cell["label"] for cell in small.details["cells"]] == ["any c0 and any c1 and any c2 and any c3"]


@pytest.mark.parametrize("drawn", [True, False])
def test_the_excess_rises_with_the_fault(drawn: bool) -> None:
    real, excess = events(3000, 1).select(["x", "c"]), []
    for shift in (0.2, 0.4, 0.8, 1.6):
        measure = Ranks(("c",), draw=drawer(shift=shift) if drawn else None)
        excess.append(measure(real, events(3000, 2, shift=shift).select(["x", "c"]))[0].excess)
    assert excess == sorted(excess)
    assert excess[-1] > 40 * excess[0], "χ² grows as the square of a shift, and honest ranks spread as ever"


def check_flat(found: list[Estimate]) -> None:
    pulls = [one.excess for one in found]
    values = [one.value for one in found]
    assert np.mean(values) == pytest.approx(1, abs=0.12)
    assert np.std(values) == pytest.approx(math.sqrt(2 / found[0].details["ndf"]), rel=0.2)
    assert np.std(pulls) == pytest.approx(1, abs=0.2)


def test_ranks_among_equal_values_are_flat() -> None:
    rng = np.random.default_rng(0)
    ranks = [among(np.zeros((50, 1)), Sample(np.zeros((7, 1)), np.ones(7)), rng) for _ in range(1000)]
    assert np.histogram(ranks, 5, (0, 1))[0] == pytest.approx(10_000, rel=0.06)


def test_ranks_count_the_weight_below() -> None:
    rng = np.random.default_rng(0)
    known = Sample(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 6.0, 2.0]))
    ranks = among(np.full((20_000, 1), 2.5), known, rng)
    assert ranks.min() == pytest.approx(7 / 12, abs=1e-3)
    assert ranks.max() == pytest.approx(10 / 12, abs=1e-3)


def test_a_flat_histogram_has_no_chi2_and_a_full_bin_all_of_it() -> None:
    flat = flatness("x", [Ranked("all", ((np.arange(100) + 0.5) / 100)[:, None], np.ones(100), 0.0)], 0, 10, "")
    assert flat.value == pytest.approx(0, abs=1e-12)
    full = Ranked("all", np.full((100, 1), 0.05), np.ones(100), 0.0).chi2(0, 10)
    assert full == pytest.approx(90**2 / 10 + 9 * 10)


# --- bins and bad input -----------------------------------------------------------------------------------


def test_bins_hold_equal_weight() -> None:
    table = events(5000, 1)
    weighted = Table.of({**table.columns, "w": np.where(table["c"] > 0, 3.0, 1.0)}, weight="w")
    bins = Bins.of(weighted, "c", 4)
    held = np.bincount(bins.place(weighted["c"]), weighted.weights)
    np.testing.assert_allclose(held, held.mean(), rtol=0.01)
    assert len(bins.labels) == len(held) == 4


@pytest.mark.parametrize(("context", "says"), [
    ((), "no context"), (("cc",), "nearest: c"), (("x", "c", "q"), "nothing left")])
@pytest.mark.parametrize("make", [ConditionalAUC, Ranks])
def test_impossible_contexts_are_refused(make: Callable[..., ConditionalAUC | Ranks], context: tuple[str, ...],
                                         says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says):
        make(context)(events(100, 1), events(100, 2))


def test_too_few_rows_and_wrong_draws_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match=r"no bin of c"):
        asked(events(60, 1), events(60, 2))
    with pytest.raises(NotMeasurableError, match=r"no cell of c, d"):
        Ranks(("c", "d"))(*(table.with_columns({"d": sign * table["c"]}) for sign, table in
                            ((1, events(450, 1)), (-1, events(450, 2)))))
    with pytest.raises(DataError, match="10 rows were drawn for 100 contexts"):
        Ranks(("c", "q"), draw=lambda contexts, seed: events(10, seed))(events(100, 1), events(100, 2))
    with pytest.raises(DataError, match="negative weights"):
        asked(Table.of({**events(100, 1).columns, "w": np.arange(100) - 1.0}, weight="w"), events(100, 2))
    with pytest.raises(DataError, match="image"):
        Bins.of(Table.of({"c": np.ones((5, 2))}), "c", 3)


def test_a_context_that_the_generator_does_not_know_leaves_the_others_to_be_measured() -> None:
    def unknown(contexts: Table, seed: int) -> Table:
        raise DataError("context q = 1 was not trained on")

    with pytest.raises(NotMeasurableError, match=r"no rows can be drawn .* q = 1 was not trained on"):
        Ranks(("q",), draw=unknown)(events(100, 1), events(100, 2))


@pytest.mark.parametrize("settings", [{"bins": 1}, {"trainings": -1}])
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 2 and 0"):
        ConditionalAUC(("c",), **settings)
    with pytest.raises(ConfigError, match="rank_bins = 1"):
        Ranks(("c",), rank_bins=1)
