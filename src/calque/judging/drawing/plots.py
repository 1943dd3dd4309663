"""All plots of a comparison, as PNG and PDF in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.scores import Scores
from calque.judging.drawing.binning import Binning, plain
from calque.judging.drawing.curves import curves
from calque.judging.drawing.overlays import overlay
from calque.judging.drawing.pairs import fill_pair, pair
from calque.judging.drawing.paper import safe_names, save, styled
from calque.judging.judge import Report
from calque.judging.measure import plus_minus
from calque.judging.samples import check_columns, check_finite
from calque.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIR_BINS = 50


def save_plots(
    report: Report | None,
    real: Table,
    fake: Table,
    history: Sequence[Mapping[str, Any]],
    folder: str | Path,
) -> list[Path]:
    """Save overlays of every column, all pairs, the classifiers' output and the training curves.

    Overlays are `column_NAME`, pairs `pair_A_B`, outputs `classifier_VIEW`, curves `curves`, each as .png and
    .pdf; gives their paths. A report or a history that is not there is left out. Raises DataError for
    different columns or non-finite values, FileError where the folder cannot be written.
    """
    check_columns(real, fake)
    for table in (real, fake):
        check_finite(table)
    with styled():
        named = all_figures(report, real, fake, history)
        return [path for name, made in named for path in save(made, Path(folder), name)]


def all_figures(
    report: Report | None, real: Table, fake: Table, history: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Figure]]:
    """Name and draw one figure after another; none is kept."""
    yield from overlays(real, fake)
    yield from pairs(real, fake)
    if report is not None:
        for name, judgement in report.judgements.items():
            yield f"classifier_{name}", classifier_output(judgement.scores[0], report, name)
    drawn = curves(history)
    if drawn is not None:
        yield "curves", drawn


def overlays(real: Table, fake: Table) -> Iterator[tuple[str, Figure]]:
    """Draw every column."""
    files, known, drawn = safe_names(real.features), plain(real, real.features), plain(fake, real.features)
    for name in real.features:
        binning = Binning.of(known[name], real.weights)
        shares = binning.fill(known[name], real.weights), binning.fill(drawn[name], fake.weights)
        yield f"column_{files[name]}", overlay(*shares, axis_label(real, name), binning)


def pairs(real: Table, fake: Table) -> Iterator[tuple[str, Figure]]:
    """Draw every pair of columns."""
    files, known, drawn = safe_names(real.features), plain(real, real.features), plain(fake, real.features)
    binnings = {name: Binning.of(known[name], real.weights, PAIR_BINS) for name in real.features}
    for names in combinations(real.features, 2):
        first, second = names
        bins = binnings[first], binnings[second]
        shares, copies = (fill_pair((columns[first], columns[second]), bins, table.weights)
                          for columns, table in ((known, real), (drawn, fake)))
        labels = axis_label(real, first), axis_label(real, second)
        yield f"pair_{files[first]}_{files[second]}", pair(shares, copies, labels, bins)


def classifier_output(scores: Scores, report: Report, view: str) -> Figure:
    """Draw the output of the first training for both samples, with what the report says of all trainings."""
    binning = Binning(score_edges(np.concatenate([scores.real, scores.fake])))
    made = overlay(binning.fill(scores.real, scores.real_weights), binning.fill(scores.fake, scores.fake_weights),
                   f"output, {view} view (1: real)", binning)
    lines = [f"{WORDS[estimate.measure]} {plus_minus(estimate.value, estimate.error)}"
             for estimate in report.estimates if estimate.of == view and estimate.measure in WORDS]
    made.axes[0].text(0.03, 0.955, "\n".join(lines), transform=made.axes[0].transAxes, va="top", fontsize=11,
                      linespacing=1.4)
    return made


WORDS = {"auc": "AUC", "chi2_output": "χ²/ndf", "overlap_output": "overlap"}


def score_edges(scores: NDArray[np.float64], bins: int = 50) -> NDArray[np.float64]:
    """Equal bins over the range of the output, rounded outwards to hundredths."""
    return np.linspace(np.floor(100 * scores.min()) / 100, np.ceil(100 * scores.max() + 1e-9) / 100, bins + 1)


def axis_label(table: Table, name: str) -> str:
    """Column with its unit; an image is drawn by its sum."""
    return table.label(name) if table[name].ndim == 1 else f"sum of {table.label(name)}"
