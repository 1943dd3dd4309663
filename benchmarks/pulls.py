"""Is the judge honest about its own errors? Pulls of every measure between samples of one distribution.

    python benchmarks/pulls.py [resamplings, default 400] [rows of each sample, default 1000] [measures…]

Each resampling draws three fresh samples (real, generated, training) of the planted-fault toy, one thread. The pull is
(value − floor) / error, with the floor's own error where it is measured; the width has to be 1 ± 0.15. Prints mean and
width of every measure, over all columns and views.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from faults import honest, table

from calque.judging import judge_tables
from calque.judging.catalogue import CATALOGUE

COLUMNS = ("px", "pz", "z", "q", "t")


def pulls(resamplings: int, rows: int, measures: list[str]) -> dict[str, list[float]]:
    """Pulls of every measure, all columns and views together."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(resamplings):
        stream = np.random.default_rng([seed, 1])
        real, fake, train = (table(honest(size, stream)).select(COLUMNS) for size in (rows, rows, 2 * rows))
        report = judge_tables(real, fake, train=train, measures=measures, rows=rows, threads=1, seed=seed)
        for estimate in report.estimates:
            spread = math.hypot(estimate.error, estimate.floor_error)
            if spread > 0:
                found[estimate.measure].append((estimate.value - estimate.floor) / spread)
    return found


def main() -> None:
    resamplings = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    measures = sys.argv[3:] or list(CATALOGUE)
    begun = time.perf_counter()
    print(f"{resamplings} resamplings of {rows} rows, {', '.join(COLUMNS)}")
    print(f"{'measure':20} {'mean':>7} {'width':>7} {'beyond 3':>9}")
    for measure, values in pulls(resamplings, rows, measures).items():
        array = np.array(values)
        print(f"{measure:20} {array.mean():7.2f} {array.std():7.2f} {np.mean(array > 3):9.2%}")
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
