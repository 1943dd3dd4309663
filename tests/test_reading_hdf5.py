"""HDF5: pandas stores, links, units of any type, byte orders, names; nothing outside the folder of the file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from calque.errors import CalqueError, DataError, FileError
from calque.reading import look, read, write
from calque.table import Table

ROWS = 20
pytestmark = pytest.mark.filterwarnings("ignore:.*left out")


def values(start: float = 0) -> np.ndarray:
    return np.arange(ROWS) + start


def noted(names: list[str]) -> np.bytes_:
    """A list of names as PyTables notes it in an attribute."""
    lines = [b"(lp0"]
    for place, name in enumerate(names):
        lines += [(b"a" if place else b"") + b"V" + name.encode("raw_unicode_escape"), b"p%d" % (place + 1)]
    return np.bytes_(b"\n".join([*lines, b"a."]))


def store_fixed(path: Path) -> None:
    """A frame of pandas in the fixed format: blocks by type, columns in an order of their own."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs.update({"pandas_type": np.bytes_(b"frame"), "nblocks": 3, "encoding": np.bytes_(b"UTF-8")})
        group.attrs.update({"axis0_variety": np.bytes_(b"regular"), "block0_items_variety": np.bytes_(b"regular")})
        group["axis0"] = [name.encode() for name in ("label", "px", "µ", "t")]
        group["axis1"] = np.arange(ROWS) * 7
        group["block0_items"] = [name.encode() for name in ("px", "µ")]
        group["block0_values"] = np.stack([values(), values(0.5)], axis=1)
        group["block1_items"] = [b"label"]
        group["block1_values"] = (values() % 2).astype("i8")[None, :]
        group["block2_items"] = [b"t"]
        group["block2_values"] = values().astype("i8")[:, None]
        group["block2_values"].attrs["value_type"] = np.bytes_(b"datetime64[ns]")
        for block in (0, 2):
            group[f"block{block}_values"].attrs["transposed"] = np.uint8(1)


def store_table(path: Path) -> None:
    """A frame of pandas in the table format, with one column of its own and an index for searching."""
    kinds = [("index", "i8"), ("values_block_0", "f8", (2,)), ("values_block_1", "u1", (1,)), ("label", "i8")]
    records = np.zeros(ROWS, kinds)
    records["index"] = np.arange(ROWS) * 7
    records["values_block_0"] = np.stack([values(), values(0.5)], axis=1)
    records["values_block_1"][:, 0] = values() % 2
    records["label"] = values()
    with h5py.File(path, "w") as file:
        file["df/table"] = records
        file["df/_i_table/index/sorted"] = np.arange(3)
        file["df"].attrs.update({"pandas_type": np.bytes_(b"frame_table"), "levels": 1})
        file["df"].attrs["non_index_axes"] = np.bytes_(
            b"(lp0\n(I1\n(lp1\nVlabel\np2\naVpx\np3\naV\xb5\np4\naVflag\np5\natp6\na."
        )
        table = file["df/table"]
        table.attrs["values_block_0_kind"] = noted(["px", "µ"])
        table.attrs["values_block_1_kind"] = noted(["flag"])
        table.attrs["values_block_1_dtype"] = np.bytes_(b"bool")
        table.attrs["label_kind"] = noted(["label"])


@pytest.mark.parametrize("make", [store_fixed, store_table])
def test_frames_of_pandas_have_their_names(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.h5")
    table = read(tmp_path / "x.h5")
    np.testing.assert_array_equal(table["px"], values())
    np.testing.assert_array_equal(table["µ"], values(0.5))
    kinds = {field.name: field.kind for field in look(tmp_path / "x.h5").trees[0].fields}
    assert kinds["index"] == "row labels of pandas"
    if make is store_fixed:
        assert table.names == ("label", "px", "µ")
        assert kinds["t"] == "times (datetime64[ns])"
        assert table["label"].tolist() == (values() % 2).tolist()
    else:
        assert table.names == ("label", "px", "µ", "flag")
        assert table["flag"].dtype == np.bool_
    assert [tree.name for tree in look(tmp_path / "x.h5").trees] == ["df"]


def test_names_that_are_python_objects_are_refused(tmp_path: Path) -> None:
    store_table(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["df/table"].attrs["values_block_0_kind"] = np.bytes_(b"(lp0\ncnumpy\nscalar\np1\na.")
    with pytest.raises(FileError, match=r"names of the columns .* are Python objects, .*write the frame anew with"):
        read(tmp_path / "x.h5")


UNITS = {
    "text": "GeV",
    "bytes": np.bytes_(b"GeV"),
    "array of one": np.array([b"GeV"]),
    "array of text": np.array(["GeV"], h5py.string_dtype()),
    "padded": np.bytes_(b"GeV\0\0"),
    "variable": np.array("GeV", h5py.string_dtype("ascii")),
}


@pytest.mark.parametrize("key", ["unit", "units"])
@pytest.mark.parametrize("kind", UNITS)
def test_units_are_text_of_any_type(tmp_path: Path, kind: str, key: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"], file["y"], file["z"] = values(), values(), values()
        file["x"].attrs[key] = UNITS[kind]
        file["y"].attrs[key] = h5py.Empty("S1")
        file["z"].attrs[key] = np.array([], "S3")
    assert read(tmp_path / "x.h5").units == {"x": "GeV"}


def test_links_in_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with h5py.File(tmp_path / "inner" / "data.h5", "w") as file:
        file["events/x"] = values()
        file["events/x"].attrs["unit"] = "GeV"
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/x"] = values(1)
        file["group"] = h5py.SoftLink("/a")
        file["b/y"] = h5py.SoftLink("/a/x")
        file["b/z"] = h5py.ExternalLink("inner/data.h5", "/events/x")
        file["far"] = h5py.ExternalLink("inner/data.h5", "/events")
    assert [tree.name for tree in look(tmp_path / "x.h5").trees] == ["a", "far", "b"]
    table = read(f"{tmp_path}/x.h5:b")
    np.testing.assert_array_equal(table["y"], values(1))
    np.testing.assert_array_equal(table["z"], values())
    assert table.units == {"z": "GeV"}
    assert read(f"{tmp_path}/x.h5:group").names == ("x",)
    assert read(f"{tmp_path}/x.h5:far").names == ("x",)


def test_circles_of_links_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/x"] = values()
        file["a/itself"] = h5py.SoftLink("/a/itself")
        file["a/up"] = h5py.SoftLink("/")
        file["a/ping"] = h5py.SoftLink("/a/pong")
        file["a/pong"] = h5py.SoftLink("/a/ping")
        file["a/hard"] = file["a"]
        file["a/out"] = h5py.ExternalLink("x.h5", "/a/out")
        for level in range(25):  # every level doubles the ways
            file[f"d{level}/one"] = h5py.SoftLink(f"/d{level + 1}")
            file[f"d{level}/two"] = h5py.SoftLink(f"/d{level + 1}")
        file["d25/x"] = values()
    assert [tree.name for tree in look(tmp_path / "x.h5").trees] == ["a", "d25"]
    assert read(f"{tmp_path}/x.h5:a", columns=["x"]).names == ("x",)
    with pytest.raises(DataError, match=r"column 'itself' in .* is a link that leads round in a circle"):
        read(f"{tmp_path}/x.h5:a", columns=["itself"])


def outside(folder: Path) -> tuple[Path, Path]:
    """A file beside a folder, and the path of a file in the folder."""
    inside = folder / "inside"
    inside.mkdir()
    with h5py.File(folder / "secret.h5", "w") as file:
        file["events/y"] = values()
    (folder / "secret.txt").write_bytes(bytes(range(100)))
    return folder / "secret.h5", inside / "x.h5"


def link_group(file: Any, secret: Path) -> None:
    file["g/y"] = h5py.ExternalLink(str(secret), "/events/y")


def link_upwards(file: Any, secret: Path) -> None:
    file["g/y"] = h5py.ExternalLink("../secret.h5", "/events/y")


def link_by_symlink(file: Any, secret: Path) -> None:
    (Path(file.filename).parent / "near.h5").symlink_to(secret)
    file["g/y"] = h5py.ExternalLink("near.h5", "/events/y")


def link_through_a_file(file: Any, secret: Path) -> None:
    with h5py.File(Path(file.filename).parent / "near.h5", "w") as near:
        near["way"] = h5py.ExternalLink(str(secret), "/events")
    file["g/y"] = h5py.ExternalLink("near.h5", "/way/y")


def link_by_soft_link(file: Any, secret: Path) -> None:
    file["way"] = h5py.ExternalLink(str(secret), "/events")
    file["g/y"] = h5py.SoftLink("/way/y")


def store_outside(file: Any, secret: Path) -> None:
    file["g"].create_dataset("y", (ROWS,), "u1", external=[(str(secret.with_suffix(".txt")), 0, ROWS)])


def be_virtual(file: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout((ROWS,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "events/y", (ROWS,))
    file["g"].create_virtual_dataset("y", layout)


def be_virtual_of_what_is_stored_outside(file: Any, secret: Path) -> None:
    file.create_dataset("raw", (ROWS,), "u1", external=[(str(secret.with_suffix(".txt")), 0, ROWS)])
    layout = h5py.VirtualLayout((ROWS,), "u1")
    layout[:] = h5py.VirtualSource(".", "raw", (ROWS,))
    file["g"].create_virtual_dataset("y", layout)


WAYS_OUT = (
    link_group, link_upwards, link_by_symlink, link_through_a_file, link_by_soft_link, store_outside, be_virtual,
    be_virtual_of_what_is_stored_outside,
)  # fmt: skip


@pytest.mark.parametrize("lead", WAYS_OUT)
def test_no_way_leads_out_of_the_folder(tmp_path: Path, lead: Callable[[Any, Path], None]) -> None:
    secret, path = outside(tmp_path)
    with h5py.File(path, "w") as file:
        file["g/x"] = values()
        lead(file, secret)
    for columns in (None, ["y"], ["x", "y"]):
        with pytest.raises(CalqueError, match=r"column 'y' in .*(outside the folder|takes its bytes from)") as caught:
            read(path, tree="g", columns=columns)
        assert "\n" not in str(caught.value)
    with pytest.raises(CalqueError, match=r"'y'"):
        read(path, tree="g", columns=["x"], where="y > 0")
    assert read(path, tree="g", columns=["x"]).names == ("x",)
    shown = look(path, "g").trees[0]
    assert "y" not in shown.summary.columns
    assert {field.name for field in shown.fields} == {"x", "y"}


def test_a_file_that_is_only_a_way_out_says_so(tmp_path: Path) -> None:
    secret, path = outside(tmp_path)
    with h5py.File(path, "w") as file:
        file["events"] = h5py.ExternalLink(str(secret), "/events")
    for verb in (read, look):
        with pytest.raises(FileError, match=r"no table in .*x.h5: 'events' leads to .*outside the folder"):
            verb(path)


def test_virtual_datasets_of_the_folder_are_read(tmp_path: Path) -> None:
    for part in range(2):
        with h5py.File(tmp_path / f"part{part}.h5", "w") as file:
            file["x"] = values(100 * part)
    layout = h5py.VirtualLayout((2 * ROWS,), "f8")
    for part in range(2):
        layout[part * ROWS : (part + 1) * ROWS] = h5py.VirtualSource(f"part{part}.h5", "x", (ROWS,))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    np.testing.assert_array_equal(read(tmp_path / "x.h5")["x"], np.concatenate([values(), values(100)]))
    (tmp_path / "part1.h5").unlink()
    with pytest.raises(DataError, match=r"'x' in .*leads to part1.h5, which is not there"):
        read(tmp_path / "x.h5")


def test_types_are_native_or_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["big"] = values().astype(">f4")
        file["bigger"] = values().astype(">i8")
        file["half"] = values().astype("f2")
        file["truth"] = values() > 3
        file.create_dataset("colour", data=np.arange(ROWS) % 2, dtype=h5py.enum_dtype({"red": 0, "blue": 1}, "i1"))
        file.create_dataset("packed", data=values(), chunks=(7,), compression="gzip", shuffle=True)
        file["word"] = [b"a"] * ROWS
        file.create_dataset("lists", (ROWS,), h5py.vlen_dtype("f4"))
        file["imaginary"] = values() * 1j
        file["long"] = values().astype(np.longdouble)
        file["single"] = 3.0
        file["empty"] = h5py.Empty("f4")
    table = read(tmp_path / "x.h5")
    assert {name: table[name].dtype.str for name in table} == {
        "big": "<f4", "bigger": "<i8", "half": "<f2", "truth": "|b1", "colour": "|i1", "packed": "<i8",
    }  # fmt: skip
    for name in ("big", "bigger", "half", "packed"):
        np.testing.assert_array_equal(table[name], values())
    kinds = {field.name: field.kind for field in look(tmp_path / "x.h5").trees[0].fields if field.dtype is None}
    assert kinds == {"word": "text", "lists": "lists of float32", "imaginary": "complex128", "long": "float128"}
    write(table, tmp_path / "x.parquet")
    np.testing.assert_array_equal(read(tmp_path / "x.parquet")["big"], values())


def test_records_inside_records(tmp_path: Path) -> None:
    kind = np.dtype([("n", ">i4"), ("pos", [("x", ">f4"), ("hits", "f8", (2, 3))]), ("name", "S3")])
    records = np.zeros(ROWS, kind)
    records["n"], records["pos"]["x"], records["pos"]["hits"] = values(), values(0.5), values()[:, None, None]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["table"] = records
        file["flat"] = records.reshape(-1, 2)
    table = read(f"{tmp_path}/x.h5:table")
    assert table.names == ("n", "pos.x", "pos.hits")
    np.testing.assert_array_equal(table["pos.x"], values(0.5))
    assert table["pos.hits"].shape == (ROWS, 2, 3)
    assert read(f"{tmp_path}/x.h5:flat")["pos.hits"].shape == (ROWS // 2, 2, 2, 3)
    np.save(tmp_path / "x.npy", records)
    again = read(tmp_path / "x.npy")
    assert again.names == table.names
    np.testing.assert_array_equal(again["pos.x"], table["pos.x"])


def test_a_dataset_that_was_never_written_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (10**13,), "f8", chunks=(1 << 16,))
    with pytest.raises(DataError, match=r"states 10000000000000 rows, of which the file holds 0 bytes"):
        read(tmp_path / "x.h5")
    assert len(look(tmp_path / "x.h5").trees[0].fields) == 1


def test_many_groups_are_listed_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(300):
            file[f"run{number:03}/x"] = values()
    assert len(read(f"{tmp_path}/x.h5:run123")) == ROWS
    with pytest.raises(FileError, match=r"several trees: run000"):
        read(tmp_path / "x.h5")


def test_deep_groups_are_no_trouble(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file["/"]
        for _ in range(1500):
            group = group.create_group("g")
        group["x"] = values()
    assert len(read(tmp_path / "x.h5")) == ROWS


def test_a_stray_attribute_renames_nothing(tmp_path: Path) -> None:
    write(Table.of({"a/b": values(), "x": values()}, {"a/b": "GeV"}), tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        assert set(file["events"]) == {"a%2Fb", "x"}
        file["events/x"].attrs["name"] = "other"
        file["events/50%25"] = values()
    table = read(tmp_path / "x.h5")
    assert set(table.names) == {"a/b", "x", "50%25"}
    assert table.units == {"a/b": "GeV"}
