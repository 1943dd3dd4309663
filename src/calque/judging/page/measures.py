"""The numbers of a report as the page shows them: rows, groups of measures, corners."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calque.judging.drawing.paper import RAISED
from calque.judging.glossary import explained
from calque.judging.measure import Estimate, plus_minus
from calque.judging.page.origin import written
from calque.judging.report import COLUMNS, STANDS_OUT, Report, excess, is_suspicious

FEW = 4  # rows of a group before the rest folds
FULL = 100.0  # excess of a full bar, whose scale is logarithmic
POWER = re.compile(r"(?<=[\d)])e([+-]\d+)")


def measured(value: float, error: float) -> str:
    """Write a number and its error as on paper.

    >>> measured(0.51234, 0.0031), measured(7.5e-9, 1.2e-10)
    ('0.5123 ± 0.0031', '(7.50 ± 0.12) × 10⁻⁹')
    """
    return on_paper(plus_minus(value, error))


def on_paper(text: str) -> str:
    """Write powers of ten with raised digits."""
    return POWER.sub(lambda found: f" × 10{str(int(found[1])).translate(RAISED)}", text)


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
    suspicious: bool = False

    @classmethod
    def of_estimate(cls, estimate: Estimate) -> Row:
        """Word an estimate."""
        distance, unit = excess(estimate), estimate.details.get("unit", "") if estimate.measure == "wasserstein" else ""
        known = math.isfinite(distance)
        return cls(
            estimate.of, f"{on_paper(estimate.text)} {unit}".strip(),
            measured(estimate.floor, estimate.floor_error), f"{distance:+.1f}".replace("-", "−") if known else "–",
            bar(distance), distance >= STANDS_OUT, known, estimate.how, is_suspicious(estimate),
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
        rows.sort(key=lambda row: not (row.stands_out or row.suspicious))
        marked = sum(row.stands_out or row.suspicious for row in rows)
        cut = len(rows) if len(rows) <= FEW + 1 else max(marked, FEW)
        hows = tuple(dict.fromkeys(row.how for row in rows if row.how))
        return cls(measure, *explained(measure), tuple(rows[:cut]), tuple(rows[cut:]), beyond, hows)


def groups(report: Report) -> list[Group]:
    """Every measure with its estimates, the one farthest beyond its floor first."""
    found: dict[str, list[Estimate]] = {}
    for estimate in report.estimates:
        found.setdefault(estimate.measure, []).append(estimate)
    if "region" in found:
        found["region"] = [replace(one, of=f"{where(one)} ({one.of})") for one in regions(report)]
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


def regions(report: Report) -> list[Estimate]:
    """Corners, the worst first; one that several views give alike is one, named after all of them."""
    found: dict[tuple[str, float, float], Estimate] = {}
    for estimate in sorted(report.of("region"), key=excess, reverse=True):
        key = where(estimate), estimate.value, estimate.error
        known = found.get(key)
        found[key] = estimate if known is None else replace(known, of=f"{known.of}, {estimate.of}")
    return list(found.values())


def where(estimate: Estimate) -> str:
    """Cuts of a corner."""
    return str(estimate.details.get("where", estimate.of))


@dataclass(frozen=True)
class Corner:
    """A region where the classifier is certain."""

    where: str
    row: Row
    facts: tuple[tuple[str, str], ...]


def corners(report: Report) -> list[Corner]:
    """Every region that the report names, the worst first."""
    return [Corner(where(estimate), Row.of_estimate(estimate),
                   tuple(facts({**estimate.details, "view": estimate.of}))) for estimate in regions(report)]


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
