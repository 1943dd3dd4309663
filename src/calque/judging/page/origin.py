"""Where a report comes from: sizes of the samples, versions, settings, input files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calque.judging.report import Report
from calque.table import Table

WORDS = {"real": "real, never trained on", "fake": "generated", "train": "real, trained on"}


@dataclass(frozen=True)
class Sheet:
    """A small table: title, headings, rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sizes(report: Report, real: Table, fake: Table) -> Sheet:
    """Rows and effective rows of every sample, and where they came from."""
    sources = {"real": real.source, "fake": fake.source}
    rows = [(WORDS.get(name, name), written(round(size["rows"])), written(round(size["effective"])),
             sources.get(name, "")) for name, size in report.sizes.items()]
    return Sheet("Samples", ("sample", "events", "effective events", "from"), tuple(rows))


def sheets(provenance: Mapping[str, Any]) -> Iterator[Sheet]:
    """Lay a nested mapping out: lists of mappings as tables, all else as names and values."""
    plain = tuple((name, value) for name, value in flat(provenance))
    if plain:
        yield Sheet("Run", ("what", "value"), plain)
    for name, value in provenance.items():
        if is_records(value):
            header = tuple(dict.fromkeys(key for record in value for key in record))
            yield Sheet(worded(name).capitalize(), tuple(map(worded, header)),
                        tuple(tuple(written(record.get(key, "")) for key in header) for record in value))


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
    return str(value)
