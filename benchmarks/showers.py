"""Showers a second of trained runs beside Geant4's, and their AUC beside those that CaloChallenge published.

    python benchmarks/showers.py runs/showers … [--batches 1 100 10000] [--cores 1 2] [--device cpu]
    python benchmarks/showers.py runs/showers --published CaloChallenge_results_ds1_photons.csv … [--seeds 3]

A rate is that of whole showers: noise and contexts to physical energies, in batches of so many. `network` is the share
of the time in the generator alone; what is left is the preparation's inverse. Geant4's rates are those of the
simulation that made the training sample, measured on one core. With `--published` each run is judged as CaloChallenge
does (its inputs, the network of its public program, FPD and KPD); its figures belong to other data sets and detectors.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from calque.contexts import draw_contexts
from calque.errors import DataError
from calque.judging import judge_tables
from calque.judging.measure import plus_minus
from calque.judging.verdict import geometry_of_run, reread
from calque.mixture import load
from calque.preparing import JUDGE, TRAIN
from calque.run import Run
from calque.threads import threads

GEANT4 = {"10 GeV": 26.0, "50 GeV": 5.6}  # photons a second of one core
LEAST_SECONDS, LEAST_CALLS = 1.0, 3
VIEWS = ("calochallenge_low", "calochallenge_high")
WANTED = ("auc_network_calochallenge_low", "auc_network_calochallenge_high", "fpd_calochallenge_high",
          "kpd_calochallenge_high")
PUBLISHED = ("binary cls low", "binary cls high", "FPD * 1e3", "KPD * 1e3")


def seconds(task: Callable[[], object]) -> float:
    """Least time of a call, after one that counts for nothing."""
    task()
    best, began, calls = math.inf, time.perf_counter(), 0
    while calls < LEAST_CALLS or time.perf_counter() - began < LEAST_SECONDS:
        start = time.perf_counter()
        task()
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best


def showers(run: Run, batch: int, device: str) -> tuple[float, float]:
    """Seconds of a batch: whole showers, and the generator alone."""
    width = run.generator.noise + run.preparation.inverse_noise
    given = None if run.contexts is None else draw_contexts(run.contexts, batch, batch, 0, 0, 0)

    def whole() -> object:
        return run.events(torch.randn(batch, width, device=device), given)

    encoded = torch.zeros(batch, 0) if given is None else run.context.encode(given)
    encoded = encoded.to(device)

    def alone() -> object:
        with torch.inference_mode():
            return run.draw(torch.randn(batch, run.generator.noise, device=device), encoded).cpu()

    return seconds(whole), seconds(alone)


def speed(folder: str, batches: list[int], cores: list[int], device: str) -> None:
    """Print the rates of one run."""
    run = one(folder).to(device)
    print(f"{folder}: {run.config.fit.kind} on {device}; Geant4: "
          + ", ".join(f"{rate:g}/s at {name}" for name, rate in GEANT4.items()))
    print(f"{'cores':>5} {'batch':>7} {'showers/s':>11} {'ms/shower':>10} {'network':>8}"
          + "".join(f"{'× Geant4, ' + name:>19}" for name in GEANT4))
    for count in cores:
        for batch in batches:
            with threads(count):
                whole, alone = showers(run, batch, device)
            rate = batch / whole
            print(f"{count:>5} {batch:>7} {rate:>11.1f} {1000 / rate:>10.4f} {min(alone / whole, 1):>8.0%}"
                  + "".join(f"{rate / geant4:>19,.0f}" for geant4 in GEANT4.values()))


def one(folder: str) -> Run:
    """Open a run of one generator."""
    run = load(folder)
    if not isinstance(run, Run):
        raise DataError(f"{folder} mixes several generators; name one of them")
    return run


def judged(folder: str, seeds: int) -> tuple[str, ...]:
    """A run's figures by CaloChallenge's definitions, with errors and floors."""
    run = one(folder)
    data = run.data or reread(run)
    real, train = data.judged(JUDGE), data.judged(TRAIN)
    report = judge_tables(real, run.imitate(real), train=train, views=VIEWS, measures=["network", "fpd", "kpd"],
                          network="evaluate", repeats=seeds, geometry=geometry_of_run(run))
    scale = [1, 1, 1000, 1000]
    return tuple(f"{plus_minus(times * one.value, times * one.error)} ({times * one.floor:.3f})"
                 for times, one in zip(scale, (report[name] for name in WANTED), strict=True))


def published(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows of a file of results: name, then figures with their errors."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            yield row["submission name"], *(plus_minus(number(row[name]), number(row.get(f"{name} std", "")))
                                            for name in PUBLISHED)


def number(text: str) -> float:
    """A number; NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def compare(folders: list[str], tables: list[Path], seeds: int) -> None:
    """Print our figures, then the published ones of each file."""
    heads = ("", "low AUC", "high AUC", "FPD × 10³", "KPD × 10³")
    ours = [(folder, *judged(folder, seeds)) for folder in folders]
    print("By CaloChallenge's definitions; in brackets the floor (real against real).")
    show(heads, ours)
    for path in tables:
        print(f"\nPublished in {path.name}: another detector, other energies, ten times as many showers.")
        show(heads, sorted(published(path), key=lambda row: row[1]))


def show(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--published", type=Path, nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    if asked.published:
        compare(asked.runs, asked.published, asked.seeds)
    else:
        for name in asked.runs:
            speed(name, asked.batches, asked.cores, asked.device)
