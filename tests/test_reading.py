"""Files are read back as they were written, whatever the format, the files, the pieces and the workers."""

from pathlib import Path

import numpy as np
import pytest
import uproot
from shared import shared_file

from calque.errors import ConfigError, DataError, FileError
from calque.reading import Summary, find, fingerprint, iterate, look, read, summarise, write
from calque.table import Table

SUFFIXES = (".root", ".h5", ".parquet", ".npz", ".npy", ".csv")
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")


def muons(rows: int = 1000, seed: int = 0) -> Table:
    random = np.random.default_rng(seed)
    columns = {
        "px": random.normal(0, 1, rows).astype(np.float32),
        "pz": random.exponential(20, rows),
        "id": random.choice([-13, 13], rows).astype(np.int32),
        "w": random.choice([7.69, 768.75], rows).astype(np.float32),
    }
    return Table.of(columns, {"px": "GeV", "pz": "GeV"}, "w")


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write(muons(500 + 100 * number, number), tmp_path / f"part{number}.root")
    return tmp_path


def together(folder) -> dict[str, np.ndarray]:
    tables = [muons(500 + 100 * number, number) for number in range(3)]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def same(one, other) -> None:
    assert list(one) == list(other)
    for name in other:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(tmp_path, suffix, dtype):
    column = (np.random.default_rng(1).normal(0, 40, 333) > 0 if dtype == "bool" else np.arange(333) / 7).astype(dtype)
    table = Table.of({"a": column, "b": np.arange(333) + 0.1}, {"a": "GeV"})
    write(table, tmp_path / f"x{suffix}")
    again = read(tmp_path / f"x{suffix}")
    if suffix == ".csv":  # text knows whole numbers and others
        assert again["a"].dtype == (np.float64 if "float" in dtype else np.int64)
        again = again.with_columns({"a": again["a"].astype(dtype)})
    same(again, table.columns)
    assert again.units == ({} if suffix in (".npz", ".npy") else {"a": "GeV"})
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
def test_images_round_trip(tmp_path, suffix, shape):
    images = np.random.default_rng(0).normal(size=(50, *shape)).astype(np.float32)
    table = Table.of({"e": np.arange(50.0), "layer": images}, {"layer": "MeV"})
    if suffix == ".csv":
        with pytest.raises(DataError, match=r"csv cannot hold the image column 'layer'"):
            write(table, tmp_path / "x.csv")
        assert not (tmp_path / "x.csv").exists()
        return
    write(table, tmp_path / f"x{suffix}")
    same(read(tmp_path / f"x{suffix}"), table.columns)
    (part,) = look(tmp_path / f"x{suffix}").trees
    assert {field.name: field.shape for field in part.fields} == {"e": (), "layer": shape}


@pytest.mark.parametrize("compression", ["none", "lz4", "lz4-4", "zstd", "zlib-2"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressions(tmp_path, suffix, compression):
    write(muons(), tmp_path / f"x{suffix}", compression=compression)
    np.testing.assert_allclose(read(tmp_path / f"x{suffix}")["pz"], muons()["pz"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_zero_rows_are_written_and_refused(tmp_path, suffix):
    write(muons().rows(slice(0)), tmp_path / f"x{suffix}")
    with pytest.raises(DataError, match=r"no rows in .*the table is empty"):
        read(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", [1, 7, 100, 5000])
def test_iterate_is_read_in_pieces(tmp_path, suffix, rows):
    write(muons(211), tmp_path / f"x{suffix}")
    tables = list(iterate(tmp_path / f"x{suffix}", rows=rows, where="pz > 5", weight="w"))
    assert all(len(table) == rows for table in tables[:-1])
    same(Table.concatenate(tables), read(tmp_path / f"x{suffix}", where="pz > 5", weight="w").columns)


def test_selection_agrees_with_numpy(folder):
    table = read(
        str(folder / "*.root"), columns=["pz"], rename={"id": "pdg"}, weight="w", limit=200,
        where="pz > 10 and abs(px) < 1.5 and pdg == -13 or not hypot(px, 3) <= 3.1",
    )  # fmt: skip
    a = together(folder)
    mask = (a["pz"] > 10) & (abs(a["px"]) < 1.5) & (a["id"] == -13) | ~(np.hypot(a["px"], 3) <= 3.1)
    same(table, {name: a[name][mask][:200] for name in ("pz", "w")})
    assert table.weight == "w"
    assert table.units == {"pz": "GeV"}
    assert table.source == f"{folder / 'part0.root'} and 2 more"


def test_conditions_agree_with_numpy(tmp_path):
    write(muons(), tmp_path / "x.root")
    a = muons()
    expected = {
        "0 < px < 1": (a["px"] > 0) & (a["px"] < 1),
        "id ** 2 == 169": np.ones(1000, bool),
        "w == 7.69": a["w"] == np.float32(7.69),
        "px % 2 > 1 or pz / 2 - 3 >= +4": (a["px"] % 2 > 1) | (a["pz"] / 2 - 3 >= 4),
        "sqrt(pz) > 3 and log(pz) < exp(1.2)": (np.sqrt(a["pz"]) > 3) & (np.log(a["pz"]) < np.exp(1.2)),
        "arctan2(px, pz) > -sin(0.1) * cos(0.1)": np.arctan2(a["px"], a["pz"]) > -np.sin(0.1) * np.cos(0.1),
        "min(px, 0) != max(px, 0)": a["px"] != 0,
        "not (id > 0 and px > 0) and 1 < 2": ~((a["id"] > 0) & (a["px"] > 0)),
    }
    for text, mask in expected.items():
        np.testing.assert_array_equal(read(tmp_path / "x.root", where=text)["pz"], a["pz"][mask], err_msg=text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "px.shape", "(lambda: 1)()", "[x for x in px]", "px if pz else id",
        "'a' 'b' == px", "px[0] > 1", "open('x')", "abs(px, key=1) > 0", "sqrt(px, pz) > 1", "px := 3", "px & pz",
        "~px > 0", "px >", " ", "px > 1; pz > 2", "f'{px}' == 1", "px in (1, 2)", "px is 1", "1j > px", "None == px",
        "*px", "abs(*px) > 1", "(" * 300 + "px" + ")" * 300, "-" * 1500 + "px > 0", "x" * 3000, "px // 2 > 1",
        "px > 1 if 1 else 2", "print(px)",
    ],
)  # fmt: skip
def test_hostile_conditions_are_refused(tmp_path, text):
    write(muons(10), tmp_path / "x.root")
    with pytest.raises(ConfigError, match=r"allowed: columns, numbers|at most 2000|true or false"):
        read(tmp_path / "x.root", where=text)


def test_refusals_say_what_is_allowed(tmp_path):
    write(muons(10), tmp_path / "x.root")
    with pytest.raises(ConfigError, match=r"\"?__import__\('os'\)\"? is not allowed .*allowed: columns, numbers"):
        read(tmp_path / "x.root", where="__import__('os') > 1")
    with pytest.raises(DataError, match=r"no column 'pzz' in tree 'events' of .*x.root; nearest: pz"):
        read(tmp_path / "x.root", where="pzz > 1")
    for number in ("px", "px and pz > 1", "9 ** 9 ** 9 ** 9"):
        with pytest.raises(ConfigError, match=r"true or false"):
            read(tmp_path / "x.root", where=number)


def test_workers_change_nothing(folder):
    tables = [read(str(folder / "*.root"), where="px > 0", workers=workers) for workers in (1, 2, 8)]
    for table in tables:
        same(table, tables[0].columns)
    same(read(str(folder / "*.root")), together(folder))


def test_files_globs_and_exclusions(folder):
    names = [path.name for path in find(str(folder / "*.root"), exclude=["*1.root"])]
    assert names == ["part0.root", "part2.root"]
    assert len(read([folder / "part2.root", str(folder / "part[02].root")])) == 500 + 700
    assert len(read(f"{folder}/part0.root:events")) == 500
    assert len(read(f"{folder}/part*.root:events", exclude=["part0*"])) == 1300
    with pytest.raises(FileError, match=r"every one of 3 files is excluded"):
        find(str(folder / "*.root"), exclude=["*"])
    with pytest.raises(FileError, match=r"no file matches .*holds part0.root, part1.root"):
        find(str(folder / "*.rot"))


def test_a_colon_may_be_part_of_a_name(tmp_path):
    write(muons(5), tmp_path / "a:b.root", tree="deep")
    assert len(read(f"{tmp_path}/a:b.root:deep")) == len(read(f"{tmp_path}/a:b.root")) == 5


def test_several_trees_need_a_name(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("one", {"a": "f4"}).extend({"a": np.arange(3, dtype="f4")})
        file.mktree("dir/two", {"b": "f4"}).extend({"b": np.arange(4, dtype="f4")})
    with pytest.raises(FileError, match=r"several trees: one, dir/two; name one, as in 'x.root:one'"):
        read(tmp_path / "x.root")
    assert read(f"{tmp_path}/x.root:dir/two").names == ("b",)
    assert [tree.name for tree in look(tmp_path / "x.root").trees] == ["one", "dir/two"]
    with pytest.raises(FileError, match=r"no tree 'tow' in .*nearest: dir/two"):
        look(tmp_path / "x.root", "tow")


def test_an_rntuple_is_read(tmp_path):
    random = np.random.default_rng(0)
    columns = {"im": random.normal(size=(100, 2, 3)), "n": np.arange(100), "x": random.normal(size=100).astype("f4")}
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mkrntuple("ntuple", columns)
    same(read(tmp_path / "x.root"), columns)
    same(Table.concatenate(list(iterate(f"{tmp_path}/x.root:ntuple", rows=33))), columns)


def test_plain_arrays_are_spread(tmp_path):
    plain = np.random.default_rng(0).normal(size=(20, 3)).astype(">f4")
    np.save(tmp_path / "c.npy", plain)
    np.save(tmp_path / "f.npy", np.asfortranarray(plain))
    np.savez(tmp_path / "z.npz", plain)
    np.savez_compressed(tmp_path / "named.npz", image=plain, n=np.arange(20))
    for name in ("c.npy", "f.npy", "z.npz"):
        table = read(tmp_path / name, columns=["c2", "c0"])
        same(table, {"c2": plain[:, 2].astype("f4"), "c0": plain[:, 0].astype("f4")})
    same(read(tmp_path / "named.npz"), {"image": plain.astype("f4"), "n": np.arange(20)})


def test_hdf5_groups_roots_and_compounds(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["top"] = np.arange(4.0)
        file["a/b/x"] = np.arange(5.0)
        file["a/b/x"].attrs["units"] = "cm"
        file["table"] = np.array([(1, 2.5)], dtype=[("n", "i4"), ("v", "f8", 3)])
    with pytest.raises(FileError, match=r"several trees"):
        read(tmp_path / "x.h5")
    assert read(tmp_path / "x.h5", tree="").names == ("top",)
    assert read(f"{tmp_path}/x.h5:a/b").units == {"x": "cm"}
    assert read(f"{tmp_path}/x.h5:table")["v"].shape == (1, 3)
    write(muons(5), tmp_path / "y.h5", tree="")
    assert read(tmp_path / "y.h5").names == ("px", "pz", "id", "w")


def test_csv_of_others(tmp_path):
    (tmp_path / "x.csv").write_text('"a [m]", b,name\n1,,"x, y"\n2,3.5,z\n\n')
    table = read(tmp_path / "x.csv", columns=["a"])
    assert (table["a"].tolist(), table.units) == ([1, 2], {"a": "m"})
    with pytest.raises(DataError, match=r"1 in 'b'"):
        read(tmp_path / "x.csv", columns=["a", "b"])
    with pytest.raises(DataError, match=r"column 'name' in .* holds text"):
        read(tmp_path / "x.csv", columns=["name"])
    (tmp_path / "n.csv").write_text("1,2\n3,4\n")
    same(read(tmp_path / "n.csv"), {"c0": np.array([1, 3]), "c1": np.array([2, 4])})
    (tmp_path / "r.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(FileError, match=r"line 3 has 1 values, not 2"):
        read(tmp_path / "r.csv")


def test_objects_are_listed_and_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"no column of numbers"):
        read(tmp_path / "x.npy")
    assert "Python objects" in str(look(tmp_path / "x.npy"))


def test_units_may_be_given(tmp_path):
    write(muons(5), tmp_path / "x.root")
    got = read(tmp_path / "x.root", units={"px": "MeV", "w": "1"})
    assert got.units == {"px": "MeV", "pz": "GeV", "w": "1"}
    with pytest.raises(DataError, match=r"no column 'p' .*to give a unit to; nearest: p"):
        read(tmp_path / "x.root", units={"p": "MeV"})


def test_summaries_merge(folder):
    found = summarise(str(folder / "*.root"), weight="w", where="px > -1")
    assert [path.name for path in found] == ["part0.root", "part1.root", "part2.root"]
    whole, a = Summary.merged(found.values()), together(folder)
    keep = a["px"] > -1
    pz, w = a["pz"][keep], a["w"][keep].astype(float)
    column = whole.columns["pz"]
    mean = np.average(pz, weights=w)
    assert (whole.rows, column.min, column.max) == (keep.sum(), pz.min(), pz.max())
    np.testing.assert_allclose(
        [whole.weight, column.mean, column.rms], [w.sum(), mean, np.sqrt(np.average((pz - mean) ** 2, weights=w))]
    )


def test_look_says_what_there_is(tmp_path):
    table = muons(100)
    table["pz"][[3, 5]] = np.nan
    write(table, tmp_path / "x.root")
    (tree,) = look(tmp_path / "x.root").trees
    assert (tree.rows, tree.summary.columns["pz"].nonfinite) == (100, 2)
    assert tree.summary.columns["id"].min == -13
    lines = look(tmp_path / "x.root").lines()
    assert "tree 'events': 100 rows, 4 columns" in lines
    assert any(line.split()[:3] == ["pz", "float64", "GeV"] and line.split()[-1] == "2" for line in lines)


def test_a_fingerprint_is_the_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(tmp_path / "a") == {"size": 3, "sha256": digest}


@pytest.mark.shared
def test_shared_showers_and_muons():
    showers = read(shared_file("showers/geant4_photons.h5"), columns=["energy", "layer_0"], limit=100)
    assert showers["layer_0"].shape == (100, 3, 96)
    table = read(f"{shared_file('muons/ship_fullmc.root')}:pythia8-Geant4", weight="w", where="x == 0 and y == 0")
    assert len(table) / 30_000 == pytest.approx(0.556, abs=0.001)


def test_a_flag_is_a_condition_as_a_column(tmp_path: Path) -> None:
    path = tmp_path / "events.npz"
    np.savez(path, x=np.array([0.0, 1.0, 0.0, 2.0]), y=np.array([0.0, 0.0, 3.0, 1.0]), e=np.arange(4.0))
    flags = {"axis": "x == 0 and y == 0", "far": "hypot(x, y) > 2"}
    table = read(path, columns=["e"], flags=flags, where="e < 3 and not (far == 1)")
    assert {name: table[name].tolist() for name in table.names} == {"e": [0, 1], "axis": [1, 0], "far": [0, 0]}
    assert [len(part) for part in iterate(path, rows=2, flags=flags)] == [2, 2]
    with pytest.raises(ConfigError, match=r"flags names 'x' a condition, but .* has a column of that name"):
        read(path, flags={"x": "y > 0"})
    with pytest.raises(DataError, match=r"no column 'xx' .*nearest: x"):
        read(path, flags={"a": "xx > 0"})
