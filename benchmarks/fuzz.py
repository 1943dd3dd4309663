"""Damaged files of every kind: each is read, refused in one line, or gives what it gave before.

    python benchmarks/fuzz.py [mutants, default 2000] [seconds a core, default 60] [cores, default 2] [seed]

Mutants of event files in all formats, of run folders and folders of categories, of checkpoints, of
settings in TOML and of the small JSON files: flipped bits, cuts, garbage, zeros, repeated pieces,
other files' contents, other types. Prints tried, survived, refused and failed for each kind, and
every failure. A mutant fails by a traceback, by more than ten seconds, by a crash, or by a run
folder or checkpoint that opens with other contents and without a word. Exit code 1 if one did.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calque.checkpoints import previous_of, read_newest
from calque.config import build, load_config, to_toml
from calque.errors import CalqueError
from calque.folder import CHECKPOINT
from calque.mixture import load
from calque.pipeline import train
from calque.producing import produce
from calque.producing.record import record_of
from calque.reading import look, read, write
from calque.recipes import shipped
from calque.table import Table

PATIENCE = 10.0  # seconds for one mutant
MEMORY = 12 * 2**30  # bytes of address space
ROWS = 300
SUFFIXES = ("root", "h5", "parquet", "npz", "npy", "csv")


class ChangedError(Exception):
    """A damaged folder was opened without a word and holds something else."""


@dataclass(frozen=True)
class Subject:
    """One file to damage, and what is done with it; `expected` is what has to come out, if anything does."""

    kind: str
    path: Path
    use: Callable[[], Any]
    expected: Any = None


def make_subjects(place: Path) -> list[Subject]:
    """Files of all kinds in a folder."""
    found = [*list(event_files(place)) * 3, *settings_files(place)]
    for name, folder in make_runs(place).items():
        found += run_files(name, folder)
    return [*found, *production_files(place), *checkpoint_files(place / "run")]


def event_files(place: Path) -> Iterator[Subject]:
    """A sample in every format, with images where the format has them."""
    stream = np.random.default_rng(0)
    table = Table.of({"px": stream.normal(size=ROWS).astype("f4"), "e": stream.exponential(size=ROWS),
                      "id": stream.choice([-13, 13], ROWS).astype("i4"), "n": np.arange(ROWS, dtype="u8")},
                     {"px": "GeV"})
    for suffix in SUFFIXES:
        path = place / f"events.{suffix}"
        write(table, path)
        yield Subject(suffix, path, lambda path=path: (str(look(path)), read(path)))
    for suffix in ("root", "h5", "npy"):
        path = place / f"images.{suffix}"
        write(Table.of({"image": stream.normal(size=(40, 3, 4)).astype("f4")}), path)
        yield Subject(suffix, path, lambda path=path: (str(look(path)), read(path)))


def settings_files(place: Path) -> Iterator[Subject]:
    """The recipes that ship."""
    for name, recipe in shipped().items():
        path = place / f"{name}.toml"
        shutil.copy(recipe, path)
        yield Subject("toml", path, lambda path=path: to_toml(load_config(path).tables()))


def make_runs(place: Path) -> dict[str, Path]:
    """A run, and a run of two categories, each with a context."""
    write(Table.of({"x": np.random.default_rng(0).normal(size=600), "y": np.random.default_rng(1).normal(size=600),
                    "id": np.arange(600, dtype="i4") % 2}), place / "a.npz")
    raw = {"read": {"files": str(place / "a.npz")}, "prepare": {"context": ["id"]},
           "fit": {"kind": "realnvp", "steps": 4, "batch": 64, "checkpoint_every": 2, "watch": "latest",
                   "measures": [], "model": {"transforms": 1, "hidden": [8]}}}
    parts = {"run": {}, "both": {"light": {"where": "x > 0"}, "heavy": {"where": "x <= 0"}}}
    for name, categories in parts.items():
        config = build({**raw, "out": str(place / name), "categories": categories}, "here")
        train(config, quiet=True, say=lambda text: None)
    return {name: place / name for name in parts}


def run_files(name: str, folder: Path) -> Iterator[Subject]:
    """Every file of a folder that opening it reads."""
    def draw() -> bytes:
        drawn = load(folder).sample(200, seed=3)
        return b"".join(drawn[column].tobytes() for column in sorted(drawn.names))

    expected = draw()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.parent.name != Path(CHECKPOINT).parent.name:
            yield Subject(f"folder ({name})", path, draw, expected)


def checkpoint_files(folder: Path) -> Iterator[Subject]:
    """A checkpoint and the one before it: one of the two comes back, whole."""
    path = folder / CHECKPOINT

    def identity() -> bytes:
        counters, tensors = read_newest(path)
        return json.dumps(counters).encode() + b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))

    expected, whole = [identity()], path.read_bytes()
    path.write_bytes(b"")
    expected.append(identity())
    path.write_bytes(whole)
    for place in (path, previous_of(path)):
        yield Subject("checkpoint", place, identity, expected)


def production_files(place: Path) -> Iterator[Subject]:
    """A finished file and its record: with --resume it is known, or refused."""
    out = place / "made.csv"

    def resume() -> str:
        return str(produce(place / "run", 300, out=out, exact=True, quiet=True, resume=True))

    produce(place / "run", 300, out=out, exact=True, quiet=True)
    expected = resume()
    for path in (out, record_of(out)):
        yield Subject("production", path, resume, expected)


def mutate(content: bytes, stream: np.random.Generator, others: list[bytes]) -> tuple[str, bytes]:
    """A damaged copy, and how it was damaged."""
    kinds = [flip_bits, cut, insert_garbage, zero_range, repeat_piece, empty, change_number, change_json]
    chosen = kinds[stream.integers(len(kinds) + 1) % len(kinds)] if stream.random() > 0.05 else None
    if chosen is None:
        return "another file", others[stream.integers(len(others))]
    return chosen.__name__, chosen(bytearray(content), stream)


def place_in(content: bytearray, stream: np.random.Generator) -> int:
    """A place: half of the time near one of the ends, where headers lie."""
    size = max(1, len(content))
    near = int(stream.integers(min(400, size)))
    return int(stream.choice([stream.integers(size), stream.integers(size), near, size - 1 - near]))


def flip_bits(content: bytearray, stream: np.random.Generator) -> bytes:
    for _ in range(stream.integers(1, 9)):
        if content:
            content[place_in(content, stream)] ^= 1 << int(stream.integers(8))
    return bytes(content)


def cut(content: bytearray, stream: np.random.Generator) -> bytes:
    return bytes(content[: place_in(content, stream)])


def insert_garbage(content: bytearray, stream: np.random.Generator) -> bytes:
    at = place_in(content, stream)
    return bytes(content[:at] + stream.bytes(int(stream.integers(1, 100))) + content[at:])


def zero_range(content: bytearray, stream: np.random.Generator) -> bytes:
    at, size = place_in(content, stream), int(stream.integers(1, 4096))
    piece = content[at : at + size]
    return bytes(content[:at] + bytes(len(piece)) + content[at + size :])


def repeat_piece(content: bytearray, stream: np.random.Generator) -> bytes:
    at, size = place_in(content, stream), int(stream.integers(1, 200))
    return bytes(content[: at + size] + content[at : at + size] * int(stream.integers(1, 4)) + content[at + size :])


def empty(content: bytearray, stream: np.random.Generator) -> bytes:
    return b""


def change_number(content: bytearray, stream: np.random.Generator) -> bytes:
    """Another number, or a word, in place of a digit: what a text file may hold."""
    digits = [at for at in range(len(content)) if 48 <= content[at] <= 57]
    if not digits:
        return flip_bits(content, stream)
    at = digits[stream.integers(len(digits))]
    words = [b"9" * 30, b"-1", b"nan", b"1e999", b'"a"', b"[]", b"{}", b"true", b"0", b"\xff", b"[" * 3000]
    return bytes(content[:at] + words[stream.integers(len(words))] + content[at + 1 :])


def change_json(content: bytearray, stream: np.random.Generator) -> bytes:
    """Another type in place of a value, or a key that is missing."""
    try:
        tree = json.loads(content)
    except ValueError:
        return change_number(content, stream)
    node, key = tree, None
    places = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    if not places:
        return b"[]"
    node, key = places[stream.integers(len(places))]
    if isinstance(node, dict) and stream.random() < 0.3:
        del node[key]
    else:
        values = [None, 0, -1, 1e308, "x", "", [], {}, [[]], True, [1, "a"], {"a": 1}, 10**30]
        node[key] = values[stream.integers(len(values))]
    return json.dumps(tree).encode()


def attempt(subject: Subject) -> str:
    """What comes of a damaged file: survived or refused; raises what nobody may see."""
    try:
        outcome = subject.use()
    except CalqueError as error:
        if "\n" in str(error):
            raise ChangedError(f"a message of several lines: {error}") from error
        return "refused"
    except MemoryError:
        return "refused"  # one line, at the command line
    except OSError as error:
        if error.errno is None:
            raise
        return "refused"  # one line, at the command line
    allowed = subject.expected if isinstance(subject.expected, list) else [subject.expected]
    if subject.expected is not None and outcome not in allowed:
        raise ChangedError("it was opened without a word, and holds something else")
    return "survived"


def try_mutant(subjects: list[Subject], number: int, seed: int) -> dict[str, str]:
    """Damage one file, use it, and put it back."""
    stream = np.random.default_rng([seed, number])
    subject = subjects[number % len(subjects)]
    whole = subject.path.read_bytes()
    others = [other.path.read_bytes() for other in subjects if other.path != subject.path]
    how, content = mutate(whole, stream, others)
    told = {"kind": subject.kind, "file": subject.path.name, "how": how, "number": str(number)}
    subject.path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {**told, "outcome": attempt(subject)}
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {str(error).splitlines()[:1]} at {where.filename}:{where.lineno}"
        return {**told, "outcome": "silent" if isinstance(error, ChangedError) else "traceback", "why": what}
    finally:
        subject.path.write_bytes(whole)


def work(subjects: list[Subject], numbers: Iterator[int], seed: int, stop: float, least: int, to: int) -> None:
    """Try mutants and report each, before and after, through a pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in numbers:
        if time.monotonic() > stop and number >= least:
            break
        os.write(to, (json.dumps({"begin": number}) + "\n").encode())
        os.write(to, (json.dumps(try_mutant(subjects, number, seed)) + "\n").encode())
    os._exit(0)


def supervise(seconds: float, least: int, seed: int, start: int, step: int) -> list[dict[str, str]]:
    """Let a child try mutants; one that hangs or crashes is a failure, and another child goes on."""
    with tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(1)
        subjects = make_subjects(Path(folder))
        copies = {subject.path: subject.path.read_bytes() for subject in subjects}
        outcomes: list[dict[str, str]] = []
        stop, number = time.monotonic() + seconds, start
        while time.monotonic() < stop or number < least:
            number, ended = watch(subjects, number, step, seed, stop, least, outcomes)
            for path, content in copies.items():
                path.write_bytes(content)
            if ended:
                break
    return outcomes


def watch(subjects: list[Subject], number: int, step: int, seed: int, stop: float, least: int,
          outcomes: list[dict[str, str]]) -> tuple[int, bool]:
    """One child, until it ends, hangs or crashes; the number to go on with, and whether all is done."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        work(subjects, iter(range(number, 10**9, step)), seed, stop, least, theirs)
    os.close(theirs)
    held, begun, why = b"", number, ""
    while True:
        if not select.select([ours], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
            why = "hang"
            break
        piece = os.read(ours, 2**16)
        if not piece:
            break
        *lines, held = (held + piece).split(b"\n")
        for line in map(json.loads, lines):
            if "begin" in line:
                begun = line["begin"]
            else:
                outcomes.append(line)
                number = begun + step
    os.close(ours)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return number, True
    subject = subjects[begun % len(subjects)]
    outcomes.append({"kind": subject.kind, "file": subject.path.name, "how": "?", "number": str(begun),
                     "outcome": why or "crash", "why": f"status {status}"})
    return begun + step, False


def main() -> int:
    given = [float(word) for word in sys.argv[1:5]]
    least, seconds, cores, seed = (int(one) for one in (given + [2000, 60, 2, 0][len(given):]))
    if len(sys.argv) > 5:  # one core of several
        print(json.dumps(supervise(seconds, least, seed, int(sys.argv[5]), cores)))
        return 0
    command = [sys.executable, __file__, str(least), str(seconds), str(cores), str(seed)]
    begun = [subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
             for core in range(cores)]
    outcomes = [entry for process in begun for entry in json.loads(process.communicate()[0])]
    return report(outcomes)


def report(outcomes: list[dict[str, str]]) -> int:
    """Print the counts of each kind, and every failure."""
    columns = ("survived", "refused", "traceback", "hang", "crash", "silent")
    print(f"| kind | tried | {' | '.join(columns)} |\n|---|{'---|' * (len(columns) + 1)}")
    kinds = sorted({entry["kind"] for entry in outcomes})
    for kind in [*kinds, "all"]:
        mine = [entry["outcome"] for entry in outcomes if kind in (entry["kind"], "all")]
        print(f"| {kind} | {len(mine)} | " + " | ".join(str(mine.count(name)) for name in columns) + " |")
    failed = [entry for entry in outcomes if entry["outcome"] not in ("survived", "refused")]
    for entry in failed:
        print(f"mutant {entry['number']}: {entry['outcome']} of {entry['file']} ({entry['how']}): {entry['why']}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
