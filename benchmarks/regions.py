"""Ways to events in a region: how many a second, how good, and what they cost on top.

    python benchmarks/regions.py ship_fullmc.root [--where "pz > 60 and hypot(px, py) > 1"] [--kinds flow nsf]

One model for both axes of the leaderboard's preparation, rows as they are; two thirds train and validate, one third
judges. Rejection and the latent way draw from the same model; the conditional one is given a flag of the region
(and what it draws outside is rejected); the one alone sees the training rows of the region only. Rate: events in the
region per second of one thread's processor time. AUC: boosted trees of the 2018 note tell judging rows in the region
from as many generated ones, in the raw and in the derived view; floor: training against judging rows in the region.
Cost: processor seconds of training or describing beyond the one model's training. Errors are the spread over seeds
divided by √n.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from calque.config import Config, load_config
from calque.fitting import fit
from calque.judging import judge_tables
from calque.kinds import find_kind
from calque.mixture import Mixture
from calque.pipeline import load_data
from calque.preparing import JUDGE, Data, prepare
from calque.producing.latent import aim_latents
from calque.producing.plan import Stream
from calque.producing.regions import Region
from calque.reading.where import Where
from calque.recipes import find_recipe
from calque.run import Run
from calque.table import Table

T = TypeVar("T")
COLUMNS = ("px", "py", "pz", "x", "y", "z")
FEW, MANY = 2_000, 20_000  # events to time: by rejection, and otherwise


@dataclass(frozen=True)
class Trial:
    """One seed: its settings, its sample in two parts, and the region."""

    config: Config
    data: Data
    where: Where

    @classmethod
    def of(cls, given: argparse.Namespace, kind: str, seed: int) -> Trial:
        settings = [f"read.files={given.data}", f"seed={seed}", f"fit.kind={kind}", f"fit.steps={given.steps}",
                    f"fit.preset={find_kind(kind).presets[-1]}", "fit.patience=6"]
        config = load_config(find_recipe("leaderboard"), settings)
        return cls(config, load_data(config), Where(given.where))

    def inside(self, judging: bool) -> Table:
        """Real rows in the region, held out or not."""
        table = self.data.table.rows((self.data.part == JUDGE) == judging).select([*COLUMNS, "on_axis"])
        return table.rows(self.where.mask(table.columns))

    def fit(self) -> Run:
        """The one model of all rows."""
        return fit(self.data, config=self.config, quiet=True)

    def fit_conditional(self) -> Run:
        """Of all rows, with the region's flag beside the other context."""
        config = self.config.model_copy(deep=True)
        config.read.flags = {**(config.read.flags or {}), "danger": self.where.text}
        config.prepare.context = [*config.prepare.context, "danger"]
        return fit(load_data(config), config=config, quiet=True)

    def fit_alone(self) -> Run:
        """Of the training rows in the region, in batches of at most a quarter of them."""
        wanted = self.config.prepare
        data = prepare(self.inside(judging=False), steps=wanted.steps, context=wanted.context, judging=0.0,
                       weights="none", seed=self.config.seed)
        config = self.config.model_copy(deep=True)
        config.fit.batch = min(config.fit.batch, len(data.table) // 4)
        return fit(data, config=config, quiet=True)

    def judge(self, fake: Table) -> dict[str, float]:
        """AUC of the note's trees inside the region, with the floor."""
        real, train = (self.inside(judging).select(COLUMNS) for judging in (True, False))
        report = judge_tables(real, fake.select(COLUMNS).rows(slice(len(real))), train=train, measures=("trees",),
                              kind="note", repeats=8, replicas=0, threads=1, seed=self.config.seed)
        found = {one.name: one for one in report.estimates}
        return {name: value for view in ("raw", "derived") for name, value in
                ((view, found[f"auc_{view}"].value), (f"floor {view}", found[f"auc_{view}"].floor))}


def timed(task: Callable[[], T]) -> tuple[T, float]:
    """What a task gives, and its processor seconds."""
    began = time.process_time()
    return task(), time.process_time() - began


def draw(region: Region, n: int) -> Table:
    """The first n events in a region, on one thread."""
    return Table.concatenate(list(region.choose((region.draw(piece) for piece in region.pieces(n)), n)))


def region_of(run: Run, where: str, seed: int) -> Region:
    """What a run makes in a region, by rejection."""
    return Region.of(Stream(Mixture((run,)), 1000 + seed, run.rows), where, 0)


def measure(trial: Trial) -> dict[str, dict[str, float]]:
    """Every way's figures."""
    where, seed = trial.where.text, trial.config.seed
    model, base = timed(trial.fit)
    conditional, spent_conditional = timed(trial.fit_conditional)
    alone, spent_alone = timed(trial.fit_alone)
    plain = region_of(model, where, seed)
    latent, spent_latent = timed(lambda: aim_latents(plain))
    ways = {"rejection": (plain, FEW, 0.0), "latent": (latent, MANY, spent_latent),
            "conditional": (region_of(conditional, f"danger == 1 and {where}", seed), MANY, spent_conditional),
            "alone": (region_of(alone, where, seed), MANY, spent_alone)}
    found = {}
    for way, (region, n, cost) in ways.items():
        fake, seconds = timed(lambda region=region, n=n: draw(region, n))
        found[way] = {"rate": n / seconds, "kept": n / region.tried, "clipped": region.clipped, "cost": cost,
                      "base": base, **trial.judge(fake)}
    return found


def spread(values: Sequence[float]) -> str:
    """Mean over seeds and its error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {error:.3f}"


def line(kind: str, way: str, entries: Sequence[dict[str, float]]) -> str:
    """One line of the table."""
    def column(name: str) -> list[float]:
        return [entry[name] for entry in entries]

    cells = (kind, way, f"{np.mean(column('rate')):,.0f}".replace(",", " "), f"{np.mean(column('kept')):.1%}",
             spread(column("raw")), spread(column("floor raw")), spread(column("derived")),
             spread(column("floor derived")), f"{np.mean(column('cost')):.1f}", f"{np.mean(column('clipped')):.2%}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="ship_fullmc.root, or calque:muons.root")
    parser.add_argument("--where", default="pz > 60 and hypot(px, py) > 1")
    parser.add_argument("--kinds", nargs="+", default=["flow", "nsf"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for kind in given.kinds:
        for seed in given.seeds:
            trial = Trial.of(given, kind, seed)
            for way, entry in measure(trial).items():
                found[kind, way].append(entry)
                print(kind, seed, way, json.dumps({name: round(value, 4) for name, value in entry.items()}), flush=True)
    sizes = len(trial.inside(judging=False)), len(trial.inside(judging=True)), len(trial.data.table)
    print(f"\n{given.where}: {sizes[0]} rows train and validate, {sizes[1]} judge, of {sizes[2]}; models of all rows "
          f"took {np.mean([entry['base'] for entries in found.values() for entry in entries]):.0f} s\n")
    heads = ("kind", "way", "events/s", "kept", "AUC raw", "floor", "AUC derived", "floor", "cost [s]", "clipped")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for (kind, way), entries in found.items():
        print(line(kind, way, entries))


if __name__ == "__main__":
    main()
