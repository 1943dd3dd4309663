"""Wrong settings: one line, at once, before anything is read or trained."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from calque.checks import check_early
from calque.cli import main
from calque.config import Config, build, load_config, merge, section_settings
from calque.config.plain import DEEPEST, check_plain
from calque.errors import CalqueError, ConfigError, FileError
from calque.folder import RESERVED
from calque.pipeline import run_all, train
from calque.simulating.opening import parametric


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../escaped", "/absolute", "a\\b", "a\0b"])
def test_a_category_is_one_plain_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"is no name of a folder|holds a NUL") as caught:
        build({"out": str(tmp_path), "categories": {name: {"where": "x > 0"}}}, "r.toml")
    assert "r.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RESERVED)
def test_a_category_takes_no_name_that_a_run_folder_uses(name: str) -> None:
    with pytest.raises(ConfigError, match="a run folder keeps something of its own there"):
        check_early(build({"categories": {name: {}}}, "r.toml"))


@pytest.mark.parametrize("out", ["../x.root", "a/../../x.root", "", ".", "..", "a/"])
def test_what_is_produced_stays_in_the_run_folder(out: str) -> None:
    with pytest.raises(ConfigError, match=r"produce.out = .* (leads out of the run folder|names no file)"):
        build({"produce": {"out": out}}, "r.toml")


@pytest.mark.parametrize("name", ["split.npz", "simulations.h5", "contexts.npz"])
def test_what_is_produced_does_not_replace_a_file_of_the_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is a file of the run itself"):
        check_early(build({"out": str(tmp_path), "produce": {"n": 5, "out": name}}, "r.toml"))


@pytest.mark.parametrize(("text", "message"), [
    ("a=" + "[" * 5000 + "]" * 5000, "nested too deep"), ("a=" + "[" * 60 + "]" * 60, "nested too deep"),
    ("seed=" + "9" * 5000, "is not valid TOML"), ("seed=" + "9" * 40, "an integer of 133 bits"),
    ("[fit]\nkind = ['a']", r"fit.kind = \['a'\]"), ("[fit]\nkind = 3", "fit.kind = 3"),
    ("[fit.model]\nx = nan", "is nan, which is no number"), ("[fit]\nthreads = 1000000", "fit.threads = 1000000"),
    ("[fit.optimiser]\nrate = inf", "fit.optimiser.rate = inf"), ("[fit.optimiser]\nbeta1 = 1.5", "beta1 = 1.5"),
    ("[prepare]\njudging = 1.5", "prepare.judging = 1.5"), ("[prepare]\nvalidation = -1", "prepare.validation = -1"),
    ("[read]\nlimit = -1", "read.limit = -1"), ("[read]\nworkers = 100000", "read.workers = 100000"),
    ("[produce]\nworkers = 0", "produce.workers = 0"), ("[produce.context]\nid = inf", "produce.context.id = inf"),
    ('out = ""', "out = ''"), ('out = "a\\u0000b"', "holds a NUL character"), ("categories = 3", "categories = 3"),
    ("fit = 3", "fit = 3"), ("[fit]\nteacher = 3", "fit.teacher"), ("[fit.teacher]\nkind = ['x']", "fit.teacher.kind"),
    ("[categories.a]\nfit = {kind = ['x']}", "fit.kind"), ("[categories.a]\nread = 5", "categories.a.read = 5"),
])
def test_a_table_of_nonsense_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(tmp_path / "r.toml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("setting", ["fit.steps=" + "9" * 5000, "a=" + "[" * 5000, ".".join("a" * 5000) + "=1"])
def test_a_setting_of_nonsense_is_one_line(tmp_path: Path, setting: str) -> None:
    (tmp_path / "r.toml").write_text("seed = 1")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "r.toml", [setting])
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    with pytest.raises(ConfigError):
        section_settings("fit", [setting])


plain = some.recursive(some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
                       lambda inner: some.lists(inner, max_size=2)
                       | some.dictionaries(some.text(max_size=3), inner, max_size=2), max_leaves=5)


def complaint(raw: dict[str, Any]) -> str:
    """What is wrong with a configuration; empty where nothing is."""
    try:
        config = build(raw, "here")
        for category in config.categories:
            config.category(category)
    except CalqueError as error:
        return str(error)
    return ""


@settings(max_examples=100, deadline=None, derandomize=True)
@given(section=some.sampled_from(sorted(Config.model_fields)), key=some.text(max_size=4), value=plain, data=some.data())
def test_any_value_of_any_setting_is_taken_or_refused_in_one_line(
    section: str, key: str, value: Any, data: some.DataObject
) -> None:
    annotation = str(Config.model_fields[section].annotation)
    fields = [name for name in ("kind", "out", "steps", "files", "n", "measures", "optimiser", "rows", "where")
              if "Config" in annotation]
    name = data.draw(some.sampled_from([key, *fields]))
    for raw in ({section: value}, {section: {name: value}}, {"categories": {"a": {section: {name: value}}}}):
        assert "\n" not in complaint(raw)


def test_a_table_within_tables_is_taken_up_to_a_depth() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"a": nested(depth - 1)} if depth else {}

    check_plain(nested(DEEPEST), "here")
    for depth in (DEEPEST + 1, 900):
        with pytest.raises(ConfigError, match="nested too deep"):
            check_plain(nested(depth), "here")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration that trains in a second."""
    place, stream = tmp_path_factory.mktemp("toy"), np.random.default_rng(0)
    np.savez(place / "a.npz", x=stream.normal(size=900), y=stream.normal(size=900), id=np.arange(900) % 2)
    return {"read": {"files": str(place / "a.npz")}, "prepare": {"context": ["id"]},
            "fit": {"kind": "realnvp", "steps": 1, "batch": 64, "measures": [], "watch": "latest",
                    "model": {"transforms": 1, "hidden": [4]}},
            "judge": {"measures": "columns", "rows": 100, "plots": False}, "produce": {"n": 50}}


@pytest.mark.parametrize(("section", "wrong", "message"), [
    ("produce", {"out": "fast.xyz"}, "does not tell its format"),
    ("produce", {"out": "nofolder/x.root"}, "there is no folder"),
    ("produce", {"compression": "zzz"}, "no compression 'zzz'"),
    ("produce", {"compression": "zstd-99"}, "levels of zstd are 1 to 22"),
    ("produce", {"layout": "nolayout"}, "no layout 'nolayout'"),
    ("produce", {"device": "gpu7"}, "no device 'gpu7'"),
    ("produce", {"where": "nocol > 3"}, "no column 'nocol'"),
    ("produce", {"where": "x >"}, "cannot parse the condition"),
    ("produce", {"where": "x > 0", "order": "sorted"}, "order = sorted"),
    ("produce", {"way": "latent"}, "leads into a region"),
    ("produce", {"context": {"nope": 1}}, "no context 'id' given"),
    ("produce", {"context": {"id": 0, "nope": 1}}, "no context 'nope'"),
    ("judge", {"measures": ["treez"]}, "no measure 'treez'"),
    ("judge", {"measures": "treez"}, "no measure 'treez'"),
    ("judge", {"views": ["nope"]}, "no view 'nope'"),
    ("judge", {"views": []}, "no view to judge in"),
    ("judge", {"define": {"mass": {"m": "sqrt(nocol)"}}}, "no column 'nocol'"),
    ("judge", {"define": {"mass": {"m": "sqrt("}}}, "cannot read the expression"),
    ("judge", {"define": {"mass": {"m": "-" * 3000 + "x"}}}, "nested too deep"),
    ("fit", {"model": {"hidden": [10**14]}}, "cannot be built with fit.model"),
])
def test_what_is_wrong_is_said_before_the_training(
    toy: dict[str, Any], tmp_path: Path, section: str, wrong: dict[str, Any], message: str
) -> None:
    config = build(merge(toy, {section: wrong, "out": str(tmp_path / "run")}), "r.toml")
    with pytest.raises((CalqueError), match=message) as caught:
        run_all(config, quiet=True, say=lambda text: None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists(), "nothing was trained, nothing is left"


def test_right_settings_pass(toy: dict[str, Any], tmp_path: Path) -> None:
    right = {"produce": {"context": {"id": 1}, "where": "x > -9", "device": "cpu", "compression": "zstd-3"},
             "judge": {"views": ["sum"], "define": {"sum": {"s": "x + y"}}}, "out": str(tmp_path / "run")}
    run, = train(build(merge(toy, right), "r.toml"), quiet=True, say=lambda text: None)
    assert run.provenance["steps"] == 1


@pytest.mark.parametrize("name", ["builtins:eval", "math:hypot", "sys:exit", "itertools:count"])
def test_a_simulator_is_a_function_of_a_file(name: str) -> None:
    with pytest.raises(ConfigError, match=r"part of Python, not a file|cannot be found out|no function|raised"):
        parametric(name, None, {"a": (0, 1)})


def test_an_error_nobody_thought_of_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: Exception) -> Any:
        def failing(*_: Any) -> None:
            raise error
        return failing

    for error, code, line in ((ZeroDivisionError("a\nb"), 1, "ZeroDivisionError: a; this is a fault of calque"),
                              (MemoryError(), 2, "not enough memory"),
                              (RuntimeError("DefaultCPUAllocator: not enough memory: x"), 2, "not enough memory"),
                              (FileError("caf\udce9.root"), 2, "caf\\udce9.root")):
        monkeypatch.setattr("calque.kinds.describe_kinds", fail(error))
        assert main(["models"]) == code
        printed = capsys.readouterr().err
        assert printed.startswith(f"calque: {line}")
        assert printed.count("\n") == 1
        with pytest.raises(type(error)):
            main(["models", "--debug"])


def calque(shell: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a shell, as a user calls it."""
    command = f'calque() {{ "{sys.executable}" -m calque "$@"; }}; set -o pipefail; {shell}'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=cwd, env=os.environ)


def test_a_closed_output_is_no_traceback(tmp_path: Path) -> None:
    run = partial(calque, cwd=tmp_path)
    closed = run("calque models >&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    assert run("calque models 2>&- >&- <&-").returncode == 0
    piped = run("calque models | true")
    assert piped.returncode in (0, 1, 141)
    assert piped.stderr == ""
    full = run("calque models > /dev/full")
    assert full.returncode == 2
    assert full.stderr.startswith("calque: ")
    assert full.stderr.count("\n") == 1
