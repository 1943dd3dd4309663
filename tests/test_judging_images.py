"""Judging columns of images: in a few numbers an event, in bins of what made them, drawn in a few figures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from calque.errors import ConfigError
from calque.judging.catalogue import CATALOGUE, SINGLE
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.images import as_histogram, events, image_plots, spectrum, weighted_mean
from calque.judging.drawing.paper import styled
from calque.judging.drawing.plots import draw_plots
from calque.judging.images import Summary, image_view
from calque.judging.judge import judge_tables
from calque.judging.page import render_page
from calque.table import Table


def blobs(rows: int, seed: int, tilt: float = 0.0, brighter: float = 0.0) -> Table:
    """Noisy spots of 6 × 5 pixels at a place x; where x > 3.2 a fault may make them brighter, or shift them."""
    stream = np.random.default_rng(seed)
    x, size = stream.uniform(0, 4, rows), stream.exponential(1, rows) + 0.5
    faulty = x > 3.2
    place = np.arange(5) - (x + tilt * faulty)[:, None]
    row = np.exp(-0.5 * place**2)[:, None] * np.exp(-0.5 * (np.arange(6)[:, None] - 2.5) ** 2)
    image = row * (size * (1 + brighter * faulty))[:, None, None] + 0.05 * stream.normal(size=(rows, 6, 5))
    return Table.of({"x": x, "image": image.astype("f4")}, {"image": "GeV"})


def test_an_image_is_told_in_a_few_numbers() -> None:
    images = np.zeros((3, 4, 6), np.float32)
    images[0, 1, 2], images[0, 3, 2] = 2.0, 6.0
    images[1] = 1.0
    found = Summary("e", 1.5)(images)
    assert {name: values.tolist() for name, values in found.items()} == {
        "e.sum": [8, 24, 0], "e.max": [6, 1, 0], "e.lit": [2, 0, 0], "e.centre_0": [2.5, 1.5, 1.5],
        "e.centre_1": [2, 2.5, 2.5]}
    assert [name.split(".")[1] for name in Summary("e", 1.0)(np.ones((2, 9)))] == ["sum", "max", "lit", "centre_0"]


def test_the_view_of_images_has_what_varies_and_keeps_units_and_weights() -> None:
    hard = (blobs(500, 1)["image"] > 0.5)[:, 2:4, 2:4]
    table = blobs(500, 1).with_columns({"w": np.arange(500.0), "hard": hard})
    table = Table.of(table.columns, table.units, "w")
    seen = image_view(table)(table)
    assert seen.features[:6] == ("x", "image.sum", "image.max", "image.lit", "image.centre_0", "image.centre_1")
    assert "hard.max" in seen.features
    constant = table.with_columns({"hard": np.ones((500, 2, 2))})
    view = image_view(constant)
    assert "hard.sum" not in view(constant).features
    assert view(table).features == view(constant).features, "what real rows have is asked of all"
    assert seen.units == {"image.sum": "GeV", "image.max": "GeV"}
    assert seen.weight == "w"
    assert image_view(table.select(["x"])) is None


def test_images_are_judged_as_pixels_and_in_numbers() -> None:
    real, train = blobs(1500, 1), blobs(1500, 2)
    wanted = ["trees", "columns", "sliced", "fpd", "coverage", "worth"]
    report = judge_tables(real, blobs(1500, 3), train=train, measures=wanted)
    assert not report.told
    assert not [one.name for one in report.estimates if "[" in one.of], "no single pixel"
    assert {one.of for one in report.of("auc")} == {"raw", "images"}
    assert {one.of for one in report.of("ks")} == {"x", "image.sum", "image.max", "image.lit", "image.centre_0",
                                                   "image.centre_1"}


def test_a_fault_at_some_parameters_is_found_in_their_bin() -> None:
    real, train = blobs(4000, 1), blobs(4000, 2)
    report = judge_tables(real, blobs(4000, 3, brighter=0.8), train=train, context=("x",),
                          measures=["conditional", "columns"])
    for measure in ("auc_in_bins", "local"):
        (found,) = report.of(measure)
        assert found.excess > 5
        assert re.fullmatch(r"x > 3\.[12]\d*", found.details["where"])
    assert max(report.of("ks"), key=lambda one: one.excess).of in ("image.sum", "image.max")
    shifted = judge_tables(real, blobs(4000, 3, tilt=0.5), train=train, measures=["columns"])
    assert max(shifted.of("ks"), key=lambda one: one.excess).of == "image.centre_1"


@pytest.mark.parametrize("name", [name for name in SINGLE if name not in ("conditional", "ranks")])
def test_a_measure_of_numbers_refuses_pixels(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the measure '{name}' takes numbers, not pixels .image.; judge in the view"):
        judge_tables(blobs(100, 1), blobs(100, 2), train=blobs(100, 3), measures=[name], views=["raw"])
    assert name in CATALOGUE


def test_the_mean_image_has_its_error() -> None:
    images, weights = np.random.default_rng(0).normal(2, 3, (5000, 2, 3)), np.random.default_rng(1).random(5000)
    mean, variance = weighted_mean(images, weights)
    share = weights / weights.sum()
    np.testing.assert_allclose(mean, np.average(images, axis=0, weights=weights))
    np.testing.assert_allclose(variance, (share[:, None, None] ** 2 * (images - mean) ** 2).sum(0))
    shape = as_histogram(mean, variance)
    assert shape.values().shape == (3, 2)
    assert shape.values()[2, 1] == mean[1, 2]


def test_the_spectrum_of_pixels_knows_that_they_belong_together() -> None:
    """All pixels of an event are equal here: the spectrum is as uncertain as that of the events."""
    values, weights = np.random.default_rng(0).random(1000), np.random.default_rng(1).random(1000)
    binning = Binning(np.linspace(0.1, 0.9, 9))
    alone = binning.fill(values, weights)
    together = spectrum(np.repeat(values[:, None], 16, axis=1), weights, binning)
    np.testing.assert_allclose(together.values(flow=True), alone.values(flow=True))
    np.testing.assert_allclose(together.variances(), alone.variances())


@pytest.mark.parametrize("shape", [(6, 5), (30,), (2, 3, 5)])
def test_images_are_drawn(shape: tuple[int, ...]) -> None:
    real, fake = (table.with_columns({"image": table["image"].reshape(-1, *shape)})
                  for table in (blobs(600, 1), blobs(600, 2, brighter=1.0)))
    odd = "../a_b^{$x$}<b>&%\n長い"
    with styled():
        plots = list(image_plots(real, fake, "image", "image"))
        hostile = [table.with_columns({odd: table["image"], "$\\frac{": table["x"]}) for table in (real, fake)]
        assert all(plot.png[:4] == b"\x89PNG" for plot in image_plots(*hostile, odd, "odd"))
    assert [(plot.name, plot.section) for plot in plots] == [
        ("mean_image", "images"), ("events_image", "images"), ("pixels_image", "images")]
    assert plots[1].alt == "6 real and 6 generated events, each with the generated one nearest in x"
    assert len(plots[1].data.columns) == 12
    assert all(plot.png[:4] == b"\x89PNG" for plot in plots)


def test_the_page_shows_images_before_their_numbers() -> None:
    real, fake = blobs(600, 1), blobs(600, 2, brighter=1.0)
    plots = draw_plots(None, real, fake, pairs=False)
    assert [plot.of for plot in plots if plot.section == "columns"] == [
        "x", "image.sum", "image.max", "image.lit", "image.centre_0", "image.centre_1"]
    report = judge_tables(real, fake, measures=["columns"])
    page = render_page(report, plots[:4], real=real, fake=fake)
    assert '<section id="images"' in page
    assert page.index('id="images"') < page.index('id="columns"')


def test_events_are_shown_beside_those_of_the_same_parameters() -> None:
    real = blobs(300, 1)
    fake = real.rows(np.random.default_rng(0).permutation(300))
    columns = events(real, fake, "image", "image").data.columns
    for event in range(1, 7):
        np.testing.assert_array_equal(columns[f"real {event}"], columns[f"generated {event}"])
