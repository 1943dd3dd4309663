"""The target's slabs in StartZ: how fine a structure each preparation learns (the 2018 note's open question).

    python benchmarks/slabs.py ship_fullmc.root [--seeds 0 1 2]

χ²/ndf of generated against judging rows in z, at bins of 50, 10 and 5 mm, beside training against judging rows (the
floor); on axis, rows as they are, spline flow. Only the step that prepares z changes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from calque.config import load_config
from calque.fitting import fit
from calque.pipeline import load_data
from calque.preparing import JUDGE, TRAIN
from calque.recipes import find_recipe
from calque.table import Array

BINS = (0.050, 0.010, 0.005)
KNOTS = (50, 400, 3000)
PREPARATIONS = {"standardised": [], **{f"{knots} quantiles": [f"quantile z knots={knots}"] for knots in KNOTS}}
COMMON = ["constant x y", "polar px py -> pt phi", "rotation phi", "log pt pz", "quantile pt pz"]


def chi2(a: Array, b: Array, width: float) -> float:
    """χ²/ndf of two unweighted histograms of equally many rows, where there are at least ten entries."""
    edges = np.arange(-2.6, -1.4, width)
    left, right = (np.histogram(values, edges)[0].astype(float) for values in (a, b))
    right *= left.sum() / right.sum()
    filled = left + right >= 10
    return float(np.mean((left - right)[filled] ** 2 / (left + right)[filled]))


def measure(data_file: str, steps: list[str], seed: int) -> Array:
    """χ²/ndf of generated and of training rows, for every width: (2, widths)."""
    settings = [f"read.files={data_file}", f"seed={seed}", "fit.weights=none", "prepare.context=[]", "fit.threads=1"]
    config = load_config(find_recipe("muons-flow"), settings).category("on_axis")
    config.prepare.steps = [*COMMON, *steps, "standardise *"]
    config.read.columns = ["px", "py", "pz", "x", "y", "z"]
    data = load_data(config)
    run = fit(data, config=config, quiet=True)
    real = data.rows(JUDGE)["z"]
    train = np.random.default_rng(seed).choice(data.rows(TRAIN)["z"], len(real), replace=False)
    fake = run.sample(len(real), seed=seed)["z"]
    return np.array([[chi2(real, other, width) for width in BINS] for other in (fake, train)])


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """One Markdown row per preparation of z."""
    yield "| z prepared by | " + " | ".join(f"{1000 * width:.0f} mm (floor)" for width in BINS) + " |"
    yield "|---" * (len(BINS) + 1) + "|"
    for name, steps in PREPARATIONS.items():
        found = np.array([measure(arguments.data, steps, seed) for seed in arguments.seeds])
        mean, error = found.mean(0), found.std(0, ddof=1) / len(found) ** 0.5
        cells = [f"{m:.2f} ± {e:.2f} ({f:.2f})" for m, e, f in zip(mean[0], error[0], mean[1], strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    torch.set_num_threads(1)
    for text in rows(parser.parse_args()):
        print(text, flush=True)


if __name__ == "__main__":
    main()
