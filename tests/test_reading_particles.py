"""One row per particle: lists of ROOT trees, RNTuples and Parquet files as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as some
from typer.testing import CliRunner

from calque.cli import app
from calque.errors import ConfigError, DataError
from calque.reading import iterate, look, read
from calque.table import Table

COUNTS = [2, 0, 3, 1, 0, 4]


def make_events(counts: list[int], seed: int = 0) -> dict[str, ak.Array]:
    """Events with a number, two lists of muons and one of jets, which is one longer in each event."""
    random, total = np.random.default_rng(seed), sum(counts)
    jets = [count + 1 for count in counts]
    return {
        "run": ak.Array(np.arange(len(counts), dtype=np.int32) + 100),
        "Muon_pt": ak.unflatten(random.exponential(size=total).astype(np.float32), counts),
        "Muon_charge": ak.unflatten(random.choice([-1, 1], total).astype(np.int32), counts),
        "Jet_pt": ak.unflatten(random.exponential(size=sum(jets)), jets),
    }


def write_tree(path: Path, events: dict[str, ak.Array]) -> Path:
    file_path = path.with_suffix(".root")
    with uproot.recreate(file_path) as file:
        types = {name: array.type for name, array in events.items()}
        file.mktree("Events", types, counter_name=lambda name: f"n_{name}")
        file["Events"].extend(events)
    return file_path


def write_ntuple(path: Path, events: dict[str, ak.Array]) -> Path:
    file_path = path.with_suffix(".root")
    with uproot.recreate(file_path) as file:
        file.mkrntuple("Events", ak.Array(events))
    return file_path


def write_parquet(path: Path, events: dict[str, ak.Array]) -> Path:
    file_path = path.with_suffix(".parquet")
    pq.write_table(pa.table({name: array.tolist() for name, array in events.items()}), file_path, row_group_size=2)
    return file_path


WRITERS = [write_tree, write_ntuple, write_parquet]


def loop_over_muons(events: dict[str, ak.Array]) -> list[tuple[float, ...]]:
    """Rows (event, place, count, run, pt, charge) by a plain loop."""
    lists = {name: array.tolist() for name, array in events.items()}
    rows = []
    for event, momenta in enumerate(lists["Muon_pt"]):
        for place, momentum in enumerate(momenta):
            charge = lists["Muon_charge"][event][place]
            rows.append((event, place, len(momenta), lists["run"][event], momentum, charge))
    return rows


COLUMNS = ["event", "place", "nMuon", "run", "Muon_pt", "Muon_charge"]


def rows_of(table: Table) -> list[tuple[float, ...]]:
    return list(zip(*(table[name].tolist() for name in COLUMNS), strict=True))


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(counts=some.lists(some.integers(0, 4), min_size=1, max_size=9).filter(any))
def test_rows_agree_with_a_plain_loop(
    write: Callable[..., Path], counts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    events = make_events(counts, seed=sum(counts))
    path = write(tmp_path_factory.mktemp("events") / "x", events)
    assert rows_of(read(path, per="Muon", columns=COLUMNS)) == loop_over_muons(events)


@pytest.mark.parametrize("write", WRITERS)
def test_a_selection_may_use_counts_and_events_are_streamed(write: Callable[..., Path], tmp_path: Path) -> None:
    events = make_events(COUNTS)
    path = write(tmp_path / "x", events)
    chosen = {"per": "Muon", "columns": COLUMNS, "where": "nMuon >= 2 and Muon_charge > 0"}
    expected = [row for row in loop_over_muons(events) if row[2] >= 2 and row[5] > 0]
    assert rows_of(read(path, **chosen)) == expected
    pieces = list(iterate(path, rows=2, **chosen))
    assert [len(piece) for piece in pieces[:-1]] == [2] * (len(pieces) - 1)
    assert rows_of(Table.concatenate(pieces)) == expected
    assert len(read(path, per="Muon", columns=["Muon_pt"], limit=3)) == 3


@pytest.mark.parametrize("write", WRITERS)
def test_named_lists_of_equal_length(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "x", make_events(COUNTS))
    table = read(path, per=["Muon_charge", "Muon_pt"], columns=["event", "nMuon", "Muon_pt"])
    assert table["event"].tolist() == np.repeat(np.arange(len(COUNTS)), COUNTS).tolist()
    with pytest.raises(DataError, match=r"'Muon_pt' and 'Jet_pt' of .*x\.\w+ have 2 and 3 entries in event 0; name"):
        read(path, per=["Muon_pt", "Jet_pt"])


def test_columns_of_events_alone_are_repeated(tmp_path: Path) -> None:
    path = write_ntuple(tmp_path / "x", make_events(COUNTS))
    assert read(path, per="Muon", columns=["run"])["run"].tolist() == [100, 100, 102, 102, 102, 103, 105, 105, 105, 105]


def test_images_and_missing_numbers_are_repeated(tmp_path: Path) -> None:
    image = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0)), 3)
    columns = {"image": image, "hit": pa.array([[1, None], [3]]), "time": pa.array([[0.5, None], [2.5]])}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    table = read(tmp_path / "x.parquet", per=["time"], columns=["image", "time"], drop_nonfinite=True)
    assert (table["image"].tolist(), table["time"].tolist()) == ([[0, 1, 2], [3, 4, 5]], [0.5, 2.5])
    with pytest.raises(DataError, match="'hit'"):
        read(tmp_path / "x.parquet", per="hit", columns=["hit"])


def test_members_of_a_collection_are_columns(tmp_path: Path) -> None:
    muons = [[{"pt": 1.5, "q": 1}, {"pt": 2.5, "q": -1}], [], None, [{"pt": 3.5, "q": 1}]]
    pq.write_table(pa.table({"Muon": muons, "weight": [1.0, 2.0, 3.0, 4.0]}), tmp_path / "x.parquet")
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mkrntuple("t", ak.Array({"Muon": [one or [] for one in muons], "weight": [1.0, 2.0, 3.0, 4.0]}))
    for path in (tmp_path / "x.parquet", tmp_path / "x.root"):
        table = read(path, per="Muon", weight="weight")
        assert table.names == ("event", "place", "nMuon", "Muon.pt", "Muon.q", "weight"), path
        assert table["Muon.pt"].tolist() == [1.5, 2.5, 3.5]
        assert table["event"].tolist() == [0, 0, 3]
        assert table["weight"].tolist() == [1.0, 1.0, 4.0]


def test_columns_of_the_file_keep_their_names(tmp_path: Path) -> None:
    events = {"event": ak.Array([70, 71]), "nMuon": ak.Array([5, 6]), "Muon_pt": ak.Array([[1.0], [2.0, 3.0]])}
    table = read(write_ntuple(tmp_path / "x", events), per="Muon")
    assert table["event"].tolist() == [70, 71, 71]
    assert table["entry"].tolist() == [0, 1, 1]
    assert table["nMuon"].tolist() == [5, 6, 6]


@pytest.mark.parametrize(
    ("per", "message"),
    [
        ("Mouon", r"no collection of lists 'Mouon' in .*, for read.per; nearest: Muon"),
        ("Muo", r"no collection of lists 'Muo'"),
        (["Muon_p"], r"no list 'Muon_p' in .*; nearest: Muon_pt"),
        (["run"], r"'run' in .* holds std::int32_t, not a list of numbers"),
    ],
)
def test_what_cannot_be_rows_is_one_line(per: str | list[str], message: str, tmp_path: Path) -> None:
    path = write_ntuple(tmp_path / "x", make_events(COUNTS))
    with pytest.raises(DataError, match=message):
        read(path, per=per)
    for empty in ("", "_", [], [""]):
        with pytest.raises(ConfigError, match=r"give a prefix, as in \"Muon\", or a list of branches"):
            read(path, per=empty)


def test_files_without_lists_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(DataError, match=r"read.per = 'Muon': no lists of numbers in .*x\.npy"):
        read(tmp_path / "x.npy", per="Muon")
    pq.write_table(pa.table({"v": pa.array([[], []], pa.list_(pa.float64()))}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="the table is empty"):
        read(tmp_path / "x.parquet", per="v")


def test_the_command_line_shows_particles(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "x", make_events(COUNTS))
    shown = CliRunner().invoke(app, ["look", str(path)]).output
    assert 'read.per reads lists, one row per entry: read.per = "Muon", "Jet"' in shown
    shown = CliRunner().invoke(app, ["look", str(path), "--per", "Muon"]).output
    assert "10 rows" in shown
    assert shown == f"{look(path, per='Muon')}\n"
    assert "10 rows" in CliRunner().invoke(app, ["look", str(path), "--per", "Muon_pt,Muon_charge"]).output


def test_bookkeeping_of_objects_need_not_be_as_long(tmp_path: Path) -> None:
    bits = ak.Array([[1, 2, 3], [4]])
    path = write_ntuple(tmp_path / "x", {"Jet_pt": ak.Array([[1.5, 2.5], [3.5]]), "Jet_fBits": bits})
    with pytest.raises(DataError, match="have 2 and 3 entries in event 0"):
        read(path, per="Jet")
    with uproot.recreate(tmp_path / "y.root") as file:
        file.mktree("t", {"Jet.pt": "var * float64", "Jet.fBits": "var * int64"})
        file["t"].extend({"Jet.pt": ak.Array([[1.5, 2.5], [3.5]]), "Jet.fBits": bits})
    assert read(tmp_path / "y.root", per="Jet")["Jet.pt"].tolist() == [1.5, 2.5, 3.5]
