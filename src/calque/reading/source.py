"""One table in one file, and the rows of it that a request wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from calque.errors import FileError
from calque.reading.files import Files, locate
from calque.reading.formats import Chosen, Field, Format, format_of, reading
from calque.reading.particles import Particles, Per
from calque.reading.request import Ledger, Plan, Request
from calque.reading.summary import Summary
from calque.table import Array

PIECE_BYTES = 16_000_000


@dataclass(frozen=True)
class Source:
    """A table in a file, whose format is known and whose tree is chosen."""

    path: Path
    tree: str
    format: Format

    @classmethod
    def all(
        cls,
        files: Files,
        tree: str | None,
        layout: Chosen | None,
        exclude: Sequence[str],
        per: Per | None = None,
    ) -> list[Source]:
        """Open what paths, globs and `file:tree` mean, sorted by path; each table once."""
        found: dict[tuple[Path, str], Source] = {}
        for place in locate(files, tree, exclude):
            source = cls.open(place.path, place.tree, layout, per)
            found.setdefault((place.path.resolve(), source.tree), source)
        return list(found.values())

    @classmethod
    def open(
        cls, path: Path, tree: str | None = None, layout: Chosen | None = None, per: Per | None = None
    ) -> Source:
        """Find the format and the tree, and take entries of lists for rows if `per` names some.

        Raises FileError where the format or the tree is not there.
        """
        form = format_of(path, layout) if per is None else Particles(format_of(path, layout), per)
        with reading(_filled(path), form.name):
            return cls(path, form.choose(path, tree), form)

    @staticmethod
    def trees(path: Path) -> list[str]:
        """Names of the tables in a file."""
        form = format_of(path)
        with reading(_filled(path), form.name):
            return form.trees(path)

    def __str__(self) -> str:
        return f"tree {self.tree!r} of {self.path}" if self.tree else str(self.path)

    @cached_property
    def fields(self) -> list[Field]:
        """Columns of the table."""
        with reading(self.path, self.format.name):
            return self.format.describe(self.path, self.tree)

    def plan(self, request: Request) -> Plan:
        """Match a request with this table."""
        return request.plan(self.fields, str(self))

    def pieces(self, names: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Columns in pieces of about `rows` rows; a fault of the file is one FileError."""
        with reading(self.path, self.format.name):
            yield from self.format.iterate(self.path, self.tree, names, rows)

    def find_range(self, plan: Plan, name: str) -> tuple[int, int]:
        """Find the smallest and the largest of a column's integers and 0."""
        low = high = 0
        for piece in self.pieces([plan.reads[name]], plan.piece_rows(PIECE_BYTES)):
            values = piece[plan.reads[name]]
            there = np.ma.compressed(values) if np.ma.isMaskedArray(values) else values
            if there.size:
                low, high = min(low, int(there.min())), max(high, int(there.max()))
        return low, high

    def events(
        self, plan: Plan, rows: int | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Array]]:
        """Rows that a plan of this table wants, under the names it gives them.

        After the first non-finite number the rest is only counted, then a DataError says how many there are,
        unless such rows are dropped.
        """
        ledger = Ledger(str(self.path), plan.drop_nonfinite)
        first, left = 0, np.inf if limit is None else limit
        for piece in self.pieces(list(plan.reads.values()), rows or plan.piece_rows(PIECE_BYTES)):
            size = len(next(iter(piece.values())))
            chosen, index = plan.choose(piece, first)
            if not plan.drop_nonfinite and len(index) > left:
                chosen, index = _head(chosen, int(left)), index[: int(left)]
            chosen = ledger.sift(chosen, index)
            chosen = _head(chosen, int(min(left, len(index))))
            if ledger.passes and len(next(iter(chosen.values()))):
                yield chosen
            left -= len(next(iter(chosen.values())))
            first += size
            if left <= 0:
                break
        ledger.close()

    def summary(self, request: Request) -> Summary:
        """Statistics of the rows that a request wants, non-finite numbers counted."""
        plan, found, first = self.plan(request), Summary(), 0
        for piece in self.pieces(list(plan.reads.values()), plan.piece_rows(PIECE_BYTES)):
            chosen, index = plan.choose(piece, first)
            found += Summary.of(chosen, request.weight)
            first += len(index)
        return found


def _filled(path: Path) -> Path:
    if path.stat().st_size == 0:
        raise FileError(f"{path} is empty: 0 bytes")
    return path


def _head(columns: dict[str, Array], rows: int) -> dict[str, Array]:
    return {name: array[:rows] for name, array in columns.items()}
