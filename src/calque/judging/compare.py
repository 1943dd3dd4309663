"""Rank runs by how hard their events are to tell from the original: `calque compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calque.errors import DataError
from calque.judging.ensemble import Spread
from calque.judging.measure import Estimate, plus_minus
from calque.judging.report import CLASSIFIERS, COLUMNS, Report, excess, farthest
from calque.judging.verdict import judge, reread, settings_of
from calque.mixture import runs_in
from calque.preparing import JUDGE, TRAIN
from calque.run import Run
from calque.seeds import derive

ALIKE = ("kind", "network", "rows", "repeats", "folds")  # settings that runs must share to be ranked
CLEAR = 2.0  # standard deviations from which one run is said to be better than another


@dataclass(frozen=True)
class Entry:
    """One run: its folder, the kind of its generator, what it was judged on and how, and its estimates by name."""

    folder: str
    kind: str
    sample: str
    settings: Mapping[str, Any]
    estimates: Mapping[str, Estimate]

    @classmethod
    def of(cls, run: Run, kept: Mapping[str, Any]) -> Entry:
        """Take the estimates of a report as it was kept."""
        estimates = (estimate(entry) for entry in kept["estimates"])
        settings = {name: kept.get("settings", {}).get(name) for name in ALIKE}
        return cls(str(run.folder), run.config.fit.kind, sample_of(run, kept["sizes"]["real"]), settings,
                   {found.name: found for found in estimates})

    def told_by(self) -> set[str]:
        """Names of the classifiers' estimates."""
        return {name for name, found in self.estimates.items() if found.measure in CLASSIFIERS}

    def worst(self, names: Iterable[str]) -> Estimate:
        """The AUC in which this run is easiest to tell."""
        return max((self.estimates[name] for name in names), key=lambda found: found.value)

    def cells(self, names: Sequence[str]) -> list[str]:
        """What the table says of this run."""
        column = farthest(found for found in self.estimates.values() if found.measure in COLUMNS)
        copying = max((found.value for found in self.estimates.values() if found.measure == "copying"),
                      default=math.nan)
        told = [plus_minus(self.estimates[name].value, self.estimates[name].error) for name in names]
        beyond = "-" if column is None else f"{column.of} ({column.measure} {excess(column):+.1f})"
        return [self.folder, self.kind, *told, beyond, "-" if math.isnan(copying) else f"{copying:.3f}"]


@dataclass(frozen=True)
class Comparison:
    """Runs on the same sample, best first; `names` are the AUCs that all of them have."""

    entries: tuple[Entry, ...]
    names: tuple[str, ...]

    def table(self) -> str:
        """Rank, run, kind, every AUC with its error, the worst column, copying, and who is clearly behind."""
        head = ["", "run", "kind", *self.names, "worst column", "copying", "behind the first"]
        rows = [[str(place + 1), *entry.cells(self.names), self.behind(entry)]
                for place, entry in enumerate(self.entries)]
        widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                         for row in (head, *rows))

    def behind(self, entry: Entry) -> str:
        """How much worse than the first this run is, in its worst AUC."""
        best, own = self.entries[0].worst(self.names), entry.worst(self.names)
        if entry is self.entries[0]:
            return ""
        error = math.hypot(best.error, own.error)
        words = f"{own.value - best.value:.4f} ± {error:.4f}"
        return words if own.value - best.value >= CLEAR * error else f"{words} (not clear)"


def compare(folders: Iterable[str | Path]) -> dict[str, Comparison]:
    """Rank runs, category by category, by their worst AUC over the classifiers and views that all of them have.

    A run without a report is judged first, as its configuration says. Errors are those of the judging rows;
    trainings of one kind vary too. Raises DataError for runs on different rows, or judged in different ways.
    """
    return {category: ranked([Entry.of(run, judged(run)) for run in runs])
            for category, runs in by_category(folders).items()}


def ensemble(folders: Iterable[str | Path], seed: int = 0) -> dict[str, Report]:
    """Take runs as an ensemble of trainings: how much they disagree per column, and whether that is honest.

    See `Spread`. Real rows are those that no run was trained on.
    """
    return {category: spread_of(runs, seed) for category, runs in by_category(folders).items()}


def spread_of(runs: Sequence[Run], seed: int) -> Report:
    """Draw from every run and compare per bin."""
    samples = [run.data or reread(run) for run in runs]
    if len({(inputs_of(run), len(sample.table)) for run, sample in zip(runs, samples, strict=True)}) > 1:
        raise DataError("an ensemble is trained on one sample; these runs were trained on different ones")
    unseen = np.logical_and.reduce([sample.part == JUDGE for sample in samples])
    real = replace(samples[0], part=np.where(unseen, JUDGE, TRAIN)).judged(JUDGE)
    tables = [run.imitate(real, seed=derive(seed, "judging/ensemble", place)) for place, run in enumerate(runs)]
    return Report(Spread()(real, tables, seed), {"real": {"rows": len(real), "effective": real.effective_size}}, seed)


def by_category(folders: Iterable[str | Path]) -> dict[str, list[Run]]:
    """Runs of all folders, category by category; a folder that is one run has the category ""."""
    found: dict[str, list[Run]] = {}
    for folder in folders:
        runs = runs_in(folder)
        for run in runs:
            found.setdefault(Path(str(run.folder)).name if len(runs) > 1 else "", []).append(run)
    return found


def judged(run: Run) -> Mapping[str, Any]:
    """The report of a run; it is judged now if it never was."""
    kept = run.reports.read() if run.reports is not None else {}
    if kept:
        return kept
    settings = settings_of(run.config)
    return {**judge(run, **settings).to_dict(), "settings": settings}


def ranked(entries: Sequence[Entry]) -> Comparison:
    """Best first; raises DataError where the runs were judged on different rows or in different ways."""
    first = entries[0]
    for entry in entries[1:]:
        if entry.sample != first.sample:
            raise DataError(f"{entry.folder} and {first.folder} were trained on different samples or splits; "
                            "only runs on the same rows can be compared")
        if entry.settings != first.settings:
            raise DataError(f"{entry.folder} and {first.folder} were judged with different settings "
                            f"({entry.settings} and {first.settings}); judge one of them again")
    names = set.intersection(*(entry.told_by() for entry in entries))
    if not names:
        raise DataError("no classifier judged all of these runs; judge them again with --measures all")
    ordered = sorted(names, key=list(first.estimates).index)
    return Comparison(tuple(sorted(entries, key=lambda entry: entry.worst(ordered).value)), tuple(ordered))


def inputs_of(run: Run) -> tuple[str, ...]:
    """Hashes of the files that a run was trained on."""
    return tuple(sorted(entry["sha256"] for entry in run.provenance.get("inputs", [])))


def sample_of(run: Run, size: Mapping[str, float]) -> str:
    """What the judging rows of a run are: inputs, reading, split, columns, weights, and how many there are."""
    wanted = run.config
    reading = wanted.read.model_dump(exclude={"files", "workers"})
    return repr((inputs_of(run), reading, wanted.prepare.judging, wanted.fit.weights, wanted.seed, run.names,
                 size["rows"]))


def estimate(entry: Mapping[str, Any]) -> Estimate:
    """An estimate from its dictionary; unknown numbers were kept as None."""
    numbers = {name: math.nan if entry[name] is None else float(entry[name])
               for name in ("value", "error", "floor", "floor_error", "null_error", "null_skew")}
    return Estimate(entry["measure"], entry["of"], how=entry["how"], worse=entry["worse"], details=entry["details"],
                    **numbers)

