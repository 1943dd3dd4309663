"""One row per particle: lists of events become rows, columns of whole events are repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.reading.formats import Compression, Field, Format, Lists, Writer
from calque.table import Array

Per = str | Sequence[str]  # the prefix of a collection, or the names of lists
SEPARATOR = re.compile(r"[_./]")
# members of TObject, and second branches of one name: they need not be as long as the other lists
BOOKKEEPING = re.compile(r"\bf(UniqueID|Bits)$|;\d+$")
FIRST_EVENTS = 1000
SHOWN = 4


@dataclass(frozen=True)
class Particles(Format):
    """A format whose rows are the entries of lists, not events.

    Parameters
    ----------
    inner : Format
        The format of the file, whose rows are events.
    per : str or sequence of str
        A prefix ("Muon": all lists Muon_…, Muon.…, Muon/…, or the members of a collection Muon), or the names of
        lists that are equally long in every event.

    """

    inner: Format
    per: Per
    _known: dict[tuple[Path, str], list[Field]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [self.per] if isinstance(self.per, str) else list(self.per)
        if not names or not all(isinstance(name, str) and name.strip("_./ ") for name in names):
            raise ConfigError(f'read.per = {self.per!r}: give a prefix, as in "Muon", or a list of branches')

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the file's format."""
        return self.inner.name

    def trees(self, path: Path) -> list[str]:
        """Names of the tables in the file."""
        return self.inner.trees(path)

    def choose(self, path: Path, tree: str | None) -> str:
        """Name the table to read."""
        return self.inner.choose(path, tree)

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Number of the event, place within it, number of entries; columns of events; the lists' entries."""
        fields = self._describe_events(path, tree)
        members = {one.name for one in self._members(fields, path)}
        known = [_entry(one) if one.name in members else replace(one, rows=None) for one in fields]
        own = [Field(name, np.dtype(np.int64), kind="int64") for name in self._own_names(fields).values()]
        return [*own, *known]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Rows of some events at a time, about `rows` of them."""
        fields = self._describe_events(path, tree)
        members = [one.name for one in self._members(fields, path)]
        own = self._own_names(fields)
        lists = [name for name in columns if name in members] or members[:1]
        plain = [name for name in columns if name not in members and name not in own.values()]
        events = self._count_events(path, tree, lists[0], rows)
        first = 0
        for piece in self.inner.iterate_lists(path, tree, [*plain, *lists], events):
            held = {name: piece[name] for name in lists}
            counts = _common_counts(held, first, path)
            found = _numbering(counts, first, own)
            event = np.repeat(np.arange(len(counts)), counts)
            found |= {name: values.values for name, values in held.items() if isinstance(values, Lists)}
            found |= {name: np.asanyarray(piece[name])[event] for name in plain}
            yield {name: found[name] for name in columns}
            first += len(counts)

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file of plain rows."""
        return self.inner.open(path, tree, units, compression)

    def _members(self, fields: Sequence[Field], path: Path) -> list[Field]:
        """The lists that become rows; ConfigError or DataError where they are not there."""
        lists = {one.name: one for one in fields if one.item is not None}
        if not lists:
            raise DataError(f"read.per = {self.per!r}: no lists of numbers in {path}")
        if isinstance(self.per, str):
            return _find_collection(self.per, lists, path)
        there = {one.name: one for one in fields}
        for name in self.per:
            if name not in lists and name in there:
                raise DataError(f"read.per: {name!r} in {path} holds {there[name].kind}, not a list of numbers")
            if name not in lists:
                raise DataError(unknown("list", name, lists, f"in {path}, for read.per"))
        return [lists[name] for name in dict.fromkeys(self.per)]

    def _own_names(self, fields: Sequence[Field]) -> dict[str, str]:
        """Names of the columns that reading adds; a file's own columns keep theirs, a counter is not made twice."""
        there = {one.name for one in fields}
        counter = "n" + self._prefix(fields)
        names = {
            "event": next(name for name in ("event", "entry", "calque_event") if name not in there),
            "place": next(name for name in ("place", "place_in_event", "calque_place") if name not in there),
        }
        return names if counter in there else {**names, "count": counter}

    def _prefix(self, fields: Sequence[Field]) -> str:
        """Name of the collection; empty where the lists belong to several."""
        if isinstance(self.per, str):
            return self.per.rstrip("_./ ")
        found = {_collection_of(one) for one in fields if one.name in self.per}
        return found.pop() if len(found) == 1 and len(self.per) > 1 else ""

    def _count_events(self, path: Path, tree: str, name: str, rows: int) -> int:
        """How many events have about `rows` entries, from the first of them."""
        for piece in self.inner.iterate_lists(path, tree, [name], FIRST_EVENTS):
            counts = _common_counts(piece, 0, path)
            return max(1, rows * len(counts) // max(len(counts), int(counts.sum()), 1))
        return rows

    def _describe_events(self, path: Path, tree: str) -> list[Field]:
        """Columns of the file, looked up once."""
        if (path, tree) not in self._known:
            fields = self.inner.describe(path, tree)
            events = max((one.rows or 0 for one in fields), default=0)
            self._known[path, tree] = [_leave_out(one) if one.rows not in (None, events) else one for one in fields]
        return self._known[path, tree]


def suggest_per(fields: Sequence[Field]) -> str:
    """One line that says which lists could be read one row per entry; empty where there are none."""
    found = list(dict.fromkeys(_collection_of(one) for one in fields if one.item is not None))
    if not found:
        return ""
    shown = ", ".join(f'"{name}"' for name in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
    return f"read.per reads lists, one row per entry: read.per = {shown}"


def _entry(one: Field) -> Field:
    """The column of a list's entries."""
    return replace(one, dtype=one.item, item=None, rows=None)


def _leave_out(one: Field) -> Field:
    """A column that does not have a value in every event."""
    return replace(one, dtype=None, item=None, kind=f"{one.kind}, {one.rows} entries")


def _find_collection(per: str, lists: Mapping[str, Field], path: Path) -> list[Field]:
    prefix = per.rstrip("_./ ")
    found = [one for one in lists.values() if _belongs(one, prefix) and not BOOKKEEPING.search(one.name)]
    if not found:
        known = list(dict.fromkeys(_collection_of(one) for one in lists.values()))
        raise DataError(unknown("collection of lists", per, known, f"in {path}, for read.per"))
    return found


def _belongs(one: Field, prefix: str) -> bool:
    names = (one.name, one.path)
    return any(name == prefix or (name.startswith(prefix) and name[len(prefix)] in "_./") for name in names)


def _collection_of(one: Field) -> str:
    name = one.path or one.name
    match = SEPARATOR.search(name, 1)
    return name[: match.start()] if match else name


def _common_counts(lists: Mapping[str, Array | Lists], first: int, path: Path) -> Array:
    """Entries of each event (E,); DataError where two lists differ."""
    counts = {name: values.counts for name, values in lists.items() if isinstance(values, Lists)}
    one, *others = counts
    for other in others:
        wrong = np.flatnonzero(counts[one] != counts[other])
        if len(wrong):
            event = int(wrong[0])
            raise DataError(
                f"read.per: {one!r} and {other!r} of {path} have {counts[one][event]} and {counts[other][event]} "
                f"entries in event {first + event}; name lists that are equally long, as in read.per = [\"{one}\"]"
            )
    return counts[one]


def _numbering(counts: Array, first: int, own: Mapping[str, str]) -> dict[str, Array]:
    """Number of the event in the file, place within the event, and number of entries of the event, for each row."""
    starts = np.cumsum(counts) - counts
    columns = {
        "event": np.repeat(np.arange(first, first + len(counts)), counts),
        "place": np.arange(int(counts.sum())) - np.repeat(starts, counts),
        "count": np.repeat(counts, counts),
    }
    return {name: columns[key] for key, name in own.items()}
