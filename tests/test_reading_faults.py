"""Bad input gives one clear line; nothing is half written under a final name; what a kill leaves can be used."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot

import calque.reading.sink as sinks
from calque.errors import ConfigError, DataError, FileError
from calque.reading import Sink, iterate, look, read, write
from calque.table import Table

SUFFIXES = (".root", ".h5", ".parquet", ".npz", ".npy", ".csv")


def numbers(rows: int, start: int = 0) -> Table:
    count = np.arange(start, start + rows)
    return Table.of({"n": count, "x": np.sin(count).astype(np.float32)}, {"x": "m"})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_that_are_not_what_they_say(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    with pytest.raises(FileError, match=r"x.* is empty: 0 bytes"):
        read(path)
    path.write_bytes(b"\x93neither one\xff nor another\n" * 50)
    with pytest.raises(FileError, match=r"cannot read .*is the file complete\?"):
        read(path)
    with pytest.raises(FileError, match=r"cannot read"):
        look(path)


@pytest.mark.parametrize("suffix", SUFFIXES[:-1])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_files_that_are_cut_short(tmp_path, suffix, part):
    path = tmp_path / f"x{suffix}"
    write(numbers(20_000), path, compression="none")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(FileError, match=r"cut short|is the file complete") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_wrong_names(tmp_path):
    write(numbers(10), tmp_path / "muons.root", tree="pythia8-Geant4")
    path = f"{tmp_path}/muons.root"
    cases = {
        f"{tmp_path}/muon.root": r"no file 'muon.root' in .*; nearest: muons.root",
        f"{tmp_path}/muon.root:pythia8": r"no file 'muon.root' in .*; nearest: muons.root",
        f"{tmp_path}/muons/a.root": "no file or folder 'muons' in .*; nearest: muons.root",
        f"{path}:pythia": "no tree 'pythia' in .*muons.root; nearest: pythia8-Geant4",
        f"{tmp_path}": "is a folder; name its files, as in",
    }
    for name, message in cases.items():
        with pytest.raises(FileError, match=message):
            read(name)
    (tmp_path / "x.dat").write_text("1 2 3")
    with pytest.raises(FileError, match=r"'x.dat' does not tell its format; known suffixes: .root, .h5"):
        read(tmp_path / "x.dat")
    with pytest.raises(DataError, match=r"no column 'N' in tree 'pythia8-Geant4' of .*muons.root; nearest: n, x"):
        read(path, columns=["N"])
    with pytest.raises(DataError, match=r"no column 'm' in .*to rename"):
        read(path, rename={"m": "k"})
    with pytest.raises(ConfigError, match=r"rename gives the name 'x' to two columns"):
        read(path, rename={"n": "x"})
    with pytest.raises(ConfigError, match=r"columns = 'x' is one text; give a list"):
        read(path, columns="x")
    with pytest.raises(ConfigError, match=r"no layout 'fairships'; nearest: fairship"):
        read(path, layout="fairships")
    with pytest.raises(ConfigError, match=r"no compression 'lz5'; nearest: lz4"):
        write(numbers(1), tmp_path / "y.root", compression="lz5")


def test_a_root_file_without_trees(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        file["histogram"] = np.histogram([1.0, 2.0])
    for verb in (read, look):
        with pytest.raises(FileError, match=r"no tree in"):
            verb(tmp_path / "x.root")


def test_jagged_branches_are_listed_and_refused(tmp_path):
    import awkward as ak

    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("t", {"a": "var * float32", "b": "int32"}).extend({"a": ak.Array([[1.0], []]), "b": np.arange(2)})
    assert read(tmp_path / "x.root", columns=["b"])["b"].tolist() == [0, 1]
    with pytest.raises(DataError, match=r"column 'a' in .* holds float\[\], not one number or image per event"):
        read(tmp_path / "x.root", columns=["a"])
    assert "float[]" in str(look(tmp_path / "x.root"))


def test_nonfinite_numbers(tmp_path):
    table = numbers(1000)
    table["x"][[7, 500, 999]] = np.nan, np.inf, -np.inf
    write(table, tmp_path / "x.root")
    message = r"NaN or infinite: 3 in 'x' of .*x.root, first in rows 7, 500, 999; drop_nonfinite = true"
    with pytest.raises(DataError, match=message):
        read(tmp_path / "x.root")
    for rows in (10, 5000):
        with pytest.raises(DataError, match=message):
            list(iterate(tmp_path / "x.root", rows=rows))
        with pytest.warns(UserWarning, match=r"3 rows dropped"):
            tables = list(iterate(tmp_path / "x.root", rows=rows, drop_nonfinite=True))
        assert sum(map(len, tables)) == 997
    with pytest.warns(UserWarning, match=r"3 rows dropped"):
        clean = read(tmp_path / "x.root", drop_nonfinite=True)
    np.testing.assert_array_equal(clean["n"], np.delete(np.arange(1000), [7, 500, 999]))
    assert len(read(tmp_path / "x.root", columns=["n"])) == 1000
    assert len(read(tmp_path / "x.root", limit=7)) == 7
    assert len(read(tmp_path / "x.root", where="n < 7 or n > 500 and n < 999")) == 7 + 498


def test_large_finite_numbers_pass(tmp_path):
    write(Table.of({"x": np.full(1000, 1e308), "y": np.full(1000, 3e38, np.float32)}), tmp_path / "x.root")
    assert len(read(tmp_path / "x.root")) == 1000


def test_weights_must_sum_to_something(tmp_path):
    for sign, name in ((-1.0, "-10"), (0.0, "0")):
        write(numbers(10).with_columns({"w": np.full(10, sign)}), tmp_path / "x.root")
        with pytest.raises(DataError, match=rf"the weights 'w' of .*x.root sum to {name}; a positive total is needed"):
            read(tmp_path / "x.root", weight="w")
        with pytest.raises(DataError, match=r"sum to"):
            list(iterate(tmp_path / "x.root", weight="w"))
    with pytest.raises(DataError, match=r"no rows in .*: the condition 'n < 0' holds for none"):
        read(tmp_path / "x.root", where="n < 0", weight="w")
    with pytest.raises(ConfigError, match=r"limit = 0; at least one row"):
        read(tmp_path / "x.root", limit=0)


def half_way(path: Path) -> None:
    with Sink(path) as sink:
        sink.write(numbers(100))
        raise RuntimeError("half way")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_exception_leaves_nothing_under_the_name(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with pytest.raises(RuntimeError, match=r"^half way$"):
        half_way(path)
    assert not path.exists()
    with Sink(path, resume=True) as sink:
        kept = list(sink.salvaged(30))
        for table in kept:
            sink.write(table)
        sink.write(numbers(10, start=sink.rows))
    if suffix not in (".npz", ".parquet"):
        assert sum(map(len, kept)) == 100
    assert read(path)["n"].tolist() == list(range(sink.rows))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def in_a_child(work: Callable[[], None]) -> int:
    """Run in a forked process that ends without any tidying up; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(path: Path) -> None:
    def work() -> None:
        sinks.BUFFER_ROWS = 1000
        sink = Sink(path, compression="none")
        for block in range(11):
            sink.write(numbers(700, start=700 * block))

    assert in_a_child(work) == 9


@pytest.mark.parametrize("suffix", [".root", ".h5", ".npy", ".csv"])
def test_a_kill_leaves_whole_buffers(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    killed(path)
    assert not path.exists()
    with Sink(path, units={"x": "m"}, resume=True) as sink:
        for table in sink.salvaged():
            sink.write(table)
        assert sink.rows == 7000  # five buffers of two blocks; the eleventh block was never written
        sink.write(numbers(700, start=7000))
    again = read(path)
    np.testing.assert_array_equal(again["n"], np.arange(7700))
    np.testing.assert_array_equal(again["x"].astype(np.float32), numbers(7700)["x"])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    # a leftover torn anywhere never stops a resumption, and what is salvaged is right
    whole = path.read_bytes()
    for part in np.linspace(0.01, 0.99, 7):
        (tmp_path / f"x{suffix}.part").write_bytes(whole[: int(part * len(whole))])
        sink = Sink(path, resume=True)
        found = [table["n"] for table in sink.salvaged()]
        np.testing.assert_array_equal(np.concatenate([*found, []]), np.arange(sum(map(len, found))))
        sink.left.unlink(missing_ok=True)


def test_a_second_kill_keeps_the_longer_leftover(tmp_path):
    path = tmp_path / "x.root"
    killed(path)
    sink = Sink(path, resume=True)
    sink.write(next(sink.salvaged(10)))
    sink.abandon()
    with Sink(path, resume=True) as sink:
        assert sum(len(table) for table in sink.salvaged()) == 7000
        sink.write(numbers(1))
    assert len(read(path)) == 1


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {".h5"}))
def test_a_full_disk_is_one_line(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            write(numbers(20_000), path, compression="none")
        except FileError as error:
            (tmp_path / "said").write_text(str(error))

    in_a_child(work)
    assert (tmp_path / "said").read_text().startswith(f"cannot write {path}: ")
    assert not path.exists()


FULL = """
import os, sys
import numpy as np
import calque.reading.sink as sinks
from calque.errors import FileError
sinks.BUFFER_ROWS = 100
sink = sinks.Sink(sys.argv[1], compression=sys.argv[2])
for start in range(0, 300, 100):
    sink.write({"x": np.arange(start, start + 100, dtype=float)})
os.dup2(os.open("/dev/full", os.O_RDWR), sink._writer.file.id.get_vfd_handle())
try:
    with sink:
        sink.write({"x": np.zeros(100)})
except FileError as error:
    print(error)
"""


@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_a_full_disk_does_not_crash_hdf5(tmp_path, compression):
    """Neither then nor when the interpreter ends; what was flushed before is whole."""
    path = tmp_path / "x.h5"
    done = subprocess.run([sys.executable, "-c", FULL, str(path), compression], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"cannot write {path}: No space left on device; free some space or choose another place\n"
    assert not path.exists()
    (found,) = Sink(path, resume=True).salvaged()
    np.testing.assert_array_equal(found["x"], np.arange(300))


def test_what_a_file_was_not_sure_of_is_not_salvaged(tmp_path):
    """A dataset that grew in a flush that failed; a number that is not what was written."""
    path = tmp_path / "x.h5"
    killed(path)
    part = tmp_path / "x.h5.part"
    with h5py.File(part, "r+") as file:
        file["events/x"].resize(9000, axis=0)
        file["events/n"].resize(9000, axis=0)
    shutil.copy(part, tmp_path / "y.h5.part")
    with h5py.File(tmp_path / "y.h5.part", "r+") as file:
        file["events/x"][3333] = 0
    assert sum(map(len, Sink(path, resume=True).salvaged(1000))) == 7000
    assert not list(Sink(tmp_path / "y.h5", resume=True).salvaged(1000))


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "folder.root").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*folder.root: it is a folder"):
        Sink(tmp_path / "folder.root")
    with pytest.raises(FileError, match=r"there is no folder .*nowhere"):
        Sink(tmp_path / "nowhere" / "x.root")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileError, match=r"is read-only"):
        Sink(tmp_path / "x.root")


def test_what_is_appended_must_fit(tmp_path):
    sink = Sink(tmp_path / "x.root")
    sink.write(numbers(3))
    with pytest.raises(DataError, match=r"no column 'n' in what is appended"):
        sink.write({"x": [1.0]})
    with pytest.raises(DataError, match=r"column 'y' was not there when"):
        sink.write({**numbers(1).columns, "y": np.zeros(1)})
    with pytest.raises(DataError, match=r"column 'x' has shape \(2,\)"):
        sink.write({"n": np.zeros(1), "x": np.zeros((1, 2))})
    with pytest.raises(DataError, match=r"nothing was written"):
        Sink(tmp_path / "y.root").close()


def test_what_was_handed_over_may_change(tmp_path):
    values = np.zeros(5)
    with Sink(tmp_path / "x.root") as sink:
        sink.write({"x": values})
        values[:] = 1
        sink.write({"x": values})
    assert read(tmp_path / "x.root")["x"].sum() == 5


@pytest.mark.root
def test_root_itself_reads_what_is_written(tmp_path):
    ROOT = pytest.importorskip("ROOT")
    random = np.random.default_rng(0)
    columns = {
        "f": random.normal(size=5000).astype(np.float32),
        "d": random.normal(size=5000),
        "i": random.integers(-9, 9, 5000).astype(np.int32),
        "l": random.integers(-9, 9, 5000),
        "image": random.normal(size=(5000, 2, 3)).astype(np.float32),
    }
    write(Table.of(columns, {"f": "GeV"}), tmp_path / "x.root", tree="muons")
    file = ROOT.TFile.Open(str(tmp_path / "x.root"))
    tree = file.Get("muons")
    assert tree.ClassName() == "TTree"
    assert tree.GetEntries() == 5000
    types = {branch.GetName(): branch.GetLeaf(branch.GetName()).GetTypeName() for branch in tree.GetListOfBranches()}
    assert types == {"f": "Float_t", "d": "Double_t", "i": "Int_t", "l": "Long64_t", "image": "Float_t"}
    frame = ROOT.RDataFrame("muons", str(tmp_path / "x.root"))
    for name in "fdil":
        assert frame.Sum(name).GetValue() == pytest.approx(columns[name].astype(float).sum())
    total = frame.Define("total", "double s = 0; for (auto v : image) s += v; return s;").Sum("total").GetValue()
    assert total == pytest.approx(columns["image"].astype(float).sum())
