"""What is inside a file: trees, columns, types, rows, ranges, non-finite counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from calque.errors import FileError
from calque.reading.files import locate
from calque.reading.formats import Chosen, Field, format_of
from calque.reading.omissions import describe_omissions
from calque.reading.particles import Per, suggest_per
from calque.reading.request import Request
from calque.reading.source import Source
from calque.reading.summary import Summary

TITLES = ("column", "type", "shape", "unit", "min", "max", "mean", "non-finite")
KIND = 24
MOST_COLUMNS = 200  # whose values are read and shown, of each table
MOST_TREES = 20
MOST_NAMES = 100  # of the tables that are not shown


@dataclass(frozen=True)
class TreeLook:
    """One table: its columns, and the statistics of those that hold numbers, of the first 200 columns."""

    name: str
    fields: tuple[Field, ...]
    summary: Summary

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.summary.rows or max((field.rows or 0 for field in self.fields), default=0)

    def lines(self) -> list[str]:
        """Say it in plain text."""
        cells = [TITLES, *(self._cells(field) for field in self.fields[:MOST_COLUMNS])]
        widths = [max(len(row[column]) for row in cells) for column in range(len(TITLES))]
        table = ["  ".join(_pad(*one) for one in zip(row, widths, range(len(widths)), strict=True)) for row in cells]
        title = f"tree {self.name!r}: " if self.name else ""
        head = f"{title}{self.rows:,} rows, {len(self.fields)} columns"
        lines = [head, *(f"  {line.rstrip()}" for line in table)]
        if len(self.fields) > MOST_COLUMNS:
            lines.append(f"  and {len(self.fields) - MOST_COLUMNS:,} more columns")
        notes = [describe_omissions(self.fields), suggest_per(self.fields)]
        return [*lines, *(f"  {note}" for note in notes if note)]

    def _cells(self, field: Field) -> tuple[str, ...]:
        shape = "×".join(map(str, field.shape))
        known = self.summary.columns.get(field.name)
        if known is None:
            kind = field.kind if len(field.kind) <= KIND else field.kind[: KIND - 1] + "…"
            return (field.name, kind, shape, field.unit, "", "", "", "")
        numbers = [f"{value:.6g}" for value in (known.min, known.max, known.mean)]
        return (field.name, str(field.dtype), shape, field.unit, *numbers, str(known.nonfinite))


@dataclass(frozen=True)
class Look:
    """A file and the tables in it: the first twenty, and the names of the others."""

    path: Path
    format: str
    size: int
    trees: tuple[TreeLook, ...]
    others: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Say it in plain text."""
        head = f"{self.path}: {self.format}, {self.size / 1e6:,.3g} MB"
        lines = [head, *(line for tree in self.trees for line in ("", *tree.lines()))]
        if self.others:
            shown = ", ".join(self.others[:MOST_NAMES])
            dots = ", …" if len(self.others) > MOST_NAMES else ""
            lines += ["", f"{len(self.others):,} more trees: {shown}{dots}"]
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def look(
    path: str | Path, tree: str | None = None, *, layout: Chosen | None = None, per: Per | None = None
) -> Look:
    """Show what a file holds, of one tree or of all.

    Parameters
    ----------
    path : str or Path
        A file, or `FILE:TREE`.
    tree : str, optional
        The only tree to look at.
    layout : str or mapping, optional
        See `read`.
    per : str or list of str, optional
        Shows rows of one particle each, as `read` gives them.

    Returns
    -------
    Look
        Columns of the first twenty trees, ranges of the first 200 columns of each.

    Raises
    ------
    FileError
        Where it is not one readable file.
    """
    places = locate(path, tree)
    if len(places) > 1:
        raise FileError(f"{path} means {len(places)} files; look at one, such as {places[0].path}")
    place, inside = places[0]
    sources, others = _open(place, inside, layout, per)
    size = place.stat().st_size
    return Look(place, sources[0].format.name, size, tuple(map(_look, sources)), others)


def _open(
    path: Path, tree: str | None, layout: Chosen | None, per: Per | None
) -> tuple[list[Source], tuple[str, ...]]:
    """The tree that is asked for, or the first trees of a file and the names of the others."""
    names = [] if tree is not None or layout or per else Source.trees(path)
    if not names:
        return [Source.open(path, tree, layout, per)], ()  # raises an error where there is no tree
    form = format_of(path)
    return [Source(path, name, form) for name in names[:MOST_TREES]], tuple(names[MOST_TREES:])


def _look(source: Source) -> TreeLook:
    lengths: dict[int | None, list[str]] = {}
    for field in source.fields[:MOST_COLUMNS]:
        if field.dtype is not None:
            lengths.setdefault(field.rows, []).append(field.name)
    requests = [Request(columns=tuple(names)) for names in lengths.values()]
    parts = [source.summary(request) for request in requests]
    summary = reduce(_beside, parts, Summary())
    return TreeLook(source.tree, tuple(source.fields), summary)


def _beside(one: Summary, other: Summary) -> Summary:
    # columns of unequal length are shown side by side, not merged
    rows = max(one.rows, other.rows)
    return Summary(rows, float(rows), {**one.columns, **other.columns})


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < TITLES.index("min") else text.rjust(width)
