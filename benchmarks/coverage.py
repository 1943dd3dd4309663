"""Whether a tuner's errors are right: pulls of means and widths over many pseudo-data sets of lines.

    python benchmarks/coverage.py RUN --sample SIMULATIONS --sets 30 --out runs/coverage

RUN is an emulator of lines, SIMULATIONS the file it learnt from (benchmarks/tuning.py leaves both). Every set has its
own true images, its own seeds and a tuning of its own, but for the first network, which no data enter: it is trained
once, on a fifth of the simulations. The truth is the law that the parameters were drawn from. Prints the mean and the
width of the pulls, and the share within one and two errors: where errors are right 68 % and, as they are made of the
spread of four members (Student's t), 90 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import calque
from calque.run import load_run
from calque.simulating.opening import parametric
from calque.simulating.shapes import Lines
from calque.table import Array, Table
from calque.tuning import load_tuned, tune

BRIEF = {"members": 4, "rounds": 1, "simulations": 2000, "plots": False, "fit": {"steps": 1000},
         "summary": {"steps": 1500}, "refine": {"steps": 150}, "shortcut": {"steps": 1000}}
TRUTH = np.array(list(Lines.truth.values())).T


def pulls_of(found: Mapping[str, Any]) -> list[float]:
    """(value − truth) / error of all means and widths."""
    estimates = [*found["means"].values(), *found["widths"].values()]
    return [(value - true) / error for (value, error), true in zip(estimates, TRUTH.ravel(), strict=True)]


def share(source: Path, target: Path) -> None:
    """Copy what is there and not yet where it is wanted."""
    if source.is_file() and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def describe(pulls: Array) -> str:
    """Mean, width and coverage of pulls, with their errors."""
    n = len(pulls)
    inside = [(np.abs(pulls) < limit).mean() for limit in (1, 2)]
    return (f"mean {pulls.mean():+.2f} ± {pulls.std() / np.sqrt(n):.2f}, width {pulls.std():.2f} ± "
            f"{pulls.std() / np.sqrt(2 * n):.2f}, within one error {inside[0]:.0%}, within two {inside[1]:.0%}")


def main() -> None:
    """Tune every set; what was tuned before is read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sample", type=Path, required=True, help="what the emulator learnt from")
    parser.add_argument("--sets", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="set, to share the work between processes")
    parser.add_argument("--images", type=int, default=2000, help="in each set")
    parser.add_argument("--out", type=Path, default=Path("runs/coverage"))
    parser.add_argument("--tune", type=json.loads, default=BRIEF, help="settings of [tune], as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, simulator = load_run(given.run), parametric("lines")
    known = calque.read(given.sample, limit=10_000)
    rows = []
    for number in range(given.first, given.sets):
        vectors = simulator.choose(given.images, 5000 + number, "truth")
        data = Table.of({"image": simulator.unbounded().images(vectors, 5000 + number)})
        begun, folder = time.monotonic(), given.out / f"set-{number}"
        share(given.out / "summary.safetensors", folder / "stages" / "summary.safetensors")
        if not (folder / "tuned.json").is_file():
            tune(run, data, simulator=simulator, known=known, seed=number, quiet=True, out=folder,
                 resume=True, **given.tune)
        share(folder / "stages" / "summary.safetensors", given.out / "summary.safetensors")
        rows.append(pulls_of(load_tuned(folder)))
        print(f"set {number}: {time.monotonic() - begun:.0f} s, pulls {' '.join(f'{x:+.1f}' for x in rows[-1])}",
              flush=True)
    pulls, names = np.array(rows), simulator.names
    for column, name in enumerate([*(f"mean of {name}" for name in names), *(f"width of {name}" for name in names)]):
        print(f"{name:16} {describe(pulls[:, column])}")
    print(f"{'all':16} {describe(pulls.ravel())}")


if __name__ == "__main__":
    main()
