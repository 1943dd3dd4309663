"""Producing with the fast recipe's generator: muons a second sampled, written, and both at once; memory against events.

    python benchmarks/producing.py [--quick] [--big] [--workers 2]

The generator is the fast recipe's (latent 8, three layers of 64, linear skip) with the demo recipe's off-axis
preparation; its weights are random, which changes no time. Every figure is the best of a few rounds, alternating;
processor time tells the same story on a machine that others use.
Memory is the peak of one process per size; `--big` adds 10⁸ events.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from calque.config import load_config
from calque.fitting import fit
from calque.mixture import Mixture, load
from calque.pipeline import load_data
from calque.producing import produce
from calque.producing.plan import Stream
from calque.producing.produce import drawn
from calque.reading import Sink
from calque.recipes import find_recipe
from calque.run import BLOCK, Run
from calque.table import Table

MODEL = {"latent": 8, "layers": 3, "base": 64, "shape": "flat", "norm": "none", "dropout": 0.0, "output": "linear",
         "skip": True}
PEAK = """import resource, sys
from calque.producing import produce
produce(sys.argv[1], float(sys.argv[2]), out=sys.argv[3], exact=True, workers=int(sys.argv[4]), quiet=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"""


def generator(folder: Path) -> Run:
    """Keep the untrained generator in a run folder."""
    data = load_data(load_config(find_recipe("demo")).category("off_axis"))
    fit(data, "gan", steps=0, model=MODEL, objective={"layers": 1, "base": 16, "norm": "none"}, out=folder, quiet=True)
    run = load(folder)
    assert isinstance(run, Run)
    return run


def sample(run: Run, n: int, workers: int, precision: str) -> list[Table]:
    """Draw as `produce` does, and keep a few blocks."""
    mixture = Mixture((run,))
    kept: list[Table] = []
    stream = Stream(mixture, 0, mixture.rows, together=mixture.together)
    for table in drawn(stream.draw, stream.pieces(n, 0), workers, precision):
        kept = (kept or [table])
    return kept


def write(table: Table, n: int, out: Path, compression: str) -> None:
    """Write a block again and again."""
    with Sink(out, compression=compression) as sink:
        for _ in range(n // len(table)):
            sink.write(table)


def best(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Least wall and processor seconds of each task, in alternation, after one round that counts for nothing."""
    seconds = dict.fromkeys(tasks, (float("inf"), float("inf")))
    for count in range(rounds + 1):
        for name, task in tasks.items():
            wall, processor = time.perf_counter(), time.process_time()
            task()
            if count:
                least, busy = seconds[name]
                seconds[name] = (min(least, time.perf_counter() - wall), min(busy, time.process_time() - processor))
    return seconds


def speeds(run: Run, folder: Path, n: int, workers: int, rounds: int) -> None:
    """Print the table of speeds and the ratio to sampling alone."""
    (table,) = sample(run, BLOCK, 1, "float32")
    tasks: dict[str, Callable[[], object]] = {}
    for precision in ("float32", "bf16"):
        tasks[f"sample {precision}"] = lambda p=precision: sample(run, n, workers, p)
        for codec in ("none", "lz4"):
            tasks[f"produce {precision} {codec}"] = lambda p=precision, c=codec: produce(
                run, n, out=folder / "made.root", exact=True, compression=c, workers=workers, precision=p, quiet=True)
    for codec in ("none", "lz4"):
        tasks[f"write {codec}"] = lambda c=codec: write(table, n, folder / "copy.root", c)
    seconds = best(tasks, rounds)
    print(f"{n} events of {len(table.names)} columns in blocks of {BLOCK}; {workers} workers of one thread")
    print("task                      M events/s   CPU [µs/event]   time / sampling alone   CPU / sampling alone")
    for name, (took, busy) in seconds.items():
        alone, alone_busy = seconds[f"sample {'bf16' if 'bf16' in name else 'float32'}"]
        print(f"{name:25} {n / took / 1e6:10.2f}   {busy / n * 1e6:14.3f}   {took / alone:21.2f}   "
              f"{busy / alone_busy:20.2f}", flush=True)


def memory(folder: Path, sizes: list[int], workers: int) -> None:
    """Print the peak memory of one process per size."""
    print("events         peak memory [MB]")
    for n in sizes:
        command = [sys.executable, "-c", PEAK, str(folder / "run"), str(n), str(folder / "peak.root"), str(workers)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{n:<14} {peak / 1024:10.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--big", action="store_true", help="10⁸ events too (4 GB of disk)")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = generator(folder / "run")
        speeds(run, folder, 20_000 if given.quick else 2_000_000, given.workers, 1 if given.quick else 3)
        sizes = [10_000, 100_000] if given.quick else [1_000_000, 10_000_000] + [100_000_000] * given.big
        memory(folder, sizes, given.workers)


if __name__ == "__main__":
    main()
