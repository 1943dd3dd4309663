"""The page of a tuning: the answer, its parameters, images beside the data's, and scans, in one file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from calque.atomic import write_bytes
from calque.judging.drawing.images import image_plots
from calque.judging.drawing.paper import safe_names, styled
from calque.judging.drawing.plot import Plot
from calque.judging.drawing.plots import column, write_plots
from calque.judging.images import image_columns, image_view
from calque.judging.page.exhibits import Exhibit
from calque.judging.page.measures import measured
from calque.judging.page.origin import Cell, Sheet, file_name, sheets
from calque.judging.page.render import environment, frame
from calque.table import Table
from calque.tuning.answer import imagined
from calque.tuning.portraits import all_pairs, distributions, scanned
from calque.tuning.scans import Scan, estimates, scans
from calque.tuning.sight import Sight
from calque.tuning.teaching import Teaching
from calque.tuning.truth import TOLD
from calque.tuning.tuned import UNLIKE, Tuned

HEADS = ("parameter", "true mean", "offset [true widths]", "offset / error", "true width", "width found / true",
         "its distance from 1 / error")
PAGE, PLOTS = "tuned.html", "plots"
SECTIONS = {
    "parameters": ("Parameters", "What was found, all members together, and each member as a thin line: their spread "
                                 "is the error. The bar shows where that lies in the space that was searched."),
    "images": ("Images", "The data beside {origin} images of parameters drawn from the answer: mean and difference "
                         "over its error, a few with the most alike, single pixels, and both in a few numbers. "
                         "A parameter with a star is what the summary network sees of it."),
    "scans": ("Scans", "Each parameter moved through the middle three widths of what was found, the others at their "
                       "means: what the summary network sees of it, on average, in emulated images{simulated}, and as "
                       "the tuner saw it (quickly, and corrected). Where the first differs from {base}, the emulator "
                       "is biased; the answer suffers from what is left of that in the last."),
}


@dataclass(frozen=True)
class Show:
    """What there is to look at: images of data and answer, what is seen in them, scans; all in physical units."""

    teaching: Teaching
    data: Table
    made: Table
    scans: tuple[Scan, ...]

    @classmethod
    def of(cls, teaching: Teaching, sight: Sight, tuned: Tuned) -> Show:
        """Draw images once more; those that were simulated and kept are read."""
        rows, _, images = imagined(teaching, sight, tuned.draws)
        return cls(teaching, looked(teaching, sight, teaching.question.data[rows]), looked(teaching, sight, images),
                   tuple(scans(teaching, sight, tuned)))

    @property
    def labels(self) -> dict[str, str]:
        """Parameters with their units."""
        units = self.teaching.question.run.preparation.units
        return {name: f"{name} [{units[name]}]" if units.get(name) else name for name in self.teaching.question.names}

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The space of the parameters."""
        asked = self.teaching.question
        low, high = (asked.decode(end[None])[0] for end in (asked.low, asked.high))
        return {name: (rounded(one, two - one), rounded(two, two - one))
                for name, one, two in zip(asked.names, low.tolist(), high.tolist(), strict=True)}


def rounded(value: float, span: float) -> float:
    """A bound without what single precision added to it.

    >>> rounded(7.9e-9, 2.5), rounded(13.9999998, 14.0)
    (0.0, 14.0)
    """
    return round(value, 5 - math.floor(math.log10(span))) + 0.0


def decoded(teaching: Teaching, images: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of encoded images (N, D)."""
    preparation = teaching.question.run.preparation
    return preparation.decode(images, teaching.normals("decode", len(images), preparation.inverse_noise))


def looked(teaching: Teaching, sight: Sight, images: Tensor) -> Table:
    """Encoded images (N, D) as a table, with what the network sees in them."""
    asked = teaching.question
    seen = asked.decode(estimates(sight, images)).T
    units = asked.run.preparation.units
    return Table.of({**{f"{name}*": values for name, values in zip(asked.names, seen, strict=True)},
                     **decoded(teaching, images)},
                    {**units, **{f"{name}*": units[name] for name in asked.names if name in units}})


def draw(show: Show, tuned: Tuned) -> tuple[Plot, ...]:
    """Draw everything, in the order of the page."""
    with styled():
        return tuple(every(show, tuned))


def every(show: Show, tuned: Tuned) -> Iterator[Plot]:
    """One plot after another."""
    named, labels, words = safe_names(tuned.names), show.labels, ("data", tuned.origin)
    yield from distributions(tuned, labels, named, show.bounds)
    yield from all_pairs(tuned, labels, named)
    images = image_columns(show.data)
    files_of = safe_names(show.data.features)
    for name in images:
        yield from image_plots(show.data, show.made, name, files_of[name], words)
    view = image_view(show.data)
    if view is not None:
        yield from spectra(view(show.data), view(show.made), words)
    for scan in show.scans:
        taken = {which: decoded(show.teaching, made) for which, made in scan.images.items()}
        for name in images[:1]:
            yield from scanned(scan, labels[scan.name], named[scan.name],
                               {which: columns[name] for which, columns in taken.items()}, name)


def spectra(data: Table, made: Table, words: tuple[str, str]) -> Iterator[Plot]:
    """Images in a few numbers, and what is seen in them."""
    named = safe_names(data.features)
    for name in data.features:
        ours, theirs = ((table[name].astype(np.float64), table.weights) for table in (data, made))
        plot = column(ours, theirs, name, data.label(name), named[name], None, words)
        yield Plot(plot.name, plot.title, "images", plot.figure, plot.alt, plot.data)


def save_page(folder: Path, tuned: Tuned, teaching: Teaching, sight: Sight, origin: Mapping[str, Any]) -> None:
    """Write plots and page into a tuning's folder; raises FileError where that is impossible."""
    show = Show.of(teaching, sight, tuned)
    plots = draw(show, tuned)
    for old in (folder / PAGE, *(folder / PLOTS).glob("*.p[nd][gf]")):
        old.unlink(missing_ok=True)
    write_plots(plots, folder / PLOTS)
    write_bytes(folder / PAGE, render(tuned, plots, show, origin, str(folder.name)))


def render(tuned: Tuned, plots: tuple[Plot, ...], show: Show, origin: Mapping[str, Any], title: str) -> str:
    """Render the page; it asks nothing of any other place, and equal arguments give equal pages."""
    able = show.teaching.question.simulator is not None
    also, base = (" and in simulated ones", "the simulation") if able else ("", "the parameter")
    numbers, sections = count(), []
    for name, (heading, line) in SECTIONS.items():
        exhibits = [Exhibit.of(plot, next(numbers)) for plot in plots if plot.section == name]
        line = line.format(origin=tuned.origin, simulated=also, base=base)
        sections += [{"id": name, "title": heading, "line": line, "exhibits": exhibits}] if exhibits else []
    template = environment().from_string((files(__package__) / "tuned_page.html").read_text(encoding="utf-8"))
    told, _, why = tuned.verdict().partition("; ")
    return template.render(**frame(title), told=told[0].upper() + told[1:], why=why,
                           unlike=tuned.auc[0] - 2 * tuned.auc[1] > UNLIKE,
                           tables=list(tables(tuned, show)), sections=sections, sheets=list(sheets(origin)),
                           members=len(tuned.draws), rows=tuned.rows)


def tables(tuned: Tuned, show: Show) -> Iterator[Sheet]:
    """The answer in numbers, beside the truth where that is known."""
    means, widths, bounds = tuned.means, tuned.widths, show.bounds
    yield table("Means and widths", ("parameter", "mean", "width", "space"), [
        (show.labels[name], measured(*means[name]), measured(*widths[name]),
         f"{bounds[name][0]:g} … {bounds[name][1]:g}") for name in tuned.names])
    values, errors = tuned.correlations
    if len(tuned.names) > 1:
        yield table("Correlations", ("", *tuned.names[:-1]), [
            (name, *(measured(values[row, place], errors[row, place]) for place in range(row)),
             *[""] * (len(tuned.names) - 1 - row)) for row, name in enumerate(tuned.names) if row])
    if tuned.against:
        yield table(TOLD[0].upper() + TOLD[1:], HEADS, [
            (one.name, f"{one.mean:.5g}", signed(one.offset, 3), signed(one.pull, 1), f"{one.width:.4g}",
             measured(*one.ratio), signed(one.width_pull, 1)) for one in tuned.against])


def table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Sheet:
    """A table of a name and numbers in each row; a name that looks like a path stays as it is."""
    return Sheet(title, header, tuple((Cell(row[0]), *(Cell(text.replace("-", "−")) for text in row[1:]))
                                      for row in rows))


def signed(value: float, digits: int) -> str:
    """A number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def origin_of(teaching: Teaching, tuned: Tuned, source: str, digest: str) -> dict[str, Any]:
    """Where data and emulator come from, and how the answer was sought."""
    run, asked = teaching.question.run, teaching.question
    return {
        "data": {"file": file_name(source), "images": tuned.rows, "sha256": digest,
                 "truth": TOLD if tuned.truth is not None else "not known"},
        "emulator": {"folder": str(run.folder or "in memory"), "kind": run.config.fit.kind,
                     "simulations": len(asked.simulated),
                     "simulator": asked.simulator.name if asked.simulator is not None else "none",
                     **{name: value for name, value in run.provenance.items() if name != "inputs"}},
        "emulator's input files": run.provenance.get("inputs", []),
        "tuning": {"seed": teaching.stages.seed, "members": len(tuned.draws),
                   **teaching.config.model_dump(exclude={"members", "plots"})},
    }

