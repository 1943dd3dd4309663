"""Plots during a training: overlays of columns, pairs, a classifier's output, and the curves so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from calque.geometry import Geometry
from calque.judging.classifying.classifier import Judgement
from calque.judging.drawing.binning import plain
from calque.judging.drawing.classifiers import output
from calque.judging.drawing.curves import curves
from calque.judging.drawing.images import image_plots
from calque.judging.drawing.paper import safe_names, styled
from calque.judging.drawing.plot import Plot
from calque.judging.drawing.plots import all_pairs, column, told_most
from calque.judging.images import image_columns
from calque.judging.samples import check_columns, check_finite
from calque.judging.showers.observables import number_view
from calque.table import Table


def draw_training(
    judgements: Mapping[str, Judgement], real: Table, fake: Table, history: Sequence[Mapping[str, Any]] = (),
    geometry: Geometry | None = None,
) -> tuple[Plot, ...]:
    """Draw what shows how far a training has come.

    Parameters
    ----------
    judgements : mapping of str to Judgement
        What classifiers say, by name.
    real, fake : Table
        Rows to compare, in the same columns.
    history : sequence of mappings
        What the looks so far measured.
    geometry : Geometry, optional
        Of showers: their observables are drawn.

    Returns
    -------
    tuple of Plot
        `column_NAME` of every column, `pair_A_B` of the pairs, `classifier_NAME` and `curves`; of images
        `mean_NAME`, `events_NAME` and `pixels_NAME`, and columns of their summaries.

    Raises
    ------
    DataError
        For different columns or values that are no numbers.
    """
    check_columns(real, fake)
    for table in (real, fake):
        check_finite(table)
    with styled():
        return tuple(draw_all(judgements, real, fake, history, geometry))


def draw_all(
    judgements: Mapping[str, Judgement], real: Table, fake: Table, history: Sequence[Mapping[str, Any]],
    geometry: Geometry | None,
) -> Iterator[Plot]:
    """Draw one plot after another."""
    training = curves(history)
    if training is not None:
        yield training
    for name, file in safe_names(tuple(judgements)).items():
        yield output(judgements[name], name, file)
    names, summary = safe_names(real.features), number_view(real, geometry)
    for name in image_columns(real):
        if geometry is None or name not in geometry.shapes:
            yield from image_plots(real, fake, name, names[name])
    if summary is not None:
        real, fake = summary(real), summary(fake)
    files, known, drawn = safe_names(real.features), plain(real, real.features), plain(fake, real.features)
    for name in told_most(real.features, None):
        yield column((known[name], real.weights), (drawn[name], fake.weights), name, real.label(name), files[name],
                     None)
    yield from all_pairs(real, fake, known, drawn, files)
