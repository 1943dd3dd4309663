"""Parameters found through an emulator against the truth, beside the source's table and two baselines.

    python benchmarks/tuning.py lines --seeds 0 1 2 --out runs/tuning

For each seed: an emulator learns simulations from all of the parameters' space, then `calque.tune` finds the
distribution that made other images, 20 000 of known normals. Prints, for every parameter, how far the mean is off
(in true widths) and the ratio of the widths, and the largest correlation; the truth is that of the images drawn.
Ablations: --rounds 0 takes the emulator as it is; --set kind=siamese-emulator trains another.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import calque
from calque.preparing import prepare
from calque.simulating.opening import parametric
from calque.simulating.parametric import Parametric
from calque.table import Array, Table
from calque.tuning import tune

CASES: dict[str, dict[str, Any]] = {
    "lines": {"name": "lines", "kind": {"kind": "emulator"}},
    "hard": {"name": "lines", "settings": {"hard": True}, "kind": {"kind": "emulator"}},
    "circles": {"name": "circles", "kind": {"kind": "emulator", "model": {"grain": True}}},
}
SOURCE = {  # arXiv:1812.00879: best-match mean and width
    "lines": {"m": (1.501, 0.266), "x0": (9.988, 0.418), "c": (0.512, 0.129), "x_steps": (9.003, 0.432)},
    "circles": {"x0": (18.082, 0.833), "y0": (18.035, 0.795), "r": (7.950, 0.411), "n": (0.152, 0.072),
                "b": (0.892, 0.083)},
}


def sample(simulator: Parametric, vectors: Array, seed: int, cache: Path) -> Table:
    """Parameters and images, as a table."""
    images = simulator.images(vectors, seed, cache=cache)
    return Table.of({**dict(zip(simulator.names, vectors.T, strict=True)), "image": images})


def emulate(case: str, seed: int, folder: Path, steps: int, n: int) -> tuple[Any, Table]:
    """An emulator of a case's simulator, and what it learnt from."""
    chosen = CASES[case]
    simulator = parametric(chosen["name"], chosen.get("settings"), workers=0)
    table = sample(simulator, simulator.choose(n, seed), seed, folder / "prior.h5")
    data = prepare(table, steps=[], context=list(simulator.names), validation=0.01, judging=0.01, seed=seed)
    out = folder / "emulator"
    if (out / "provenance.json").is_file():
        return calque.load(out), table
    begun = time.monotonic()
    run = calque.fit(data, out=out, resume=out.is_dir(), steps=steps, batch=128, watch="latest", watch_every=1000,
                     quiet=True, threads=1, average=0.998, **chosen["kind"])
    print(f"emulator: {steps} steps in {time.monotonic() - begun:.0f} s", flush=True)
    return run, table


def told(name: str, means: Any, widths: Any, largest: float, truth: Array, names: tuple[str, ...]) -> None:
    """One line: offsets in true widths, ratios of widths, the largest correlation."""
    offsets = [f"{(means[n] - truth[i].mean()) / truth[i].std():+.3f}" for i, n in enumerate(names)]
    ratios = [f"{widths[n] / truth[i].std():.3f}" for i, n in enumerate(names)]
    print(f"{name:28} mean {' '.join(offsets)}   width {' '.join(ratios)}   correlation {largest:.3f}", flush=True)


def main() -> None:
    """Run a case for several seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--true", type=int, default=20_000)
    parser.add_argument("--prior", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--tune", type=json.loads, default={}, help="settings of [tune], as JSON")
    parser.add_argument("--name", default="tuned")
    given = parser.parse_args()
    for seed in given.seeds:
        folder = given.out / given.case / f"seed-{seed}"
        run, table = emulate(given.case, seed, folder, given.steps, given.prior)
        chosen = CASES[given.case]
        simulator = parametric(chosen["name"], chosen.get("settings"), workers=0)
        truth = simulator.choose(given.true, seed + 1000, "truth")
        data = sample(simulator.unbounded(), truth, seed + 1000, folder / "truth.h5")
        begun = time.monotonic()
        found = tune(run, data.select(["image"]), simulator=simulator, known=table, seed=seed, quiet=True,
                     out=folder / given.name, resume=(folder / given.name).is_dir(), **given.tune)
        print(f"seed {seed}: tuned in {time.monotonic() - begun:.0f} s\n{found}")
        columns = truth.T
        correlation = np.abs(found.correlations[0] - np.eye(len(columns))).max()
        means, widths = ({n: v for n, (v, _) in each.items()} for each in (found.means, found.widths))
        told("tuned", means, widths, float(correlation), columns, simulator.names)
        if given.case in SOURCE:
            print("source:", SOURCE[given.case])


if __name__ == "__main__":
    main()
