"""Kills, full disks, power cuts and hostile names: what is left is whole, and --resume ends as if nothing had been.

    python benchmarks/chaos.py [kills, default 100] [seed]

Every command runs in a forked process and is killed (SIGKILL) at a random moment, again and again,
until one run of it ends; its outcome must be that of an undisturbed one, bit for bit. Full disks
are a limit of the file size, and a small tmpfs where this may be mounted; power cuts are copies of
a mounted ext4 image, taken while a command runs and right after it, where loop mounts are allowed.
Hostile names are markup in columns, units and files of a judgement. Exit code 1 if anything failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import torch

import calque.judging.verdict
import calque.pipeline
import calque.simulating.sample
import calque.simulating.shapes  # noqa: F401  what is imported here is not imported again after each fork
from calque.cli import main as run_command
from calque.mixture import load
from calque.reading import read, write
from calque.table import Table

TOML = """
out = "run"
[read]
files = "a.npz"
[fit]
kind = "nsf"
steps = 150
batch = 64
watch_every = 20
checkpoint_every = 5
watch_rows = 60
measures = []
threads = 1
[fit.model]
transforms = 1
hidden = [8]
[judge]
measures = ["columns", "correlation"]
rows = 300
plots = false
[produce]
n = 3000
out = "fast.csv"
exact = true
"""
LONGEST = 120.0  # seconds of one command
FAILURES: list[str] = []


@dataclass(frozen=True)
class Job:
    """A command in a folder of its own, how it goes on after a kill, and what identifies its outcome."""

    name: str
    first: tuple[str, ...]
    again: tuple[str, ...]
    outcome: Callable[[Path], str]
    final: str  # the file that may only be there when it is complete


def check(right: bool, what: str) -> None:
    """Remember and print a failure."""
    if not right:
        FAILURES.append(what)
        print(f"FAILED: {what}")


def prepare_place(place: Path) -> None:
    """The sample and the settings."""
    stream = np.random.default_rng(0)
    x = stream.normal(size=1500).astype("f4")
    np.savez(place / "a.npz", x=x, y=(x / 2 + stream.normal(size=1500)).astype("f4"))
    (place / "r.toml").write_text(TOML)


def start(arguments: tuple[str, ...], place: Path, limit: int = 0) -> int:
    """Run a command in a forked process; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        quiet = os.open(place / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        os.chdir(place)
        code = run_command(list(arguments))
        sys.stdout.flush()
        os._exit(code)
    except BaseException:
        os._exit(77)


def run(arguments: tuple[str, ...], place: Path, limit: int = 0) -> int:
    """Run a command to its end; returns its exit code."""
    status = os.waitpid(start(arguments, place, limit), 0)[1]
    return os.waitstatus_to_exitcode(status)


def run_for(arguments: tuple[str, ...], place: Path, seconds: float) -> int | None:
    """Run a command and kill it after a while; its exit code, or None if it was killed."""
    child, stop = start(arguments, place), time.monotonic() + seconds
    while time.monotonic() < stop:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def digest(path: Path) -> str:
    """What a file holds: of events their columns, for some formats carry a time; of others the bytes."""
    if path.suffix in (".root", ".h5"):
        table = read(path)
        return hashlib.sha256(b"".join(table[name].tobytes() for name in table.names)).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights_of(place: Path) -> str:
    load(place / "run")  # all hashes agree
    return digest(place / "run" / "model.safetensors")


def numbers_of(place: Path) -> str:
    report = json.loads((place / "run" / "report.json").read_text())
    return json.dumps(report["estimates"], sort_keys=True)


def everything_of(place: Path) -> str:
    return "\n".join([weights_of(place), numbers_of(place), digest(place / "run" / "fast.csv")])


def jobs() -> list[Job]:
    """What is killed; a fit comes first, for produce and judge need a run."""
    fit = ("fit", "r.toml", "--quiet")
    both = ("run", "r.toml", "--quiet")
    found = [Job("fit", fit, (*fit, "--resume"), weights_of, "run/provenance.json"),
             Job("run", both, (*both, "--resume"), everything_of, "run/fast.csv")]
    for suffix in ("csv", "h5", "root", "npy"):
        made = ("produce", "run", "-n", "40000", "--exact", "--quiet", "-o", f"o.{suffix}")
        found.append(Job(f"produce {suffix}", made, (*made, "--resume"),
                         lambda place, suffix=suffix: digest(place / f"o.{suffix}"), f"o.{suffix}"))
    judged = ("judge", "run")
    found.append(Job("judge", judged, judged, numbers_of, "run/report.json"))
    images = ("simulate", "lines", "-n", "400", "--workers", "0", "--quiet", "-o", "images.h5")
    found.append(Job("simulate", images, images, lambda place: digest(place / "images.h5"), "images.h5"))
    return found


def kill_job(job: Job, trained: Path, wanted: int, stream: np.random.Generator) -> int:
    """Kill a command again and again, and compare what it ends with; returns the number of kills."""
    with fresh(trained, job) as place:
        begun = time.monotonic()
        check(run(job.first, place) == 0, f"{job.name}: undisturbed: {last_line(place)}")
        seconds, expected = time.monotonic() - begun, job.outcome(place)
    kills = 0
    while kills < wanted:
        with fresh(trained, job) as place:
            arguments = job.first
            for _ in range(int(stream.integers(1, 4))):
                code = run_for(arguments, place, stream.uniform(0, seconds))
                if code is not None:
                    check(code == 0, f"{job.name}: exit code {code}: {last_line(place)}")
                    break
                kills += 1
                if (place / job.final).is_file():
                    check(is_whole(job, place), f"{job.name}: {job.final} is there, and torn")
                arguments = job.again if has_begun(job, place) else job.first
            else:
                code = run(arguments, place)
                check(code == 0, f"{job.name}: resumed: exit code {code}: {last_line(place)}")
            check(code == 0 and job.outcome(place) == expected, f"{job.name}: another outcome than undisturbed")
    return kills


def is_whole(job: Job, place: Path) -> bool:
    """Whether a file under its final name can be read."""
    path = place / job.final
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            read(path)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return False
    return True


def has_begun(job: Job, place: Path) -> bool:
    """Whether --resume has something to go on with: without it a folder that is there is refused."""
    return job.name not in ("fit", "run") or (place / "run" / "config.toml").is_file()


@contextmanager
def fresh(trained: Path, job: Job) -> Iterator[Path]:
    """A folder of its own, with a trained run where a command needs one."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        prepare_place(place)
        if job.name.startswith(("produce", "judge")):
            shutil.copytree(trained / "run", place / "run")
        yield place


def last_line(place: Path) -> str:
    """The last line that a command printed."""
    return ((place / "log.txt").read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]


def fill_disks(trained: Path, stream: np.random.Generator) -> int:
    """Let every command run out of space at a random size; with space again it ends as an undisturbed one."""
    tried = 0
    for job in jobs():
        with fresh(trained, job) as place:
            check(run(job.first, place) == 0, f"{job.name}: undisturbed: {last_line(place)}")
            expected = job.outcome(place)
        for limit in stream.integers(200, 60_000, 4):
            with fresh(trained, job) as place:
                code = run(job.first, place, int(limit))
                told = last_line(place)
                check(code in (0, 2), f"{job.name}: exit code {code} on a full disk: {told}")
                check(code == 0 or told.startswith("calque: "), f"{job.name}: {told}")
                code = run(job.again if has_begun(job, place) else job.first, place)
                same = code == 0 and job.outcome(place) == expected
                check(same, f"{job.name}: after a full disk: {last_line(place)}")
                tried += 1
    return tried


def mount(*arguments: str) -> bool:
    """Whether something could be mounted."""
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(place: Path, *arguments: str) -> Iterator[bool]:
    """A file system at a place, if that is allowed."""
    place.mkdir(exist_ok=True)
    done = mount(*arguments, str(place))
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", str(place)], check=False)


def fill_tmpfs(trained: Path) -> str:
    """Produce onto a disk of 300 kB."""
    with tempfile.TemporaryDirectory() as name:
        disk = Path(name) / "disk"
        with mounted(disk, "-t", "tmpfs", "-o", "size=300k", "none") as done:
            if not done:
                return "not allowed here"
            command = ("produce", str(trained / "run"), "-n", "100000", "--quiet", "-o", "o.csv")
            code = run(command, disk)
            check(code == 2, f"a full tmpfs: exit code {code}")
            check(not (disk / "o.csv").exists(), "a full tmpfs: a file under its final name")
    return "refused in one line, nothing under the final name"


def cut_power(trained: Path, stream: np.random.Generator, times: int) -> str:
    """Copy the image of a mounted disk while commands run on it and right after; what is there must be whole."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["truncate", "-s", "48M", str(place / "disk.img")], check=True)
        if subprocess.run(["mkfs.ext4", "-q", str(place / "disk.img")], capture_output=True, check=False).returncode:
            return "no mkfs.ext4 here"
        found = 0
        with mounted(place / "disk", "-o", "loop", str(place / "disk.img")) as done:
            if not done:
                return "not allowed here"
            for job in jobs():
                if job.name in ("fit", "produce csv", "produce h5", "judge"):
                    found += cut_job(job, trained, place, stream, times)
    return f"{found} cuts"


def cut_job(job: Job, trained: Path, place: Path, stream: np.random.Generator, times: int) -> int:
    """Cut one command's power at random moments, and right after its end."""
    with fresh(trained, job) as undisturbed:
        begun = time.monotonic()
        run(job.first, undisturbed)
        seconds, expected = time.monotonic() - begun, job.outcome(undisturbed)
    for number in range(times):
        for old in (place / "disk").iterdir():
            if old.name != "lost+found":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        prepare_place(place / "disk")
        if job.name.startswith(("produce", "judge")):
            shutil.copytree(trained / "run", place / "disk" / "run")
        subprocess.run(["sync", "-f", str(place / "disk")], check=True)
        ended = number % 3 == 0
        code = run_for(job.first, place / "disk", LONGEST if ended else stream.uniform(0, seconds))
        subprocess.run(["cp", "--sparse=always", str(place / "disk.img"), str(place / "cut.img")], check=True)
        with mounted(place / "cut", "-o", "loop", str(place / "cut.img")):
            check_cut(job, place / "cut", expected, ended and code == 0)
    return times


def check_cut(job: Job, place: Path, expected: str, ended: bool) -> None:
    """What a power cut left: whole, and it goes on."""
    there = (place / job.final).is_file()
    if ended:
        check(there and job.outcome(place) == expected, f"{job.name}: lost by a power cut after its end")
    elif there:
        check(is_whole(job, place), f"{job.name}: {job.final} is torn by a power cut")
    arguments = job.again if has_begun(job, place) else job.first
    code = run(arguments, place)
    check(code == 0 and job.outcome(place) == expected, f"{job.name}: after a power cut: {code}: {last_line(place)}")


class Scripts(HTMLParser):
    """Finds markup that came out of names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}={value}" for name, value in attributes
                       if name.startswith("on") and "hostile" in str(value)]
        if tag == "hostile":
            self.found.append(tag)


def judge_hostile() -> int:
    """Judge samples whose names are markup; the page must show them as text."""
    names = ["<hostile>", "<img src=x onerror=hostile()>", "</script><hostile>", "'\"><hostile>", "a&lt;b"]
    tried = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in names:
            for sample in ("real", "fake"):
                stream = np.random.default_rng(sample == "fake")
                columns = {name: stream.normal(size=400), "y": stream.normal(size=400)}
                write(Table.of(columns, {}), place / f"{sample}{name.replace('/', '')}.parquet")
            files = [str(place / f"{sample}{name.replace('/', '')}.parquet") for sample in ("real", "fake")]
            out = place / "judged"
            child = os.fork()
            if not child:
                os._exit(run_command(["judge", *files, "--measures", "columns", "--out", str(out)]))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            check(code == 0, f"hostile name {name!r}: exit code {code}")
            parser = Scripts()
            parser.feed((out / "report.html").read_text() if code == 0 else "")
            check(not parser.found, f"hostile name {name!r}: {parser.found}")
            tried += 1
    return tried


def main() -> int:
    wanted, seed = (int(one) for one in ([*sys.argv[1:3], *["100", "0"][len(sys.argv) - 1:]]))
    torch.set_num_threads(1)
    stream = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder)
        prepare_place(trained)
        check(run(("fit", "r.toml", "--quiet"), trained) == 0, f"fit: {last_line(trained)}")
        kills = 0
        for job in jobs():
            mine = kill_job(job, trained, -(-wanted // len(jobs())), stream)
            print(f"{job.name}: {mine} kills", flush=True)
            kills += mine
        print(f"kills: {kills}", flush=True)
        print(f"full disks: {fill_disks(trained, stream)}", flush=True)
        print(f"full tmpfs: {fill_tmpfs(trained)}", flush=True)
        print(f"power cuts: {cut_power(trained, stream, 6)}", flush=True)
    print(f"hostile names: {judge_hostile()}")
    print(f"failures: {len(FAILURES)}")
    return int(bool(FAILURES))


if __name__ == "__main__":
    sys.exit(main())
