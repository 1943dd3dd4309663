"""Known faults in real showers, and what each measure of showers says of them: a table of AUCs, ratios and excesses.

    python benchmarks/shower_faults.py geant4_photons.h5 [fault …]

One third of the file is real, one is spoilt, one is the reference. Bold: 5 standard deviations beyond the floor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from calque.geometry import Geometry
from calque.judging import Estimate, Report, judge_tables
from calque.reading import read
from calque.seeds import numpy_stream
from calque.table import Array, Table

CERTAIN = 5.0
Spoil = Callable[[Array, np.random.Generator], Array]

FAULTS: dict[str, Spoil] = {
    "none": lambda cells, _: cells,
    "cells smeared by 5 %": lambda cells, draw: cells * np.exp(0.05 * draw.normal(size=cells.shape)),
    "cells smeared by 20 %": lambda cells, draw: cells * np.exp(0.2 * draw.normal(size=cells.shape)),
    "all energies + 1 %": lambda cells, _: 1.01 * cells,
    "cells below 0.01 MeV lost": lambda cells, _: np.where(cells < 0.01, 0, cells),
    "2 % of the cells lost": lambda cells, draw: cells * (draw.random(cells.shape) > 0.02),
    "10 % of the cells lost": lambda cells, draw: cells * (draw.random(cells.shape) > 0.1),
    "0.3 % noisy, 0.05 MeV": lambda cells, draw: (
        cells + draw.exponential(0.05, cells.shape) * (draw.random(cells.shape) < 0.003)),
    "moved by one cell in x": lambda cells, _: np.roll(cells, 1, axis=-1),
}
HEADS = ("fault", "trees, voxels", "network, voxels", "trees, observables", "network, observables", "worst column",
         "response", "resolution", "sparsity", "cells' spectrum")


def spoilt(table: Table, geometry: Geometry, fault: str) -> Table:
    """Do it to all images."""
    draw = numpy_stream(0, f"benchmarks/{fault}")
    return table.with_columns({name: FAULTS[fault](table[name], draw).astype(np.float32) for name in geometry.shapes})


def cells(report: Report) -> tuple[str, ...]:
    """What is told of a fault."""
    aucs = [told(report[f"{name}_{view}"]) for view in ("raw", "observables") for name in ("auc", "auc_network")]
    column = report.worst_column
    worst = "" if column is None else bold(f"{column.of}, {column.measure} {column.excess:+.0f}", column)
    rest = [told(max(report.of(measure), key=lambda one: one.excess))
            for measure in ("energy_response", "energy_resolution", "sparsity", "cell_spectrum")]
    return (*aucs, worst, *rest)


def told(estimate: Estimate) -> str:
    """A value, its excess behind it unless it is an AUC."""
    excess = "" if estimate.measure.startswith("auc") else f" ({estimate.excess:+.0f})"
    return bold(f"{estimate.value:.3g}{excess}", estimate)


def bold(text: str, estimate: Estimate) -> str:
    """Mark what is certain."""
    return f"**{text}**" if estimate.excess >= CERTAIN else text


def main(path: str, wanted: list[str]) -> None:
    """Print a table, a line for each fault."""
    geometry = Geometry.calogan()
    showers = read(path, layout="calogan")
    third, order = len(showers) // 3, numpy_stream(0, "benchmarks/showers").permutation(len(showers))
    real, fake, train = (showers.rows(order[part * third : (part + 1) * third]) for part in range(3))
    print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|")
    for fault in wanted or FAULTS:
        report = judge_tables(real, spoilt(fake, geometry, fault), train=train, views=["raw", "observables"],
                              measures=["trees", "network", "columns", "calibration", "cells"], geometry=geometry)
        print("| " + " | ".join((fault, *cells(report))) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
