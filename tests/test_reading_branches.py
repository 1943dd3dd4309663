"""Columns of TTrees and RNTuples: types from the schema, members of objects, names that are not unique."""

from __future__ import annotations

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from calque.errors import DataError
from calque.reading import look, read
from calque.reading.formats import Lists
from calque.reading.forms import Leaf, find_leaves


def write_ntuple(path: Path, columns: dict[str, object]) -> Path:
    with uproot.recreate(path) as file:
        file.mkrntuple("events", ak.Array(columns))
    return path


def fields_of(path: Path) -> dict[str, tuple[str, tuple[int, ...], str]]:
    """Type, shape and type of list entries of each column."""
    fields = look(path).trees[0].fields
    return {one.name: (str(one.dtype), one.shape, str(one.item)) for one in fields}


@pytest.mark.parametrize("lists", [[[], [1.0], [2.0, 3.0]], [[1.0], [2.0], [3.0]], [[], [], []]])
def test_a_vector_is_a_list_whatever_the_first_event_holds(lists: list[list[float]], tmp_path: Path) -> None:
    values = ak.values_astype(ak.Array([*lists, [4.0, 5.0]]), np.float32)[:3]
    path = write_ntuple(tmp_path / "x.root", {"energy": np.arange(3.0), "v": values})
    assert fields_of(path) == {"energy": ("float64", (), "None"), "v": ("None", (), "float32")}
    assert read(path).names == ("energy",)
    with pytest.raises(DataError, match=r"column 'v' in .* holds std::vector<float>, not one number or image"):
        read(path, columns=["energy", "v"])


def test_vectors_of_two_files_need_not_be_equally_long(tmp_path: Path) -> None:
    for name, lists in [("a", [[1.0, 2.0]]), ("b", [[3.0]])]:
        write_ntuple(tmp_path / f"{name}.root", {"e": np.ones(1), "v": ak.Array(lists)})
    assert read(str(tmp_path / "*.root"))["e"].tolist() == [1.0, 1.0]


def test_members_of_records_are_columns(tmp_path: Path) -> None:
    record = ak.Array([{"x": 1.5, "n": 2, "deep": {"y": 3}}, {"x": 4.5, "n": 5, "deep": {"y": 6}}])
    path = write_ntuple(tmp_path / "x.root", {"hit": record, "word": ak.Array(["a", "bc"])})
    table = read(path)
    assert table.names == ("hit.x", "hit.n", "hit.deep.y")
    assert [table[name].tolist() for name in table.names] == [[1.5, 4.5], [2, 5], [3, 6]]
    assert read(path, columns=["hit.n"], where="`hit.x` > 2")["hit.n"].tolist() == [5]
    assert fields_of(path)["word"] == ("None", (), "None")


def test_leaves_of_a_form_in_the_order_of_its_members() -> None:
    events = ak.Array([{"p": {"fP": {"fX": 1.0}, "fE": 2.0}, "hits": [{"t": [1, 2]}], "name": "a", "ok": True}])
    leaves = list(find_leaves(events.layout.form))
    assert [leaf.short_path for leaf in leaves] == [("p", "fX"), ("p", "fE"), ("hits", "t"), ("name",), ("ok",)]
    assert [str(leaf.dtype) for leaf in leaves] == ["float64", "float64", "None", "None", "bool"]
    assert leaves[0].take(events).tolist() == [1.0]


def test_a_list_is_taken_with_its_counts() -> None:
    array = ak.Array([[{"x": 1}, {"x": 2}], [], [{"x": 3}]])
    (leaf,) = find_leaves(array.layout.form)
    assert leaf == Leaf(("x",), np.dtype(np.int64), (), True)
    taken = leaf.take(array)
    assert isinstance(taken, Lists)
    assert (taken.counts.tolist(), taken.values.tolist()) == ([2, 0, 1], [1, 2, 3])


def sample_file(name: str) -> Path:
    """A file of scikit-hep-testdata, in the folder that CALQUE_TESTDATA names; no test downloads."""
    path = Path(os.environ.get("CALQUE_TESTDATA", "")) / name
    if "CALQUE_TESTDATA" not in os.environ or not path.is_file():
        pytest.skip(f"needs {name} of scikit-hep-testdata in the folder $CALQUE_TESTDATA")
    return path


def test_leaf_lists_are_columns() -> None:
    path = sample_file("uproot-leaflist.root")
    table = read(path)
    with uproot.open(path) as file:
        expected = file["tree/leaflist"].array(library="np")
    assert [name for name in table.names if name.startswith("leaflist.")] == ["leaflist.x", "leaflist.y", "leaflist.z"]
    for member in ("x", "y", "z"):
        np.testing.assert_array_equal(table[f"leaflist.{member}"], expected[member])


def test_packed_floats_are_numbers() -> None:
    path = sample_file("uproot-double32-float16.root")
    table = read(path)
    with uproot.open(path) as file:
        expected = {name: file["tree"][name].array(library="np") for name in table.names}
    assert table["double32_32"].dtype == np.float64
    assert table["float16_16"].dtype == np.float32
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)


def test_members_of_vectors_are_columns() -> None:
    path = sample_file("uproot-HZZ-objects.root")
    table = read(path, columns=["MET.fX", "MET.fY"], limit=100)
    with uproot.open(path) as file:
        expected = file["events/MET"].array(library="ak", entry_stop=100)
    np.testing.assert_array_equal(table["MET.fX"], ak.to_numpy(expected["fX"]))


def test_equal_names_under_different_parents_are_paths() -> None:
    path = f"{sample_file('uproot-issue-513.root')}:TrkAnaNeg/trkana"
    names = ["demcent/_time", "demcmid/_time", "demcxit/_time"]
    with uproot.open(path) as tree:
        expected = {name: tree[name].array(library="np") for name in names}
    table = read(path, columns=names)
    for name in names:
        np.testing.assert_array_equal(table[name], expected[name])


def test_objects_that_cannot_be_read_are_listed_and_left_out() -> None:
    path = f"{sample_file('uproot-issue-798.root')}:POOLContainer"
    fields = {one.name: one for one in look(path).trees[0].fields}
    assert fields["DataHeader"].dtype is None
    assert fields["DataHeader"].kind == "DataHeader_p5"
    with pytest.raises(DataError, match="no column of numbers in tree 'POOLContainer'"):
        read(path)
