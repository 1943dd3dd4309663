"""Exact relations among columns, which no smooth density keeps: copies, sums, products, mass shells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.table import Array

Numbers = NDArray[np.float64]
LEFT = 1e-10  # share of a column's variance that others leave, below which it may follow from them
ROUNDED = 2e-6  # of the terms of a relation: what it may be off in a row
ROWS_THAT_AGREE = 0.99
WORK = 2e8  # rows times columns squared, at most
ROWS, FEWEST = 10_000, 20
INVOLVED = 1e-4  # of a standard deviation: what a column has to add to belong to a relation


@dataclass(frozen=True)
class Relation:
    """One column that follows from others: its value, its square, or its logarithm is a linear sum of theirs.

    >>> Relation("squares", "e", {"px": 1.0, "py": 1.0, "pz": 1.0}, 0.25).text
    'e² = px² + py² + pz² + 0.25'
    """

    chart: str
    column: str
    factors: Mapping[str, float]
    constant: float

    @property
    def text(self) -> str:
        """The relation as a formula."""
        if self.chart == "logarithms":
            powers = " · ".join(name if factor == 1 else f"{name}^{factor:g}" for name, factor in self.factors.items())
            scale = float(np.exp(self.constant))
            return f"|{self.column}| = |{powers}|" + ("" if abs(scale - 1) < ROUNDED else f" · {scale:.4g}")
        mark = "²" if self.chart == "squares" else ""
        terms = [signed(factor, f"{name}{mark}") for name, factor in self.factors.items()]
        terms += [signed(self.constant, "")] if self.constant else []
        return f"{self.column}{mark} = {' '.join(terms).removeprefix('+ ')}"


def signed(factor: float, name: str) -> str:
    """A term of a sum with its sign.

    >>> signed(-1.0, "a"), signed(0.5, "b"), signed(2.0, "")
    ('- a', '+ 0.5 b', '+ 2')
    """
    size = "" if abs(factor) == 1 and name else f"{abs(factor):.4g}"
    return f"{'-' if factor < 0 else '+'} {' '.join(filter(None, (size, name)))}"


def find_relations(columns: Mapping[str, Array]) -> list[Relation]:
    """Relations that hold in all but a few rows, to rounding; a column that follows is left out of what comes later.

    >>> a, b = np.random.default_rng(0).normal(size=(2, 500))
    >>> [relation.text for relation in find_relations({"a": a, "b": b, "c": a - 2 * b})]
    ['c = a - 2 b']
    """
    found: list[Relation] = []
    names = list(columns)
    for chart in ("values", "squares", "logarithms"):
        charted = {name: values for name in names if (values := in_chart(chart, columns[name])) is not None}
        new = list(dependent(chart, thinned(charted)))
        found += [solved_for_the_largest(relation, columns) for relation in new]
        gone = {relation.column for relation in new}
        names = [name for name in names if name not in gone]
    return found


def in_chart(chart: str, column: Array) -> Numbers | None:
    """A column, its squares or its logarithms (N,); None where it is constant or has none."""
    values = column.astype(np.float64)
    if chart == "squares":
        values = values**2
    elif chart == "logarithms":
        if not values.all():
            return None
        values = np.log(np.abs(values))
    return values if np.isfinite(values).all() and np.ptp(values) > 0 else None


def thinned(columns: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Some of the rows: the work stays bounded; nothing where the rows are too few to tell a relation from chance."""
    if not columns:
        return {}
    count, rows = len(columns), len(next(iter(columns.values())))
    most = int(min(ROWS, WORK / count**2))
    if min(rows, most) < 3 * count + FEWEST:
        return {}
    every = -(-rows // most)
    return {name: values[::every] for name, values in columns.items()}


def dependent(chart: str, columns: Mapping[str, Numbers]) -> Iterator[Relation]:
    """Columns that follow from those before them, by orthogonal steps through all."""
    known: list[str] = []
    basis: list[Numbers] = []
    for name, values in columns.items():
        centred = values - values.mean()
        left = scaled = centred / max(float(np.sqrt(np.mean(centred**2))), np.finfo(float).tiny)
        for _ in range(2):  # twice: once leaves rounding
            for direction in basis:
                left = left - (direction @ left) / len(left) * direction
        spread = float(np.mean(left**2)) / max(float(np.mean(scaled**2)), np.finfo(float).tiny)
        relation = solve(chart, name, known, columns) if spread < LEFT else None
        if relation is not None:
            yield relation
            continue
        known.append(name)
        if spread > np.finfo(float).eps ** 2:
            basis.append(left / np.sqrt(np.mean(left**2)))


def solve(chart: str, name: str, known: Sequence[str], columns: Mapping[str, Numbers]) -> Relation | None:
    """The relation of one column to others; None where it does not hold row by row."""
    values = columns[name]
    widths = np.array([columns[other].std() for other in known])
    centred = np.stack([columns[other] - columns[other].mean() for other in known], 1) / widths
    solution = np.linalg.lstsq(centred, (values - values.mean()) / values.std(), rcond=None)[0]
    factors = {other: rounded(float(factor * values.std() / width))
               for other, factor, width in zip(known, solution, widths, strict=True) if abs(factor) > INVOLVED}
    constant = values.mean() - sum(factor * columns[other].mean() for other, factor in factors.items())
    terms = [factor * columns[other] for other, factor in factors.items()]
    size = np.abs(values) + sum(map(np.abs, terms), np.zeros_like(values))
    off = np.abs(values - constant - sum(terms, np.zeros_like(values)))
    allowed = ROUNDED * (np.maximum(size, 1.0) if chart == "logarithms" else size)
    if np.mean(off <= allowed) < ROWS_THAT_AGREE:
        return None
    negligible = abs(constant) <= float(np.mean(allowed))
    return Relation(chart, name, factors, 0.0 if negligible else float(constant))


def rounded(factor: float) -> float:
    """A factor, or the integer that it is but for rounding."""
    whole = round(factor)
    return float(whole) if whole and abs(factor - whole) < 1e-5 else factor


def solved_for_the_largest(relation: Relation, columns: Mapping[str, Array]) -> Relation:
    """Squares solved for the largest column of one sign, such as the energy: its root is known."""
    if relation.chart != "squares":
        return relation
    names = (relation.column, *relation.factors)
    sizes = {name: float(np.mean(columns[name].astype(np.float64) ** 2)) for name in names
             if (columns[name] >= 0).all()}
    best = max(sizes, key=lambda name: sizes[name], default=relation.column)
    if best == relation.column:
        return relation
    scale = relation.factors[best]
    others = {name: rounded(-factor / scale) for name, factor in relation.factors.items() if name != best}
    return Relation("squares", best, {relation.column: rounded(1 / scale), **others}, -relation.constant / scale)
