"""Weighted batches of 100 out of 1.8 million rows: bisection of cumulative weights against numpy.random.choice.

    python benchmarks/batches.py [--quick]

`choice` is the note's way, for the row numbers alone; calque's figure is a whole batch: numbers, rows and noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from calque.fitting.batches import Batches

BATCH = 100


def timed(call: Callable[[], object], calls: int, rounds: int = 5) -> float:
    """Least processor seconds of a call."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, (time.process_time() - start) / calls)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rows = 18_000 if quick else 1_800_000
    weights = np.where(np.random.default_rng(0).random(rows) < 0.05, 768.75, 7.69)
    shares = weights / weights.sum()
    batches = Batches(torch.randn(rows, 6), torch.zeros(rows, 0), torch.from_numpy(weights), BATCH, torch.device("cpu"))
    stream = np.random.default_rng(0)
    calls = {
        "numpy.random.choice(p=…)": timed(lambda: np.random.choice(rows, BATCH, p=shares), 2 if quick else 20),
        "Generator.choice(p=…)": timed(lambda: stream.choice(rows, BATCH, p=shares), 2 if quick else 20),
        "calque, row numbers": timed(batches.rows, 100 if quick else 2000),
        "calque, whole batch": timed(lambda: batches.draw({"latent": 100}), 100 if quick else 2000),
    }
    print(f"batches of {BATCH} from {rows} weighted rows, one thread")
    for name, seconds in calls.items():
        ratio = calls["numpy.random.choice(p=…)"] / seconds
        print(f"{name:26} {seconds * 1e6:10.1f} µs   {ratio:8.1f} times faster", flush=True)


if __name__ == "__main__":
    main()
