"""Images of the same parameters: how far apart, where most, and what two simulations give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calque.errors import ConfigError
from calque.judging.conditional.ranks import Draw
from calque.judging.conditional.response import Response, repeated
from calque.judging.drawing.plots import draw_plots
from calque.judging.judge import judge_tables
from calque.judging.measure import Estimate
from calque.judging.page.tiles import response_tile
from calque.table import Array, Table

SHAPE, NOISE = (4, 5), 0.1
RAMP = np.arange(20.0).reshape(SHAPE) / 20


def simulate(a: Array, b: Array, seed: int, noise: float = NOISE, bias: float = 0.0) -> Table:
    """Images b + a · ramp, biased where a > 0.8."""
    scatter = noise * np.random.default_rng(seed).normal(size=(len(a), *SHAPE))
    image = b[:, None, None] + a[:, None, None] * RAMP + scatter + bias * (a > 0.8)[:, None, None]
    return Table.of({"a": a, "b": b, "image": image})


def drawer(**faults: float) -> Draw:
    def draw(contexts: Table, seed: int) -> Table:
        return simulate(contexts["a"], contexts["b"], seed, **faults)

    return draw


def sample(n: int, seed: int, repeat: int = 1, noise: float = NOISE) -> Table:
    a, b = np.repeat(np.random.default_rng(seed).random((2, n)), repeat, axis=1)
    return simulate(a, b, seed + 100, noise)


def take(real: Table, draw: Draw, seed: int = 0) -> dict[str, Estimate]:
    return {one.name: one for one in Response(("a", "b"), draw=draw)(real, draw(real, 5), seed=seed)}


def test_a_right_emulator_lies_at_its_floor() -> None:
    """Both are √2 of the noise over the spread of the pixels."""
    real = sample(2000, 1, repeat=2)
    found = take(real, drawer())["response_image"]
    expected = math.sqrt(2) * NOISE / found.details["pixel_spread"]
    assert found.value == pytest.approx(expected, rel=0.01)
    assert found.floor == pytest.approx(expected, rel=0.01)
    assert abs(found.excess) < 3
    assert found.details["pixel_spread"] == pytest.approx(np.sqrt(real["image"].var(0).mean()), rel=1e-6)


def test_its_errors_are_right() -> None:
    """Pulls of value and floor about what is expected, and of both about each other."""
    pulls = []
    for seed in range(60):
        found = take(sample(200, seed, repeat=2), drawer(), seed)["response_image"]
        expected = math.sqrt(2) * NOISE / found.details["pixel_spread"]
        pulls.append([(found.value - expected) / found.error, (found.floor - expected) / found.floor_error,
                      (found.value - found.floor) / math.hypot(found.error, found.floor_error)])
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.35)
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.45)


def test_a_bias_is_found_where_it_is() -> None:
    found = take(sample(2000, 2, repeat=2), drawer(bias=0.5))
    at, unit = found["response_in_bins_a"], found["response_image"].details["pixel_spread"]
    assert at.details["where"].startswith("a > 0.")
    assert at.value == pytest.approx(math.sqrt(2 * NOISE**2 + 0.5**2) / unit, rel=0.08)  # the bin begins near 0.8
    assert at.excess > 20
    assert found["response_image"].value == pytest.approx(math.sqrt(2 * NOISE**2 + 0.2 * 0.5**2) / unit, rel=0.05)
    assert at.value > found["response_in_bins_b"].value
    assert len(at.details["bins"]) == len(at.details["edges"]) - 1 == 5
    assert at.details["edges"] == sorted(at.details["edges"])


def test_too_little_noise_lies_below_the_floor() -> None:
    found = take(sample(1000, 3, repeat=2), drawer(noise=0.0))["response_image"]
    assert found.value == pytest.approx(found.floor / math.sqrt(2), rel=0.02)
    assert found.excess > 10


def test_without_repeated_parameters_there_is_no_floor() -> None:
    found = take(sample(500, 4), drawer(bias=0.5))["response_image"]
    assert math.isnan(found.floor)
    assert math.isnan(found.excess)
    assert "no floor" in found.how


def test_rows_of_equal_contexts_are_the_first_two_of_each() -> None:
    table = Table.of({"a": [1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 2.5], "b": [0.0, 5.0, 0.0, 1.0, 0.0, 5.0, 5.0]})
    first, second = repeated(table, ("a", "b"), 10)
    assert {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)} <= {
        frozenset((0, 2)), frozenset((2, 4)), frozenset((0, 4)), frozenset((1, 5))}
    assert len(first) == 2
    assert len(repeated(table, ("a", "b"), 1)[0]) == 1


def test_an_emulator_without_noise_is_judged_by_its_response() -> None:
    """Ranks are left out with a word; the verdict and the page begin with the response."""
    real = sample(300, 5, noise=0.0)
    draw = drawer(noise=0.0, bias=0.01)
    report = judge_tables(real, draw(sample(300, 6), 0), context=("a", "b"), draw=draw,
                          measures="all", rows=300, neighbours=200)
    (found,) = report.of("response")
    assert 0 < found.value < 0.05
    assert "images of the same parameters differ by" in report.verdict()
    assert "% where a >" in report.verdict()
    assert not report.of("ranks")
    assert any("ranks_images is left out: the generator draws the same" in note for note in report.notes)
    tile = response_tile(report)
    assert tile is not None
    assert "%" in tile.number
    assert "a >" in tile.note
    plots = {plot.name: plot for plot in draw_plots(report, real, draw(real, 1), pairs=False)
             if plot.name.startswith("response")}
    assert set(plots) == {"response_a", "response_b"}
    at = report["response_in_bins_a"]
    np.testing.assert_array_equal(plots["response_a"].data.columns["response"],
                                  [one["value"] for one in at.details["bins"]])
    assert "floor" not in plots["response_a"].data.columns
    assert at.details["where"] in plots["response_a"].alt
    assert plots["response_b"].png[:4] == b"\x89PNG"


def test_it_takes_images_contexts_and_a_run() -> None:
    real, fake = sample(100, 1), sample(100, 2)
    with pytest.raises(ConfigError, match="the measure 'response' needs what the generator draws"):
        judge_tables(real, fake, context=("a",), measures=["response"])
    with pytest.raises(ConfigError, match="the measure 'response' needs the columns that the generator was given"):
        judge_tables(real, fake, draw=drawer(), measures=["response"])
    numbers = [Table.of({"a": one["a"], "b": one["b"]}) for one in (real, fake)]
    with pytest.raises(ConfigError, match="the measure 'response' takes images"):
        judge_tables(*numbers, context=("a",), draw=drawer(), measures=["response"])
    with pytest.raises(ConfigError, match="bins = 0: at least"):
        Response(("a",), bins=0)
