"""Rank runs by how hard their events are to tell from the original: `calque compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calque.errors import ConfigError, DataError
from calque.judging.ensemble import Spread
from calque.judging.measure import Estimate, plus_minus
from calque.judging.report import CLASSIFIERS, COLUMNS, Report, excess, farthest
from calque.judging.verdict import judge, reread
from calque.mixture import runs_in
from calque.preparing import JUDGE
from calque.run import Run

CLEAR = 2.0  # standard deviations from which one run is said to be better than another


@dataclass(frozen=True)
class Entry:
    """One run: its folder, the kind of its generator, and its estimates by name."""

    folder: str
    kind: str
    sample: str
    estimates: Mapping[str, Estimate]

    @classmethod
    def of(cls, run: Run, kept: Mapping[str, Any]) -> Entry:
        """Take the estimates of a report as it was kept."""
        estimates = (estimate(entry) for entry in kept["estimates"])
        return cls(str(run.folder), run.config.fit.kind, sample_of(run, kept["sizes"]["real"]),
                   {found.name: found for found in estimates})

    @property
    def worst(self) -> Estimate:
        """The AUC in which this run is easiest to tell."""
        told = [found for found in self.estimates.values() if found.measure in CLASSIFIERS]
        if not told:
            raise ConfigError(f"{self.folder} was judged without a classifier; judge it again with --measures all")
        return max(told, key=lambda found: found.value)

    def cells(self, views: Sequence[str]) -> list[str]:
        """What the table says of this run."""
        column = farthest(found for found in self.estimates.values() if found.measure in COLUMNS)
        copying = max((found.value for found in self.estimates.values() if found.measure == "copying"),
                      default=math.nan)
        named = [plus_minus(self.estimates[name].value, self.estimates[name].error) if name in self.estimates else "-"
                 for name in views]
        beyond = "-" if column is None else f"{column.of} ({column.measure} {excess(column):+.1f})"
        return [self.folder, self.kind, *named, beyond, "-" if math.isnan(copying) else f"{copying:.3f}"]


@dataclass(frozen=True)
class Comparison:
    """Runs on the same sample, best first."""

    entries: tuple[Entry, ...]

    def table(self) -> str:
        """Rank, run, kind, every AUC with its error, the worst column, copying, and who is clearly behind."""
        names = list(dict.fromkeys(name for entry in self.entries for name, found in entry.estimates.items()
                                   if found.measure in CLASSIFIERS))
        head = ["", "run", "kind", *names, "worst column", "copying", "behind the first"]
        rows = [[str(place + 1), *entry.cells(names), self.behind(entry)] for place, entry in enumerate(self.entries)]
        widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                         for row in (head, *rows))

    def behind(self, entry: Entry) -> str:
        """How much worse than the first this run is, in its worst AUC."""
        best, own = self.entries[0].worst, entry.worst
        if entry is self.entries[0]:
            return ""
        error = math.hypot(best.error, own.error)
        words = f"{own.value - best.value:.4f} ± {error:.4f}"
        return words if own.value - best.value >= CLEAR * error else f"{words} (not clear)"


def compare(folders: Iterable[str | Path], **settings: Any) -> dict[str, Comparison]:
    """Rank runs, category by category, by their worst AUC over classifiers and views.

    A run without a report is judged first. Errors are those of the judging rows; trainings of one kind vary
    too, so several seeds say more. Raises DataError for runs that were judged on different samples.
    """
    return {category: ranked([Entry.of(run, judged(run, settings)) for run in runs])
            for category, runs in by_category(folders).items()}


def ensemble(folders: Iterable[str | Path], seed: int = 0) -> dict[str, Report]:
    """Take runs as an ensemble of trainings: how much they disagree per column, and whether that is honest.

    See `Spread`. Real rows are those that the first run never saw.
    """
    return {category: spread_of(runs, seed) for category, runs in by_category(folders).items()}


def spread_of(runs: Sequence[Run], seed: int) -> Report:
    """Draw from every run and compare per bin."""
    real = (runs[0].data or reread(runs[0])).judged(JUDGE)
    tables = [run.imitate(real, seed=seed + place + 1) for place, run in enumerate(runs)]
    sizes = {"real": {"rows": len(real), "effective": real.effective_size}}
    return Report(Spread()(real, tables, seed), sizes, seed)


def by_category(folders: Iterable[str | Path]) -> dict[str, list[Run]]:
    """Runs of all folders, category by category; a folder that is one run has the category \"\"."""
    found: dict[str, list[Run]] = {}
    for folder in folders:
        runs = runs_in(folder)
        for run in runs:
            found.setdefault(Path(str(run.folder)).name if len(runs) > 1 else "", []).append(run)
    return found


def judged(run: Run, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report of a run; it is judged now if it never was."""
    kept = run.reports.read() if run.reports is not None else {}
    return kept if kept and not settings else judge(run, **settings).to_dict()


def ranked(entries: Sequence[Entry]) -> Comparison:
    """Best first; raises DataError where the runs were judged on different rows."""
    first = entries[0]
    for entry in entries[1:]:
        if entry.sample != first.sample:
            raise DataError(f"{entry.folder} and {first.folder} were trained on different samples or splits; "
                            "only runs on the same rows can be compared")
    return Comparison(tuple(sorted(entries, key=lambda entry: entry.worst.value)))


def sample_of(run: Run, size: Mapping[str, float]) -> str:
    """What the judging rows of a run are taken from: inputs, condition, split, and how many there are."""
    hashes = sorted(entry["sha256"] for entry in run.provenance.get("inputs", []))
    wanted = run.config
    return repr((hashes, wanted.read.where, wanted.read.limit, wanted.prepare.judging, wanted.seed, size["rows"]))


def estimate(entry: Mapping[str, Any]) -> Estimate:
    """An estimate from its dictionary; unknown numbers were kept as None."""
    numbers = {name: math.nan if entry[name] is None else float(entry[name])
               for name in ("value", "error", "floor", "floor_error")}
    return Estimate(entry["measure"], entry["of"], how=entry["how"], worse=entry["worse"], details=entry["details"],
                    **numbers)

