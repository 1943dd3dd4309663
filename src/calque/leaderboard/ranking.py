"""Entries in the order of their quality, and those that no other beats in quality and in speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from calque.judging.measure import finite, plus_minus
from calque.kinds import KINDS
from calque.leaderboard.scores import Score


@dataclass(frozen=True)
class Number:
    """Mean over n seeds with its error: their spread over √n, or that of the judging rows where it is larger."""

    value: float
    error: float
    floor: float = math.nan

    @classmethod
    def of(cls, values: Sequence[float], errors: Sequence[float], floors: Sequence[float]) -> Number:
        """Average trainings."""
        count = len(values)
        spread = float(np.std(values, ddof=1)) if count > 1 else 0.0  # a few seeds may agree by chance
        return cls(float(np.mean(values)), max(spread, float(np.mean(errors))) / math.sqrt(count),
                   float(np.mean(floors)))

    def __str__(self) -> str:
        return plus_minus(self.value, self.error)


@dataclass(frozen=True)
class Line:
    """One entry: its AUCs by "part view", the worst of them, copying, speed, and what it cost."""

    name: str
    kind: str
    family: str
    seeds: int
    figures: Mapping[str, Number] = field(default_factory=dict)
    copying: Number = field(default_factory=lambda: Number(math.nan, math.nan))
    rate: float = math.nan
    seconds: float = math.nan
    parameters: int = 0
    density: bool = False
    failed: str = ""
    front: bool = False
    preset: str = "default"

    @property
    def worst(self) -> Number:
        """The AUC in which it is easiest to tell."""
        return max(self.figures.values(), key=lambda figure: figure.value, default=Number(math.inf, math.nan))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return dict(finite({**asdict(self), "worst": asdict(self.worst)}))


def ranked(scores: Iterable[Score], rates: Mapping[str, float]) -> list[Line]:
    """Best first; what failed comes last."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.name, []).append(score)
    found = sorted((line(group, rates.get(name, math.nan)) for name, group in groups.items()),
                   key=lambda one: one.worst.value)
    return [replace(one, front=not any(beats(other, one) for other in found)) for one in found]


def line(scores: Sequence[Score], rate: float) -> Line:
    """Trainings of one entry with several seeds, as one."""
    kind, good = KINDS[scores[0].kind], [score for score in scores if not score.failed]
    failed = next((score.failed for score in scores if score.failed), "")
    made = Line(scores[0].name, scores[0].kind, kind.objective, len(good), density=kind.density, failed=failed,
                rate=rate, preset=scores[0].preset)
    if not good:
        return made
    names = [(part, name) for part, figures in good[0].parts.items() for name in figures]
    averaged = {(part, name): averaged_over(good, part, name) for part, name in names}
    copying = [figure for (_, name), figure in averaged.items() if name.startswith("copying")]
    figures = {f"{part} {name.removeprefix('auc_')}": figure for (part, name), figure in averaged.items()
               if name.startswith("auc")}
    return replace(made, figures=figures, copying=max(copying, key=lambda figure: figure.value, default=made.copying),
                   seconds=float(np.mean([score.seconds for score in good])), parameters=good[0].parameters)


def averaged_over(scores: Sequence[Score], part: str, name: str) -> Number:
    """One figure, averaged over trainings."""
    found = [score.parts[part][name] for score in scores]
    return Number.of(*([figure[what] for figure in found] for what in ("value", "error", "floor")))


def beats(one: Line, other: Line) -> bool:
    """Whether one is better or faster than another, and not worse in either."""
    if not math.isfinite(one.worst.value) or not math.isfinite(other.worst.value):
        return math.isfinite(one.worst.value)
    better, faster = one.worst.value <= other.worst.value, one.rate >= other.rate
    return better and faster and (one.worst.value, one.rate) != (other.worst.value, other.rate)


def columns(lines: Sequence[Line]) -> list[str]:
    """Names of the figures that the entries have."""
    return list(dict.fromkeys(name for one in lines for name in one.figures))


def cells(one: Line, names: Sequence[str]) -> list[str]:
    """What a table says of an entry."""
    told = [str(one.figures[name]) if name in one.figures else "-" for name in names]
    return [one.name, one.preset, str(one.worst) if one.figures else one.failed,
            f"{one.rate / 1e6:.3g}" if math.isfinite(one.rate) else "-", "◆" if one.front else "", *told,
            str(one.copying), f"{one.seconds:.0f}" if math.isfinite(one.seconds) else "-", str(one.seeds)]


def heads(names: Sequence[str]) -> list[str]:
    """Headings of that table."""
    return ["", "preset", "worst AUC", "M events/s", "front", *names, "copying", "fit [s]", "seeds"]


def table(lines: Sequence[Line]) -> str:
    """Plain text."""
    names = columns(lines)
    rows = [heads(names), *(cells(one, names) for one in lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)
