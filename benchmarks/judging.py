"""The fast classifier against the note's own: 50 000 real and 50 000 generated rows train, as many test, one thread.

    python benchmarks/judging.py [rows of each class, train and test together; default 100 000]

The flaw of the generated rows grows from none to plain; time ratio and difference of the AUC are printed side by side.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from calque.judging import Classifier
from calque.seeds import numpy_stream
from calque.table import Table


def muons(rows: int, flaw: float, seed: int) -> Table:
    """Draw muon-like rows with correlated columns and heavy tails; `flaw` bends their correlations."""
    stream = numpy_stream(seed, "benchmark", int(1000 * flaw))
    z = -stream.exponential(0.4, rows)
    pz = 10 + stream.exponential(30 * (1 + 0.1 * flaw), rows)
    pt = stream.gamma(2, 0.4 + 0.002 * pz * (1 - flaw), rows)
    phi = stream.uniform(-np.pi, np.pi, rows)
    r = np.abs(stream.standard_t(3, rows)) * 0.05 * (1 + z**2 * (1 - 0.5 * flaw))
    turned = phi + stream.normal(0, 0.5 + 0.2 * flaw, rows)
    return Table.of({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz,
                     "x": r * np.cos(turned), "y": r * np.sin(turned), "z": z})


def timed(classifier: Classifier, real: Table, fake: Table) -> tuple[float, float]:
    """Give AUC and seconds of one training and its test."""
    start = time.perf_counter()
    (scores,) = classifier.scores(real, fake, seed=0)
    return scores.auc(), time.perf_counter() - start


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    fast = Classifier("fast", rows=rows, replicas=0, threads=1)
    real = muons(rows, 0.0, seed=1)
    timed(fast, real.rows(slice(200)), real.rows(slice(200, 400)))  # imports
    print(f"{rows // 2} rows of each class train, {rows // 2} test, 6 columns, 1 thread")
    print("  flaw  AUC note  AUC fast  difference  note [s]  fast [s]  ratio")
    for flaw in (0.0, 0.3, 1.0):
        fake = muons(rows, flaw, seed=2)
        (auc, seconds), (fast_auc, fast_seconds) = (
            timed(replace(fast, kind=kind), real, fake) for kind in ("note", "fast"))
        print(f"{flaw:6.1f}  {auc:8.4f}  {fast_auc:8.4f}  {fast_auc - auc:+10.4f}  {seconds:8.2f}  {fast_seconds:8.2f}"
              f"  {seconds / fast_seconds:5.1f}", flush=True)


if __name__ == "__main__":
    main()
