"""Numbers come back as they were: integers of any size, offsets, types and their ends."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.contexts import cast, own_contexts, shares_of
from calque.errors import DataError
from calque.preparing import TRAIN, Context, Preparation, prepare
from calque.preparing.precision import restore
from calque.producing.sources import as_number
from calque.table import Array, Table

ROWS = 400
WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
quick = settings(max_examples=25, deadline=None, derandomize=True)


def reloaded(preparation: Preparation) -> Preparation:
    """What a run folder gives back, ready to draw."""
    return Preparation.from_dict(json.loads(json.dumps(preparation.to_dict()))).float()


def there_and_back(table: Table, *steps: str) -> dict[str, Array]:
    """All rows prepared, rounded to what a network puts out, and brought back as a loaded run does."""
    preparation = prepare(table, steps=steps).preparation
    packed, jacobian = preparation.encode(table, np.random.default_rng(1))
    assert torch.isfinite(jacobian).all()
    drawing = reloaded(preparation)
    return drawing.decode(packed, torch.zeros(len(packed), drawing.inverse_noise))


@quick
@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=6, unique=True))
def test_discrete_holds_integers_of_every_type_exactly(dtype: str, bits: list[int]) -> None:
    values = np.unique(np.array(bits, "u8").astype(dtype))
    column = values[np.arange(ROWS) % len(values)]
    table = Table.of({"n": column, "b": np.linspace(0, 1, ROWS)})
    if len(values) == 1:
        return
    back = there_and_back(table, "discrete n", "standardise b")
    assert back["n"].dtype == np.dtype(dtype)
    assert np.array_equal(back["n"], column)


@quick
@given(st.sampled_from(WHOLE), st.integers(-(2**53), 2**53), st.sampled_from(["standardise n", "quantile n"]))
def test_steps_hold_integers_up_to_two_to_the_53(dtype: str, centre: int, step: str) -> None:
    kind = np.iinfo(dtype)
    least = min(max(centre - 50, kind.min, -(2**53)), kind.max - 100, 2**53 - 100)
    column = np.array([least + at % 101 for at in range(ROWS)], dtype)
    back = there_and_back(Table.of({"n": column, "b": np.linspace(0, 1, ROWS)}), step, "standardise b")
    assert np.array_equal(back["n"], column)


@quick
@given(st.floats(-12, 12), st.floats(-3, 12), st.sampled_from(["standardise", "minmax", "quantile"]),
       st.sampled_from(["<f4", "<f8"]))
def test_offsets_of_any_size_come_back_to_the_digits_that_a_network_has(
        spread: float, offset: float, step: str, dtype: str) -> None:
    """In units of the spread the error is single precision's, and that of the column's own type."""
    stream = np.random.default_rng(0)
    width = 10.0 ** min(max(spread, offset - 9), 12)
    column = (10.0**offset + width * stream.normal(size=ROWS)).astype(dtype)
    if width < 10 * np.finfo(dtype).eps * 10.0**offset:
        return  # constant, or nearly
    back = there_and_back(Table.of({"t": column, "b": stream.normal(size=ROWS)}), f"{step} t", "standardise b")["t"]
    allowed = 1e-5 * width + 4 * np.finfo(dtype).eps * np.abs(column).astype("f8").max()
    assert np.abs(back.astype("f8") - column.astype("f8")).max() < allowed


def test_a_time_stamp_is_drawn_with_all_its_values_and_its_width() -> None:
    stream = np.random.default_rng(0)
    table = Table.of({"t": 1e9 + stream.normal(size=3000), "s": 1.6e9 + 1e-3 * stream.normal(size=3000),
                      "b": stream.normal(size=3000).astype("f4")})
    drawing = reloaded(prepare(table).preparation)
    assert [step.columns for step in drawing.typed_steps()] == [("b",), ("t", "s")]
    drawn = drawing.decode(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(300, 0))
    for name, centre, width in (("t", 1e9, 1.0), ("s", 1.6e9, 1e-3)):
        assert len(np.unique(drawn[name])) > 295  # of 300: s has steps of 2e-4 of its width in its own type
        assert abs(drawn[name].std() / width - 1) < 0.15
        assert abs(drawn[name].mean() - centre) < 0.3 * width


def test_columns_in_single_precision_are_drawn_as_without_their_neighbours() -> None:
    stream = np.random.default_rng(0)
    alone = Table.of({name: stream.normal(3, 7, 900).astype("f4") for name in ("a", "b")})
    beside = alone.with_columns({"t": 1e9 + stream.normal(size=900)})
    normal = torch.randn(500, 3, generator=torch.Generator().manual_seed(2))
    for steps in (["standardise *"], ["arcsinh *", "quantile *"], ["bounds * low=-1e10 high=1e10", "minmax *"]):
        drawn = [reloaded(prepare(table, steps=steps).preparation).decode(normal[:, :size], torch.zeros(500, 0))
                 for table, size in ((alone, 2), (beside, 3))]
        assert all(np.array_equal(drawn[0][name], drawn[1][name]) for name in ("a", "b"))


def test_a_preparation_of_an_earlier_version_draws_in_single_precision() -> None:
    table = Table.of({"t": 100 + np.random.default_rng(0).normal(size=500), "k": np.arange(500) % 3})
    saved = json.loads(json.dumps(prepare(table).preparation.to_dict()))
    new = Preparation.from_dict(saved)
    del saved["doubles"], saved["long"]
    old = Preparation.from_dict(saved).float()
    assert {buffer.dtype for buffer in old.buffers()} == {torch.float32}
    assert not any(step.precise for step in old.typed_steps())
    normal = torch.randn(100, 2)
    ours, theirs = (each.decode(normal, torch.zeros(100, 0)) for each in (new.float(), old))
    np.testing.assert_allclose(ours["t"], theirs["t"], rtol=1e-5)
    assert np.array_equal(ours["k"], theirs["k"])


@pytest.mark.parametrize(("dtype", "drawn", "expected"), [
    ("u1", [-1.0, 3.4, 255.4, 256.0], [0, 3, 255, 255]),
    ("i1", [-129.0, 127.4, 1e30, -np.inf], [-128, 127, 127, -128]),
    ("u4", [-0.6, 2.0**32, 5.0, 5.0], [0, 2**32 - 1, 5, 5]),
    ("i8", [2.0**63, -(2.0**63), 1e19, 7.0], [2**63 - 1, -(2**63), 2**63 - 1, 7]),
    ("u8", [2.0**64, -1.0, 2.0**63, 0.0], [2**64 - 1, 0, 2**63, 0]),
    ("?", [-1.0, 0.4, 0.6, 3.0], [0, 0, 1, 1]),
    ("f2", [1e6, -1e6, 0.5, 1.0], [65504, -65504, 0.5, 1]),
])
def test_what_a_type_cannot_hold_is_put_to_its_end_and_counted(
        dtype: str, drawn: list[float], expected: list[float]) -> None:
    values, clipped = restore(torch.tensor(drawn, dtype=torch.float64), np.dtype(dtype))
    assert values.dtype == np.dtype(dtype)
    assert values.tolist() == expected
    kind = np.dtype(dtype).kind
    ends = np.finfo(dtype) if kind == "f" else np.iinfo("u1" if kind == "b" else dtype)
    least, most = (float(ends.min), 1.0 if kind == "b" else float(ends.max))
    edge = 0.0 if kind == "f" else 0.5
    assert clipped == sum(not least - edge <= value < most + edge for value in drawn)


def test_a_preparation_keeps_the_count_of_what_it_clipped() -> None:
    table = Table.of({"n": np.arange(900, dtype="u2") % 60, "b": np.linspace(0, 1, 900)})
    drawing = reloaded(prepare(table, steps=["standardise *"]).preparation)
    drawn = drawing.decode(torch.tensor([[-5.0, 0.0], [0.0, 0.0], [-9.0, 0.0]]), torch.zeros(3, 0))
    assert drawn["n"].min() == 0
    assert drawing.clipped == [("n", 2)]


@pytest.mark.parametrize(("steps", "message"), [
    (["standardise *"], "step 'standardise' would round column 'ev': its integers are beyond 2.53.*'discrete ev'"),
    (["quantile ev"], "step 'quantile' would round column 'ev'"),
    (["spike ev", "standardise *"], "step 'spike' would round column 'ev'"),
    (["standardise b"], "column 'ev' holds integers beyond 2.53, and no step takes it; use 'discrete ev'"),
    (["discrete ev most=4"], "has 5 values, more than 4, .* make it a context, or leave it out"),
])
def test_integers_that_a_step_would_round_are_refused(steps: list[str], message: str) -> None:
    table = Table.of({"ev": 2**62 + np.arange(ROWS) % 5, "b": np.linspace(0, 1, ROWS)})
    with pytest.raises(DataError, match=message):
        prepare(table, steps=steps)


@pytest.mark.parametrize("levels", [5, 60])
@pytest.mark.parametrize(("start", "dtype"), [(2**62, "i8"), (2**63 + 11, "u8"), (-(2**62), "i8")])
def test_a_context_tells_long_integers_apart(start: int, dtype: str, levels: int) -> None:
    column = np.array([start + at % levels for at in range(600)], dtype)
    data = prepare(Table.of({"ev": column, "b": np.linspace(0, 1, 600)}), context=["ev"])
    context = Context.from_dict(json.loads(json.dumps(data.context.to_dict())))
    encoded = context.encode(data.table).numpy()
    assert len(np.unique(encoded, axis=0)) == levels
    own = own_contexts(data)
    assert own is not None
    assert set(own["ev"].tolist()) == set(column[data.part == TRAIN].tolist())
    if levels < 32:
        shares = shares_of(context, own, own.rows(slice(0, 2)))
        np.testing.assert_allclose(shares, own["weight"][:2] / own["weight"].sum())


def test_a_context_of_the_command_line_keeps_its_digits() -> None:
    assert as_number("9223372036854775819") == 2**63 + 11
    assert as_number("5e1") == 50.0
    assert math.isinf(as_number("inf"))
    assert cast("ev", np.atleast_1d(as_number(str(2**62 + 1))), "int64").tolist() == [2**62 + 1]
    with pytest.raises(DataError, match="context ev = 9223372036854775819 is not of type int64"):
        cast("ev", np.atleast_1d(as_number("9223372036854775819")), "int64")


def test_a_narrow_column_far_from_zero_is_not_called_constant() -> None:
    table = Table.of({"t": np.full(90, 1.6e9), "b": np.linspace(0, 1, 90)})
    with pytest.raises(DataError, match="step 'standardise': column 't' is constant; use the step 'constant'"):
        prepare(table)
