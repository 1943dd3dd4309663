"""Parquet: nulls stay in their rows, types that are no numbers are named, labels of pandas are left out."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import DataError
from calque.reading import iterate, look, read
from calque.reading.formats import format_of

ROWS = 40


def store(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def lists(rows: int, size: int, missing: set[int]) -> list[list[float] | None]:
    return [None if row in missing else [row + 0.1 * place for place in range(size)] for row in range(rows)]


@pytest.mark.parametrize("missing", [{3}, {0}, {39}, {3, 20}, set(range(39)), set(range(1, 40)), set(range(40))])
def test_a_null_list_is_a_missing_row_and_shifts_nothing(tmp_path: Path, missing: set[int]) -> None:
    images = pa.array(lists(ROWS, 3, missing), pa.list_(pa.float32(), 3))
    path = store(tmp_path / "x.parquet", v=images, n=np.arange(ROWS))
    with pytest.raises(DataError, match=rf"NaN or infinite: {len(missing)} in 'v' .*drop_nonfinite = true"):
        read(path)
    kept = sorted(set(range(ROWS)) - missing)
    if kept:
        with pytest.warns(UserWarning, match=rf"{len(missing)} rows dropped"):
            table = read(path, drop_nonfinite=True)
        assert table["n"].tolist() == kept
        np.testing.assert_array_equal(table["v"][:, 0], np.asarray(kept, np.float32))


def test_integers_and_booleans_that_are_missing_are_counted_and_dropped(tmp_path: Path) -> None:
    numbers = [None if row in {2, 7} else 2**53 + 1 + row for row in range(ROWS)]
    truths = [None if row == 9 else row % 2 == 0 for row in range(ROWS)]
    path = store(tmp_path / "x.parquet", n=pa.array(numbers, pa.int64()), b=pa.array(truths), x=np.arange(ROWS))
    with pytest.raises(DataError, match=r"2 in 'n', 1 in 'b' of .*first in rows 2, 7, 9; drop_nonfinite = true"):
        read(path)
    with pytest.warns(UserWarning, match=r"3 rows dropped"):
        table = read(path, drop_nonfinite=True)
    assert (table["n"].dtype, table["b"].dtype) == (np.int64, np.bool_)
    np.testing.assert_array_equal(table["n"] - 2**53 - 1, table["x"])
    assert not np.ma.isMaskedArray(table["n"])
    assert read(path, columns=["x"], where=f"n > {2**53}")["x"].tolist() == sorted(set(range(ROWS)) - {2, 7})
    assert [column.nonfinite for column in look(path).trees[0].summary.columns.values()] == [2, 1, 0]


@given(
    events=st.lists(
        st.none() | st.lists(st.none() | st.integers(0, 100), min_size=4, max_size=4), min_size=1, max_size=30
    ),
    scalars=st.lists(st.none() | st.integers(-5, 5), min_size=30, max_size=30),
    piece=st.integers(1, 30),
    start=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_nulls_anywhere(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[list[int | None] | None],
    scalars: list[int | None],
    piece: int,
    start: int,
) -> None:
    """Against Python's own lists; sliced, in groups, read in pieces of any length."""
    rows = len(events)
    types = {"f": pa.list_(pa.float64(), 4), "i": pa.list_(pa.int16(), 4), "g": pa.list_(pa.list_(pa.float32(), 2), 2)}
    nested = [None if event is None else [event[:2], event[2:]] for event in events]
    columns = {"f": pa.array(events, types["f"]), "i": pa.array(events, types["i"]), "g": pa.array(nested, types["g"])}
    table = pa.table({**columns, "s": pa.array(scalars[:rows], pa.int64())}).slice(min(start, rows - 1))
    path = tmp_path_factory.mktemp("nulls") / "x.parquet"
    pq.write_table(table, path, row_group_size=7)
    pieces = list(format_of(path).iterate(path, "", ["s", "g", "i", "f"], piece))
    known = table.to_pydict()
    assert sum(len(one["s"]) for one in pieces) == len(table)
    f = np.concatenate([one["f"] for one in pieces])
    want = [[np.nan] * 4 if event is None else [np.nan if n is None else n for n in event] for event in known["f"]]
    np.testing.assert_array_equal(f, np.asarray(want, float))
    g = np.concatenate([one["g"] for one in pieces])
    np.testing.assert_array_equal(g.reshape(-1, 4), f.astype(np.float32))
    i = np.ma.concatenate([one["i"] for one in pieces])
    np.testing.assert_array_equal(np.ma.filled(i.astype(float), np.nan), f)
    s = np.ma.concatenate([one["s"] for one in pieces])
    assert s.tolist() == known["s"]


def test_types_are_read_or_named(tmp_path: Path) -> None:
    path = store(
        tmp_path / "x.parquet",
        half=pa.array(np.arange(3, dtype=np.float16)),
        whole=pa.array([0, 1, 2**64 - 1], pa.uint64()),
        coded=pa.array([1.5, 2.5, 1.5]).dictionary_encode(),
        truth=pa.array([True, False, True]),
        tensor=pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int32(), (2, 3)),
            pa.array(np.arange(18).reshape(3, 6).tolist(), pa.list_(pa.int32(), 6)),
        ),
        money=pa.array([decimal.Decimal("1.25")] * 3),
        day=pa.array([datetime.datetime(2026, 1, 1)] * 3),
        word=pa.array(["a", "b", "c"]).dictionary_encode(),
        jagged=pa.array([[1.0], [], [2.0, 3.0]]),
        record=pa.array([{"a": 1}] * 3),
        nothing=pa.nulls(3),
    )
    table = read(path)
    assert table.names == ("half", "whole", "coded", "truth", "tensor")
    assert table["whole"].tolist() == [0, 1, 2**64 - 1]
    assert table["coded"].tolist() == [1.5, 2.5, 1.5]
    assert table["half"].dtype == np.float16
    np.testing.assert_array_equal(table["tensor"], np.arange(18).reshape(3, 2, 3))
    kinds = {field.name: field.kind for field in look(path).trees[0].fields if field.dtype is None}
    assert kinds.keys() == {"money", "day", "word", "jagged", "record", "nothing"}
    assert kinds["money"] == "decimal128(3, 2)"
    assert kinds["day"].startswith("timestamp")
    assert kinds["jagged"].startswith("list<")
    with pytest.raises(DataError, match=r"'money' in .* holds decimal128\(3, 2\)"):
        read(path, columns=["money"])


def test_dictionaries_of_numbers_with_nulls(tmp_path: Path) -> None:
    path = store(tmp_path / "x.parquet", d=pa.array([1.5, None, 2.5]).dictionary_encode())
    (piece,) = format_of(path).iterate(path, "", ["d"], 10)
    np.testing.assert_array_equal(piece["d"], [1.5, np.nan, 2.5])


def test_labels_of_pandas_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"px": [1.0, 2.0, 3.0], "n": [1, 2, 3]}, index=[4, 7, 9])
    frame.to_parquet(tmp_path / "x.parquet", engine="pyarrow")
    assert read(tmp_path / "x.parquet").names == ("px", "n")
    assert "row labels of pandas" in {field.kind for field in look(tmp_path / "x.parquet").trees[0].fields}


def test_columns_of_one_name_are_both_read(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1.0, 2.0]), pa.array([5, 6]), pa.array([3.0, 4.0])], ["x", "y", "x"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.warns(UserWarning, match=r"names occur twice; the later columns are called x_2"):
        found = read(tmp_path / "x.parquet")
    assert {name: found[name].tolist() for name in found} == {"x": [1.0, 2.0], "y": [5, 6], "x_2": [3.0, 4.0]}
    with pytest.warns(UserWarning, match=r"x_2"):
        assert read(tmp_path / "x.parquet", columns=["x_2"])["x_2"].tolist() == [3.0, 4.0]


def test_a_dot_is_part_of_a_name(tmp_path: Path) -> None:
    records = pa.array([{"d": 1}, {"d": 2}])
    path = store(tmp_path / "x.parquet", a=[1, 2], **{"a.b": [3, 4], "c": records, "c.d": [5, 6]})
    table = next(iterate(path, columns=["c.d", "a.b", "a"]))
    assert {name: table[name].tolist() for name in table} == {"c.d": [5, 6], "a.b": [3, 4], "a": [1, 2]}
