"""How well showers are learnt: both classifiers on voxels and on observables, response, resolution, sparsity.

    python benchmarks/shower_quality.py --data ../shared/data/showers --out runs/showers [--recipes showers-photons]
        [--particles photons positrons] [--seeds 0 1 2]

Every entry is a training of its own, with a split of its own: a third of the file judges, and equally many are drawn at
the same energies. Half of both train, half test each classifier. Errors are those of the mean over seeds, or of one
judgement where that is more; the floor is real against real. Response and resolution are ratios to the real ones, less
one, in the worst of ten bins of energy; sparsity is the ratio of cells hit in the worst layer. A third has few showers
that reach the last layer, so `hit_…` counts again: four draws at the energies of the whole file over the whole file,
and as floor the rows that train over the others. What is made is kept in --out; a training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calque.config import Config, load_config
from calque.fitting import fit
from calque.fitting.fit import is_finished
from calque.judging.verdict import judge, reread
from calque.pipeline import load_data
from calque.preparing import TRAIN
from calque.recipes import find_recipe
from calque.run import Run, load_run
from calque.table import Array, Table

MEASURES = ["trees", "network", "calibration", "cells"]
SHOWN = ["auc_raw", "auc_network_raw", "auc_observables", "auc_network_observables", "energy_response_energy",
         "energy_resolution_energy", "sparsity", "hit_layer_0", "hit_layer_1", "hit_layer_2"]
DRAWS = 4


def config_of(recipe: str, file: Path, out: Path, seed: int) -> Config:
    """A recipe with another file, folder and seed."""
    config = load_config(find_recipe(recipe))
    read = config.read.model_copy(update={"files": str(file)})
    return config.model_copy(update={"read": read, "out": str(out), "seed": seed})


def trained(config: Config) -> Run:
    """The run of a configuration, from its folder where it is finished."""
    if is_finished(Path(config.out)):
        return load_run(Path(config.out))
    return fit(load_data(config), config=config, out=config.out, resume=Path(config.out).exists())


def judged(run: Run, folder: Path) -> dict[str, tuple[float, float, float]]:
    """Value, error and floor of every measure that is shown, kept beside the run."""
    path = folder / "quality.json"
    if not path.is_file():
        report = judge(run, plots=False, measures=MEASURES)
        kept = {f"{one.measure}_{one.of}": (one.value, one.error, one.floor) for one in report.estimates}
        path.write_text(json.dumps(kept))
    found = json.loads(path.read_text())
    layers = [values for name, values in found.items() if name.startswith("sparsity_")]
    return {**found, "sparsity": max(layers, key=lambda values: abs(values[0] - 1))}


def cells_hit(run: Run, folder: Path) -> dict[str, tuple[float, float, float]]:
    """Cells hit in each layer to those of the whole file, at its energies, kept beside the run."""
    path = folder / "hit.json"
    if not path.is_file():
        data = reread(run, None) if run.data is None else run.data
        real, fitted = data.table, data.part == TRAIN
        energies = Table.of({"energy": np.tile(real["energy"], DRAWS)})
        fake = run.sample(len(energies), context=energies, seed=1)
        kept = {}
        for layer in (name for name in real.names if name.startswith("layer_")):
            hit = counted(real[layer])
            error = hit.std() / hit.mean() / np.sqrt(len(hit))
            kept[f"hit_{layer}"] = (counted(fake[layer]).mean() / hit.mean(), error,
                                    hit[fitted].mean() / hit[~fitted].mean())
        path.write_text(json.dumps(kept))
    return {name: tuple(values) for name, values in json.loads(path.read_text()).items()}


def counted(layer: Array) -> Array:
    """Cells hit in each shower."""
    return np.asarray((layer > 0).reshape(len(layer), -1).sum(1))


def rate(run: Run, rows: int) -> float:
    """Showers a second, drawn together and prepared back: the best of three."""
    spent = []
    for seed in range(3):
        begun = time.monotonic()
        run.sample(rows, seed=seed)
        spent.append(time.monotonic() - begun)
    return rows / min(spent)


def described(values: Sequence[tuple[float, float, float]], digits: int = 4) -> str:
    """Mean over seeds with its error, and the floor."""
    value, error, floor = np.array(values, float).T
    spread = value.std(ddof=1) / np.sqrt(len(value)) if len(value) > 1 else 0.0
    known = max(spread, error.mean() / np.sqrt(len(value)))
    return f"{value.mean():.{digits}f} ± {known:.{digits}f} ({floor.mean():.{digits}f})"


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["showers-photons", "showers-flow"])
    parser.add_argument("--particles", nargs="+", default=["photons", "positrons"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    for particle in asked.particles:
        for recipe in asked.recipes:
            rows, times, rates = [], [], []
            for seed in asked.seeds:
                folder = asked.out / f"{recipe}-{particle}-{seed}"
                run = trained(config_of(recipe, asked.data / f"geant4_{particle}.h5", folder, seed))
                rows.append({**judged(run, folder), **cells_hit(run, folder)})
                times.append(run.provenance["fit_seconds"])
                rates.append(rate(run, 10_000))
                print(f"{particle} {recipe} seed {seed}: "
                      + ", ".join(f"{name} {rows[-1][name][0]:.4f}" for name in SHOWN if name in rows[-1]), flush=True)
            print(f"\n{particle} {recipe}: {len(rows)} seeds, fit {np.mean(times):.0f} s, "
                  f"{np.mean(rates):.0f} showers/s at batch 10 000, context included")
            for name in SHOWN:
                if all(name in row for row in rows):
                    print(f"  {name:26} {described([row[name] for row in rows])}")
            print(flush=True)


if __name__ == "__main__":
    main()
