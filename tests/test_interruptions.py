"""Kills, power cuts, two writers at once: files are complete or absent, and the next process knows what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import small_fit

from calque import atomic, locks
from calque.atomic import write_bytes
from calque.checkpoints import previous_of, read_newest, store
from calque.config import build, merge
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.fitting.checkpoint import load_checkpoint
from calque.fitting.fit import StoppedError
from calque.fitting.loop import Loop
from calque.judging.verdict import judge
from calque.locks import Lock, lock_output
from calque.pipeline import train
from calque.producing import produce
from calque.producing.record import record_of
from calque.provenance import is_finished
from calque.reading import Sink, read
from calque.reading.sink import check_output
from calque.run import Run, load_run
from calque.table import Table

HOLDER = """
import sys, time
from pathlib import Path
from calque.folder import lock_judging, lock_training
from calque.locks import lock_output
make = {"output": lock_output, "training": lock_training, "judging": lock_judging}[sys.argv[1]]
make(Path(sys.argv[2])).__enter__()
print("held", flush=True)
time.sleep(600)
"""
SMALL: dict[str, Any] = {"n": 300, "exact": True, "quiet": True}


@pytest.fixture
def holder(request: pytest.FixtureRequest) -> Any:
    """Start another process that holds a lock until it is killed."""
    begun: list[subprocess.Popen[str]] = []

    def hold(kind: str, path: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, kind, str(path)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert begun[-1].stdout is not None
        assert begun[-1].stdout.readline() == "held\n"
        return begun[-1]

    yield hold
    for process in begun:
        process.kill()
        process.wait()


def test_one_output_has_one_writer_and_a_kill_frees_it(flow_run: Run, tmp_path: Path, holder: Any) -> None:
    out = tmp_path / "o.csv"
    other = holder("output", out)
    refusal = f"{out} is being written by process {other.pid}; wait for it, or choose another name"
    for attempt in (lambda: produce(flow_run, out=out, **SMALL), lambda: Sink(out)):
        with pytest.raises(FileError) as caught:
            attempt()
        assert str(caught.value) == refusal
    assert not out.exists()
    other.kill()
    other.wait()
    assert produce(flow_run, out=out, **SMALL).rows == 300
    assert {path.name for path in tmp_path.iterdir()} == {"o.csv", ".o.csv.made"}


def test_one_folder_has_one_training_and_one_judgement(muons: Table, tmp_path: Path, holder: Any) -> None:
    folder = tmp_path / "run"
    other = holder("training", folder)
    with pytest.raises(FileError, match=f"run is being written by process {other.pid}; wait for it, or choose another"):
        small_fit(muons, folder, steps=2)
    other.kill()
    other.wait()
    run = small_fit(muons, folder, steps=2)
    other = holder("judging", folder)
    with pytest.raises(FileError, match=f"the report of .*run is being written by process {other.pid}; wait for it"):
        judge(run, measures="columns", rows=100, plots=False)


def test_a_lock_is_of_one_thread_as_often_as_it_wants(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.csv", []

    def attempt() -> None:
        with pytest.raises(FileError, match="another thread") as caught, lock_output(path):
            pass
        refused.append(caught.value)

    with lock_output(path), lock_output(path):
        other = threading.Thread(target=attempt)
        other.start()
        other.join()
    assert len(refused) == 1
    assert list(tmp_path.iterdir()) == []
    with lock_output(path):
        assert [place.name for place in tmp_path.iterdir()] == [".a.csv.lock"]


def test_a_lock_leaves_no_folder_behind_where_nothing_came_of_it(tmp_path: Path) -> None:
    with Lock(tmp_path / "a" / "b" / "lock", "b", "wait"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    with lock_output(tmp_path / "a.csv"):
        child = os.fork()
        if not child:
            os._exit(len(locks._HELD))
        assert os.waitpid(child, 0)[1] == 0
        assert len(locks._HELD) == 1


def test_a_file_system_without_locks_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock_descriptor", refuse)
    noted = pytest.warns(UserWarning, match="a file system without locks: nothing keeps two processes")
    with noted, lock_output(tmp_path / "a.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is flushed to the disk and renamed, in its order."""
    calls: list[tuple[str, str]] = []
    flush, replace = atomic.flush_file, os.replace

    def flushed(path: Path) -> None:
        calls.append(("flush", Path(path).name))
        flush(path)

    def replaced(old: Any, new: Any) -> None:
        calls.append(("rename", f"{Path(old).name} {Path(new).name}"))
        replace(old, new)

    monkeypatch.setattr(atomic, "flush_file", flushed)
    monkeypatch.setattr(os, "replace", replaced)
    return calls


def test_contents_reach_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, journal: list[tuple[str, str]]
) -> None:
    write_bytes(tmp_path / "a.json", "{}")
    beside = f".a.json.{os.getpid()}.part"
    assert journal == [("flush", beside), ("rename", f"{beside} a.json"), ("flush", tmp_path.name)]
    journal.clear()
    with Sink(tmp_path / "o.csv") as sink:
        sink.write({"x": [1.0, 2.0]})
    assert journal == [("flush", "o.csv.part"), ("rename", "o.csv.part o.csv"), ("flush", tmp_path.name)]
    journal.clear()
    write_bytes(tmp_path / "new" / "deep" / "b", b"")
    assert journal[:2] == [("flush", "new"), ("flush", tmp_path.name)], "new folders have names too"


def test_the_plan_is_removed_only_when_the_file_is_on_the_disk(
    flow_run: Run, tmp_path: Path, journal: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        journal.append(("unlink", path.name))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlinked)
    produce(flow_run, out=tmp_path / "o.csv", **SMALL)
    plan, renamed = (journal.index(call) for call in (("unlink", "o.csv.plan"), ("rename", "o.csv.part o.csv")))
    assert ("flush", "o.csv.part") in journal[:renamed]
    assert ("flush", tmp_path.name) in journal[renamed:plan]


def checkpoints(path: Path) -> None:
    """Two checkpoints, of steps 1 and 2."""
    for step in (1, 2):
        store(path, {"a": torch.full((3,), float(step))}, json.dumps({"step": step}))


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "counters", "absent", "text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.safetensors"
    checkpoints(path)
    assert read_newest(path)[0]["step"] == 2
    whole = path.read_bytes()
    flipped = bytes([*whole[:-1], whole[-1] ^ 1])
    contents = {"empty": b"", "cut": whole[:-5], "flipped": flipped, "text": b"{}" * 99,
                "counters": whole.replace(b'step\\": 2', b'step\\": 7')}
    if damage == "absent":
        path.unlink()
    else:
        assert contents[damage] != whole
        path.write_bytes(contents[damage])
    with pytest.warns(UserWarning, match="going on from the one before it, at step 1"):
        counters, tensors = read_newest(path)
    assert counters["step"] == 1
    assert tensors["a"].tolist() == [1.0, 1.0, 1.0]


def test_without_a_whole_checkpoint_the_remedy_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    checkpoints(path)
    for place in (path, previous_of(path)):
        place.write_bytes(b"")
    with pytest.raises(FileError, match=r"no checkpoint in .* is whole \(.*\); remove that folder") as caught:
        load_checkpoint(path, None)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("change", "message"), [
    ({"seed": 9}, "was made with seed = 0, now it is 9"),
    ({"n": 400}, "was made with n = 300, now it is 400"),
    ({"first_event": 5}, "was made with first = 0, now it is 5"),
    ({"compression": "none"}, "was made with compression = lz4, now it is none"),
])
def test_a_finished_file_is_known_by_what_made_it(
    flow_run: Run, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    out = tmp_path / "o.npy"
    produce(flow_run, out=out, **SMALL)
    before = out.read_bytes()
    assert str(produce(flow_run, out=out, resume=True, **SMALL)) == f"{out} is complete already"
    with pytest.raises(FileError, match=message):
        produce(flow_run, out=out, resume=True, **{**SMALL, **change})
    assert out.read_bytes() == before


@pytest.mark.parametrize("name", ["o.csv", "o.npy", "o.h5", "o.root", "o.parquet", "o.npz"])
def test_a_resumed_production_believes_no_strange_file(flow_run: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    produce(flow_run, out=out, **SMALL)
    whole = out.read_bytes()
    for content in (b"", whole[:-20], whole + b"\n1,2", whole[: len(whole) // 3] + bytes(len(whole) * 2 // 3)):
        out.write_bytes(content)
        with pytest.raises(FileError, match="write it anew without --resume") as caught:
            produce(flow_run, out=out, resume=True, **SMALL)
        assert "\n" not in str(caught.value)
        assert out.read_bytes() == content
    out.write_bytes(whole)
    record_of(out).write_text("{")
    with pytest.raises(FileError, match=r"is damaged, so that .* is not known"):
        produce(flow_run, out=out, resume=True, **SMALL)
    record_of(out).unlink()
    with pytest.raises(FileError, match="nothing shows that it is this production"):
        produce(flow_run, out=out, resume=True, **SMALL)
    produce(flow_run, out=out, **SMALL)
    assert len(read(out)) == 300


def test_a_worker_that_fails_ends_in_one_line_and_is_resumed(
    flow_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.csv"
    settings = {"exact": True, "quiet": True, "block": 100, "workers": 1}
    produce(flow_run, 2000, out=whole, **settings)
    block = Run.block

    def failing(run: Run, seed: int, index: int, *rest: Any, **others: Any) -> Table:
        if index >= 5:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory\nframe #0")
        return block(run, seed, index, *rest, **others)

    out = tmp_path / "o.csv"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "block", failing)
        patch.setattr("calque.mixture.Mixture.together", property(lambda self: 1))
        with pytest.raises(StoppedError, match=r"stopped after .* events of .*: drawing failed \(RuntimeError: .*\); "
                                               "go on with --resume") as caught:
            produce(flow_run, 2000, out=out, **settings)
    assert "\n" not in str(caught.value)
    produce(flow_run, 2000, out=out, resume=True, **settings)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(("out", "compression", "message"), [
    ("", "lz4", "names no file"), (".", "lz4", "names no file"), ("x.xyz", "lz4", "does not tell its format"),
    ("nofolder/x.csv", "lz4", "there is no folder"), ("x.csv", "zzz", "no compression 'zzz'"),
    ("x.csv", "zlib-10", "levels of zlib are 1 to 9"), ("x.csv", "zstd-99", "levels of zstd are 1 to 22"),
    ("x.csv", "zstd-99999999999999999999999999", "levels of zstd are 1 to 22"),
    ("x.csv", "none-1", "none takes no level"), ("x.csv", "lz4-0", "levels of lz4 are 1 to 12"),
])
def test_outputs_that_cannot_be_written_are_refused(
    flow_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, compression: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for attempt in (lambda: check_output(out, None, compression),
                    lambda: produce(flow_run, out=out, compression=compression, **SMALL)):
        with pytest.raises((FileError, ConfigError), match=message) as caught:
            attempt()
        assert isinstance(caught.value, CalqueError)
    assert list(tmp_path.iterdir()) == []


def begun_training(tmp_path: Path, **over: Any) -> tuple[Any, Path]:
    """The settings of a training on a file, which was killed after its first checkpoint."""
    stream = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=stream.normal(size=600), y=stream.normal(size=600))
    raw = {"seed": 1, "out": str(tmp_path / "run"), "read": {"files": str(tmp_path / "a.npz")},
           "fit": {"kind": "realnvp", "steps": 4, "batch": 64, "checkpoint_every": 2, "watch_every": 100,
                   "measures": [], "watch": "latest", "model": {"transforms": 1, "hidden": [4]}, **over}}
    config = build(raw, "here")
    stop_after(config, 2)
    return raw, tmp_path / "run"


def stop_after(config: Any, step: int, resume: bool = False) -> None:
    """Train up to a step, and be killed there."""
    check = Loop.check

    def killed(loop: Loop) -> None:
        check(loop)
        if loop.step > step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "check", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, resume=resume, quiet=True, say=lambda text: None)


def test_a_training_goes_on_only_with_its_own_seed_settings_and_data(tmp_path: Path) -> None:
    raw, folder = begun_training(tmp_path)
    split = (folder / "split.npz").read_bytes()
    go_on = partial(train, resume=True, quiet=True, say=lambda text: None)
    for change, message in (({"seed": 2}, "was begun with seed = 1, now it is 2"),
                            ({"fit": {"steps": 6}}, r"other settings in \[fit\] \(steps = 4\)"),
                            ({"prepare": {"judging": 0.5}}, r"other settings in \[prepare\]")):
        with pytest.raises(ConfigError, match=message):
            go_on(build(merge(raw, change), "here"))
    whole = (tmp_path / "a.npz").read_bytes()
    np.savez(tmp_path / "a.npz", x=np.arange(600.0), y=np.arange(600.0))
    with pytest.raises(DataError, match=r"was begun with other data: .*a.npz has changed since \(its contents\)"):
        go_on(build(raw, "here"))
    assert (folder / "split.npz").read_bytes() == split
    (tmp_path / "a.npz").write_bytes(whole)
    run, = go_on(build(raw, "here"))
    assert run.provenance["steps"] == 4
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(DataError, match="has changed since"):
        go_on(build(raw, "here"))


def test_seconds_add_up_over_interruptions(tmp_path: Path) -> None:
    raw, folder = begun_training(tmp_path)
    path = folder / "checkpoint" / "state.safetensors"
    counters, tensors = read_newest(path)
    assert counters["seconds"] > 0
    store(path, tensors, json.dumps({**counters, "seconds": 1e6}))
    run, = train(build(raw, "here"), resume=True, quiet=True, say=lambda text: None)
    assert 1e6 < run.provenance["fit_seconds"] < 1e6 + 1000


def test_a_damaged_folder_is_mended_by_resume(tmp_path: Path) -> None:
    raw, folder = begun_training(tmp_path)
    go_on = partial(train, build(raw, "here"), resume=True, quiet=True)
    go_on(say=lambda text: None)
    whole = {name: (folder / name).read_bytes() for name in ("model.safetensors", "preparation.json", "split.npz")}
    for name, content in whole.items():
        (folder / name).write_bytes(content[:-9])
        with warnings.catch_warnings(record=True):
            go_on(say=lambda text: None)
        assert (folder / name).read_bytes() == content
        load_run(folder)


def test_later_settings_may_change_and_the_folder_stays_whole(tmp_path: Path, journal: list[tuple[str, str]]) -> None:
    raw, folder = begun_training(tmp_path)
    train(build(raw, "here"), resume=True, quiet=True, say=lambda text: None)
    journal.clear()
    config = build(merge(raw, {"judge": {"rows": 200}}), "here")
    train(config, resume=True, quiet=True, say=lambda text: None)
    assert [words.split()[1] for call, words in journal if call == "rename"] == ["provenance.json", "config.toml"]
    assert load_run(folder).config.judge.rows == 200
    assert is_finished(folder)
