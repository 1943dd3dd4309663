"""Parameters found through an emulator against the truth, beside the source's table and two baselines.

    python benchmarks/tuning.py lines --seeds 0 1 2 --out runs/tuning

For each seed: an emulator learns simulations from all of the parameters' space, then `calque.tune` finds the
distribution that made other images, 20 000 of known normals. Prints, for every parameter, how far the mean is off
(in true widths) and the ratio of the widths, and the largest correlation between two; the truth is that of the images
drawn. The baselines see each image alone: a network that estimates its parameters, and one draw for each image from
a conditional flow trained on all of the space (neural posterior estimation: arXiv:1605.06376, 1905.07488).

Ablations are settings of the tuner, under another name:

    python benchmarks/tuning.py lines --seeds 0 --out runs/tuning --name frozen --tune '{"frozen": true}'
    python benchmarks/tuning.py lines --seeds 0 --out runs/siamese --kind siamese-emulator
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import calque
from calque.config import build
from calque.preparing import prepare
from calque.simulating.opening import parametric
from calque.simulating.parametric import Parametric
from calque.table import Array, Table
from calque.tuning import tune
from calque.tuning.question import pose
from calque.tuning.sight import in_parts
from calque.tuning.stages import Stages
from calque.tuning.teaching import Teaching

CASES: dict[str, dict[str, Any]] = {
    "lines": {"name": "lines", "model": {}},
    "hard": {"name": "lines", "settings": {"hard": True}, "model": {}},
    "circles": {"name": "circles", "model": {"grain": True}},
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


def emulate(given: argparse.Namespace, simulator: Parametric, seed: int, folder: Path) -> tuple[Any, Table]:
    """An emulator of a case's simulator, and what it learnt from."""
    siamese, out = given.kind == "siamese-emulator", folder / "emulator"
    vectors = simulator.choose(given.prior, seed)
    table = sample(simulator, vectors[: given.prior // 2].repeat(2, axis=0) if siamese else vectors, seed,
                   folder / "prior.h5")
    if (out / "provenance.json").is_file():
        return calque.load(out), table
    data = prepare(table, steps=[], context=list(simulator.names), validation=0.01, judging=0.01, seed=seed)
    begun = time.monotonic()
    run = calque.fit(data, given.kind, out=out, resume=out.is_dir(), steps=given.steps, batch=128, watch="latest",
                     measures=[], quiet=True, threads=1, average=0.998, model=CASES[given.case]["model"])
    print(f"seed {seed}: emulator, {given.steps} steps in {time.monotonic() - begun:.0f} s", flush=True)
    return run, table


def told(name: str, found: Array, truth: Array, correlations: Array | None = None) -> None:
    """One line: offsets of means in true widths, ratios of widths, the largest correlation; of draws (N, P)."""
    offsets = (found.mean(0) - truth.mean(0)) / truth.std(0)
    if correlations is None:
        correlations = np.corrcoef(found.T)
    largest = np.abs(correlations - np.eye(len(offsets))).max()
    print(f"{name:12} mean {' '.join(f'{x:+.3f}' for x in offsets)}   width "
          f"{' '.join(f'{x:.3f}' for x in found.std(0) / truth.std(0))}   correlation {largest:.3f}", flush=True)


def of_source(case: str, truth: dict[str, tuple[float, float]]) -> None:
    """The source's line, by its own table."""
    best = SOURCE[case]
    offsets = " ".join(f"{(best[name][0] - mean) / width:+.3f}" for name, (mean, width) in truth.items())
    print(f"{'source':12} mean {offsets}   width "
          f"{' '.join(f'{best[name][1] / width:.3f}' for name, (_, width) in truth.items())}", flush=True)


def baselines(teaching: Teaching, truth: Array, seed: int) -> None:
    """Regression and posterior estimation, image by image, with the tuner's first network as summary."""
    asked, names = teaching.question, teaching.question.names
    summary = teaching.first_sight().summary
    seen, known = (in_parts(summary.sample, images[:, :0], images) for images in (asked.data, asked.simulated))
    told("regression", asked.decode(seen), truth)
    looks = {f"s_{name}": column for name, column in zip(names, known.numpy().T, strict=True)}
    parameters = dict(zip(names, asked.decode(asked.parameters).T, strict=True))
    data = prepare(Table.of({**parameters, **looks}), context=list(looks), judging=0.01, seed=seed)
    run = calque.fit(data, "nsf", steps=2000, quiet=True, threads=1)
    given = Table.of({f"s_{name}": column for name, column in zip(names, seen.numpy().T, strict=True)})
    drawn = run.sample(len(seen), context=given, seed=seed)
    told("posterior", np.stack([drawn[name] for name in names], 1), truth)


def tuned(given: argparse.Namespace, seed: int) -> None:
    """One emulator, one tuning, the baselines."""
    folder, chosen = given.out / given.case / f"seed-{seed}", CASES[given.case]
    simulator = parametric(chosen["name"], chosen.get("settings"), workers=0)
    run, table = emulate(given, simulator, seed, folder)
    truth = simulator.choose(given.true, seed + 1000, "truth")
    data = sample(simulator.unbounded(), truth, seed + 1000, folder / "truth.h5").select(["image"])
    out, begun = folder / given.name, time.monotonic()
    found = tune(run, data, simulator=simulator, known=table, seed=seed, quiet=True, out=out, resume=out.is_dir(),
                 **given.tune)
    print(f"seed {seed}, {given.name}: {time.monotonic() - begun:.0f} s\n{found}")
    drawn = np.stack([np.concatenate([each[name] for each in found.draws]) for name in simulator.names], 1)
    told("tuned", drawn, truth)
    if given.case in SOURCE:
        of_source(given.case, dict(zip(simulator.names, simulator.truth.T.tolist(), strict=True)))
    if given.baselines:
        config = build({"tune": given.tune}, "the benchmark").tune
        stages = Stages(out / "stages", seed, True, threading.Event())
        baselines(Teaching(pose(run, data, table, simulator), config, stages), truth, seed)


def main() -> None:
    """Run a case for several seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--true", type=int, default=20_000, help="images whose parameters are sought")
    parser.add_argument("--prior", type=int, default=50_000, help="images that the emulator learns from")
    parser.add_argument("--steps", type=int, default=3000, help="of the emulator")
    parser.add_argument("--kind", default="emulator", help="emulator or siamese-emulator")
    parser.add_argument("--tune", type=json.loads, default={}, help="settings of [tune], as JSON")
    parser.add_argument("--name", default="tuned", help="of the tuning's folder")
    parser.add_argument("--baselines", action="store_true", help="regression and posterior estimation too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in given.seeds:
        tuned(given, seed)


if __name__ == "__main__":
    main()
