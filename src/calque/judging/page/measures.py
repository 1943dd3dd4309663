"""The numbers of a report as the page shows them: tiles, groups of measures, corners."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calque.judging.drawing.paper import RAISED
from calque.judging.glossary import explained
from calque.judging.measure import Estimate, plus_minus
from calque.judging.page.origin import written
from calque.judging.report import COLUMNS, STANDS_OUT, Report, excess

FEW = 4  # rows of a group before the rest folds
FULL = 100.0  # excess of a full bar, whose scale is logarithmic
LIMITS = (0.6, 0.75, 1.0)  # where the scale of an AUC may end
POWER = re.compile(r"e([+-]\d+)")
APART = ("region",)  # measures with a section of their own


def measured(value: float, error: float) -> str:
    """Write a number and its error as on paper.

    >>> measured(0.51234, 0.0031), measured(7.5e-9, 1.2e-10)
    ('0.5123 ± 0.0031', '(7.50 ± 0.12) × 10⁻⁹')
    """
    return POWER.sub(lambda found: f" × 10{str(int(found[1])).translate(RAISED)}", plus_minus(value, error))


@dataclass(frozen=True)
class Row:
    """One estimate in words; `bar` is its excess as a share of a full bar."""

    of: str
    value: str
    floor: str
    excess: str
    bar: float
    stands_out: bool
    known: bool
    how: str

    @classmethod
    def of_estimate(cls, estimate: Estimate) -> Row:
        """Word an estimate."""
        distance, unit = excess(estimate), estimate.details.get("unit", "") if estimate.measure == "wasserstein" else ""
        known, limit = math.isfinite(distance), "≥ " if estimate.details.get("lower_limit") else ""
        return cls(
            estimate.of, f"{limit}{measured(estimate.value, estimate.error)} {unit}".strip(),
            measured(estimate.floor, estimate.floor_error), f"{distance:+.1f}".replace("-", "−") if known else "–",
            bar(distance), distance >= STANDS_OUT, known, estimate.how,
        )


def bar(distance: float) -> float:
    """Length of the bar of an excess: logarithmic, nothing below the floor.

    >>> bar(-2.0), bar(100.0), round(bar(STANDS_OUT), 2)
    (0.0, 1.0, 0.3)
    """
    return min(math.log1p(max(distance, 0.0)) / math.log1p(FULL), 1.0)


@dataclass(frozen=True)
class Group:
    """All estimates of one measure, the worst first; those after the first few fold."""

    measure: str
    title: str
    line: str
    rows: tuple[Row, ...]
    rest: tuple[Row, ...]
    beyond: int
    hows: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of estimates."""
        return len(self.rows) + len(self.rest)

    @property
    def judged(self) -> int:
        """Number of those with a floor."""
        return sum(row.known for row in (*self.rows, *self.rest))

    @classmethod
    def of(cls, measure: str, estimates: Sequence[Estimate]) -> Group:
        """Sort the estimates of one measure; those that stand out never fold."""
        rows = [Row.of_estimate(estimate) for estimate in sorted(estimates, key=excess, reverse=True)]
        beyond = sum(row.stands_out for row in rows)
        cut = len(rows) if len(rows) <= FEW + 1 else max(beyond, FEW)
        hows = tuple(dict.fromkeys(row.how for row in rows if row.how))
        return cls(measure, *explained(measure), tuple(rows[:cut]), tuple(rows[cut:]), beyond, hows)


def groups(report: Report) -> list[Group]:
    """Every measure with its estimates, the one farthest beyond its floor first."""
    found: dict[str, list[Estimate]] = {}
    for estimate in report.estimates:
        if estimate.measure not in APART:
            found.setdefault(estimate.measure, []).append(estimate)
    ordered = sorted(found.items(), key=lambda item: -max(map(excess, item[1])))
    return [Group.of(measure, estimates) for measure, estimates in ordered]


def flags(report: Report) -> dict[str, list[tuple[str, str, str]]]:
    """What stands out in each column, the worst first: measure, its title, excess."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for estimate in sorted(report.of(*COLUMNS), key=excess, reverse=True):
        if excess(estimate) >= STANDS_OUT:
            flag = (estimate.measure, explained(estimate.measure).title, Row.of_estimate(estimate).excess)
            found.setdefault(estimate.of, []).append(flag)
    return found


@dataclass(frozen=True)
class Scale:
    """Where value and floor lie between two limits, each with its error, in per cent."""

    low: float
    high: float
    value: tuple[float, float]
    floor: tuple[float, float] | None

    @classmethod
    def of(cls, estimate: Estimate) -> Scale | None:
        """Place a share between one half, or a little below, and one; None where there is no number."""
        if not math.isfinite(estimate.value):
            return None
        floor = estimate.floor if math.isfinite(estimate.floor) else 0.5
        reach = max(estimate.value, floor)
        high = next((limit for limit in LIMITS if reach < limit - 0.02), 1.0)
        low = min(0.5 - 0.1 * (high - 0.5), estimate.value - 0.02, floor - 0.02)

        def place(value: float, error: float) -> tuple[float, float]:
            width = error if math.isfinite(error) else 0.0
            return 100 * (value - low) / (high - low), min(100 * width / (high - low), 50.0)

        known = math.isfinite(estimate.floor)
        return cls(low, high, place(estimate.value, estimate.error),
                   place(estimate.floor, estimate.floor_error) if known else None)


@dataclass(frozen=True)
class Tile:
    """A key figure: what, the number, where, the comparison; a scale, or a bar with or without the mark of 3."""

    label: str
    number: str
    note: str
    against: str
    stands_out: bool
    scale: Scale | None = None
    bar: float | None = None
    marked: bool = False


def tiles(report: Report, beyond: int, judged: int) -> list[Tile]:
    """The worst AUC, the worst column, copying, and how many of all numbers lie beyond their floors."""
    made = [share_tile("Worst AUC", report.worst), column_tile(report.worst_column),
            share_tile("Copying", max(report.of("copying"), key=lambda found: found.value, default=None)),
            Tile("Beyond their floors", f"{beyond} of {judged}", "numbers",
                 f"by {STANDS_OUT:g} standard deviations or more", beyond > 0, bar=beyond / judged) if judged else None]
    return [tile for tile in made if tile is not None]


def share_tile(label: str, estimate: Estimate | None) -> Tile | None:
    """Show an AUC or a share of copies on its scale."""
    if estimate is None:
        return None
    title = explained(estimate.measure).title
    note = f"{estimate.of} view" if label == title else f"{title}, {estimate.of} view"
    return Tile(label, measured(estimate.value, estimate.error), note,
                f"floor {measured(estimate.floor, estimate.floor_error)}", excess(estimate) >= STANDS_OUT,
                Scale.of(estimate))


def column_tile(estimate: Estimate | None) -> Tile | None:
    """Show the column that is farthest beyond its floor."""
    if estimate is None:
        return None
    row = Row.of_estimate(estimate)
    return Tile("Worst column", estimate.of, f"{explained(estimate.measure).title} {row.value}",
                f"{row.excess} standard deviations from its floor, {row.floor}", row.stands_out,
                bar=row.bar, marked=True)


@dataclass(frozen=True)
class Corner:
    """A region where the classifier is certain."""

    where: str
    row: Row
    facts: tuple[tuple[str, str], ...]


def corners(report: Report) -> list[Corner]:
    """Every region that the report names, the worst first."""
    found = sorted(report.of("region"), key=excess, reverse=True)
    return [Corner(str(estimate.details.get("where", estimate.of)), Row.of_estimate(estimate),
                   tuple(facts(estimate.details))) for estimate in found]


def facts(details: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Word plain numbers and texts, each with its error where there is one; a share is in per cent.

    >>> list(facts({"where": "x > 1", "share_fake": 0.25, "share_fake_error": 0.01, "view": "raw"}))
    [('share generated', '25.0 ± 1.0 %'), ('view', 'raw')]
    """
    for name, value in details.items():
        if name == "where" or name.endswith("_error") or isinstance(value, bool):
            continue
        label = name.replace("_", " ").replace("fake", "generated")
        if isinstance(value, float) and "share" in name:
            yield label, f"{measured(100 * value, 100 * float(details.get(f'{name}_error') or math.nan))} %"
        elif isinstance(value, int | float):
            yield label, written(value)
        elif isinstance(value, str):
            yield label, value
