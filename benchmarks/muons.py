"""Every shipped muon recipe on real SHiP muons, by one protocol: both axes, both views, floors, copying.

    python benchmarks/muons.py ship_fullmc.root --out runs/muons [--recipes muons-flow …] [--seeds 0 1 2]

Rows as they are; two thirds train and validate, one third judges; as many generated rows as judging ones; half of
both trains the 2018 note's classifier, the other half tests it, with four classifier seeds. What is done is kept in
results.jsonl and not done again. The table is printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calque.config import Config, load_config
from calque.fitting import fit
from calque.judging import judge_tables
from calque.pipeline import load_data
from calque.preparing import JUDGE, TRAIN, VALIDATE, Data
from calque.recipes import find_recipe
from calque.run import Run
from calque.table import Table

RECIPES = ("muons-gan", "muons-gan-best", "muons-vae", "muons-vae-best", "muons-fast", "muons-flow", "muons-student")
AXES = ("on_axis", "off_axis")
COLUMNS = '["px", "py", "pz", "x", "y", "z"]'


def protocol(recipe: str, axis: str, seed: int, data: str, settings: Sequence[str]) -> Config:
    """A shipped recipe, with rows as they are and no columns beside the protocol's."""
    fixed = [f"read.files={data}", f"read.columns={COLUMNS}", "fit.weights=none", "prepare.context=[]",
             f"seed={seed}", "fit.threads=1"]
    config = load_config(find_recipe(recipe), [*fixed, *settings])
    return config.category(axis)


def judged(run: Run, data: Data, seed: int) -> dict[str, Any]:
    """Value and floor of every measure, in both views, on the judging rows."""
    real = data.judged(JUDGE)
    train = Table.concatenate([data.judged(TRAIN), data.judged(VALIDATE)])
    fake = run.imitate(real, seed=1000 + seed)
    report = judge_tables(real, fake, train=train, measures=("trees", "copying"), kind="note", repeats=4, replicas=20,
                          threads=1, seed=seed)
    return {estimate.name: (estimate.value, estimate.floor) for estimate in report.estimates}


def measure(config: Config, seed: int) -> dict[str, Any]:
    """Train once, its teacher first where there is one, and judge."""
    data = load_data(config)
    run = fit(data, config=config, quiet=True)
    seconds = run.provenance["fit_seconds"] + run.provenance.get("teacher", {}).get("fit_seconds", 0)
    return {**judged(run, data, seed), "seconds": seconds, "step": run.provenance["best_step"]}


def todo(arguments: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What is not yet in the results."""
    known = {(entry["label"], entry["axis"], entry["seed"]) for entry in done}
    for seed in arguments.seeds:
        for recipe in arguments.recipes:
            for axis in arguments.axes:
                label = arguments.label or recipe
                if (label, axis, seed) not in known:
                    yield {"label": label, "recipe": recipe, "axis": axis, "seed": seed}


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean over splits and its error, the spread over √n."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: one line per recipe and axis."""
    heads = ("recipe", "axis", "AUC raw", "floor", "AUC derived", "floor", "copying", "χ²/ndf raw", "overlap raw",
             "fit [s]", "splits")
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for entry in results:
        groups[entry["label"], entry["axis"]].append(entry)
    for (label, axis), entries in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        def column(name: str, which: int, entries: list[dict[str, Any]] = entries) -> list[float]:
            return [entry[name][which] for entry in entries]

        copying = np.maximum(column("copying_raw", 0), column("copying_derived", 0))
        cells = (label, axis.replace("_", " "), spread(column("auc_raw", 0)), spread(column("auc_raw", 1)),
                 spread(column("auc_derived", 0)), spread(column("auc_derived", 1)), spread(list(copying)),
                 spread(column("chi2_output_raw", 0), 1), spread(column("overlap_output_raw", 0)),
                 f"{np.mean([entry['seconds'] for entry in entries]):.0f}", str(len(entries)))
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="ship_fullmc.root")
    parser.add_argument("--out", type=Path, default=Path("runs/muons"))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--axes", nargs="+", default=list(AXES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], help="settings that differ from the recipe's")
    parser.add_argument("--label", help="name in the table, with --set")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    store = arguments.out / "results.jsonl"
    results = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    for task in todo(arguments, results):
        config = protocol(task["recipe"], task["axis"], task["seed"], arguments.data, arguments.set)
        entry = {**task, **measure(config, task["seed"])}
        with store.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
        print(f"{entry['label']} {entry['axis']} seed {entry['seed']}: raw {entry['auc_raw'][0]:.4f}, "
              f"derived {entry['auc_derived'][0]:.4f}, {entry['seconds']:.0f} s", flush=True)
    print("\n".join(table([json.loads(line) for line in store.read_text().splitlines()])))


if __name__ == "__main__":
    main()
