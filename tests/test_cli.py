"""The command line: all five words in one, and every bad input as one clear line."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_muons

import calque
from calque.cli import main
from calque.errors import CalqueError
from calque.fitting import loop
from calque.reading import read, write
from calque.run import load_run
from calque.table import Table

TOML = """
# A toy: two halves in z, trained apart
seed = 1

[read]
files = "{files}"
columns = ["pz", "z", "id"]
weight = "w"

[prepare]
context = ["id"]

[fit]
kind = "flow"
steps = 12
batch = 32
watch_every = 6
checkpoint_every = 4
model = {{ transforms = 1, hidden = [8] }}

[judge]
rows = 300

[produce]
n = 1e3
exact = true
out = "new.h5"

[categories.near]
where = "z > -0.5"
steps = ["log pz", "standardise *"]
judge = {{ plots = false }}

[categories.far]
where = "z <= -0.5"
steps = ["log pz", "standardise *"]
"""
Sample = dict[str, np.ndarray]


@dataclass
class Shell:
    """Runs commands in this process and tells what they print."""

    capture: pytest.CaptureFixture[str]

    def does(self, *words: object) -> str:
        """A command that works: what it prints."""
        code, out, error = self.run(*words)
        assert (code, error) == (0, "")
        return out

    def refuses(self, *words: object) -> str:
        """A command that does not: the one line of it."""
        code, out, error = self.run(*words)
        assert code == 2
        assert error.startswith("calque: ")
        assert error.count("\n") == 1
        assert "Traceback" not in out + error
        return error

    def run(self, *words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *self.capture.readouterr()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A configuration and its sample, which a test may spoil."""
    write(make_muons(2000), tmp_path / "muons.npz")
    (tmp_path / "toy.toml").write_text(TOML.format(files=tmp_path / "muons.npz"))
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `calque run toy.toml` did all it can."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("done")
    write(make_muons(2000), folder / "muons.npz")
    (folder / "toy.toml").write_text(TOML.format(files=folder / "muons.npz"))
    assert main(["run", str(folder / "toy.toml"), "--out", str(folder / "run")]) == 0
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_run_does_all_five(done: Path) -> None:
    files = set(everything(done / "run"))
    for part in ("near", "far"):
        assert {f"{part}/{name}" for name in (
            "config.toml", "preparation.json", "model.safetensors", "split.npz", "contexts.npz", "history.jsonl",
            "report.json", "provenance.json", "checkpoint/state.safetensors")} <= files
    plots = {name for name in files if name.startswith("far/plots/")}
    assert {"far/plots/column_pz.png", "far/plots/column_pz.pdf", "far/plots/pair_pz_z.png", "far/plots/curves.png",
            "far/plots/classifier_trees_raw.png"} <= plots
    assert not [name for name in files if name.startswith("near/plots") or name.endswith((".part", ".plan"))]
    table = read(done / "run" / "new.h5")
    assert len(table) == 1000
    assert table.names == ("pz", "z", "id")
    original = read(done / "muons.npz", weight="w")
    near = np.average(original["z"] > -0.5, weights=original.weights)
    assert (table["z"] > -0.5).mean() == pytest.approx(near, abs=0.15), "an untrained flow leaves its half at times"


def test_any_format_goes_in_and_comes_out(shell: Shell, toy: Path) -> None:
    write(make_muons(2000), toy / "muons.root", tree="events")
    text = shell.does("run", toy / "toy.toml", "-o", toy / "run", "--set", f"read.files={toy}/muons.root:events",
                      "--set", "produce.out=new.parquet", "--set", "judge.plots=false", "--set", "produce.n=700",
                      "--set", "categories.far.judge.plots=false")
    assert f"700 events in {toy}/run/new.parquet" in text
    assert text.count("The copy ") == 2
    assert read(toy / "run" / "new.parquet").units == {"pz": "GeV", "z": "m"}


def test_resume_does_nothing_twice(shell: Shell, done: Path) -> None:
    before = everything(done / "run")
    text = shell.does("run", done / "toy.toml", "--out", done / "run", "--resume")
    assert [text.count(word) for word in ("trained already", "judged already", "complete already")] == [2, 2, 1]
    assert everything(done / "run") == before


def test_resume_takes_later_settings_and_refuses_earlier_ones(shell: Shell, done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done / "run", tmp_path / "run"))
    command = ("run", done / "toy.toml", "--out", folder, "--resume")
    error = shell.refuses(*command, "--set", "fit.steps=13")
    assert "was begun with other settings in [fit]" in error
    assert "resume with the same, or choose another folder with --out" in error
    before = everything(folder)
    text = shell.does(*command, "--set", "categories.near.judge.rows=200")
    assert text.count("trained already") == 2
    assert text.count("judged already") == 1
    changed = {name for name, content in everything(folder).items() if before[name] != content}
    assert {name for name in changed if not name.endswith(("config.toml", "provenance.json"))} == {"near/report.json"}


def test_without_resume_nothing_is_overwritten(shell: Shell, done: Path) -> None:
    before = everything(done / "run")
    error = shell.refuses("run", done / "toy.toml", "--out", done / "run")
    assert f"{done}/run holds a run already; go on with --resume, or choose another folder with --out" in error
    assert everything(done / "run") == before


def test_stopped_it_says_how_to_go_on_and_ends_the_same(
    shell: Shell, done: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second category: the folder is half written until it is resumed."""
    advance = loop.Loop.advance
    steps: list[int] = []

    def interrupted(self: loop.Loop) -> None:
        advance(self)
        steps.append(self.step)
        if len(steps) == 12 + 5:
            signal.raise_signal(signal.SIGINT)

    config = toy / "toy.toml"
    config.write_text(TOML.format(files=done / "muons.npz"))
    command = ("run", config, "--out", toy / "run", "--set", "categories.far.judge.plots=false")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "advance", interrupted)
        error = shell.refuses(*command)
    assert error == f"calque: stopped at step 5 of 12; go on with --resume; it lies in {toy}/run/far\n"
    assert f"{toy}/run is half written" in shell.refuses("judge", toy / "run")
    assert len(load_run(toy / "run" / "far").sample(5)) == 5, "its checkpoint can be opened"
    assert "near holds a run already; go on with --resume" in shell.refuses(*command)
    text = shell.does(*command, "--resume")
    assert text.count("trained already") == 1
    for part in ("near", "far"):
        for name in ("model.safetensors", "history.jsonl"):
            assert (toy / "run" / part / name).read_bytes() == (done / "run" / part / name).read_bytes(), name
    whole, resumed = (read(folder / "run" / "new.h5") for folder in (done, toy))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole.names)


def test_a_dry_run_prints_what_loads_again(shell: Shell, toy: Path) -> None:
    text = shell.does("run", toy / "toy.toml", "--dry-run", "--set", "fit.steps=99", "--out", "elsewhere")
    resolved = tomllib.loads(text)
    assert (resolved["fit"]["steps"], resolved["out"], resolved["produce"]["n"]) == (99, "elsewhere", 1000)
    (toy / "again.toml").write_text(text)
    assert shell.does("run", toy / "again.toml", "--dry-run") == text
    assert not (toy / "run").exists()


def test_fit_judge_and_produce_do_one_each(shell: Shell, toy: Path) -> None:
    folder = toy / "run"
    text = shell.does("fit", toy / "toy.toml", "--out", folder, "--quiet")
    assert text.count("trained in") == 2
    assert not list(folder.rglob("report.json"))
    shutil.move(toy / "muons.npz", toy / "moved.npz")
    assert "no file 'muons.npz'" in shell.refuses("judge", folder / "near")
    text = shell.does("judge", folder / "near", "--data", toy / "moved.npz")
    assert text.startswith(f"\n{folder}/near\nmeasure")
    assert (folder / "near" / "report.json").is_file()
    text = shell.does("produce", folder / "near", folder / "far", "-n", "1e3", "-o", toy / "new.root", "--quiet")
    rows = len(read(toy / "new.root"))
    assert text.startswith(f"{rows} events in {toy}/new.root; ")
    assert rows != 1000, "a Poisson number"
    shell.does("produce", folder, "-n", "1e3", "-o", toy / "exact.root", "--exact", "--tree", "muons", "--seed", 1)
    assert len(read(f"{toy}/exact.root:muons")) == 1000
    assert "exact.root is complete already" in shell.does(
        "produce", folder, "-n", "1e3", "-o", toy / "exact.root", "--exact", "--tree", "muons", "--seed", 1, "--resume")
    assert "exact.root is there, but was made with seed = 1, now it is 0" in shell.refuses(
        "produce", folder, "-n", "1e3", "-o", toy / "exact.root", "--exact", "--tree", "muons", "--resume")


def test_small_commands(shell: Shell, toy: Path) -> None:
    assert shell.does("--version") == f"{calque.__version__}\n"
    assert {line.split()[0] for line in shell.does("recipes").splitlines()} >= {"demo", "muons-flow", "muons-gan"}
    text = shell.does("look", toy / "muons.npz")
    assert all(name in text for name in ("muons.npz", "2,000 rows", "pz", "int32"))
    assert "no file 'muon.npz'" in shell.refuses("look", toy / "muon.npz")
    assert "no simulator 'fixed-targt'; nearest: fixed-target" in shell.refuses(
        "simulate", "fixed-targt", "--pot", 10, "-o", toy / "x.root")


def spoil(**changes: Callable[[Sample], Any]) -> Callable[[Path], None]:
    """Replace columns of the sample."""
    def apply(folder: Path) -> None:
        table = make_muons(2000)
        columns = {name: change(table.to_dict()) for name, change in changes.items()}
        write(Table.of({**table.columns, **columns}), folder / "muons.npz")
    return apply


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    """Put a file of some bytes there."""
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(content)
    return apply


def cut_short(folder: Path) -> None:
    path = folder / "muons.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_root(folder: Path) -> None:
    write(make_muons(2000), folder / "muons.root", tree="muons")


def with_nans(sample: Sample) -> Any:
    pz = sample["pz"].copy()
    pz[[7, 8, 400]] = np.nan, np.inf, np.nan
    return pz


FILES = "read.files={folder}/"
BAD: dict[str, tuple[Callable[[Path], None] | None, list[str], str]] = {
    "wrong path": (None, [FILES + "muon.npz"], "no file 'muon.npz' in .*; nearest: muons.npz"),
    "wrong folder": (None, [FILES + "muons/a.npz"], "no file or folder 'muons' in .*; nearest: muons.npz"),
    "no file matches": (None, [FILES + "*.root"], r"no file matches '.*\*.root'; .* holds muons.npz, toy.toml"),
    "no input": (None, ["read.files=[]"], "no input: name files under .read., or with --set read.files="),
    "wrong tree": (as_root, [FILES + "muons.root:muon"], "no tree 'muon' in .*muons.root; nearest: muons"),
    "wrong column": (None, ["read.columns=['pz', 'Z', 'id']"], "no column 'Z' in .*muons.npz; nearest: z"),
    "wrong weight": (None, ["read.weight=weight"], "no column 'weight' in .*muons.npz; nearest: w"),
    "wrong context": (None, ["prepare.context=['pdg']"], "no column 'pdg' in .*; nearest: "),
    "wrong step": (None, ["categories.far.steps=['lgo pz']"], "no step 'lgo'; nearest: log"),
    "wrong column of a step": (None, ["categories.far.steps=['log pzz']"],
                               "no column 'pzz' for step 'log pzz'; nearest: pz"),
    "wrong condition": (None, ["categories.far.where=zz > 0"], "no column 'zz' in .*; nearest: z"),
    "empty file": (holding("muons.npz", b""), [], "muons.npz is empty: 0 bytes"),
    "truncated file": (cut_short, [], "cannot read .*muons.npz as npz: .*; is the file complete"),
    "not a ROOT file": (holding("a.root", b"neither\n" * 99), [FILES + "a.root"], "cannot read .*a.root as ROOT"),
    "unknown format": (holding("a.dat", b"1 2 3"), [FILES + "a.dat"], "'a.dat' does not tell its format; known"),
    "no rows": (None, ["read.where=pz < 0"], "no rows in .*: the condition .* holds for none"),
    "not finite": (spoil(pz=with_nans), [], "NaN or infinite: 3 in 'pz' of .*muons.npz, first in rows 7, 8, 400; "
                                            "drop_nonfinite = true leaves such rows out"),
    "zero weights": (spoil(w=lambda t: 0 * t["w"]), [], "the weights 'w' of .* sum to 0; a positive total is needed"),
    "negative weights": (spoil(w=lambda t: -t["w"]), [], "the weights 'w' of .* sum to -.*; a positive total is"),
    "constant column": (spoil(pz=lambda t: 0 * t["pz"] + 5), [], "column 'pz' is constant; "
                                                                 "use the step 'constant', or leave the column out"),
    "outside a domain": (spoil(pz=lambda t: -t["pz"]), [], "step 'log': column 'pz' is not above 0 in"),
    "fewer rows than a batch": (None, ["fit.batch=5000"],
                                "training rows are fewer than a batch of 5000; lower fit.batch"),
    "few rows": (None, ["read.limit=2"], "needs more|fewer than a batch|no rows"),
    "unknown key": (None, ["fit.stepz=3"], r"no setting 'stepz' in \[fit\] of .*; nearest: steps"),
    "unknown section": (None, ["fitt.steps=3"], "no setting 'fitt' in .*; nearest: fit"),
    "unknown key of a category": (None, ["categories.far.wher=z"],
                                  r"no setting 'wher' in \[categories.far\] of .*; nearest: where"),
    "unknown nested key of a category": (None, ["categories.far.fit.stepz=3"],
                                         r"no setting 'stepz' in \[fit\] of category 'far'; nearest: steps"),
    "unknown model setting": (None, ["fit.model.transfroms=3"],
                              "no setting of kind 'flow' .* 'transfroms'; nearest: transforms"),
    "unknown kind": (None, ["fit.kind=flwo"], "no kind 'flwo' .*; nearest: flow"),
    "wrong value": (None, ["fit.steps=many"], "fit.steps = 'many' in .*: Input should be a valid integer"),
    "wrong choice": (None, ["fit.weights=drow"], "fit.weights = 'drow' in .*: Input should be 'draw', 'column' or"),
    "no key": (None, ["fit.steps"], "--set takes key.key=value; it was given 'fit.steps'"),
    "unknown device": (None, ["fit.device=tpu"], "no device 'tpu' here"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(shell: Shell, toy: Path, case: str) -> None:
    prepare, settings, message = BAD[case]
    if prepare is not None:
        prepare(toy)
    before = everything(toy)
    words = [word for setting in settings for word in ("--set", setting.format(folder=toy))]
    error = shell.refuses("run", toy / "toy.toml", "--out", toy / "run", *words)
    assert re.search(message, error), error
    assert everything(toy) == before
    assert not (toy / "run").exists(), "so that the mended command needs no other folder"


def test_rows_that_are_not_finite_can_be_left_out(shell: Shell, toy: Path) -> None:
    spoil(pz=with_nans)(toy)
    code, _, error = shell.run("fit", toy / "toy.toml", "--out", toy / "run", "--set", "read.drop_nonfinite=true")
    assert code == 0
    assert error.startswith("calque: note: ")
    assert "rows dropped; NaN or infinite: " in error
    assert "\n" not in error.replace("\ncalque: note: ", "").strip()


@pytest.mark.parametrize(("content", "message"), [
    (b"seed = ", "toy.toml is not valid TOML: "),
    (b"\xff\xfe", "toy.toml is not valid TOML: "),
    (b"seed = 1\nseed = 2", "toy.toml is not valid TOML: "),
    (b"[fit\n", "toy.toml is not valid TOML: "),
    (b"[categories.far]\nwhere = 3", "categories.far.where = 3 in "),
])
def test_a_bad_configuration_is_one_line(shell: Shell, toy: Path, content: bytes, message: str) -> None:
    (toy / "toy.toml").write_bytes(content)
    assert message in shell.refuses("run", toy / "toy.toml", "--out", toy / "run")
    assert not (toy / "run").exists()


@pytest.mark.parametrize(("words", "message"), [
    ([], "name a command; calque --help lists what there is"),
    (["runn", "x"], "No such command 'runn'. Did you mean 'run'; calque --help"),
    (["run"], "Missing argument 'toml'; calque run --help"),
    (["run", "demo", "--sett", "a=1"], "No such option: --sett"),
    (["run", "demos"], "no file or recipe 'demos'; nearest: demo"),
    (["produce", "a"], "Missing option '--out'"),
    (["produce", "a", "-o", "b.root"], "how many events? give n (-n)"),
    (["produce", "a", "-n", "9", "-o", "b.root", "--context", "id:13"], "--context takes NAME=NUMBER; it was given"),
    (["produce", "a", "-o", "b.root", "--context", "id=1", "--contexts", "c.root"], "either --context or --contexts"),
    (["produce", "a", "-n", "9", "-o", "b.root", "--where", "pz >"], "cannot parse the condition 'pz >'"),
    (["produce", "a", "-n", "many", "-o", "b.root"], "Invalid value for '-n'"),
    (["produce", "nowhere", "-n", "10", "-o", "b.root"], "nowhere is no run folder (no config.toml in it)"),
    (["judge", "nowhere"], "nowhere is no run folder"),
    (["simulate", "fixed-target", "-o", "a.root"], "'fixed-target' has to be told how many: pot"),
    (["simulate", "lines", "--pot", "5", "-o", "a.h5"], "no setting 'pot' of the simulator 'lines'"),
])
def test_a_wrong_command_is_one_line(shell: Shell, words: list[str], message: str) -> None:
    assert message in shell.refuses(*words)


@pytest.mark.parametrize(("words", "message"), [
    (["-n", "0"], "n = 0: the number of events"),
    (["-n", "10", "--order", "sortd"], "no order 'sortd'"),
    (["-n", "10", "--precision", "half"], "no precision 'half'"),
    (["-n", "10", "--workers", "0"], "workers = 0: at least 1 is needed"),
    (["-n", "10", "--first-event", "-1"], "first_event = -1"),
    (["-n", "10", "--compression", "best"], "no compression 'best'"),
    (["-n", "10", "--layout", "fairship-muons"], "no column 'px' to write as 'fairship-muons'"),
])
def test_a_wrong_production_is_one_line(
    shell: Shell, done: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    error = shell.refuses("produce", done / "run", "-o", tmp_path / "a.root", *words)
    assert message in error
    assert not (tmp_path / "a.root").exists()


@pytest.mark.parametrize("command", [["judge"], ["produce", "-n", "10", "-o", "{folder}/a.root"]])
def test_a_half_written_run_is_one_line(shell: Shell, done: Path, tmp_path: Path, command: list[str]) -> None:
    folder = Path(shutil.copytree(done / "run", tmp_path / "run"))
    words = [word.format(folder=tmp_path) for word in command]
    (folder / "far" / "model.safetensors").unlink()
    error = shell.refuses(words[0], folder, *words[1:])
    assert f"{folder}/far is half written: no model.safetensors in it; finish it with --resume" in error
    (folder / "far" / "model.safetensors").write_bytes(b"torn")
    assert f"{folder}/far/model.safetensors is not what was trained" in shell.refuses(words[0], folder, *words[1:])
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_is_one_line(
    shell: Shell, toy: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    before = everything(toy)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        error = shell.refuses("run", toy / "toy.toml", "--out", toy / "run")
    assert f"cannot write {toy}/run/near/config.toml: {os.strerror(code)}; free some space or choose" in error
    assert everything(toy) == before


def test_a_file_in_the_way_is_one_line(shell: Shell, toy: Path) -> None:
    error = shell.refuses("run", toy / "toy.toml", "--out", toy / "muons.npz" / "run")
    assert "cannot write" in error
    assert "Not a directory" in error


def test_a_full_disk_loses_nothing(shell: Shell, done: Path, toy: Path) -> None:
    """Files may not grow beyond half a checkpoint; with space again, `--resume` ends as if nothing had been."""
    (toy / "toy.toml").write_text(TOML.format(files=done / "muons.npz"))
    whole = (done / "run" / "near" / "checkpoint" / "state.safetensors").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole // 2, before[1]))
    try:
        error = shell.refuses("run", toy / "toy.toml", "--out", toy / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot write {toy}/run/near/checkpoint/state.safetensors: File too large; free some space" in error
    assert {Path(name).name for name in everything(toy / "run")} <= {"config.toml", "preparation.json", "split.npz",
                                                                    "contexts.npz", "history.jsonl"}
    shell.does("run", toy / "toy.toml", "--out", toy / "run", "--resume", "--set", "categories.far.judge.plots=false")
    for part in ("near", "far"):
        name = f"run/{part}/model.safetensors"
        assert (toy / name).read_bytes() == (done / name).read_bytes()


def test_debug_shows_where_it_went_wrong(shell: Shell, toy: Path) -> None:
    for words in (["--debug", "run", "nope"], ["run", "nope", "--debug"], ["judge", str(toy), "--debug"]):
        with pytest.raises(CalqueError):
            main(words)


def test_a_process_tells_by_its_exit_code() -> None:
    """`python -m calque` is `calque`; a traceback only where it is asked for."""
    command = [sys.executable, "-m", "calque"]
    refused = subprocess.run([*command, "run", "nope"], capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("calque: no file or recipe 'nope'; nearest: ")
    assert refused.stderr.count("\n") == 1
    shown = subprocess.run([*command, "--debug", "run", "nope"], capture_output=True, text=True)
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (version.returncode, version.stdout) == (0, f"{calque.__version__}\n")
