"""Simulators with parameters: a user's function, processes, the cache, and what can be wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from shared import REPOSITORY

from calque.cli import main
from calque.config import SimulateConfig, load_config, to_toml
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.folder import SIMULATIONS
from calque.pipeline import simulated
from calque.reading import read, write
from calque.simulating import parts, simulate, simulator
from calque.simulating.kept import made_by
from calque.simulating.opening import open_simulator, parametric
from calque.simulating.parametric import Parametric
from calque.simulating.source import digest
from calque.table import Table

DECAY = '''
"""Counts of a decay in 5 bins of time."""
import numpy as np

def decay(parameters, seed, scale=1.0):
    rate, events = parameters.T[:, :, None]
    edges = np.arange(6)
    shares = np.diff(-np.exp(-rate * edges), axis=1)
    return scale * np.random.default_rng(seed).poisson(events * shares)

def where(parameters, seed):
    import os
    return np.full((len(parameters), 1), os.getpid())

def lists(parameters, seed):
    return parameters.tolist()
'''
FAULTS = '''
import numpy as np

def raises(p, seed):
    if (p[:, 0] > 0.9).any():
        raise ValueError("no such\\nthing")
    return p

def exits(p, seed):
    import sys
    sys.exit("licence expired")

def raises_together(p, seed):
    if len(p) > 1:
        raise ValueError("one at a time")
    return p

def not_a_number(p, seed):
    return np.where(p > 0.9, np.nan, p)

def shorter(p, seed):
    return p[1:]

def grows(p, seed):
    return np.zeros((len(p), 3 if p[0, 0] > 0.5 else 2))

def words(p, seed):
    return ["a"] * len(p)

def ragged(p, seed):
    return [np.zeros(n % 2 + 1) for n in range(len(p))]

def dies(p, seed):
    import os
    os._exit(1)
'''
SPACE = {"rate": (0.2, 2.0), "events": (10.0, 1000.0)}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with somebody's simulators."""
    (tmp_path / "mydecay.py").write_text(DECAY)
    (tmp_path / "myfaults.py").write_text(FAULTS)
    return tmp_path


def faulty(mine: Path, function: str, **settings: Any) -> Parametric:
    return parametric(f"myfaults:{function}", space={"a": (0, 1), "b": (0, 2)}, folder=mine, **settings)


def test_a_function_of_ones_own(mine: Path) -> None:
    opened = parametric("mydecay:decay", {"scale": 2.0}, SPACE, folder=mine)
    assert opened.names == ("rate", "events")
    vectors = np.tile([1.0, 500.0], (2000, 1))
    images = opened.images(vectors, seed=1)
    assert images.dtype == np.float32
    assert images.shape == (2000, 5)
    expected = 500 * np.exp(-np.arange(5)) * (1 - np.exp(-1))
    np.testing.assert_allclose(images.mean(0) / 2, expected, rtol=4 / np.sqrt(2000 * expected.min()))
    np.testing.assert_allclose(images.var(0) / 4, expected, rtol=0.15)
    assert len(np.unique(images, axis=0)) > 1900, "every call has a seed of its own"
    np.testing.assert_array_equal(opened.images(vectors, seed=1), images)
    assert not np.array_equal(opened.images(vectors, seed=2), images)


def test_images_do_not_depend_on_the_number_of_processes(mine: Path) -> None:
    alone, pool = (parametric("mydecay:decay", None, SPACE, folder=mine, workers=workers) for workers in (1, 2))
    vectors, heard = alone.choose(300, seed=4), []
    np.testing.assert_array_equal(alone.images(vectors, 7), pool.images(vectors, 7, progress=heard.append))
    assert heard == [64, 128, 192, 256, 300]
    elsewhere = parametric("mydecay:where", None, SPACE, folder=mine, workers=2).images(vectors, 7)
    assert os.getpid() not in elsewhere


def test_shipped_shapes_run_in_a_pool_too() -> None:
    alone, pool = (parametric("circles", workers=workers, chunk=10) for workers in (0, 2))
    vectors = alone.choose(30, seed=4)
    np.testing.assert_array_equal(alone.images(vectors, 7), pool.images(vectors, 7))


def test_the_light_map_is_a_simulator_with_parameters_too() -> None:
    opened = parametric("light-map", {"photons": 10}, {"x": (1, 100)}, chunk=4)
    assert opened.names == ("x", "y", "z")
    vectors = opened.choose(6, 0)
    images, again = opened.images(vectors, 3), parametric("light-map", {"photons": 10}, chunk=4).images(vectors, 3)
    assert images.shape == (6, 20, 6)
    np.testing.assert_array_equal(images, again)
    assert 0 < images.max() < 1
    assert simulator("light-map", n=2, photons=4).run().names == ("x", "y", "z", "image", "error")
    assert simulator("light-map", n=2, photons=4, repeat=2).run().names == ("x", "y", "z", "image")
    with pytest.raises(DataError, match=r"parameters outside the space of simulator 'light-map' .*first x = 500"):
        opened.images([[500, 0, 0]], 1)


def test_parameters_are_flat_in_their_space() -> None:
    narrow = parametric("pulse", space={"t0": (20, 22)})
    drawn = narrow.choose(20_000, seed=0)
    for column, low, high in zip(drawn.T, narrow.low, narrow.high, strict=True):
        counts, _ = np.histogram(column, 10, (low, high))
        assert counts.sum() == 20_000
        assert abs(counts - 2000).max() < 5 * np.sqrt(2000)
    assert (narrow.low[0], narrow.high[0]) == (20, 22)
    assert narrow.names == parametric("pulse").names


@pytest.mark.parametrize(("function", "message"), [
    ("raises", "raised ValueError: no such thing at a = 0.91, b = 0.5"),
    ("exits", "raised SystemExit: licence expired at a = 0, b = 0.5"),
    ("raises_together", "raised ValueError: one at a time for 64 vectors at once, the first a = 0, b = 0.5"),
    ("not_a_number", "returned NaN or infinite numbers at a = 0.91, b = 0.5"),
    ("shorter", "returned 63 images for 64 parameter vectors for 64 vectors at once, the first a = 0"),
    ("grows", r"returned images of shape \(3,\), before it was \(2,\) at a = 0.64, b"),
    ("words", "returned list of <U1, not an array of numbers"),
    ("ragged", "returned what is no array"),
])
def test_what_is_wrong_with_a_function_is_one_line(mine: Path, function: str, message: str) -> None:
    vectors = np.column_stack([np.arange(96) / 100, np.full(96, 0.5)])
    with pytest.raises(DataError, match=f"simulator 'myfaults:{function}' {message}") as caught:
        faulty(mine, function, workers=2 * (function in ("raises", "exits"))).images(vectors, 1)
    assert "\n" not in str(caught.value)
    assert "(N, 2)" in str(caught.value)


def test_a_process_that_dies_is_said(mine: Path) -> None:
    with pytest.raises(DataError, match=r"a process of the pool ended by itself.*workers = 1"):
        faulty(mine, "dies", workers=2, chunk=1).images(np.zeros((2, 2)), 1)


SLOW = """
import time
from pathlib import Path

def waits(p, seed):
    Path("started").touch()
    time.sleep(60)
    return p
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_ends_slow_calls_in_one_line(tmp_path: Path, workers: int) -> None:
    (tmp_path / "myslow.py").write_text(SLOW)
    command = ["simulate", "myslow:waits", "-n", "300", "--space", "a=0:1", "--workers", str(workers), "-o", "x.h5"]
    running = subprocess.Popen([sys.executable, "-m", "calque", *command, "--quiet"], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    while not (tmp_path / "started").exists():
        assert running.poll() is None
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    assert running.communicate(timeout=30)[0] == "calque: stopped\n"
    assert running.returncode == 130


@pytest.mark.parametrize(("vectors", "message"), [
    ([[0.5, 1.0], [0.5, 2.5]], r"in 1 of 2 vectors, first a = 0.5, b = 2.5; the space is a 0 … 1, b 0 … 2"),
    ([[0.5, np.nan]], "first a = 0.5, b = nan"),
    ([[0.5, 1.0, 1.0]], r"takes parameters \(N, 2\), N > 0: a, b; it was given \(1, 3\)"),
    (np.empty((0, 2)), r"given \(0, 2\)"),
])
def test_parameters_outside_the_space(mine: Path, vectors: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        faulty(mine, "raises").images(vectors, 1)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match=r"'lines' cannot draw 1 of 1 parameter vectors, first m = 2.5, x0 = 1, c = 8"):
        parametric("lines").images([[2.5, 1, 8, 14]], 1)
    with pytest.raises(DataError, match=r"can draw only 0 of .* vectors of its space \(m 2.4 … 2.5"):
        parametric("lines", space={"m": (2.4, 2.5), "c": (7, 8), "x_steps": (13, 14)}).choose(5, 0)


@pytest.mark.parametrize(("name", "settings", "message"), [
    ("mydecay:decay", {"space": {}}, r"needs its space.*\[simulate.space\]"),
    ("mydecay:decai", {}, "no function 'decai' in .*mydecay.py; nearest: decay"),
    ("mydecai:decay", {}, "no module 'mydecai' in .*beside the TOML file"),
    ("mydecay:decay", {"settings": {"scal": 2}}, "no setting 'scal' of the simulator 'mydecay:decay'; nearest: scale"),
    ("mydecay:decay", {"space": {"image": (0, 1)}}, "'image' is the column of what is simulated"),
    ("broken:decay", {}, "importing broken raised ZeroDivisionError"),
    ("needy:decay", {}, "needy imports 'no_such_module', which is not installed"),
    ("line", {}, "no simulator 'line'; nearest: lines.*'module:function'"),
    ("fixed-target", {}, "no simulator with parameters 'fixed-target'"),
])
def test_what_cannot_be_opened(mine: Path, name: str, settings: dict[str, Any], message: str) -> None:
    (mine / "broken.py").write_text("1 / 0")
    (mine / "needy.py").write_text("import no_such_module")
    wanted = SimulateConfig(simulator=name, folder=str(mine), **{"space": SPACE, **settings})
    with pytest.raises(ConfigError, match=message):
        open_simulator(wanted)


def test_two_modules_of_one_name_are_two(mine: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "mydecay.py").write_text("def decay(p, seed): return 0 * p")
    assert parametric("mydecay:decay", None, SPACE, folder=mine).images([[1, 500]], 1).sum() > 300
    assert parametric("mydecay:decay", None, SPACE, folder=other).images([[1, 500]], 1).sum() == 0


def test_the_cache_is_read_again_and_nothing_else(mine: Path) -> None:
    opened, path = parametric("mydecay:decay", None, SPACE, folder=mine), mine / "kept.h5"
    vectors = opened.choose(100, 0)
    images = opened.images(vectors, 1, cache=path)
    np.testing.assert_array_equal(images, opened.images(vectors, 1))
    assert made_by(path)["simulator"] == "mydecay:decay"
    with h5py.File(path, "r+") as file:
        file["image"][0] = -1
    assert opened.images(vectors, 1, cache=path)[0].tolist() == [-1] * 5, "it comes from the file"
    table = read(path)
    assert table.names == ("rate", "events", "image")
    np.testing.assert_array_equal(table["events"], vectors[:, 1])
    for other, more, seed in ((opened, vectors[1:], 1), (opened, vectors, 2),
                              (parametric("mydecay:decay", {"scale": 2}, SPACE, folder=mine), vectors, 1)):
        with pytest.raises(FileError, match=r"kept.h5 holds other simulations .*remove it"):
            other.images(more, seed, cache=path)
    (mine / "mydecay.py").write_text(DECAY.replace("np.arange(6)", "np.arange(7)"))
    with pytest.raises(FileError, match=r"holds other simulations \(source .*, now "):
        parametric("mydecay:decay", None, SPACE, folder=mine).images(vectors, 1, cache=path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"kept.h5 is damaged"):
        opened.images(vectors, 1, cache=path)


@pytest.mark.parametrize(("before", "after", "same"), [
    ("DAYS = 2.0\ndef f(p, s, k=1):\n    return DAYS * p", "# of a week\nDAYS = 2.0\n\n\n"
     "def f(p: Array, s: int, k: int = 1) -> Array:\n    'Says.'\n    return (DAYS * p)  # them", True),
    ("@dataclass\nclass F:\n    a: int = 1\n    b: int = 2", "@dataclass\nclass F:\n    'A field.'\n    a: float = 1\n"
     "    b: str = 2", True),
    ("@dataclass\nclass F:\n    a: int\n    b: int", "@dataclass\nclass F:\n    b: int\n    a: int", False),
    ("def f(p, s):\n    return p", "def f(p, s):\n    return -p", False),
    ("def f(p, s, k=1):\n    return p", "def f(p, s, k=2):\n    return p", False),
    ("A = 'words'", "A = 'more words'", False),
])
def test_the_code_of_a_source_counts_not_how_it_is_written(tmp_path: Path, before: str, after: str, same: bool) -> None:
    for name, text in (("before.py", before), ("after.py", after)):
        (tmp_path / name).write_text(text)
    assert (digest(str(tmp_path / "before.py")) == digest(str(tmp_path / "after.py"))) is same


def test_what_is_compiled_counts_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f.so").write_bytes(b"\x7fELF 1")
    one = digest(str(tmp_path / "f.so"))
    (tmp_path / "f.so").write_bytes(b"\x7fELF 2")
    assert "" != one != digest(str(tmp_path / "f.so"))
    assert digest(None) == digest(str(tmp_path / "absent.py")) == ""


def test_a_cache_is_complete_or_absent(mine: Path) -> None:
    vectors = np.column_stack([np.arange(96) / 100, np.full(96, 0.5)])
    with pytest.raises(DataError):
        faulty(mine, "raises").images(vectors, 1, cache=mine / "kept.h5")
    assert [path.suffix for path in mine.glob("*kept*")] == [".parts"]


COUNTING = """
import numpy as np
from pathlib import Path

def counts(p, seed):
    with Path("seen").open("a") as seen:
        seen.write(f"{len(p)} ")
    if Path("impatient").exists() and Path("seen").read_text().count(" ") == 4:
        raise KeyboardInterrupt
    return np.random.default_rng(seed).normal(size=(len(p), 3)) + p
"""


@pytest.mark.parametrize(("every", "damaged"), [(0.0, 0), (0.0, 2), (1e9, 0), (1e9, 1)])
def test_an_interrupted_simulation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float,
                                           damaged: int) -> None:
    """What was made, and lies there whole, is not made again; what comes out is the same, and nothing else is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "EVERY", every)
    (tmp_path / "mycount.py").write_text(COUNTING)
    (tmp_path / "impatient").touch()
    opened = parametric("mycount:counts", None, {"a": (0, 1)}, chunk=10)
    vectors, path, seen = opened.choose(58, 0), tmp_path / "kept.h5", tmp_path / "seen"
    for seed in (1, 2):
        with pytest.raises(CalqueError, match=r"stopped; 30 images for .*kept.h5 are kept, and the same command goes"):
            opened.images(vectors, seed, cache=path)
        seen.unlink()
    assert not path.exists()
    (tmp_path / "impatient").unlink()
    (tmp_path / ".kept.h5.123.part").write_text("of one that was killed")
    for folder in tmp_path.glob(".kept.h5.*.parts"):
        saved = sorted(folder.iterdir())
        assert len(saved) == (3 if every == 0 else 1)
        for part in saved[-damaged:] if damaged else ():
            part.write_bytes(part.read_bytes()[:100])
    images = opened.images(vectors, 1, cache=path)
    whole = 3 - damaged if every == 0 else 3 * (1 - damaged)
    assert seen.read_text() == (5 - whole) * "10 " + "8 "
    np.testing.assert_array_equal(images, opened.images(vectors, 1))
    assert [entry.name for entry in tmp_path.iterdir() if "kept" in entry.name] == ["kept.h5"]


TOML = """
out = "{out}"
seed = 3
[simulate]
simulator = "mydecay:decay"
n = 40
repeat = 2
workers = 0
[simulate.space]
rate = [0.2, 2.0]
events = [10.0, 1000.0]
[prepare]
steps = []
"""


def test_a_configuration_simulates_once(mine: Path) -> None:
    toml, said = mine / "decay.toml", []
    toml.write_text(TOML.format(out=mine / "run"))
    config = simulated(load_config(toml), quiet=True, say=said.append)
    assert config.read.files == str(mine / "run" / SIMULATIONS)
    assert config.prepare.context == config.prepare.together == ["rate", "events"]
    table = read(config.read.files)
    np.testing.assert_array_equal(table["rate"][::2], table["rate"][1::2])
    assert len(np.unique(table["rate"])) == 40
    assert (table["image"][::2] != table["image"][1::2]).any(1).all(), "repeated with other noise"
    assert simulated(load_config(toml), quiet=True, say=said.append) == config
    made = "80 images of mydecay:decay"
    assert [text.partition(": ")[2] for text in said] == [made, f"{made}, simulated before"]
    assert simulated(config) is config, "files are read as they are"
    resolved = mine / "elsewhere" / "config.toml"
    resolved.parent.mkdir()
    resolved.write_text(to_toml(config.model_dump()))
    assert load_config(resolved) == config, "and finds the function from anywhere"


def test_a_misspelt_kind_is_told_before_anything_is_simulated(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "decay.toml").write_text(TOML.format(out=mine / "run"))
    assert main(["fit", str(mine / "decay.toml"), "--set", "fit.kind=emulatr"]) == 2
    assert "no kind 'emulatr'" in capsys.readouterr().err
    assert not (mine / "run").exists()


def test_the_command_simulates_what_a_name_or_a_file_says(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    (mine / "decay.toml").write_text(TOML.format(out="run"))
    given = ["-o", "named.h5", "-n", "40", "--seed", "3", "--space", "rate=0.2:2", "--space", "events=10:1000"]
    assert main(["simulate", "mydecay:decay", *given, "--setting", "scale=3"]) == 0
    assert main(["simulate", "decay.toml", "-o", "file.h5"]) == 0
    assert main(["simulate", "decay.toml", "-o", "short.h5", "-n", "7"]) == 0
    named, file, short = (read(f"{name}.h5") for name in ("named", "file", "short"))
    assert (len(named), len(file), len(short)) == (40, 80, 14)
    np.testing.assert_array_equal(named["rate"], file["rate"][::2])
    assert named["image"].sum() == pytest.approx(3 * file["image"].sum() / 2, rel=0.1)
    np.testing.assert_array_equal(short["image"], file["image"][:14])


def test_the_page_tells_the_spaces_of_shipped_simulators() -> None:
    page = (REPOSITORY / "docs" / "emulating.md").read_text()
    for name in ("lines", "circles", "pulse"):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        opened = parametric(name)
        for low, high in zip(opened.low, opened.high, strict=True):
            assert f" {low:g} … {high:g}" in row, (name, low, high)


@pytest.mark.parametrize(("arguments", "message"), [
    (["lines", "-n", "5", "--space", "m=2"], "--space takes NAME=LOW:HIGH"),
    (["lines", "-n", "5", "--setting", "hart=true"], "no setting 'hart' of the simulator 'lines'; nearest: hard"),
    (["mydecay:decay", "-n", "5"], "needs its space"),
    (["mydecay:decay", "-n", "5", "--space", "rate=1:2", "--parameters", "truth"], "knows no true sample"),
    (["plain.toml"], "plain.toml has no section [simulate]"),
    (["nowhere.toml"], "no file or recipe 'nowhere.toml'"),
])
def test_the_command_refuses(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                             arguments: list[str], message: str) -> None:
    monkeypatch.chdir(mine)
    (mine / "plain.toml").write_text("seed = 1")
    assert main(["simulate", *arguments, "-o", "x.h5"]) == 2
    assert message in capsys.readouterr().err


def test_a_simulator_is_set_up_in_python(mine: Path) -> None:
    made = simulator("mydecay:decay", n=6, repeat=2, space=SPACE, folder=mine, scale=0.0)
    assert made.total == 12
    assert simulate(made, mine / "some.npz") == 12
    assert read(mine / "some.npz")["image"].max() == 0
    with pytest.raises(CalqueError, match="setting 'n'"):
        simulator("mydecay:decay", space=SPACE, folder=mine)


def test_parameters_of_a_file_are_simulated_anew(tmp_path: Path) -> None:
    """Columns by name, in another order and type; each row `repeat` times; the same images as in Python."""
    wanted = np.array([[1.0, 5.0, 2.0, 9.0], [0.5, 4.0, 1.0, 10.0], [1.5, 6.0, 0.5, 8.0]])
    names = ("m", "x0", "c", "x_steps")
    columns = dict(zip(names, wanted.T, strict=True))
    write(Table.of({name: columns[name] for name in reversed(names)}), tmp_path / "found.csv")
    made = simulator("lines", parameters=str(tmp_path / "found.csv"), repeat=2, seed=4)
    table = made.run()
    assert len(table) == made.total == 6
    vectors = np.stack([table[name] for name in names], 1)
    assert np.array_equal(vectors, wanted.repeat(2, axis=0))
    lines = parametric("lines")
    assert np.array_equal(table["image"], lines.images(wanted.repeat(2, axis=0), 4))
    assert len(simulator("lines", parameters=str(tmp_path / "found.csv"), n=2).run()) == 2


@pytest.mark.parametrize(("settings", "message"), [
    ({"parameters": "none.h5"}, "is no file; it may also be 'prior' or 'truth'"),
    ({"parameters": "found.csv", "n": 5}, "holds 3 parameter vectors; n = 5"),
    ({"parameters": "found.csv", "space": {"m": (0.0, 1.2)}}, "outside the space of simulator 'lines' in 1 of 3"),
])
def test_parameters_of_a_file_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    columns = {"m": [1.0, 0.5, 1.5], "x0": [5.0, 4, 6], "c": [2.0, 1, 0.5], "x_steps": [9.0, 10, 8]}
    write(Table.of(columns), "found.csv")
    with pytest.raises(CalqueError, match=message):
        simulator("lines", **settings).run()
