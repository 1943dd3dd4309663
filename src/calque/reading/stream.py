"""Tables from files: whole, piece by piece, or as statistics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from calque.errors import DataError, EmptyError
from calque.reading.agreement import agree
from calque.reading.files import Files
from calque.reading.formats import Chosen
from calque.reading.omissions import warn_omissions
from calque.reading.particles import Per
from calque.reading.request import Plan, Request
from calque.reading.source import Source
from calque.reading.summary import Summary
from calque.table import Array, Table

Task = TypeVar("Task")
Result = TypeVar("Result")
Planned = tuple[Source, Plan]


def read(
    files: Files,
    *,
    tree: str | None = None,
    columns: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    weight: str | None = None,
    where: str | None = None,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    layout: Chosen | None = None,
    per: Per | None = None,
    units: Mapping[str, str] | None = None,
    drop_nonfinite: bool = False,
    flags: Mapping[str, str] | None = None,
    workers: int | None = None,
) -> Table:
    """Read one table from one file or many, rows in the order of the sorted files.

    `files` are paths, globs or `file.root:tree`; `columns`, `weight`, `where` and `units` use the names that
    `rename` gives; `limit` keeps the first rows for which `where` holds. `units` converts columns from the unit that a
    file states, and names the unit where it states none; `where` and `flags` see the converted values. `flags` turns
    conditions into columns of 0 and 1: `flags={"on_axis": "x == 0 and y == 0"}`, to be learnt or given as a context.
    Files are read side by side by `workers` threads, which changes nothing in the result.
    `per` reads lists, one row per entry: "Muon" means all lists Muon_…, Muon.…; columns of events are repeated,
    `event` and `place` are added.
    Raises FileError, DataError, ConfigError.
    """
    request = Request.of(columns, rename, weight, where, units, drop_nonfinite, limit, flags)
    tables = _plan(Source.all(files, tree, layout, exclude, per), request, workers)
    if limit is None:
        parts = _side_by_side(lambda table: Filler.of(*table), tables, workers)
    else:
        parts = _first_rows(tables, limit)
    name = _called(tables)
    _check_rows(sum(part.rows for part in parts), request, name)
    table = Table(_join(parts), dict(tables[0][1].units), weight, name)
    _check_weights(_total(table), request, name)
    return table


def iterate(
    files: Files,
    *,
    rows: int = 100_000,
    tree: str | None = None,
    columns: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    weight: str | None = None,
    where: str | None = None,
    exclude: Sequence[str] = (),
    limit: int | None = None,
    layout: Chosen | None = None,
    per: Per | None = None,
    units: Mapping[str, str] | None = None,
    drop_nonfinite: bool = False,
    flags: Mapping[str, str] | None = None,
) -> Iterator[Table]:
    """Read as `read` does, as a stream of tables of `rows` rows (the last is shorter) in bounded memory."""
    if rows < 1:
        raise DataError(f"rows = {rows}; a table of the stream needs at least one")
    request = Request.of(columns, rename, weight, where, units, drop_nonfinite, limit, flags)
    tables = _plan(Source.all(files, tree, layout, exclude, per), request, None)
    known, name = tables[0][1].units, _called(tables)
    seen, total = 0, 0.0
    for part in regroup(_one_by_one(tables, limit, rows), rows):
        table = Table(part, dict(known), weight, name)
        seen, total = seen + len(table), total + _total(table)
        yield table
    _check_rows(seen, request, name)
    _check_weights(total, request, name)


def summarise(
    files: Files,
    *,
    tree: str | None = None,
    columns: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    weight: str | None = None,
    where: str | None = None,
    exclude: Sequence[str] = (),
    layout: Chosen | None = None,
    per: Per | None = None,
    workers: int | None = None,
) -> dict[Path, Summary]:
    """Rows, minima, maxima, means of each file, non-finite numbers counted; `Summary.merged` joins them."""
    request = Request.of(columns, rename, weight, where, None, False)
    sources = Source.all(files, tree, layout, exclude, per)
    summaries = _side_by_side(lambda source: source.summary(request), sources, workers)
    found: dict[Path, Summary] = {}
    for source, summary in zip(sources, summaries, strict=True):
        found[source.path] = found.get(source.path, Summary()) + summary
    return found


class Filler:
    """Columns that grow in place: as much memory as the rows need, once."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.rows = capacity, 0
        self.arrays: dict[str, Array] = {}

    @classmethod
    def of(cls, source: Source, plan: Plan, limit: int | None = None) -> Filler:
        """Fill from a file."""
        expected = plan.rows or 0
        filler = cls(expected if limit is None else min(expected, limit))
        for piece in source.events(plan, limit=limit):
            filler.add(piece)
        return filler

    def add(self, piece: Mapping[str, Array]) -> None:
        """Append rows."""
        stop = self.rows + len(next(iter(piece.values())))
        if stop > self.capacity or not self.arrays:
            self._grow(piece, max(stop, self.capacity if not self.arrays else 2 * self.capacity))
        for name, array in piece.items():
            self.arrays[name][self.rows : stop] = array
        self.rows = stop

    def take(self, name: str) -> Array:
        """Hand a column over."""
        return self.arrays.pop(name)[: self.rows]

    def _grow(self, piece: Mapping[str, Array], capacity: int) -> None:
        for name, array in piece.items():
            # pages of an empty array cost nothing before they are written
            larger = np.empty((capacity, *array.shape[1:]), array.dtype)
            if name in self.arrays:
                larger[: self.rows] = self.arrays[name][: self.rows]
            self.arrays[name] = larger
        self.capacity = capacity


def regroup(pieces: Iterator[dict[str, Array]], rows: int) -> Iterator[dict[str, Array]]:
    """Pieces of any length → pieces of `rows` rows, the last shorter."""
    held: list[dict[str, Array]] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(next(iter(piece.values())))
        if count >= rows:
            joined = join(held)
            whole = count - count % rows
            for start in range(0, whole, rows):
                yield {name: array[start : start + rows] for name, array in joined.items()}
            count -= whole
            held = [{name: array[whole:] for name, array in joined.items()}] if count else []
    if count:
        yield join(held)


def join(pieces: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Concatenate pieces of the same columns; a single piece is not copied."""
    if len(pieces) == 1:
        return dict(pieces[0])
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _join(parts: list[Filler]) -> dict[str, Array]:
    filled = [part for part in parts if part.rows]
    # column by column, each freed as it goes: at most one column is held twice
    take = [part.take for part in filled]
    names = list(filled[0].arrays)
    return {name: take[0](name) if len(take) == 1 else np.concatenate([one(name) for one in take]) for name in names}


def _plan(sources: Sequence[Source], request: Request, workers: int | None) -> list[Planned]:
    """Every table with what is read of it, once they agree."""
    plans = _side_by_side(lambda source: source.plan(request), sources, workers)
    agreed = agree(sources, plans, request)
    warn_omissions(agreed)
    return list(zip(sources, agreed, strict=True))


def _side_by_side(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None
) -> list[Result]:
    threads = min(len(tasks), workers or os.cpu_count() or 1)
    if threads == 1:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, tasks))


def _first_rows(tables: Sequence[Planned], limit: int) -> list[Filler]:
    parts: list[Filler] = []
    for source, plan in tables:
        if limit > 0:
            parts.append(Filler.of(source, plan, limit))
            limit -= parts[-1].rows
    return parts


def _one_by_one(
    tables: Sequence[Planned], limit: int | None, rows: int
) -> Iterator[dict[str, Array]]:
    for source, plan in tables:
        for piece in source.events(plan, rows, limit):
            yield piece
            limit = None if limit is None else limit - len(next(iter(piece.values())))
        if limit == 0:
            return


def _called(tables: Sequence[Planned]) -> str:
    more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
    return f"{tables[0][0].path}{more}"


def _total(table: Table) -> float:
    # no copy in double precision, which Table.weights is
    return float(len(table) if table.weight is None else table[table.weight].sum(dtype=np.float64))


def _check_rows(rows: int, request: Request, source: str) -> None:
    if rows == 0:
        why = f"the condition {request.where.text!r} holds for none" if request.where else "the table is empty"
        raise EmptyError(f"no rows in {source}: {why}")


def _check_weights(total: float, request: Request, source: str) -> None:
    if total <= 0:
        raise DataError(f"the weights {request.weight!r} of {source} sum to {total:g}; a positive total is needed")
