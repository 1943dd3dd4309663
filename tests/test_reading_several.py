"""Several files as one table: the same columns, units and types, nothing lost or left out in silence."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from calque.errors import DataError
from calque.reading import Sink, iterate, look, read, summarise, write
from calque.table import Array, Table

BEYOND = 2**53 + 1


def save(folder: Path, name: str, columns: Mapping[str, ArrayLike], **units: str) -> str:
    """A file of these columns."""
    write(Table.of(columns, units), folder / name)
    return str(folder / name)


def gather(files: list[str], rows: int = 3) -> list[Table]:
    """All tables of a stream, which must agree with what is read at once."""
    tables = list(iterate(files, rows=rows))
    whole = read(files)
    for name in whole.names:
        parts = [table[name] for table in tables]
        assert {part.dtype for part in parts} == {whole[name].dtype}
        np.testing.assert_array_equal(np.concatenate(parts), whole[name])
    assert all(table.units == whole.units for table in tables)
    return tables


def test_units_that_differ_are_converted_to_the_first_files(tmp_path: Path) -> None:
    files = [save(tmp_path, "a.root", {"e": [1.0, 2.0], "x": [1.0, 2.0]}, e="GeV", x="cm"),
             save(tmp_path, "b.h5", {"e": [3000.0], "x": [30.0]}, e="MeV", x="mm"),
             save(tmp_path, "c.parquet", {"e": [4.0], "x": [4.0]}, e="GeV/c", x="cm")]  # fmt: skip
    with pytest.warns(UserWarning, match=r"^units differ between files: converted 'e' from MeV to GeV, 'x' from mm"):
        table = read(files)
    assert (table["e"].tolist(), table["x"].tolist()) == ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert table.units == {"e": "GeV", "x": "cm"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = read(files, units={"e": "MeV", "x": "mm"})
    assert (asked["e"].tolist(), asked["x"].tolist()) == ([1e3, 2e3, 3e3, 4e3], [10.0, 20.0, 30.0, 40.0])


def test_units_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    files = [save(tmp_path, "a.root", {"q": [1.0], "x": [1.0]}, q="ADC"),
             save(tmp_path, "b.root", {"q": [2.0], "x": [1.0]}, q="GeV")]  # fmt: skip
    with pytest.raises(DataError, match=r"column 'q' of .*b.root is in 'GeV', 'ADC' in the files before it"):
        read(files)
    assert read(files, columns=["x"])["x"].tolist() == [1.0, 1.0]


def test_a_unit_that_a_file_does_not_state_is_said(tmp_path: Path) -> None:
    files = [save(tmp_path, "a.npz", {"e": [1.0]}), save(tmp_path, "b.root", {"e": [2.0]}, e="GeV")]
    with pytest.warns(UserWarning, match=r"no unit for 'e' in .*a.npz: taken to be that of the other"):
        table = read(files)
    assert (table["e"].tolist(), table.units) == ([1.0, 2.0], {"e": "GeV"})
    assert read(files, units={"e": "MeV"})["e"].tolist() == [1.0, 2000.0]


LOSSLESS = [
    ("int64", [BEYOND, -4], "uint64", [7], "int64"),
    ("int64", [BEYOND, 4], "uint64", [2**63 + 11], "uint64"),
    ("int8", [-128], "uint64", [BEYOND], "int64"),
    ("int32", [-5], "uint32", [2**32 - 1], "int64"),
    ("int32", [2**31 - 1], "float32", [0.5], "float64"),
    ("int64", [2**53], "float32", [0.5], "float64"),
    ("uint64", [2**53], "float64", [0.5], "float64"),
    ("int16", [-3], "float32", [0.1], "float32"),
    ("float32", [0.1], "float64", [0.1], "float64"),
    ("bool", [True], "int8", [-1], "int8"),
]


@pytest.mark.parametrize(("one", "first", "other", "second", "both"), LOSSLESS)
def test_types_are_widened_without_loss(
    tmp_path: Path, one: str, first: list[float], other: str, second: list[float], both: str
) -> None:
    columns = np.array(first, dtype=one), np.array(second, dtype=other)
    for left, right in (columns, columns[::-1]):
        files = [save(tmp_path, "a.npz", {"v": left}), save(tmp_path, "b.npz", {"v": right})]
        table = gather(files)[0]
        assert table["v"].dtype == both
        exact = [*left.tolist(), *right.tolist()]
        assert read(files)["v"].tolist() == exact


LOSSY = [
    ("int64", [-1], "uint64", [2**63], r"int64 in .*a.npz, uint64 in .*b.npz: no type holds both .*from -1 to 92233"),
    ("int64", [BEYOND], "float32", [0.5], r"int64 in .*a.npz, float32 in .*b.npz: no type holds both"),
    ("uint64", [BEYOND], "float64", [0.5], r"uint64 in .*a.npz, float64 in .*b.npz: no type holds both"),
]


@pytest.mark.parametrize(("one", "first", "other", "second", "says"), LOSSY)
def test_types_that_cannot_be_joined_are_refused(
    tmp_path: Path, one: str, first: list[float], other: str, second: list[float], says: str
) -> None:
    files = [save(tmp_path, "a.npz", {"v": np.array(first, dtype=one), "w": [1]}),
             save(tmp_path, "b.npz", {"v": np.array(second, dtype=other), "w": [2]})]  # fmt: skip
    for attempt in (read, lambda names: list(iterate(names))):
        with pytest.raises(DataError, match=says):
            attempt(files)
    assert read(files, columns=["w"])["w"].tolist() == [1, 2]


KINDS = ["int8", "uint8", "int16", "uint32", "int64", "uint64"]
INTEGERS = st.sampled_from([0, 1, -1, 127, 255, 2**31, -(2**63), 2**63 - 1, 2**64 - 1, BEYOND])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(KINDS), INTEGERS), min_size=2, max_size=3))
def test_joined_integers_are_exact_or_refused(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, int]]
) -> None:
    folder, files, exact = tmp_path_factory.mktemp("integers"), [], []
    for place, (kind, value) in enumerate(parts):
        held = np.clip(np.array([value], dtype=object), np.iinfo(kind).min, np.iinfo(kind).max)
        files.append(save(folder, f"{place}.npy", {"v": held.astype(kind)}))
        exact += held.tolist()
    fits = min(exact) >= 0 or max(exact) < 2**63
    if fits:
        assert read(files)["v"].tolist() == exact
    else:
        with pytest.raises(DataError, match="no type holds both"):
            read(files)


def test_integers_and_converted_units_agree_in_their_type(tmp_path: Path) -> None:
    files = [save(tmp_path, "a.root", {"z": np.array([5, 6])}, z="cm"),
             save(tmp_path, "b.root", {"z": np.array([5, 6])}, z="mm")]  # fmt: skip
    with pytest.warns(UserWarning, match="'z' from mm to cm"):
        table = read(files)
    assert (table["z"].tolist(), table["z"].dtype) == ([5.0, 6.0, 0.5, 0.6], np.float64)


def test_columns_and_shapes_must_agree(tmp_path: Path) -> None:
    both = save(tmp_path, "a.root", {"x": [1.0], "y": [2.0]})
    one = save(tmp_path, "b.root", {"x": [3.0]})
    more = save(tmp_path, "c.root", {"y": [2.0], "x": [5.0]})
    for files in ([both, one], [one, more]):
        with pytest.raises(DataError, match=r"no column 'y' in .*b.root.* has; name .* read.columns"):
            read(files)
        with pytest.raises(DataError, match="no column 'y'"):
            next(iterate(files))
    assert read([both, one], columns=["x"])["x"].tolist() == [1.0, 3.0]
    assert read([both, more]).names == ("x", "y")
    assert [table.names for table in iterate([both, more], rows=1)] == [("x", "y")] * 2
    images = [save(tmp_path, f"{n}.h5", {"v": np.ones((2, n))}) for n in (1, 3)]
    with pytest.raises(DataError, match=r"column 'v' has shape \(1,\) in .*1.h5, \(3,\) in .*3.h5; read them apart"):
        read(images)


def test_a_column_of_text_in_one_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,y\n1,long\n")
    with pytest.raises(DataError, match=r"column 'y' is text, such as 'long' in .*b.csv, int64 in .*a.csv; name"):
        read([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_trees_of_one_file_are_read_in_the_order_asked(tmp_path: Path) -> None:
    path = tmp_path / "f.root"
    with uproot.recreate(path) as file:
        for tree, start in (("sig", 0), ("bkg", 10)):
            file.mktree(tree, {"x": "i4"})
            file[tree].extend({"x": np.arange(start, start + 3, dtype=np.int32)})
    for order in (["sig", "bkg"], ["bkg", "sig"], ["sig", "bkg", "sig"]):
        files = [f"{path}:{tree}" for tree in order]
        starts = {"sig": 0, "bkg": 10}
        expected = [starts[tree] + place for tree in order[:2] for place in range(3)]
        assert read(files)["x"].tolist() == expected
        assert [row for table in iterate(files, rows=2) for row in table["x"].tolist()] == expected
    assert summarise([f"{path}:sig", f"{path}:bkg"])[path].rows == 6


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    name = save(tmp_path, "a.root", {"x": [1.0, 2.0]})
    (tmp_path / "link.root").symlink_to(name)
    for files in ([name, name], [name, f"{name}:events"], [f"{tmp_path}/*.root", name]):
        assert read(files)["x"].tolist() == [1.0, 2.0]


def test_columns_without_numbers_are_named_once(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("x,label,y\n1,one,up\n2,two,down\n")
    said = r"a.csv and 2 more: left out, no numbers: label \(text, such as 'one'\), y \(text, .*'up'\)$"
    with pytest.warns(UserWarning, match=said) as told:
        assert read(f"{tmp_path}/*.csv").names == ("x",)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(f"{tmp_path}/*.csv", columns=["x"])
    assert "  left out, no numbers: label (text, such as 'one'), y (" in str(look(tmp_path / "a.csv"))


def test_many_columns_without_numbers_are_counted(tmp_path: Path) -> None:
    names = [f"t{place}" for place in range(25)]
    (tmp_path / "a.csv").write_text(f"x,{','.join(names)}\n1{',a' * 25}\n")
    with pytest.warns(UserWarning, match=r"left out, no numbers: t0 \(text, .*, t9 \(text, .* and 15 more$"):
        read(tmp_path / "a.csv")


WIDENED = [("int64", "int32"), ("float64", "float32"), ("float64", "int16"), ("int8", "bool"), ("float64", "int64")]
NARROWED = [
    ("int64", [1.7]), ("int32", np.array([2**33 + 5])), ("uint8", np.array([-1])), ("float32", np.array([0.1])),
    ("float64", np.array([BEYOND])), ("uint64", np.array([1])), ("bool", np.array([1])),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "later"), WIDENED)
def test_a_sink_widens_what_its_type_holds(tmp_path: Path, kind: str, later: str) -> None:
    with Sink(tmp_path / "x.npz") as sink:
        sink.write({"v": np.array([1, 0], dtype=kind)})
        sink.write({"v": np.array([1, 0], dtype=later)})
    assert read(tmp_path / "x.npz")["v"].tolist() == [1, 0, 1, 0]
    assert read(tmp_path / "x.npz")["v"].dtype == kind


@pytest.mark.parametrize(("kind", "later"), NARROWED)
def test_a_sink_never_narrows(tmp_path: Path, kind: str, later: Array) -> None:
    with Sink(tmp_path / "x.npz") as sink:
        sink.write({"v": np.array([1, 0], dtype=kind)})
        with pytest.raises(DataError, match=rf"column 'v' is {kind} in .*x.npz, and cannot hold"):
            sink.write({"v": later})
    assert read(tmp_path / "x.npz")["v"].tolist() == [1, 0]


def test_a_sink_converts_to_its_units(tmp_path: Path) -> None:
    with Sink(tmp_path / "x.root", units={"z": "m"}) as sink:
        sink.write(Table.of({"z": [100.0], "e": [1.0]}, {"z": "cm", "e": "GeV"}))
        sink.write(Table.of({"z": [2.0], "e": [2000.0]}, {"z": "m", "e": "MeV"}))
        with pytest.raises(DataError, match=r"'e' .*is in 'cm', 'GeV'"):
            sink.write(Table.of({"z": [2.0], "e": [2000.0]}, {"e": "cm"}))
    table = read(tmp_path / "x.root")
    assert (table["z"].tolist(), table["e"].tolist(), table.units) == ([1, 2], [1, 2], {"z": "m", "e": "GeV"})
