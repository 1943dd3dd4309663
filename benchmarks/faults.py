"""Which measure finds which fault: planted faults against every measure, side by side.

    python benchmarks/faults.py [rows of each sample, default 100 000] [measures…]

Prints, for every fault of tests/faults.py, the distance beyond the floor in standard deviations of the column or view
that shows it best; those from 5 on are in bold. One thread.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from faults import FAULTS, planted

from calque.judging import Report, judge_tables
from calque.judging.catalogue import CATALOGUE


def best(report: Report) -> dict[str, float]:
    """The farthest estimate of each measure."""
    found: dict[str, float] = {}
    for estimate in report.estimates:
        if math.isfinite(estimate.excess):
            found[estimate.measure] = max(found.get(estimate.measure, -math.inf), estimate.excess)
    return found


def main() -> None:
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000
    measures = sys.argv[2:] or list(CATALOGUE)
    table = {}
    for name in FAULTS:
        real, fake, train = planted(name, rows, seed=1)
        table[name] = best(judge_tables(real, fake, train=train, measures=measures, context=("q",), threads=1))
        print(f"{name}: done", file=sys.stderr)
    names = list(dict.fromkeys(measure for found in table.values() for measure in found))
    print(f"| {rows} rows | {' | '.join(table)} |\n|---|{'---|' * len(table)}")
    for measure in names:
        print(f"| `{measure}` | " + " | ".join(cell(found.get(measure, math.nan)) for found in table.values()) + " |")


def cell(excess: float) -> str:
    """What is certain in bold, what was not measured empty."""
    if math.isnan(excess):
        return ""
    return f"**{excess:.0f}**" if excess >= 5 else f"{excess:.1f}"


if __name__ == "__main__":
    main()
