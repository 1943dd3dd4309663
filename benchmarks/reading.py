"""Reading and preparing 10⁷ rows of eight float32 columns against uproot's own time for the same columns; peak memory.

    python benchmarks/reading.py [--quick] [--rows 1e7]

Every measurement is a process of its own. What a user pays is read, prepare (statistics of the steps) and encode (the
training rows as a network sees them). The file is read once before, so that all find it in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from calque.reading import Sink

UPROOT = """import sys, time, resource, json
import uproot
start, busy = time.perf_counter(), time.process_time()
with uproot.open(sys.argv[1]) as file:
    arrays = file["events"].arrays(library="np")
print(json.dumps({"uproot": [time.perf_counter() - start, time.process_time() - busy,
                             resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]}))"""
CALQUE = """import sys, time, resource, json
import calque
from calque.preparing import TRAIN
STEPS = ["polar x y -> r phi", "polar px py -> pt phi_p", "rotation phi phi_p -> dphi", "reflection dphi",
         "log r pt pz e", "quantile dphi z", "standardise *"]
calque.read  # imports are no part of it
found = {}
def timed(name, call):
    start, busy = time.perf_counter(), time.process_time()
    result = call()
    found[name] = [time.perf_counter() - start, time.process_time() - busy,
                   resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    return result
table = timed("read", lambda: calque.read(sys.argv[1], weight="w"))
data = timed("prepare", lambda: calque.prepare(table, steps=STEPS))
timed("encode", lambda: data.encode(TRAIN))
print(json.dumps(found))"""


def muons(rows: int, stream: np.random.Generator) -> dict[str, np.ndarray]:
    """Eight columns like the muons'."""
    pt, phi, pz = stream.exponential(0.4, rows), stream.uniform(-np.pi, np.pi, rows), 10 + stream.exponential(30, rows)
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "x": stream.normal(0, 0.1, rows),
               "y": stream.normal(0, 0.1, rows), "z": stream.uniform(-2, 1, rows), "e": np.hypot(pt, pz),
               "w": np.where(stream.random(rows) < 0.05, 768.75, 7.69)}
    return {name: column.astype(np.float32) for name, column in columns.items()}


def make(path: Path, rows: int, compression: str) -> None:
    """Write a file in pieces."""
    stream = np.random.default_rng(0)
    with Sink(path, compression=compression) as sink:
        for start in range(0, rows, 250_000):
            sink.write(muons(min(250_000, rows - start), stream))


def measure(program: str, path: Path) -> dict[str, list[float]]:
    """Run a program on a file: wall seconds, processor seconds and peak MB of each part."""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def show(codec: str, path: Path, rounds: int) -> None:
    """Print one file's table, the best of some rounds."""
    measure(UPROOT, path)
    runs = [{**measure(UPROOT, path), **measure(CALQUE, path)} for _ in range(rounds)]
    best = min(runs, key=lambda run: sum(run[name][1] for name in run))
    print(f"{codec}: {path.stat().st_size / 1e6:.0f} MB")
    for name, (wall, busy, peak) in best.items():
        print(f"  {name:10} {wall:8.2f} s   {busy:8.2f} s CPU   peak {peak:6.0f} MB")
    paid, uproot = sum(best[name][0] for name in ("read", "prepare", "encode")), best["uproot"][0]
    print(f"  read / uproot {best['read'][0] / uproot:.2f}; all three {paid:.2f} s, the goal of 1.5 × uproot + 10 s is "
          f"{1.5 * uproot + 10:.2f} s; peak {best['encode'][2]:.0f} MB, the goal is 1000 MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--rows", type=float, default=1e7)
    given = parser.parse_args()
    rows = 100_000 if given.quick else int(given.rows)
    print(f"{rows} rows, 8 columns of float32; {os.cpu_count()} cores, one thread for the steps")
    with tempfile.TemporaryDirectory() as folder:
        for codec in ("none", "lz4"):
            path = Path(folder) / f"{codec}.root"
            make(path, rows, codec)
            show(codec, path, 1 if given.quick else 3)
            path.unlink()


if __name__ == "__main__":
    main()
