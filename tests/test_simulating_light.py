"""The light map: transport against a slow photon-by-photon one, solid angles, conservation, symmetry."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calque.errors import ConfigError
from calque.reading import read
from calque.simulating import simulate, simulator
from calque.simulating.light import DUNE, LightMap, visibilities
from calque.simulating.photons import (
    DIFFUSE,
    ISOTROPIC,
    RAYLEIGH,
    Geometry,
    Material,
    arrivals,
    follow,
    turned,
)

# 2 × 2 m, detectors in the middle plane; lengths such that photons scatter and bounce some times
ROOM = Geometry((-100.0, -100.0, -100.0), (100.0, 100.0, 100.0), (-60.0, 60.0), (-50.0, 0.0, 50.0), 30.0, 40.0)
CLEAR = Material(math.inf, math.inf, 0.0, 0.0)
FOGGY = Material(300.0, 80.0, 0.7, 0.5)


def estimate(geometry: Geometry, material: Material, at: tuple[float, ...], photons: int,
             seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    image, error = visibilities(np.array([at], float), seed, geometry=geometry, material=material, photons=photons)
    return image[0].astype(float), error[0].astype(float)


def anywhere(stream: random.Random) -> list[float]:
    while True:
        point = [stream.uniform(-1, 1) for _ in range(3)]
        size = math.hypot(*point)
        if 0 < size <= 1:
            return [value / size for value in point]


def scattered(way: list[float], stream: random.Random) -> list[float]:
    while True:  # rejection from an isotropic direction
        new = anywhere(stream)
        if 2 * stream.random() < 1 + sum(a * b for a, b in zip(way, new, strict=True)) ** 2:
            return new


def slow_end(geometry: Geometry, material: Material, at: list[float], stream: random.Random) -> int:
    """One photon, step by step, written apart from the package: the detector it ends in, or −1."""
    way = anywhere(stream)
    while True:
        scatter, absorb = (-length * math.log(1 - stream.random()) for length in (material.scattering,
                                                                                  material.absorption))
        walls = [((geometry.high if w > 0 else geometry.low)[i] - at[i]) / w if w else math.inf
                 for i, w in enumerate(way)]
        flown = min(scatter, absorb, *walls)
        plane = (geometry.plane - at[0]) / way[0]
        if 0 < plane <= flown:
            y, z = at[1] + plane * way[1], at[2] + plane * way[2]
            for row, y0 in enumerate(geometry.rows):
                for column, z0 in enumerate(geometry.columns):
                    if abs(y - y0) <= geometry.height / 2 and abs(z - z0) <= geometry.length / 2:
                        return row * len(geometry.columns) + column
        at = [a + flown * w for a, w in zip(at, way, strict=True)]
        if flown == absorb:
            return -1
        if flown == scatter:
            way = scattered(way, stream)
            continue
        if stream.random() >= material.reflectivity:
            return -1
        wall = walls.index(flown)
        if stream.random() < material.diffuse:
            sign, height = -math.copysign(1, way[wall]), math.sqrt(stream.random())  # cos² is even
            angle = 2 * math.pi * stream.random()
            flat = math.sqrt(1 - height**2)
            rest = iter((flat * math.cos(angle), flat * math.sin(angle)))
            way = [sign * height if i == wall else next(rest) for i in range(3)]
        else:
            way = [-w if i == wall else w for i, w in enumerate(way)]


@pytest.mark.parametrize("material", [FOGGY, replace(FOGGY, diffuse=0.0), replace(FOGGY, diffuse=1.0)])
def test_the_estimate_is_what_slow_photons_do(material: Material) -> None:
    at, photons, stream = (30.0, 20.0, -40.0), 6000, random.Random(3)
    ends = np.array([slow_end(ROOM, material, list(at), stream) for _ in range(photons)])
    counts = np.bincount(ends[ends >= 0], minlength=6).reshape(2, 3)
    image, error = estimate(ROOM, material, at, 20_000)
    share = counts / photons
    pull = (image - share) / np.hypot(error, np.sqrt(share * (1 - share) / photons))
    assert counts.min() > 20
    assert np.abs(pull).max() < 3.5
    assert (np.square(pull).sum()) < 16.8  # 99 % of χ² with 6 degrees of freedom
    assert (error * math.sqrt(20_000) < 0.8 * np.sqrt(share * (1 - share))).all(), "counting is worse"


def test_estimate_and_ends_agree_in_the_large_box() -> None:
    rng = np.random.default_rng(5)
    expected, ends = follow(DUNE, Material(2000, 99.1, 0.25, 0.5), np.repeat([[50.0, 250, 300]], 8000, 0), rng)
    counts = np.bincount(ends[ends >= 0], minlength=120)
    seen = counts >= 20
    error = np.hypot(expected.std(0), np.sqrt(counts / 8000)) / math.sqrt(8000)
    pull = ((expected.mean(0) - counts / 8000) / error)[seen]
    assert seen.sum() > 15
    assert np.abs(pull).max() < 4
    assert expected.sum(1).mean() == pytest.approx((ends >= 0).mean(), abs=0.015)


@pytest.mark.parametrize("at", [(40.0, 10.0, -30.0), (-3.0, 60.0, 2.0), (0.1, -60.0, 49.0), (90.0, -90.0, 90.0)])
def test_without_scattering_it_is_the_solid_angle(at: tuple[float, ...]) -> None:
    image, error = estimate(ROOM, CLEAR, at, 4000)
    exact = ROOM.solid_angle(np.array([at]))[0] / (4 * np.pi)
    assert (np.abs(image - exact) <= 4 * error + 1e-6).all()
    assert error.max() <= 0.01 * exact.max(), "even close to a detector"


def test_solid_angles_are_those_of_geometry() -> None:
    wide = replace(ROOM, rows=(0.0,), columns=(0.0,), height=200.0, length=200.0)
    assert wide.solid_angle(np.array([[1e-3, 0, 0]]))[0, 0, 0] == pytest.approx(2 * np.pi, rel=1e-4)
    cube = replace(wide, plane=99.999)
    assert cube.solid_angle(np.array([[-0.001, 0, 0.0]]))[0, 0, 0] == pytest.approx(4 * np.pi / 6)
    whole = wide.solid_angle(np.array([[30.0, 20, -70]])).sum()
    parts = replace(wide, rows=(-50.0, 50.0), columns=(-50.0, 50.0), height=100.0, length=100.0)
    assert parts.solid_angle(np.array([[30.0, 20, -70]])).sum() == pytest.approx(whole)
    far = ROOM.solid_angle(np.array([[100.0, 60.0, 0.0]]))[0, 1, 1]
    assert far == pytest.approx(30 * 40 / 100**2, rel=0.05)


def test_absorption_attenuates_along_the_way() -> None:
    small = replace(ROOM, rows=(0.0,), columns=(0.0,), height=1.0, length=1.0)
    image, error = estimate(small, replace(CLEAR, absorption=50.0), (80.0, 0.0, 0.0), 100)
    exact = float(small.solid_angle(np.array([[80.0, 0, 0]]))[0, 0, 0]) / (4 * np.pi) * math.exp(-80 / 50)
    assert image[0, 0] == pytest.approx(exact, rel=1e-3)
    assert error[0, 0] < 1e-4 * exact


@pytest.mark.parametrize("diffuse", [0.0, 0.5, 1.0])
def test_no_photon_is_lost_where_nothing_absorbs(diffuse: float) -> None:
    starts = np.repeat([[70.0, -20.0, 10.0]], 6000, 0)
    expected, ends = follow(ROOM, Material(math.inf, 80.0, 1.0, diffuse), starts, np.random.default_rng(7))
    total = expected.sum(1, dtype=float)
    assert (ends >= 0).all()
    assert abs(total.mean() - 1) < 4 * total.std() / math.sqrt(len(total)) + 1e-6


def test_mirrored_positions_have_mirrored_images() -> None:
    image, error = estimate(ROOM, FOGGY, (40.0, 25.0, -30.0), 20_000, seed=1)
    for seed, at, flips in ((2, (-40.0, 25.0, -30.0), ()), (3, (40.0, -25.0, -30.0), (0,)),
                            (4, (40.0, 25.0, 30.0), (1,))):
        other, its = (np.flip(part, flips) for part in estimate(ROOM, FOGGY, at, 20_000, seed))
        assert np.abs((other - image) / np.hypot(error, its)).max() < 3.5


def test_errors_are_those_of_repetition() -> None:
    images, errors = visibilities(np.full((300, 3), 40.0), 1, geometry=ROOM, material=FOGGY, photons=50)
    np.testing.assert_allclose(np.sqrt(np.square(errors).mean(0)), images.std(0), rtol=0.2)


def test_turns_follow_their_laws() -> None:
    rng = np.random.default_rng(2)
    axis = rng.normal(size=(100_000, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    for turn, first, second in ((ISOTROPIC, 0, 1 / 3), (RAYLEIGH, 0, 2 / 5), (DIFFUSE, 2 / 3, 1 / 2)):
        way = turned(axis, np.full(len(axis), turn), rng)
        cosine = (way * axis).sum(1)
        np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1)
        assert cosine.mean() == pytest.approx(first, abs=0.01)
        assert np.square(cosine).mean() == pytest.approx(second, abs=0.01)
        side = np.cross(way, axis)
        assert np.abs(side.mean(0)).max() < 0.01, "to no side more than to another"


@pytest.mark.parametrize("turn", [ISOTROPIC, RAYLEIGH, DIFFUSE])
def test_arrivals_are_the_share_of_turns_that_point_there(turn: int) -> None:
    rng, at = np.random.default_rng(4), np.repeat([[25.0, 30.0, -10.0]], 40_000, 0)
    axis = np.broadcast_to(np.array([-0.6, 0.0, 0.8]), at.shape)
    expected = arrivals(ROOM, CLEAR, at, axis, np.full(len(at), turn), rng).mean(0)
    way = turned(axis, np.full(len(at), turn), rng)
    reach = -at[:, 0] / way[:, 0]
    struck = np.where(reach > 0, ROOM.struck(*(at[:, 1:] + reach[:, None] * way[:, 1:]).T), -1)
    share = np.bincount(struck[struck >= 0], minlength=6) / len(at)
    np.testing.assert_allclose(expected, share, atol=4 * math.sqrt(share.max() / len(at)))


def test_a_photon_close_to_a_detector_counts_at_most_half() -> None:
    at = np.stack([np.geomspace(1e-7, 1, 500), np.full(500, 60.0), np.zeros(500)], 1)
    found = arrivals(ROOM, CLEAR, at, np.zeros_like(at), np.zeros(500, int), np.random.default_rng(1))
    assert found.max() <= 0.5 + 1e-6
    assert found[:, 4].min() > 0.4


def test_a_light_map_depends_on_the_seed_and_not_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = LightMap(5, seed=3, photons=4).run(), LightMap(270, seed=3, photons=4).run()
    for name in few.names:
        np.testing.assert_array_equal(few[name], many[name][:5])
    assert not np.array_equal(LightMap(5, seed=4, photons=4).run()["x"], few["x"])
    heard: list[float] = []
    assert simulate("light-map", tmp_path / "light.h5", n=270, seed=3, photons=4, progress=heard.append) == 270
    assert heard == [256, 270]
    again = read(tmp_path / "light.h5")
    np.testing.assert_array_equal(again["image"], many["image"])
    assert again["image"].shape == again["error"].shape == (270, 20, 6)
    assert again.units["x"] == "cm"


def test_positions_fill_the_box() -> None:
    table = LightMap(512, photons=2).run()
    for name, low, high in zip("xyz", DUNE.low, DUNE.high, strict=True):
        assert low <= table[name].min() < low + 0.02 * (high - low)
        assert high >= table[name].max() > high - 0.02 * (high - low)


@pytest.mark.parametrize(("settings", "message"), [
    ({"photons": 1}, "photons = 1: an error needs at least 2"), ({"n": 0}, "at least 1"),
    ({"scattering": 0.0}, "scattering = 0 cm have to be above zero; inf"), ({"reflectivity": 1.2}, "shares in"),
])
def test_settings_without_meaning_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulator("light-map", **{"n": 3, **settings})


@pytest.mark.parametrize("change", [{"height": 130.0}, {"rows": (60.0, -60.0)}, {"plane": 200.0}, {"length": 110.0}])
def test_detectors_have_to_fit(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="leave the box, or overlap"):
        replace(ROOM, **change)
