"""Events of weight one from a generator that learnt the weight: as good as weighted ones, and not memorised?

    python benchmarks/unweight.py ship_fullmc.root --out runs/unweight [--seeds 0 1 2 3 4 5] [--axes on_axis off_axis]

One training with `fit.weights = "column"` for each split and axis, kept in --out and not repeated. Its weighted events,
and as many unweighted ones (`produce --unweight`) as there are judging rows, are judged against the weighted judging
rows; the floor compares these with the weighted training rows. The copying fraction is that of the unweighted events.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from weights import AXES, compare, configure

from calque import load
from calque.fitting import fit
from calque.folder import is_run
from calque.judging import judge_tables
from calque.pipeline import load_data
from calque.preparing import JUDGE, TRAIN, Data
from calque.producing import produce
from calque.reading import read
from calque.run import Run
from calque.table import Table

HEADS = ("axis", "AUC, unweighted", "AUC, weighted", "floor", "unweighted − floor", "copying", "share kept",
         "weight above the cap", "events/s", "splits")


def train(arguments: argparse.Namespace, axis: str, seed: int) -> tuple[Data, Run]:
    """The sample of one split, and the run that learnt its weights; kept from before where it is there."""
    config = configure(arguments, axis, "column", seed)
    if arguments.given:
        config.prepare.steps = [text for text in config.prepare.steps or [] if text != "discrete w"]
        config.prepare.context = [*config.prepare.context, "w"]
    config.fit.kind = arguments.kind or config.fit.kind
    folder = arguments.out / f"{axis}_{seed}"
    data = load_data(config)
    if not is_run(folder):
        return data, fit(data, config=config, out=folder, quiet=True)
    run = load(folder)
    assert isinstance(run, Run)
    return data, run


def measure(arguments: argparse.Namespace, axis: str, seed: int) -> dict[str, Any]:
    """Figures of one split."""
    data, run = train(arguments, axis, seed)
    names = [name for name in data.judged(JUDGE).names if name != "w"]
    real, trained = (data.rows(part).select([*names, "w"], "w") for part in (JUDGE, TRAIN))
    path = arguments.out / f"{axis}_{seed}.npz"
    made = produce(run, len(real), out=path, exact=True, unweight=True, seed=1000 + seed, workers=1, quiet=True)
    fake = read(path).select(names)
    alone = compare(real, trained, fake, seed)
    weighted = compare(real, trained, run.sample(len(real), seed=seed + 1).select([*names, "w"], "w"), seed)
    return {"axis": axis, "seed": seed, "auc": alone.value, "floor": alone.floor, "weighted": weighted.value,
            "copying": copying(real, trained, fake, seed), "kept": made.rows / made.tried, "above": made.clipped,
            "rate": made.rows / made.seconds}


def copying(real: Table, trained: Table, fake: Table, seed: int) -> float:
    """The larger of both views' copying fractions."""
    report = judge_tables(real, fake, train=trained, measures=["copying"], seed=seed)
    return max(estimate.value for estimate in report.estimates)


def spread(values: Sequence[float]) -> str:
    """Mean over splits and its error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {error:.3f}"


def line(axis: str, entries: Sequence[dict[str, Any]]) -> str:
    """One Markdown row."""
    def column(name: str) -> list[float]:
        return [entry[name] for entry in entries]

    excess = [entry["auc"] - entry["floor"] for entry in entries]
    cells = (axis.replace("_", " "), spread(column("auc")), spread(column("weighted")), spread(column("floor")),
             spread(excess), spread(column("copying")), f"{np.mean(column('kept')):.1%}",
             f"{np.mean(column('above')):.2%}", f"{np.mean(column('rate')):.0f}", str(len(entries)))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, unweight, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="ship_fullmc.root")
    parser.add_argument("--out", type=Path, default=Path("runs/unweight"))
    parser.add_argument("--recipe", default="muons-flow")
    parser.add_argument("--given", action="store_true", help="the weight is a context, not a learnt column")
    parser.add_argument("--kind", help="of generator, instead of the recipe's")
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {axis: [] for axis in arguments.axes}
    for seed in arguments.seeds:
        for axis in arguments.axes:
            found[axis].append(measure(arguments, axis, seed))
            print(json.dumps({name: value if isinstance(value, int | str) else round(value, 4)
                              for name, value in found[axis][-1].items()}), flush=True)
    print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|")
    for axis, entries in found.items():
        print(line(axis, entries))


if __name__ == "__main__":
    main()
