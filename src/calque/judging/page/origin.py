"""Where a report comes from: sizes of the samples, versions, settings, input files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from calque.judging.report import Report
from calque.table import Table

WORDS = {"real": "real, never trained on", "fake": "generated", "train": "real, trained on"}


class Cell(NamedTuple):
    """Text of a cell; `full` is what a path was shortened from."""

    text: str
    full: str = ""

    @classmethod
    def of(cls, text: str) -> Cell:
        """Name a path by its file."""
        short = file_name(text)
        return cls(short, text if short != text else "")


@dataclass(frozen=True)
class Sheet:
    """A small table: title, headings, rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Sheet:
        """Make a table of texts."""
        return cls(title, tuple(header), tuple(tuple(map(Cell.of, row)) for row in rows))


def sizes(report: Report, real: Table, fake: Table) -> Sheet:
    """Rows and effective rows of every sample, and where they came from."""
    sources = {"real": real.source, "fake": fake.source}
    rows = [(WORDS.get(name, name), written(round(size["rows"])), written(round(size["effective"])),
             sources.get(name, "")) for name, size in report.sizes.items()]
    return Sheet.of("Samples", ("sample", "events", "effective events", "from"), rows)


def file_name(text: str) -> str:
    """Last part of an absolute path; any other text is left alone.

    >>> file_name("/data/run 7/muons.root and 3 more"), file_name("a/b"), file_name("px > 1 / 2")
    ('muons.root and 3 more', 'a/b', 'px > 1 / 2')
    """
    kinds: tuple[type[PurePath], ...] = (PurePosixPath, PureWindowsPath)
    return next((path.name or text for path in (kind(text) for kind in kinds) if path.is_absolute()), text)


def without_folders(text: str, *sources: str) -> str:
    """Name these sources by their files wherever a text names them.

    >>> without_folders("/tmp/a.root against /data/b.root", "/tmp/a.root", "/data/b.root")
    'a.root against b.root'
    """
    for source in sorted(sources, key=len, reverse=True):
        text = text.replace(source, file_name(source))
    return text


def sheets(provenance: Mapping[str, Any]) -> Iterator[Sheet]:
    """Lay a nested mapping out: lists of mappings as tables, all else as names and values."""
    plain = list(flat(provenance))
    if plain:
        yield Sheet.of("Run", ("what", "value"), plain)
    for name, value in provenance.items():
        if is_records(value):
            header = tuple(dict.fromkeys(key for record in value for key in record))
            yield Sheet.of(worded(name).capitalize(), map(worded, header),
                           ((written(record.get(key, "")) for key in header) for record in value))


def flat(content: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    """Names and values at any depth, e.g. "versions numpy"."""
    for name, value in content.items():
        label = f"{above} {worded(name)}".strip()
        if isinstance(value, Mapping):
            yield from flat(value, label)
        elif not is_records(value):
            yield label, written(value)


def is_records(value: Any) -> bool:
    """Whether this is a list of mappings."""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def worded(name: Any) -> str:
    """Name of a setting as words."""
    return str(name).replace("_", " ")


def written(value: Any) -> str:
    """Write a value as people do.

    >>> written(True), written(None), written([1, 2]), written(1234567), written(0.25)
    ('yes', '–', '1, 2', '1 234 567', '0.25')
    """
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ") if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(written, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{worded(name)} {written(entry)}" for name, entry in value.items())
    return str(value)
