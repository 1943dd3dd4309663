"""Names and types of any kind through every format and back."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calque.errors import CalqueError
from calque.reading import look, read, write
from calque.table import Table

SUFFIXES = (".root", ".h5", ".parquet", ".npz", ".npy", ".csv", ".csv.gz")
ODD = (
    "a/b", "a.b", "µ", "μ", "η", "ϕ", "lambda", "m[0]", "px [GeV]", "px[GeV]", "a [b] []", "#x", "x #2", "1", "nan",
    "True", "a,b", "a;b", "a b", 'say "e"', "it's", ".", "..", "a/", "/a", "//", "50%", "a%2Fb", "a\\b", " a", "a ",
    "-", "*", "`", "table", "index", "Ünïcode", "日本",
)  # fmt: skip
KINDS = {
    "bool": np.bool_, "int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16, "int32": np.int32,
    "uint32": np.uint32, "int64": np.int64, "uint64": np.uint64, "float32": np.float32, "float64": np.float64,
}  # fmt: skip
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"])
NAMES = st.sampled_from(ODD) | st.text(LETTERS, min_size=1, max_size=6)


def check_same(table: Table, path: Path) -> None:
    """Names, units, types and bits are what they were; text knows three types of numbers."""
    write(table, path)
    again = read(path)
    assert list(again) == list(table)
    for name in table:
        want = table[name]
        if ".csv" in path.name:
            assert again[name].dtype.kind in "iuf"
            assert (again[name].dtype.kind == "f") == (want.dtype.kind == "f")
            np.testing.assert_array_equal(again[name].astype(want.dtype), want)
        else:
            assert again[name].dtype == want.dtype
            assert again[name].tobytes() == want.tobytes()
    if path.suffix not in (".npz", ".npy"):
        assert again.units == table.units


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_names_survive(tmp_path: Path, suffix: str) -> None:
    columns = {name: np.arange(5.0) + place for place, name in enumerate(ODD)}
    units = {} if suffix == ".root" else dict.fromkeys(ODD, "GeV")
    check_same(Table.of(columns, units), tmp_path / f"x{suffix}")
    for name in ODD[::5]:
        mark = "'" if "`" in name else "`"
        assert len(read(tmp_path / f"x{suffix}", columns=[name], where=f"{mark}{name}{mark} > {columns[name][2]}")) == 2
    renamed = read(tmp_path / f"x{suffix}", columns=["y"], rename={"a/b": "y"})
    np.testing.assert_array_equal(renamed["y"], columns["a/b"])


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_alone_survives_in_text(tmp_path: Path, name: str) -> None:
    check_same(Table.of({name: np.array([0.0, 1.5, 2.0])}), tmp_path / "x.csv")
    check_same(Table.of({name: np.array([0.0, 1.5]), "x": np.ones(2)}, {name: "GeV"}), tmp_path / "y.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_names_and_types_survive(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = data.draw(st.integers(1, 4))
    columns = {}
    for name in names:
        kind = np.dtype(data.draw(st.sampled_from(list(KINDS.values()))))
        if kind.kind == "f":
            numbers = st.floats(allow_nan=False, allow_infinity=False, width=8 * kind.itemsize)
        elif kind.kind == "b":
            numbers = st.booleans()
        else:
            numbers = st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
        columns[name] = np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows)), kind)
    check_same(Table.of(columns), tmp_path / f"x{suffix}")


def test_numpy_agrees_on_npy(tmp_path: Path) -> None:
    """Both ways: what NumPy wrote with names outside of latin-1, and what it reads."""
    records = np.zeros(3, [("η", "f4"), ("µ", "i8"), ("v", "f8", (2,))])
    records["η"] = [1, 2, 3]
    with pytest.warns(UserWarning, match=r"format 3.0"):
        np.save(tmp_path / "x.npy", records)
    table = read(tmp_path / "x.npy")
    assert table.names == ("η", "µ", "v")
    write(table, tmp_path / "y.npy")
    again = np.load(tmp_path / "y.npy")
    assert again.dtype.names == ("η", "µ", "v")
    np.testing.assert_array_equal(again["η"], records["η"])
    write(table, tmp_path / "z.npz")
    assert set(np.load(tmp_path / "z.npz")) == {"η", "µ", "v"}


def test_an_image_called_arr_0_is_no_plain_array(tmp_path: Path) -> None:
    check_same(Table.of({"arr_0": np.arange(6.0).reshape(3, 2)}), tmp_path / "x.npz")


def header(text: bytes, version: int = 1, length: int | None = None) -> bytes:
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, len(text) if length is None else length) + text


ABSURD = {
    "rows": header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000, 2)}") + bytes(64),
    "by column": header(b"{'descr': '<f8', 'fortran_order': True, 'shape': (1000000000000000, 2)}") + bytes(64),
    "columns": header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1000000000000)}") + bytes(64),
    "negative": header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2)}") + bytes(64),
    "long": header(b"{}", 2, 4_000_000_000),
    "longer than the file": header(b"{}", 2, 100_000_000),
    "nested": header(b"(" * 60_000),
    "deep": header(b"[" * 20_000 + b"]" * 20_000),
    "version": header(b"{}", 9),
    "no dictionary": header(b"3"),
    "type": header(b"{'descr': 'what', 'fortran_order': False, 'shape': (2,)}"),
}


@pytest.mark.parametrize("kind", ABSURD)
def test_absurd_headers_of_npy_are_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.npy").write_bytes(ABSURD[kind])
    for verb in (read, look):
        with pytest.raises(CalqueError, match=r"its header|version 9") as caught:
            verb(tmp_path / "x.npy")
        assert "\n" not in str(caught.value)


def test_ten_thousand_fields_are_no_trouble(tmp_path: Path) -> None:
    records = np.zeros(2, [(f"column{place}", "f4") for place in range(10_000)])
    np.save(tmp_path / "x.npy", records)
    assert len(look(tmp_path / "x.npy").trees[0].fields) == 10_000
