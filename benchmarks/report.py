"""How long a judgement takes: --quick and everything, with plots and page, and its peak memory.

    python benchmarks/report.py [rows of each sample, default 100 000] [quick | all | alone, default: all three]

Six muon-like columns, as many generated as real rows and twice as many training rows; one thread, as by default. Every
measure is timed alone too, in the raw view. Each mode runs in a process of its own; memory is that process's peak.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from judging import muons

from calque.judging import RAW, judge_tables
from calque.judging.catalogue import CATALOGUE, NEEDS_CONTEXT, Budget, chosen
from calque.judging.drawing.plots import draw_plots, write_plots
from calque.judging.page import save_page


def whole(rows: int, mode: str) -> None:
    """Judge, draw, write; print seconds of each and the peak memory."""
    real, fake, train = muons(rows, 0.0, 1), muons(rows, 0.0, 2), muons(2 * rows, 0.0, 3)
    start = time.perf_counter()
    report = judge_tables(real, fake, train=train, measures=mode)
    judged = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        plots = draw_plots(report, real, fake, pairs=mode != "quick")
        write_plots(plots, folder)
        page = save_page(Path(folder) / "report.html", report, plots, real=real, fake=fake)
        size = page.stat().st_size / 1e6
    ended, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{mode:6} {rows:9}  {len(report.estimates):4} numbers  judged in {judged - start:6.1f} s  {len(plots)} "
          f"plots and page ({size:.1f} MB) in {ended - judged:5.1f} s  peak {peak:.2f} GB", flush=True)


def alone(rows: int) -> None:
    """Time every measure by itself."""
    real, fake, train = muons(rows, 0.0, 1), muons(rows, 0.0, 2), muons(2 * rows, 0.0, 3)
    for name in chosen("all"):
        if name not in NEEDS_CONTEXT:
            start = time.perf_counter()
            CATALOGUE[name](RAW, Budget())(real, fake, train, 0)
            print(f"  {name:12} {time.perf_counter() - start:6.2f} s", flush=True)


def main() -> None:
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000
    asked = sys.argv[2] if len(sys.argv) > 2 else ""
    if asked == "alone":
        alone(rows)
    elif asked:
        whole(rows, asked)
    else:
        for mode in ("quick", "all", "alone"):
            subprocess.run([sys.executable, __file__, str(rows), mode], check=True)


if __name__ == "__main__":
    main()
