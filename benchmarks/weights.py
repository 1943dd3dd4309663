"""What to do with event weights: drawn, learnt as a column, or ignored; three trainings side by side.

    python benchmarks/weights.py ship_fullmc.root [--recipe muons-flow] [--seeds 0 1 2]

Every generator is judged against the *weighted* judging rows, with their effective size, and against the floor of
weighted training rows; "none" is judged against unweighted rows too, which is all it claims.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from calque.config import Config, load_config
from calque.fitting import fit
from calque.judging import Estimate, judge_tables
from calque.pipeline import load_data
from calque.preparing import JUDGE, TRAIN
from calque.recipes import find_recipe
from calque.table import Table

MODES = ("draw", "column", "none")
AXES = ("on_axis", "off_axis")


@dataclass
class Line:
    """Figures of one mode and axis, one entry per seed."""

    auc: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    momentum: list[float] = field(default_factory=list)
    effective: list[float] = field(default_factory=list)


def configure(arguments: argparse.Namespace, axis: str, mode: str, seed: int) -> Config:
    """The shipped recipe in one mode; a learnt weight is one more column, with exact values."""
    settings = [f"read.files={arguments.data}", f"seed={seed}", f"fit.weights={mode}", "fit.threads=1"]
    config = load_config(find_recipe(arguments.recipe), settings).category(axis)
    if mode == "column":
        steps = config.prepare.steps or []
        config.prepare.steps = ["discrete w", *steps]
    return config


def mean_momentum(table: Table) -> float:
    """Weighted mean of |p| [GeV]."""
    p = np.sqrt(sum(table[name].astype(float) ** 2 for name in ("px", "py", "pz")))
    return float(np.average(p, weights=table.weights))


def compare(real: Table, train: Table, fake: Table, seed: int) -> Estimate:
    """AUC of generated against real rows, with its floor."""
    report = judge_tables(real, fake, train=train, views=["raw"], measures="trees", repeats=4, threads=1, seed=seed)
    return report["auc_raw"]


def measure(config: Config, line: Line, seed: int) -> None:
    """Train, draw, and compare with the weighted truth."""
    data = load_data(config)
    run = fit(data, config=config, quiet=True)
    real, train = data.rows(JUDGE), data.rows(TRAIN)
    names = [name for name in data.judged(JUDGE).names if name != "w"]
    fake = run.sample(len(real), seed=seed + 1)
    fake = fake.select([*names, "w"], "w") if run.weight else fake.select(names)
    weighted = [table.select([*names, "w"], "w") for table in (real, train)]
    auc = compare(*weighted, fake, seed)
    claim = compare(real.select(names), train.select(names), fake, seed) if config.fit.weights == "none" else auc
    line.auc.append(auc.value)
    line.floor.append(auc.floor)
    line.own.append(claim.value)
    line.momentum.append(mean_momentum(fake) / mean_momentum(real))
    line.effective.append(fake.effective_size / len(fake))


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """One Markdown row per mode and axis."""
    yield "| axis | weights | AUC, weighted truth | floor | AUC, own claim | ⟨p⟩ / truth | effective share drawn |"
    yield "|---|---|---|---|---|---|---|"
    for axis in arguments.axes:
        for mode in MODES:
            line = Line()
            for seed in arguments.seeds:
                measure(configure(arguments, axis, mode, seed), line, seed)
            cells = [f"{np.mean(v):.3f} ± {np.std(v, ddof=1) / len(v) ** 0.5:.3f}" if len(v) > 1 else f"{v[0]:.3f}"
                     for v in (line.auc, line.floor, line.own, line.momentum, line.effective)]
            yield f"| {axis.replace('_', ' ')} | {mode} | {' | '.join(cells)} |"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--recipe", default="muons-flow")
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    torch.set_num_threads(1)
    for text in rows(parser.parse_args()):
        print(text, flush=True)


if __name__ == "__main__":
    main()
