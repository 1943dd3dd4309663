"""Lines, circles and pulses: geometry, noise, parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calque.errors import ConfigError
from calque.reading import read
from calque.simulating import SIMULATORS, simulate, simulator
from calque.simulating.opening import parametric
from calque.simulating.shapes import Circles, Lines, Pulse, Shape
from calque.table import Table

SHAPES = ("lines", "circles", "pulse")


def one(kind: type[Shape], *parameters: float, **settings: Any) -> np.ndarray:
    return kind(**settings)(np.array([parameters]), seed=1)[0]


def sample(name: str, n: int, **settings: Any) -> Table:
    return simulator(name, n=n, **settings).run()


def test_a_level_line_is_where_it_should_be() -> None:
    image = one(Lines, 0.0, 5.0, 3.0, 4.0)
    expected = np.zeros((28, 28))
    expected[3, 5:10] = 1
    np.testing.assert_allclose(image, expected, atol=1e-12)


def test_pixels_beside_a_line_fall_with_their_distance() -> None:
    image = one(Lines, 1.0, 4.0, 2.0, 10.0)
    assert image[7, 9] == 1
    assert image[8, 9] == pytest.approx(1 - np.sqrt(0.5))
    assert image[9, 9] == 0
    shifted = one(Lines, 0.0, 5.0, 3.25, 4.0)
    np.testing.assert_allclose(shifted[2:5, 7], [0, 0.75, 0.25])
    assert one(Lines, 0.0, 5.0, 3.0, 4.5)[3, 10] == pytest.approx(0.5), "beyond an end it is the distance from the end"


def test_a_hard_line_has_two_values() -> None:
    smooth, hard = (one(Lines, 0.7, 4.3, 2.1, 9.0, hard=hard) for hard in (False, True))
    assert set(np.unique(hard)) == {0, 1}
    assert (hard == (smooth >= 0.5)).all()


def test_a_circle_has_its_radius_and_its_noise() -> None:
    ring = one(Circles, 14.0, 12.0, 6.0, 0.0, 0.8)
    for y, x in ((12, 20), (18, 14), (6, 14)):
        assert ring[y, x] == pytest.approx(0.8)
    assert ring[12, 14] == 0
    assert ring[12, 21] == pytest.approx(0, abs=1e-12)
    noisy = one(Circles, 14.0, 12.0, 6.0, 0.2, 0.8) - ring
    assert abs(noisy.mean()) < 4 * 0.2 / 28
    assert noisy.std() == pytest.approx(0.2, rel=0.1)


def test_a_pulse_is_its_formula() -> None:
    found = one(Pulse, 30.0, 4.0, 1.2)
    wanted = 1.2 * np.exp(-0.5 * ((np.arange(64) - 30) / 4) ** 2)
    assert np.std(found - wanted) == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_fill_their_space_or_follow_the_truth(name: str) -> None:
    opened = parametric(name)
    flat = opened.choose(4000, seed=0)
    assert (flat.min(0) >= opened.low).all()
    assert (flat.max(0) <= opened.high).all()
    assert (flat.min(0) < opened.low + 0.1 * (opened.high - opened.low)).all()
    assert (flat.max(0) > opened.high - 0.1 * (opened.high - opened.low)).all()
    true = sample(name, 4000, parameters="truth")
    for column, mean, width in zip(opened.names, *opened.truth, strict=True):
        assert true[column].mean() == pytest.approx(mean, abs=0.1 * width)
        assert true[column].std() == pytest.approx(width, rel=0.05)


def test_lines_stay_inside() -> None:
    table = sample("lines", 3000)
    end = table["c"] + table["m"] * table["x_steps"]
    assert end.max() <= 27
    assert (table["x0"] + table["x_steps"]).max() <= 27
    assert table["image"].sum((1, 2)).min() > 3


@pytest.mark.parametrize("name", SHAPES)
def test_an_image_depends_on_the_seed_and_not_on_how_many_there_are(name: str) -> None:
    few, many = sample(name, 10, seed=3), sample(name, 5000, seed=3)
    for column in few.names:
        np.testing.assert_array_equal(few[column], many[column][:10])
    assert not np.array_equal(sample(name, 10, seed=4)["image"], few["image"])


@pytest.mark.parametrize("name", SHAPES)
def test_they_are_written_and_read(tmp_path: Path, name: str) -> None:
    assert name in SIMULATORS
    heard: list[float] = []
    assert simulate(name, tmp_path / "some.h5", n=5000, progress=heard.append) == 5000
    assert heard[-1] == 5000
    again = read(tmp_path / "some.h5")
    np.testing.assert_array_equal(again["image"], sample(name, 5000)["image"])


@pytest.mark.parametrize(("settings", "message"), [
    ({"n": 0}, "n = 0"), ({"n": 5, "parameters": "true"}, "'truth'"), ({"n": 5, "hart": True}, "nearest: hard"),
    ({"n": 5, "hard": "perhaps"}, "hard = 'perhaps'"), ({}, "setting 'n'"),
    ({"n": 5, "space": {"n": (0, 1)}}, "nearest: m"),
    ({"n": 5, "space": {"m": (1, 1)}}, "m from 1 to 1 is no range"),
])
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulator("lines", **settings).run()
