"""Put the page together: template, style, script, numbers and pictures in one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calque.atomic import write_bytes
from calque.geometry import Geometry
from calque.judging.drawing.pairings import columns_left_out, left_out
from calque.judging.drawing.plot import Plot
from calque.judging.page.exhibits import SECTIONS, Exhibit
from calque.judging.page.measures import corners, flags, groups
from calque.judging.page.origin import file_name, sheets, sizes, without_folders
from calque.judging.page.tiles import tiles
from calque.judging.report import STANDS_OUT, Report
from calque.judging.showers.observables import number_view
from calque.table import Table

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = ("default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'sha256-{script}'; "
          "base-uri 'none'; form-action 'none'")


def save_page(
    path: str | Path,
    report: Report,
    plots: Iterable[Plot],
    *,
    real: Table,
    fake: Table,
    title: str = "How good is the copy?",
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page, whole or not at all; raises FileError where that is impossible. See `render_page`."""
    write_bytes(Path(path), render_page(report, plots, real=real, fake=fake, title=title, provenance=provenance))
    return Path(path)


def render_page(
    report: Report,
    plots: Iterable[Plot],
    *,
    real: Table,
    fake: Table,
    title: str = "How good is the copy?",
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Render a report and the plots of `draw_plots` as one HTML page that asks nothing of any other place.

    `provenance` is any nested mapping of plain values; a list of mappings, such as the input files, becomes a table.
    Files are named without their folders, which are tooltips in the provenance.
    Equal arguments give equal pages.
    """
    found, sources = groups(report), (real.source, fake.source)
    beyond, judged = sum(group.beyond for group in found), sum(group.judged for group in found)
    return environment().get_template("page.html").render(
        **frame(file_name(without_folders(title, *sources))), report=report,
        verdict=report.verdict(), tiles=tiles(report, beyond, judged), groups=found, beyond=beyond, judged=judged,
        stands_out=STANDS_OUT, notes=[without_folders(note, *sources) for note in report.notes],
        corners=corners(report), samples=sizes(report, real, fake),
        sections=sections(plots, flags(report), remarks(columns_drawn(real, report.geometry))),
        sheets=list(sheets(provenance or {})),
    )


def remarks(columns: int) -> dict[str, str]:
    """What sections leave out of so many columns."""
    alone = columns_left_out(columns)
    return {"columns": alone, "tails": alone, "pairs": left_out(columns)}


def columns_drawn(real: Table, geometry: Geometry | None) -> int:
    """Columns of one number an event: images are drawn by their summaries."""
    summary = number_view(real, geometry)
    return len(real.features if summary is None else summary(real.rows(slice(1))).features)


def frame(title: str) -> dict[str, str]:
    """What every page needs: title, style, script, and a policy that lets nothing else run."""
    style, script = read("page.css"), read("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"title": title, "style": style, "script": script, "policy": POLICY.format(script=digest)}


def sections(
    plots: Iterable[Plot], flagged: Mapping[str, Sequence[tuple[str, str, str]]], notes: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Plots by section, in the page's order, with what stands out in them and a note; empty ones are left out."""
    shown: dict[str, list[Exhibit]] = {name: [] for name in SECTIONS}
    for place, plot in enumerate(plots):
        shown[plot.section].append(Exhibit.of(plot, place, flagged.get(plot.of, ())))
    return [{"id": name, "title": SECTIONS[name][0], "line": f"{SECTIONS[name][1]} {notes.get(name, '')}".strip(),
             "exhibits": exhibits, "matrix": matrix(exhibits) if name == "pairs" else None}
            for name, exhibits in shown.items() if exhibits]


def matrix(exhibits: list[Exhibit]) -> dict[str, Any] | None:
    """Triangle of pairs that leads to their plots; None for fewer than three."""
    squares = [(*exhibit.square, exhibit.id) for exhibit in exhibits if exhibit.square is not None]
    if len(squares) < 3:
        return None
    across = list(dict.fromkeys(first for first, *_ in squares))
    down = list(dict.fromkeys(second for _, second, *_ in squares))
    return {"across": across, "down": down,
            "cells": {(first, second): (value, identity) for first, second, value, identity in squares}}


def environment() -> Environment:
    """Template engine that escapes everything, and refuses names it does not know."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                       loader=FunctionLoader(read))


def read(name: str) -> str:
    """Text of a file beside this one."""
    return (files(__package__) / name).read_text(encoding="utf-8")
