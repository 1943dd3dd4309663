"""The outcome of a comparison: all numbers, one sentence, a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from calque.errors import ConfigError, unknown
from calque.geometry import Geometry
from calque.judging.classifying.classifier import Judgement
from calque.judging.glossary import explained
from calque.judging.measure import Estimate, finite, plus_minus

STANDS_OUT = 3.0  # standard deviations beyond the floor from which a measure is marked
CERTAIN = 5.0  # the same for a sentence about the worst of many measures
SUSPICIOUS = 4.0  # standard deviations below the floor: closer to the real rows than other real rows are
MOST_REPEATED = 0.01  # share of generated rows that may equal a training row by chance
CLASSIFIERS = ("auc", "auc_network")
MEANING = "?: far below its floor, closer to the judged rows than real rows are; suspicious, not good"
COLUMNS = ("ks", "wasserstein", "chi2", "kl", "js", "separation", "tail_low", "tail_high",
           "beyond_low", "beyond_high", "support")
IMPOSSIBLE = (" negative", " not a whole number", " other than its ")  # kinds of values outside the support
LAYERS = ("sparsity", "cell_spectrum")
MAY_BE_BETTER = ("worth", "precision", "recall", "response", "response_in_bins")  # than real against real


@dataclass(frozen=True)
class Report:
    """All estimates of a comparison, the sizes of the samples, and the classifiers' output for plots.

    `sizes` gives rows and effective rows ((Σw)²/Σw²) of "real", "fake" and, where known, "train"; `judgements`
    the output of every classifier in every view; `notes` what was left out, and why; `geometry` where the voxels of
    showers lie.
    """

    estimates: tuple[Estimate, ...]
    sizes: Mapping[str, Mapping[str, float]]
    seed: int
    judgements: Mapping[str, Judgement] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    geometry: Geometry | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Estimate:
        """Find an estimate by name, e.g. report["auc_raw"]; raises ConfigError that names the nearest."""
        found = {estimate.name: estimate for estimate in self.estimates}
        if name not in found:
            raise ConfigError(unknown("estimate", name, found, "in this report"))
        return found[name]

    def of(self, *measures: str) -> list[Estimate]:
        """Estimates of these measures."""
        return [estimate for estimate in self.estimates if estimate.measure in measures]

    @property
    def worst(self) -> Estimate | None:
        """The AUC of the classifier and view in which the copy is easiest to tell; None without a classifier."""
        return max(self.of(*CLASSIFIERS), key=lambda estimate: estimate.value, default=None)

    @property
    def worst_column(self) -> Estimate | None:
        """The distance of a column that lies farthest beyond its floor."""
        return farthest(self.of(*COLUMNS))

    @property
    def told(self) -> bool:
        """Whether an AUC stands out, or any other measure of the copy is certainly beyond its floor."""
        sought = [estimate for estimate in self.estimates if estimate.measure not in ("copying", "worth")]
        return (any(excess(estimate) >= STANDS_OUT for estimate in self.of(*CLASSIFIERS))
                or any(excess(estimate) >= CERTAIN for estimate in sought))

    @property
    def suspicious(self) -> list[Estimate]:
        """Estimates far below their floors, the farthest first: generated rows follow the judged rows too closely."""
        return sorted(filter(is_suspicious, self.estimates), key=lambda estimate: estimate.excess)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the plots' arrays, as plain values."""
        content: dict[str, Any] = finite({
            "verdict": self.verdict(), "seed": self.seed, "sizes": self.sizes, "notes": self.notes,
            "estimates": [estimate.to_dict() for estimate in self.estimates],
        })
        return content

    def to_json(self) -> str:
        """Everything but the plots' arrays, as strict JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def table(self, full: bool = False) -> str:
        """Plain text: measure, value ± error, floor ± error, distance in standard deviations, marked from 3 on.

        Of a measure of columns only the worst one is shown, unless `full`.
        """
        shown = self.estimates if full else shortened(self.estimates)
        rows = [("measure", "of", "value", "floor (real against real)", "excess"), *map(row, shown)]
        widths = [max(len(entry[place]) for entry in rows) for place in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(entry, widths, strict=True)).rstrip()
                 for entry in rows]
        sizes = ", ".join(f"{name} {size['rows']:.0f} (effective {size['effective']:.0f})"
                          for name, size in self.sizes.items())
        marks = [MEANING] if any(map(is_suspicious, shown)) else []
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", *marks, f"rows: {sizes}", *self.notes])

    def verdict(self) -> str:
        """One sentence: the worst AUC against its floor, the worst column and corner, and whether it copies.

        What lies far below its floor is named first: it is no good news.
        """
        told = "can be told from the original" if self.told else "cannot be told from the original"
        found = [*self.words_of_response(), *self.words_of_classifiers(), *self.words_of_columns(),
                 *self.words_of_regions(), *self.words_of_rest()]
        tried = ", ".join(found) or "nothing that was tried tells it"
        if self.suspicious:
            return f"{self.words_of_suspicion()} Measured: {tried}; {self.words_of_copying()}."
        return f"The copy {told}: {tried}; {self.words_of_copying()}."

    def words_of_suspicion(self) -> str:
        """What is too good to be true."""
        first = next((one for one in self.suspicious if one.measure in CLASSIFIERS), self.suspicious[0])
        others = len(self.suspicious) - 1
        more = f", and {others} more below theirs" if others else ""
        return (f"This judgement is suspicious: {explained(first.measure).title} {first.text} ({first.of}) lies "
                f"{-first.excess:.1f} standard deviations below its floor {plus_minus(first.floor, first.floor_error)}"
                f"{more}. The generated rows follow the judged rows more closely than independent rows can: they may "
                "be changed copies of them.")

    def words_of_response(self) -> Iterable[str]:
        """How far images of the same parameters are apart, and where most."""
        response = farthest_value(self.of("response"))
        if response is not None:
            worst = farthest_value(self.of("response_in_bins"))
            most = f", {100 * worst.value:.2g} % where {worst.details['where']}" if worst is not None else ""
            yield (f"images of the same parameters differ by {100 * response.value:.2g} % of the pixels' spread{most}"
                   + (f" (floor {100 * response.floor:.2g} %)" if math.isfinite(response.floor) else ""))

    def words_of_classifiers(self) -> Iterable[str]:
        """What the strongest classifier says."""
        auc = self.worst
        if auc is not None:
            by = "the network" if auc.measure == "auc_network" else "boosted trees"
            yield (f"AUC {plus_minus(auc.value, auc.error)} in the {auc.of} view by {by}, "
                   f"floor {plus_minus(auc.floor, auc.floor_error)}")

    def words_of_columns(self) -> Iterable[str]:
        """The column that is certainly wrong, if one is."""
        column = self.worst_column
        if column is not None and excess(column) >= CERTAIN:
            yield (f"worst in {column.of} ({explained(column.measure).title} {excess(column):.0f} standard deviations "
                   "beyond its floor)")
        yield from self.words_of_impossible()

    def words_of_impossible(self) -> Iterable[str]:
        """Generated values of a kind that no real event has, however few: negative ones, fractions, other codes."""
        for estimate in self.of("support"):
            where = str(estimate.details.get("where", ""))
            if any(kind in where for kind in IMPOSSIBLE):
                share = 100 * float(estimate.details["share_there"])
                yield f"{share:.2g} % of the generated events have {where}, no real one has"

    def words_of_regions(self) -> Iterable[str]:
        """The corner with certainly too many or too few events."""
        region = farthest(self.of("region"))
        if region is not None and excess(region) >= CERTAIN:
            yield f"{plus_minus(region.value, region.error)} times the events where {region.details['where']}"

    def words_of_rest(self) -> Iterable[str]:
        """What is farthest beyond its floor, if that is certain and none of the above."""
        worst = farthest(estimate for estimate in self.estimates if estimate.measure not in ("copying", "worth"))
        if worst is not None and excess(worst) >= CERTAIN and worst.measure not in (*CLASSIFIERS, *COLUMNS, "region"):
            yield (f"{explained(worst.measure).title} {excess(worst):.0f} standard deviations beyond its floor "
                   f"({worst.of})")

    def words_of_copying(self) -> str:
        """Whether generated rows sit on training rows."""
        copying = self.of("copying")
        if not copying:
            return "copying was not tested"
        most = max(copying, key=lambda estimate: estimate.value)
        again = max(copying, key=repeats)
        if repeats(again) > MOST_REPEATED:
            return (f"it copies its training rows: {100 * again.details['identical']:.2g} % of the generated rows are "
                    "among them")
        found = "it copies its training rows" if most.excess > STANDS_OUT else "no sign of copying"
        return f"{found} ({plus_minus(most.value, most.error)}, 0.5 is honest)"


def repeats(copying: Estimate) -> float:
    """Share of generated rows that equal one of so many training rows, beyond that of as many held-out ones."""
    return float(copying.details.get("identical_trained", 0.0)) - float(copying.details.get("identical_held", 0.0))


def excess(estimate: Estimate) -> float:
    """Distance beyond the floor in standard deviations; −∞ where it is not known."""
    return estimate.excess if math.isfinite(estimate.excess) else -math.inf


def is_suspicious(estimate: Estimate) -> bool:
    """Whether an estimate lies so far below its floor that the samples cannot be independent."""
    return -math.inf < excess(estimate) <= -SUSPICIOUS and estimate.measure not in MAY_BE_BETTER


def farthest(estimates: Iterable[Estimate]) -> Estimate | None:
    """The estimate farthest beyond its floor."""
    return max(estimates, key=excess, default=None)


def farthest_value(estimates: Iterable[Estimate]) -> Estimate | None:
    """The largest."""
    return max(estimates, key=lambda estimate: estimate.value, default=None)


def shortened(estimates: Iterable[Estimate]) -> list[Estimate]:
    """Keep one estimate of each measure of columns or layers, the farthest, and the worth in all columns together."""
    kept: dict[str, Estimate] = {}
    for estimate in estimates:
        key = estimate.measure if estimate.measure in (*COLUMNS, *LAYERS, "ranks", "worth") else estimate.name
        if key not in kept or rank(estimate) > rank(kept[key]):
            kept[key] = estimate
    return list(kept.values())


def rank(estimate: Estimate) -> float:
    """What of several estimates of one measure is to be seen first."""
    return float(estimate.details["cells"]) if estimate.measure == "worth" else excess(estimate)


def row(estimate: Estimate) -> tuple[str, str, str, str, str]:
    """Cells of one estimate in the table."""
    known = math.isfinite(estimate.excess)
    mark = " !" if excess(estimate) >= STANDS_OUT else " ?" if is_suspicious(estimate) else ""
    return (estimate.measure, estimate.of, estimate.text,
            plus_minus(estimate.floor, estimate.floor_error), f"{estimate.excess:+.1f}{mark}" if known else "")
