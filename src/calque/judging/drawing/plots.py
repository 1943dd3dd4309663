"""All plots of a comparison: drawn once, for the page and for a folder of PNG and PDF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from calque.atomic import write_bytes
from calque.judging.drawing import overlays, pairs, tails
from calque.judging.drawing.binning import Binning, plain
from calque.judging.drawing.classifiers import output, roc
from calque.judging.drawing.critics import critics
from calque.judging.drawing.curves import curves
from calque.judging.drawing.images import image_plots
from calque.judging.drawing.pairings import MOST_COLUMNS, Rows, chosen
from calque.judging.drawing.paper import MOST_NAMED, WORDS, safe_names, styled
from calque.judging.drawing.plot import Numbers, Plot, number
from calque.judging.drawing.responses import responses
from calque.judging.drawing.showers import shower_plots
from calque.judging.images import image_columns
from calque.judging.report import COLUMNS, Report, excess
from calque.judging.samples import check_columns, check_finite
from calque.judging.showers.observables import number_view
from calque.table import Table

PAIR_BINS = 50


def save_plots(
    report: Report | None,
    real: Table,
    fake: Table,
    history: Sequence[Mapping[str, Any]],
    folder: str | Path,
) -> list[Path]:
    """Draw everything and save it; see `draw_plots` and `write_plots`."""
    return write_plots(draw_plots(report, real, fake, history), folder)


def write_plots(plots: Iterable[Plot], folder: str | Path) -> list[Path]:
    """Save plots as .png and .pdf and give their paths; raises FileError where the folder cannot be written."""
    paths = []
    for plot in plots:
        for suffix, content in (("png", plot.png), ("pdf", plot.pdf)):
            path = Path(folder) / f"{plot.name}.{suffix}"
            write_bytes(path, content)
            paths.append(path)
    return paths


def draw_plots(
    report: Report | None, real: Table, fake: Table, history: Sequence[Mapping[str, Any]] = (), pairs: bool = True
) -> tuple[Plot, ...]:
    """Draw every column, its tails, all pairs, the classifiers' output and ROC curves, the training and its critic.

    They are named `column_NAME`, `tails_NAME`, `pair_A_B`, `classifier_NAME`, `roc_NAME`, `curves`, `critic_weights`
    and `critic_loss`. A report or a history that is not there is left out, tails of columns of a few values too, and on
    demand the pairs, which take most of the time. A column of images is `mean_NAME`, `events_NAME`, `pixels_NAME`, and
    the columns of the view "images"; showers, of which the report knows the geometry, are `mean_…`, `events_…` and
    `spectrum_…` of their layers, `calibration_…`, `profile_…`, and the columns of the view "observables". Raises
    DataError for different columns or non-finite values.
    """
    check_columns(real, fake)
    for table in (real, fake):
        check_finite(table)
    with styled():
        return tuple(all_plots(report, real, fake, history, pairs))


def all_plots(
    report: Report | None, real: Table, fake: Table, history: Sequence[Mapping[str, Any]], pairs: bool
) -> Iterator[Plot]:
    """Draw one plot after another, in the order of the page."""
    geometry = None if report is None else report.geometry
    names, summary = safe_names(real.features), number_view(real, geometry)
    if report is not None and geometry is not None:
        yield from shower_plots(report, real, fake, geometry, names)
    for name in image_columns(real):
        if geometry is None or name not in geometry.shapes:
            yield from image_plots(real, fake, name, names[name])
    if report is not None:
        yield from responses(report, real)
    if summary is not None:
        real, fake = summary(real), summary(fake)
    files, known, drawn = safe_names(real.features), plain(real, real.features), plain(fake, real.features)
    samples = {name: ((known[name], real.weights), (drawn[name], fake.weights)) for name in real.features}
    shown = told_most(real.features, report)
    for name in shown:
        yield column(*samples[name], name, real.label(name), files[name], report)
    for name in shown:
        yield from tail(*samples[name], name, real.label(name), files[name])
    if pairs:
        yield from all_pairs(real, fake, known, drawn, files)
    if report is not None:
        named = safe_names(tuple(report.judgements))
        for name, judgement in report.judgements.items():
            yield output(judgement, name, named[name])
            yield roc(judgement, name, named[name])
    training = curves(history)
    if training is not None:
        yield training
    yield from critics(history)


def column(
    real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers], name: str, label: str, file: str,
    report: Report | None, words: tuple[str, str] = WORDS,
) -> Plot:
    """Draw one column of both samples, which are called by these words."""
    binning = Binning.of(*real)
    shares = binning.fill(*real), binning.fill(*fake)
    made = overlays.overlay(*shares, label, binning, words=words)
    alt = "; ".join([f"Column {overlays.in_words(*shares, label, words)}", *distances(report, name)])
    return Plot(f"column_{file}", label, "columns", made, alt, overlays.in_numbers(*shares, label, words), name)


def told_most(names: Sequence[str], report: Report | None) -> Sequence[str]:
    """All columns; of very many those farthest beyond their floors, in their order."""
    if len(names) <= MOST_COLUMNS:
        return names
    beyond = dict.fromkeys(names, -math.inf)
    for estimate in () if report is None else report.of(*COLUMNS):
        beyond[estimate.of] = max(beyond.get(estimate.of, -math.inf), excess(estimate))
    return sorted(sorted(names, key=lambda name: -beyond[name])[:MOST_COLUMNS], key=list(names).index)


def distances(report: Report | None, name: str) -> list[str]:
    """Word the Kolmogorov–Smirnov distance of a column, if it was measured."""
    found = () if report is None else report.estimates
    return [f"KS {number(estimate.value)} (floor {number(estimate.floor)})"
            for estimate in found if (estimate.measure, estimate.of) == ("ks", name)]


def tail(
    real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers], name: str, label: str, file: str
) -> Iterator[Plot]:
    """Draw the tails of one column, unless it has a few values only."""
    binning = Binning.of(*real)
    if binning.values is not None and len(binning.values) <= MOST_NAMED:
        return
    both = tails.tails(real, fake, binning.logarithmic)
    if not both:
        return
    made = tails.draw_tails(both, label, binning)
    yield Plot(f"tails_{file}", label, "tails", made, tails.in_words(both, label), tails.in_numbers(both, label), name)


def all_pairs(
    real: Table, fake: Table, known: Mapping[str, Numbers], drawn: Mapping[str, Numbers], files: Mapping[str, str]
) -> Iterator[Plot]:
    """Draw every pair of columns; of very many those that differ most."""
    binnings = {name: Binning.of(known[name], real.weights, PAIR_BINS) for name in real.features}
    samples = Rows(known, real.weights), Rows(drawn, fake.weights)
    for first, second in chosen(*samples, binnings):
        bins = binnings[first], binnings[second]
        shares, copies = (pairs.fill_pair((rows.columns[first], rows.columns[second]), bins, rows.weights)
                          for rows in samples)
        labels = real.label(first), real.label(second)
        yield Plot(f"pair_{files[first]}_{files[second]}", f"{labels[0]} and {labels[1]}", "pairs",
                   pairs.pair(shares, copies, labels, bins),
                   pairs.in_words(shares, copies, labels), pairs.in_numbers(shares, copies, labels))

