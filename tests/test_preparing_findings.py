"""What a preparation says that it will not keep: digits, grain, exact relations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from calque.preparing import TRAIN, prepare
from calque.preparing.relations import find_relations
from calque.table import Array, Table

ROWS = 3000


def normal(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=ROWS)


def said(columns: dict[str, Array], steps: list[str] | None = None, context: tuple[str, ...] = ()) -> list[str]:
    """All lines of a preparation."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare(Table.of(columns), steps=steps, context=context)
    return [str(one.message) for one in caught]


def muons(dtype: str = "f4", mass: float | Array = 0.1057) -> dict[str, Array]:
    px, py, pz = normal(1).astype(dtype), normal(2).astype(dtype), (10 + normal(3) ** 2).astype(dtype)
    squares = px.astype("f8") ** 2 + py.astype("f8") ** 2 + pz.astype("f8") ** 2
    return {"px": px, "py": py, "pz": pz, "e": np.sqrt(squares + mass**2).astype(dtype)}


@pytest.mark.parametrize("steps", [None, ["standardise *"], ["quantile *"], ["minmax *", "standardise *"]])
def test_a_smooth_sample_needs_no_word(steps: list[str] | None) -> None:
    assert said({"a": normal(0), "b": np.exp(normal(1)).astype("f4"), "c": 1e9 + normal(2)}, steps) == []


@pytest.mark.parametrize("outlier", [1e4, 1e6, 1e8, -1e12])
def test_an_outlier_squeezes_standardise_and_not_quantile(outlier: float) -> None:
    column = normal(0)
    column[np.flatnonzero(prepare(Table.of({"a": column, "b": normal(1)})).part == TRAIN)[3]] = outlier
    line, = said({"a": column, "b": normal(1)})
    assert "use the step 'quantile a'" in line
    assert ("are lost" in line) == (abs(outlier) > 1e5)
    assert said({"a": column, "b": normal(1)}, ["quantile a", "standardise b"]) == []
    data = prepare(Table.of({"a": column, "b": normal(1)}), steps=["quantile a", "standardise b"])
    packed = data.encode(TRAIN)[0][:, 0]
    assert abs(packed.mean()) < 0.01
    assert abs(packed.std() - 1) < 0.01


def test_ten_decades_are_said_with_the_share_and_the_step() -> None:
    column = 10 ** np.random.default_rng(0).uniform(-5, 5, ROWS)
    line, = said({"a": column, "b": normal(1)})
    assert "distinct values" in line
    assert "% are lost); use the step 'log a'" in line
    assert said({"a": column, "b": normal(1)}, ["log a", "standardise *"]) == []
    assert said({"a": column, "b": normal(1)}, ["quantile *"]) == []


@pytest.mark.parametrize(("column", "words"), [
    (normal(0).round(2), "column a holds multiples of 0.01, and draws will not; the step 'lattice a'"),
    (normal(0).round(1), "multiples of 0.1, and draws will not; the step 'discrete a'"),
    ((normal(0).round(2) * 7).astype("f4"), "multiples of 0.07, "),
    (np.where(normal(0) > 0, 0.0, normal(1)), "holds 0 in 48.7% of the rows"),
    (np.random.default_rng(0).choice(normal(5)[:9], ROWS), "holds 9 values only"),
    (np.random.default_rng(0).integers(0, 3000, ROWS) * 4 + 1, "multiples of 4 from 1 on"),
])
def test_repeated_values_are_said_with_the_step_that_keeps_them(column: Array, words: str) -> None:
    line, = said({"a": column, "b": normal(1)}, ["standardise *"])
    assert words in line
    step = line.split("the step '")[1].split("'")[0]
    assert said({"a": column, "b": normal(1)}, [step, "standardise *"]) == []


def test_columns_of_the_same_grain_share_a_line() -> None:
    line, = said({"a": normal(0).round(2), "b": normal(1).round(2), "c": normal(2)})
    assert line.startswith("columns a, b hold multiples of 0.01")


@pytest.mark.parametrize(("columns", "text", "leave"), [
    ({"a": normal(0), "b": normal(1), "c": normal(0)}, "c = a", "c"),
    ({"a": normal(0), "b": normal(1), "c": 2 * normal(0) - normal(1) + 3}, "c = 2 a - b + 3", "c"),
    ({"a": 1e9 + normal(0), "b": normal(1), "c": 1e9 + normal(0)}, "c = a", "c"),
    ({"a": normal(0), "b": normal(1), "c": (normal(0) * normal(1)).astype("f4")}, "|c| = |a · b|", "c"),
    ({"a": normal(0), "b": normal(1), "c": normal(0) / normal(1)}, "|c| = |a · b^-1|", "c"),
    ({"a": normal(0), "b": normal(1), "r": np.hypot(normal(0), normal(1))}, "r² = a² + b²", "r"),
    (muons(), "e² = px² + py² + pz² + 0.01117", "e"),
    (muons("f8"), "e² = px² + py² + pz² + 0.01117", "e"),
    ({**muons(mass=1 + normal(7) ** 2), "m": (1 + normal(7) ** 2).astype("f4")}, "e² = px² + py² + pz² + m²", "e"),
])
def test_exact_relations_are_named_with_the_column_to_leave_out(
        columns: dict[str, Array], text: str, leave: str) -> None:
    lines = [line for line in said(columns, ["quantile *"]) if "holds in every row" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{text} holds in every row") or text.startswith("e²")
    assert f"leave '{leave}' out" in lines[0]
    relation, = find_relations(columns)
    assert relation.column == leave
    rest = {name: column for name, column in columns.items() if name != leave}
    assert find_relations(rest) == []


def test_a_relation_with_a_context_names_the_learnt_column() -> None:
    charge = np.where(normal(0) > 0, 1, -1)
    lines = said({"charge": charge, "id": -13 * charge, "b": normal(1)}, context=("id",))
    assert len(lines) == 1
    assert "leave 'charge' out" in lines[0]


def test_what_is_only_close_is_no_relation() -> None:
    """A correlation of 0.9999, a shared mark for missing values, columns that a few rows tell apart."""
    missing = np.where(np.random.default_rng(9).random(ROWS) < 0.02, -99999.0, 0.0)
    near = {"a": normal(0), "b": normal(0) + 1e-3 * normal(1)}
    marked = {name: np.where(missing < 0, missing, normal(seed)) for seed, name in enumerate("ab")}
    few = {"a": normal(0), "b": np.where(np.arange(ROWS) % 20 == 0, normal(1), normal(0))}
    for columns in (near, marked, few):
        assert find_relations(columns) == []
    assert find_relations({f"c{at}": normal(at)[:40] for at in range(30)}) == [], "too few rows to tell from chance"
