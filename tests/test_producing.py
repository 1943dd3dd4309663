"""Productions: one stream of events however it is cut, mixed, interrupted or written."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uproot
from conftest import STEPS, make_muons, small_fit
from productions import BLOCK, TornError, make, producing, same, torn_after

import calque.reading.sink as sinks
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.fitting import StoppedError, fit
from calque.mixture import Mixture
from calque.preparing import prepare
from calque.producing import Production, produce
from calque.producing.plan import Piece, Stream, count, cut, skip
from calque.producing.record import record_of
from calque.reading import Sink, read, write
from calque.reading.root import Root
from calque.run import Run
from calque.table import Table


@pytest.fixture(scope="module")
def run(muons: Table) -> Run:
    """A generator as it was initialised: what it draws is as good as anything to count."""
    return small_fit(muons, None, steps=0)


@pytest.fixture(scope="module")
def mixture(run: Run) -> Mixture:
    """Two runs that are told apart by the sign of z, one of them counted three times as often."""
    moved = small_fit(make_muons().with_columns({"z": make_muons()["z"] - 100}), None, steps=0)
    return Mixture((replace(run, rate=1.0), replace(moved, rate=3.0)))


@pytest.fixture(scope="module")
def long(mixture: Mixture, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A production to compare with."""
    return make(mixture, 1234, tmp_path_factory.mktemp("long") / "long.npz", workers=1)


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_nothing(mixture: Mixture, long: Table, tmp_path: Path, workers: int) -> None:
    assert same(make(mixture, 1234, tmp_path / "a.npz", workers=workers), long)


@pytest.mark.parametrize("n", [1, 99, 100, 101, 950])
def test_fewer_events_are_the_first_of_more(mixture: Mixture, long: Table, tmp_path: Path, n: int) -> None:
    assert same(make(mixture, n, tmp_path / "a.npz"), long.rows(slice(n)))


def test_productions_that_follow_one_another_are_one(mixture: Mixture, long: Table, tmp_path: Path) -> None:
    at, tables = 0, []
    for rows in (130, 70, 300, 734):
        made = produce(mixture, rows, out=tmp_path / "a.npz", first_event=at, block=BLOCK, exact=True, quiet=True)
        at = made.next_event
        tables.append(read(tmp_path / "a.npz"))
    assert same(Table.concatenate(tables), long)
    poisson = produce(mixture, 200, out=tmp_path / "a.npz", first_event=7, block=BLOCK, quiet=True)
    assert poisson.next_event == 7 + len(read(tmp_path / "a.npz"))
    assert f"more with --first-event {poisson.next_event}" in str(poisson)


def test_another_seed_draws_other_events(mixture: Mixture, long: Table, tmp_path: Path) -> None:
    other = make(mixture, 1234, tmp_path / "a.npz", seed=1)
    assert np.isin(other["px"], long["px"]).mean() < 0.01, "two singles may fall together"


def test_a_run_in_memory_draws_what_a_production_writes(run: Run, mixture: Mixture, tmp_path: Path) -> None:
    written = make(run, 1500, tmp_path / "a.npz", block=10_000)
    drawn = run.sample(1500, seed=0)
    assert set(written.names) == set(drawn.names)
    for name in drawn.names:
        np.testing.assert_allclose(written[name], drawn[name], rtol=1e-4, atol=1e-5)
    both = mixture.sample(1500, seed=2)
    for name, column in make(mixture, 1500, tmp_path / "b.npz", block=10_000, seed=2).columns.items():
        np.testing.assert_allclose(column, both[name], rtol=1e-4, atol=1e-5)


def test_counts_are_poissonian_unless_they_are_exact() -> None:
    counts = np.array([count(400, False, seed, 0) for seed in range(4000)])
    assert counts.mean() == pytest.approx(400, abs=5 * 20 / np.sqrt(4000))
    assert counts.var() == pytest.approx(400, rel=5 * np.sqrt(2 / 4000))
    assert {count(400, True, seed, 0) for seed in range(10)} == {400}
    assert count(400, False, 3, 0) == count(400, False, 3, 0) != count(400, False, 3, 500)


def test_no_event_is_a_file_with_columns(mixture: Mixture, tmp_path: Path) -> None:
    """A Poisson number may be zero."""
    seed = next(seed for seed in range(100) if count(1, False, seed, 0) == 0)
    made = produce(mixture, 1, out=tmp_path / "a.root", seed=seed, quiet=True)
    assert (made.rows, made.drawn) == (0, 0)
    with uproot.open(tmp_path / "a.root") as file:
        assert file["events"].num_entries == 0
        assert set(file["events"].keys()) == {"px", "py", "pz", "z", "id"}


def test_categories_have_their_rates(mixture: Mixture, tmp_path: Path) -> None:
    """Multinomial counts, in random order or one category after another; each lane is the same in both."""
    shuffled = make(mixture, 4000, tmp_path / "a.npz", block=500)
    ordered = make(mixture, 4000, tmp_path / "b.npz", block=500, order="sorted")
    for table in (shuffled, ordered):
        assert (table["z"] > -50).mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / 4000))
    first = shuffled["z"] > -50
    runs = 1 + np.count_nonzero(first[1:] != first[:-1])
    assert runs == pytest.approx(2 * 4000 * 0.25 * 0.75, rel=0.1), "as many changes as independent draws have"
    changes = np.flatnonzero((ordered["z"] > -50)[1:] != (ordered["z"] > -50)[:-1])
    assert len(changes) == 1
    assert ordered["z"][0] > -50, "in the order in which the runs are named"
    lane = mixture.runs[0].block(0, 0, 500)
    assert np.array_equal(ordered["px"][:500], lane["px"])


def test_blocks_cover_what_is_asked_for() -> None:
    for first, rows in [(0, 1), (0, 100), (30, 70), (30, 71), (99, 302), (250, 0)]:
        found = list(cut(-1, first, rows, BLOCK))
        events = [event for piece in found for event in
                  range(piece.index * BLOCK + piece.start, piece.index * BLOCK + piece.stop)]
        assert events == list(range(first, first + rows))
        for skipped in range(0, rows, 37):
            left = [event for piece in skip(iter(found), skipped) for event in
                    range(piece.index * BLOCK + piece.start, piece.index * BLOCK + piece.stop)]
            assert left == events[skipped:]


@pytest.mark.parametrize("given", [None, {"id": -13}])
def test_blocks_drawn_together_are_the_blocks(mixture: Mixture, given: dict[str, float] | None) -> None:
    """Of one run in its lane, and of several, shuffled; the last bits follow the sizes of products."""
    contexts = None if given is None else mixture.given(given, 1)
    assert mixture.together == 5
    for lane in (-1, 1):
        alone, joined = (Stream(mixture, 3, BLOCK, contexts, together) for together in (1, 5))
        table = joined.draw(Piece(lane, 2, 7, 5 * BLOCK))
        parts = Table.concatenate([alone.draw(Piece(lane, 10 + at, 0, BLOCK)) for at in range(5)])
        for name in table.names:
            np.testing.assert_allclose(table[name], parts[name][7:], rtol=1e-4, atol=1e-4)


def test_in_order_every_run_gives_its_own_stream(mixture: Mixture) -> None:
    found = list(Stream(mixture, 0, BLOCK).pieces(1000, 130, in_order=True))
    assert sum(piece.stop - piece.start for piece in found) == 1000
    assert [piece.lane for piece in found] == sorted(piece.lane for piece in found)
    for before, after in pairwise(found):
        if before.lane == after.lane:
            assert (before.index + 1, before.stop, after.start) == (after.index, BLOCK, 0)


def test_blocks_are_drawn_ahead_but_not_far(run: Run) -> None:
    """Behind a slow writer no more than three blocks per worker wait."""
    begun: list[int] = []
    threads = threading.active_count()

    class Counted(Mixture):
        def block(self, seed: int, index: int, *settings: Any, **more: Any) -> Table:
            begun.append(index)
            return super().block(seed, index, *settings, **more)

    stream, workers = Stream(Counted((run,)), 0, BLOCK), 2
    tables = producing.drawn(stream.draw, stream.pieces(40 * BLOCK, 0), workers, "float32")
    for taken in range(1, 8):
        next(tables)
        wait_until(lambda seen=taken: len(begun) >= seen + 3 * workers)
        assert len(begun) == taken + 3 * workers, "as many as fit, no more"
    tables.close()
    assert threading.active_count() == threads


def wait_until(happened: Any) -> None:
    for _ in range(2000):
        if happened():
            time.sleep(0.05)  # what should not happen has time to do so
            return
        time.sleep(0.005)
    raise TimeoutError


def test_contexts_are_fixed_for_all(mixture: Mixture, tmp_path: Path) -> None:
    """Their noise is that of the same events with other contexts; each run is given them."""
    table = make(mixture, 500, tmp_path / "a.npz", context={"id": 13})
    assert set(table["id"]) == {13}
    assert table["id"].dtype == np.int32
    assert (table["z"] < -50).mean() == pytest.approx(0.75, abs=0.1)
    assert same(make(mixture, 130, tmp_path / "b.npz", context={"id": 13}, workers=1), table.rows(slice(130)))
    ordered = make(mixture, 500, tmp_path / "c.npz", context={"id": 13}, order="sorted")
    assert set(ordered["id"]) == {13}
    drawn = mixture.sample(500, context={"id": 13})
    assert set(drawn["id"]) == {13}


def test_contexts_come_row_by_row_from_a_table_or_a_file(run: Run, tmp_path: Path) -> None:
    stream = np.random.default_rng(0)
    rows = Table.of({"id": stream.choice([-13, 13], 250), "other": np.zeros(250)})
    write(rows, tmp_path / "rows.root")
    once = tmp_path / "once.npz"
    made = produce(run, context=rows, out=once, block=BLOCK, quiet=True)
    assert made.rows == 250, "one event a row, and no Poisson number"
    assert np.array_equal(read(once)["id"], rows["id"])
    thrice = make(run, 750, tmp_path / "thrice.npz", context=tmp_path / "rows.root", exact=False)
    assert np.array_equal(thrice["id"], np.repeat(rows["id"], 3))
    at = made.next_event
    later = produce(run, context=str(tmp_path / "rows.root"), out=once, block=BLOCK, quiet=True, first_event=at)
    assert later.next_event == 500
    assert np.array_equal(read(once)["id"], rows["id"]), "the same rows, other events"
    assert not np.isin(read(once)["px"], thrice["px"][:250]).any()


def test_a_mixture_follows_how_often_its_runs_have_a_context(muons: Table, tmp_path: Path) -> None:
    """One run knows both charges, the other one only, and is three times as frequent."""
    moved = muons.rows(muons["id"] == 13)
    moved = moved.with_columns({"z": moved["z"] - 100})
    both = Mixture((replace(small_fit(muons, None, steps=0), rate=1.0),
                    replace(small_fit(moved, None, steps=0), rate=3.0)))
    share = both.runs[0].contexts
    assert share is not None
    half = share.weights[share["id"] == 13].sum() / share.weights.sum()
    ids = Table.of({"id": np.tile([-13, 13], 3000)})
    table = make(both, 6000, tmp_path / "a.npz", context=ids, block=1000)
    first = table["z"] > -50
    assert first[table["id"] == -13].all(), "the other was never trained on it"
    assert first[table["id"] == 13].mean() == pytest.approx(half / (half + 3), abs=0.03)
    assert set(make(both, 500, tmp_path / "b.npz", context={"id": -13}, order="sorted")["z"] > -50) == {True}
    with pytest.raises(DataError, match="context id = 11 was not trained on by any of the 2 runs"):
        produce(both, 10, out=tmp_path / "c.npz", context={"id": 11}, quiet=True)


def test_a_context_beyond_the_training_is_drawn_with_a_warning(muons: Table, tmp_path: Path) -> None:
    data = prepare(muons, steps=["standardise *"], context=["pz"], seed=1)
    run = fit(data, "flow", quiet=True, steps=0, model={"transforms": 1, "hidden": [4]})
    with pytest.warns(UserWarning, match=r"context pz = 1e\+06 is beyond what was trained on, 10.* to .*; what is "):
        table = make(run, 20, tmp_path / "a.npz", context={"pz": 1e6})
    assert set(table["pz"]) == {1e6}
    some = Table.of({"pz": np.repeat([20.0, 1e6], [15, 5])})
    with pytest.warns(UserWarning, match=r"1e\+06 is beyond what was trained on, .* in 5 of 20 rows; what is drawn"):
        produce(run, out=tmp_path / "b.npz", context=some, quiet=True)


@pytest.mark.parametrize(("settings", "message"), [
    ({"context": {"charge": 1}}, "no context 'id' given; nearest: charge"),
    ({"context": {"id": 13, "pz": 5}}, "no context 'pz' that this run was trained with; nearest: id"),
    ({"context": {"id": 11}}, r"context id = 11 was not trained on"),
    ({"context": {"id": 13.5}}, "context id = 13.5 is not of type int32, as in training"),
    ({"context": {"id": np.nan}}, "context id = nan is no number"),
    ({"context": Table.of({"pdg": [13, 13]})}, "no context 'id' given; nearest: pdg"),
    ({"context": "nowhere.root"}, "no file 'nowhere.root'"),
    ({"context": Table.of({"id": [13] * 40})}, "n = 100 events for 40 rows of contexts: give a multiple"),
    ({"n": None}, r"how many events\? give n"),
])
def test_contexts_that_mean_nothing_are_one_clear_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CalqueError, match=message) as caught:
        produce(run, **{"n": 100, "out": "a.npz", "quiet": True, **settings})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_runs_of_different_contexts_are_not_given_any(run: Run, muons: Table, tmp_path: Path) -> None:
    plain = fit(prepare(muons, seed=1), "flow", quiet=True, steps=0, model={"transforms": 1, "hidden": [4]})
    with pytest.raises(DataError, match="trained with different contexts: id and none; draw from one"):
        produce([run, plain], 10, out=tmp_path / "a.npz", context={"id": 13}, quiet=True)
    with pytest.raises(ConfigError, match="trained without any"):
        produce(plain, 10, out=tmp_path / "a.npz", context=Table.of({"id": [13]}), quiet=True)


def test_bf16_draws_nearly_the_same(muons: Table, tmp_path: Path) -> None:
    """The body in bfloat16: three digits."""
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    dense = fit(data, "gan", quiet=True, steps=0, batch=64, objective={"layers": 1, "base": 8},
                model={"latent": 8, "layers": 2, "base": 32, "norm": "none", "dropout": 0.0})
    full, half = (make(dense, 2000, tmp_path / f"{precision}.npz", precision=precision)
                  for precision in ("float32", "bf16"))
    assert all(half[name].dtype == full[name].dtype for name in full.names)
    packed = [data.preparation.encode(table, np.random.default_rng(0))[0] for table in (full, half)]
    moved = (packed[0] - packed[1]).abs()[:, :-1]  # the last, z, is the prepared one without a symmetry
    assert 0 < moved.max() < 0.05
    assert np.array_equal(full["id"], half["id"])


@pytest.mark.parametrize("name", ["a.root", "a.h5", "a.npz", "a.npy", "a.parquet", "a.csv"])
def test_every_format_holds_the_same_events(mixture: Mixture, long: Table, tmp_path: Path, name: str) -> None:
    table = make(mixture, 1234, tmp_path / name)
    for column in long.names:
        assert np.array_equal(table[column].astype(long[column].dtype), long[column]), column
    if name.endswith((".root", ".h5", ".parquet")):
        assert table.units == {"px": "GeV", "py": "GeV", "pz": "GeV", "z": "m"}


def test_compression_is_a_choice(run: Run, tmp_path: Path) -> None:
    sizes = {}
    for compression in ("none", "lz4", "zlib-9", "zstd-5"):
        table = make(run, 3000, tmp_path / f"{compression}.root", compression=compression, tree="muons")
        assert len(table) == 3000
        sizes[compression] = (tmp_path / f"{compression}.root").stat().st_size
        with uproot.open(tmp_path / f"{compression}.root") as file:
            codec = file.file.compression
            assert codec is None or type(codec).__name__.lower() == compression.partition("-")[0]
    assert sizes["none"] == max(sizes.values())
    assert sizes["zlib-9"] < sizes["none"]


def test_fairship_gets_its_fifteen_branches(run: Run, muons: Table, tmp_path: Path) -> None:
    made = produce(run, 500, out=tmp_path / "a.root", exact=True, block=BLOCK, layout="fairship-muons", quiet=True)
    assert made.rows == 500
    drawn = make(run, 500, tmp_path / "b.npz")
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["pythia8-Geant4"]
        arrays = tree.arrays(library="np")
    assert len(arrays) == 15
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert np.array_equal(arrays["px"], drawn["px"])
    assert np.array_equal(arrays["id"], arrays["pythiaid"])
    assert set(arrays["w"]) == {1.0}


ROOT_READS = """import json, sys, ROOT
file = ROOT.TFile.Open(sys.argv[1])
tree = file.Get("muons")
frame = ROOT.RDataFrame("muons", sys.argv[1])
leaves = {b.GetName(): b.GetLeaf(b.GetName()).GetTypeName() for b in tree.GetListOfBranches()}
print(json.dumps([tree.ClassName(), tree.GetEntries(), leaves, {n: frame.Sum(n).GetValue() for n in leaves}]))"""


@pytest.mark.root
def test_root_itself_reads_a_production(mixture: Mixture, tmp_path: Path) -> None:
    """In a process of its own, so that a fault of ROOT is a failed test and not the end of all tests."""
    if importlib.util.find_spec("ROOT") is None:
        pytest.skip("ROOT is not installed: pip install root")
    table = make(mixture, 950, tmp_path / "a.root", tree="muons")
    told = subprocess.run([sys.executable, "-c", ROOT_READS, str(tmp_path / "a.root")], check=True, capture_output=True)
    kind, entries, leaves, sums = json.loads(told.stdout.splitlines()[-1])
    assert (kind, entries) == ("TTree", 950)
    assert leaves == {"px": "Float_t", "py": "Float_t", "pz": "Float_t", "z": "Float_t", "id": "Int_t"}
    assert sums == pytest.approx({name: table[name].astype(float).sum() for name in table.names})


@pytest.mark.parametrize("name", ["a.root", "a.h5", "a.csv", "a.npy", "a.parquet", "a.npz"])
@pytest.mark.parametrize("error", [TornError, KeyboardInterrupt])
def test_what_was_interrupted_goes_on_to_the_same_events(
    mixture: Mixture, long: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
    error: type[BaseException],
) -> None:
    out = tmp_path / name
    settings: dict[str, Any] = {"out": out, "block": BLOCK, "exact": True, "quiet": True}
    with monkeypatch.context() as patch:
        torn_after(5, error, patch)
        with pytest.raises((TornError, StoppedError)) as caught:
            produce(mixture, 1234, **settings)
        assert not out.exists(), "nothing under the final name"
    if error is KeyboardInterrupt:
        assert str(caught.value) == f"stopped after 500 events of {out}; go on with --resume"
    for change in ({"seed": 1}, {"n": 1233}, {"order": "sorted"}, {"exact": False}, {"block": 99}, {"first_event": 1}):
        with pytest.raises(FileError, match=r"was begun with .* = .*, now it is .*; resume with the same") as refused:
            produce(mixture, **{"n": 1234, **settings, **change}, resume=True)
        assert "\n" not in str(refused.value)
    with pytest.raises(FileError, match="was begun with runs = "):
        produce(mixture.runs[0], 1234, **settings, resume=True)
    made = produce(mixture, 1234, **settings, resume=True)
    assert made.rows == 1234
    assert made.drawn == (1234 - 500 if name in ("a.root", "a.h5", "a.csv", "a.npy") else made.drawn)
    table = read(out)
    for column in long.names:
        assert np.array_equal(table[column].astype(long[column].dtype), long[column]), column
    assert set(tmp_path.iterdir()) == {out, record_of(out)}, "nothing else is left"


def test_a_resumed_file_is_like_one_that_never_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types, units and text, even where what was left fills the first buffer."""
    monkeypatch.setattr(sinks, "BUFFER_ROWS", 200)
    for name in ("a.root", "a.csv", "a.h5"):
        with monkeypatch.context() as patch:
            torn_after(9, TornError, patch)
            with pytest.raises(TornError):
                make(run, 1234, tmp_path / name)
        resumed = make(run, 1234, tmp_path / name, resume=True)
        whole = make(run, 1234, tmp_path / f"whole-{name}")
        assert resumed.units == whole.units
        assert {n: resumed[n].dtype for n in resumed.names} == {n: whole[n].dtype for n in whole.names}
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole-a.csv").read_bytes()


def test_a_layout_is_resumed_too(muons: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its units were converted before: what was left must not be converted again."""
    run = small_fit(muons.with_columns({}, {"z": "mm"}), None, steps=0)
    out, settings = tmp_path / "a.root", {"layout": "fairship-muons", "block": BLOCK, "exact": True, "quiet": True}
    with monkeypatch.context() as patch:
        torn_after(5, TornError, patch)
        with pytest.raises(TornError):
            produce(run, 1000, out=out, **settings)
    produce(run, 1000, out=out, resume=True, **settings)
    produce(run, 1000, out=tmp_path / "b.root", **settings)
    assert same(read(out), read(tmp_path / "b.root"))


def test_a_finished_production_stays(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.root"
    make(run, 500, out)
    before = out.read_bytes()
    again = produce(run, 500, out=out, exact=True, block=BLOCK, quiet=True, resume=True)
    assert str(again) == f"{out} is complete already"
    assert out.read_bytes() == before
    assert same(make(run, 300, out), read(out)), "without resume it is replaced"


def test_leftovers_of_another_production_are_never_mixed_in(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun with one seed, begun anew with another, and killed before the first buffer was written."""
    out, settings = tmp_path / "a.root", {"block": BLOCK, "exact": True, "quiet": True}
    with monkeypatch.context() as patch:
        torn_after(5, TornError, patch)
        with pytest.raises(TornError):
            produce(run, 1000, out=out, seed=1, **settings)
        patch.setattr(Sink, "abandon", lambda self: None)  # as a kill does
        patch.setattr(sinks, "BUFFER_ROWS", 10**6)
        with pytest.raises(TornError):
            produce(run, 1000, out=out, seed=2, **settings)
    produce(run, 1000, out=out, seed=2, resume=True, **settings)
    assert same(read(out), make(run, 1000, tmp_path / "b.root", seed=2))
    (tmp_path / "c.root.part").write_bytes((tmp_path / "b.root").read_bytes())
    assert same(make(run, 1000, tmp_path / "c.root", seed=1, resume=True), make(run, 1000, out, seed=1)), "no plan"


PROGRAM = """
import sys; sys.path.insert(0, {tests!r})
import time
import torch; torch.set_num_threads(1)
import calque.reading.sink as sinks
sinks.BUFFER_ROWS = 700
write = sinks.Sink.write
sinks.Sink.write = lambda self, table: (time.sleep(0.02), write(self, table))[1]
from calque.producing import produce
print("begun", flush=True)
produce({folder!r}, 5000, out=sys.argv[1], block={block}, exact=True, quiet=True, resume=True)
"""


def test_killed_and_resumed_it_ends_with_the_same_bytes_of_data(flow_run: Run, tmp_path: Path) -> None:
    """SIGKILL, twice, at moments of no meaning."""
    out = tmp_path / "a.root"
    program = PROGRAM.format(tests=str(Path(__file__).parent), folder=str(flow_run.folder), block=BLOCK)
    for wanted in (1, 2):
        process = subprocess.Popen([sys.executable, "-c", program, str(out)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        part = out.with_name("a.root.part")
        while not (part.exists() and part.stat().st_size > wanted * 40_000):
            assert process.poll() is None, "it has to be killed before its end"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not out.exists()
    made = produce(flow_run, 5000, out=out, block=BLOCK, exact=True, quiet=True, resume=True)
    assert 0 < made.drawn < 5000, "what was there was kept"
    assert same(read(out), make(flow_run, 5000, tmp_path / "whole.root"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.root", ".a.root.made", "whole.root", ".whole.root.made"}


def test_a_header_that_was_torn_is_read_as_far_as_all_its_columns_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it was rewritten: some branches know of a basket more."""
    pieces = [{"a": np.arange(4), "b": np.arange(4)}, {"a": np.arange(5), "b": np.arange(3)}, {"a": np.arange(9)}]
    monkeypatch.setattr(Root, "describe", lambda *_: [])
    monkeypatch.setattr(Root, "iterate", lambda *_: iter(pieces))
    left = list(Root().salvage(Path("a.root"), "events", 10))
    assert [{name: len(array) for name, array in one.items()} for one in left] == [{"a": 4, "b": 4}, {"a": 3, "b": 3}]


@pytest.mark.parametrize(("settings", "message"), [
    ({"n": 0.5}, r"n = 0.5: the number of events to produce is between 1 and 1e\+15"),
    ({"n": float("nan")}, "n = nan"),
    ({"n": float("inf")}, "n = inf"),
    ({"first_event": -1}, "first_event = -1: at least 0 is needed"),
    ({"block": 0}, "block = 0: at least 1"),
    ({"workers": 0}, "workers = 0: at least 1"),
    ({"order": "sortd"}, "no order 'sortd'; nearest: sorted, shuffled"),
    ({"precision": "bf17"}, "no precision 'bf17'; nearest: bf16"),
    ({"compression": "lzma"}, "no compression 'lzma'"),
    ({"layout": "fairship-muon"}, "no layout 'fairship-muon'; nearest: fairship-muons"),
    ({"out": "a.rot"}, "'a.rot' does not tell its format"),
    ({"out": "nowhere/a.root"}, "cannot write nowhere/a.root: there is no folder"),
])
def test_a_wrong_setting_is_one_clear_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CalqueError, match=message):
        produce(run, **{"n": 100, "out": "a.root", "quiet": True, **settings})
    assert not list(tmp_path.iterdir())


def test_runs_that_do_not_fit_together_are_refused(run: Run, muons: Table, tmp_path: Path) -> None:
    other = small_fit(muons.with_columns({"t": muons["z"]}), None, steps=0)
    with pytest.raises(ConfigError, match=r"the runs make different columns: .* a 'constant' step keeps a column"):
        produce([run, other], 10, out=tmp_path / "a.root")
    with pytest.raises(ConfigError, match="no run to produce from"):
        produce([], 10, out=tmp_path / "a.root")
    with pytest.raises(FileError, match="is no run folder"):
        produce(tmp_path, 10, out=tmp_path / "a.root")


def test_a_production_tells_what_it_did(run: Run, tmp_path: Path) -> None:
    text = str(Production(tmp_path / "a.root", 1000, 400, 0.5, 1000))
    assert text.startswith(f"1000 events in {tmp_path / 'a.root'}, 600 of them from the part before; 0.5 s, 800 events")
    stream = Stream(Mixture((run,)), 0, 20)
    table = stream.draw(Piece(-1, 0, 3, 8))
    assert same(table, stream.draw(Piece(-1, 0, 0, 20)).rows(slice(3, 8)))
    with pytest.raises(DataError, match="no column 'qx'"):
        table["qx"]
    assert torch.get_num_threads() == 1
