"""Photons in a box of liquid argon: where they go, and what each detector expects of them at every turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError

Floats = NDArray[np.float64]
Small = NDArray[np.float32]
Row = NDArray[np.int64]

# directions after a turn are p(ω) = a + b (ω·n)² + c max(0, ω·n), of an axis n: (a, b, c) of each kind of turn
ISOTROPIC, RAYLEIGH, DIFFUSE, MIRROR = range(4)
PHASE = np.array([[1, 0, 0], [0.75, 0.75, 0], [0, 0, 4], [0, 0, 0]]) / (4 * np.pi)
LOST, ABSORBED = -1, -2  # in a wall, in the argon
CACHED = 384  # turns whose arrivals at a hundred detectors stay in the cache


@dataclass(frozen=True)
class Geometry:
    """A box with rectangular detectors in one plane x = `plane`, in `rows` along y and `columns` along z; all in cm.

    `rows` and `columns` are centres; every detector is `height` (y) by `length` (z), thin, sees both sides and absorbs
    what hits it; between detectors light passes. Raises ConfigError where they do not fit into the box.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    height: float
    length: float
    plane: float = 0.0

    def __post_init__(self) -> None:
        x, y, z = zip(self.low, self.high, strict=True)
        inside = x[0] < self.plane < x[1]
        for (low, high), centres, size in ((y, self.rows, self.height), (z, self.columns, self.length)):
            steps = np.diff(centres)
            inside &= bool(min(centres) - size / 2 >= low and max(centres) + size / 2 <= high and (steps >= size).all())
        if not inside:
            raise ConfigError("the detectors leave the box, or overlap; their centres rise, at least a size apart")

    @property
    def shape(self) -> tuple[int, int]:
        """Image of all detectors: rows by columns."""
        return len(self.rows), len(self.columns)

    def struck(self, y: Floats, z: Floats) -> Row:
        """Number (N,) of the detector at a point of the plane, −1 between them."""
        row, beside = nearest(self.rows, y)
        column, along = nearest(self.columns, z)
        hit = (beside <= self.height / 2) & (along <= self.length / 2)
        return np.where(hit, row * len(self.columns) + column, LOST)

    def edges(self, positions: Floats) -> tuple[Floats, Floats, Floats]:
        """Distance (N, 1) of the plane from positions (N, 3), and of the edges in y (2, N, R) and in z (2, N, C)."""
        x, y, z = positions.T[:, :, None]
        half = np.array([-0.5, 0.5])[:, None, None]
        return (self.plane - x, np.asarray(self.rows) - y + half * self.height,
                np.asarray(self.columns) - z + half * self.length)

    def solid_angle(self, positions: Floats) -> Floats:
        """Closed solid angles (N, rows, columns) [sr] of the detectors, from positions (N, 3)."""
        x, y, z = self.edges(positions)
        x, y, z = np.abs(x)[:, :, None], y[:, :, :, None], z[:, :, None]

        def corner(y: Floats, z: Floats) -> Floats:
            return np.asarray(np.arctan2(y * z, x * np.sqrt(x**2 + y**2 + z**2)))

        return corner(y[1], z[1]) - corner(y[0], z[1]) - corner(y[1], z[0]) + corner(y[0], z[0])


@dataclass(frozen=True)
class Material:
    """Lengths [cm] of absorption and of Rayleigh scattering; the walls' reflectivity and its `diffuse` share."""

    absorption: float
    scattering: float
    reflectivity: float
    diffuse: float

    def __post_init__(self) -> None:
        if not (self.absorption > 0 and self.scattering > 0):
            raise ConfigError(f"absorption = {self.absorption:g} and scattering = {self.scattering:g} cm have to be "
                              "above zero; inf switches one off")
        if not (0 <= self.reflectivity <= 1 and 0 <= self.diffuse <= 1):
            raise ConfigError(f"reflectivity = {self.reflectivity:g} and diffuse = {self.diffuse:g} are shares in "
                              "[0, 1]")

    @property
    def extinction(self) -> float:
        """Scatterings and absorptions per cm."""
        return 1 / self.absorption + 1 / self.scattering


def nearest(centres: tuple[float, ...], at: Floats) -> tuple[Row, Floats]:
    """Index (N,) of the nearest of rising centres, and the distance (N,) from it."""
    known = np.asarray(centres)
    index = np.searchsorted((known[1:] + known[:-1]) / 2, at)
    return index, np.abs(at - known[index])


def follow(geometry: Geometry, material: Material, starts: Floats, rng: np.random.Generator) -> tuple[Small, Row]:
    """Follow one photon from each of starts (N, 3), sent anywhere, to its end.

    Returns what each detector expects of it, (N, rows · columns), and its end (N,): the detector that absorbed it, or
    LOST, ABSORBED. Both have the same mean: the first is next-event estimation, in which every turn of the photon
    (emission, scattering, diffuse reflection) adds the probability to fly from there straight into each detector. What
    a mirror reflects has no such probability: there, a hit itself counts.
    """
    expected = np.zeros((len(starts), geometry.shape[0] * geometry.shape[1]), np.float32)
    ends = np.full(len(starts), LOST)
    photon, at, turn = np.arange(len(starts)), starts.copy(), np.full(len(starts), ISOTROPIC)
    axis = np.broadcast_to([0.0, 0.0, 1.0], at.shape)
    while len(photon):
        seen = turn != MIRROR
        for part in np.split(np.flatnonzero(seen), range(CACHED, seen.sum(), CACHED)):
            expected[photon[part]] += arrivals(geometry, material, at[part], axis[part], turn[part], rng)
        way = turned(axis, turn, rng)
        length, wall = flight(geometry, material, at, way, rng)
        struck = crossed(geometry, at, way, length)
        hit, mirrored = struck >= 0, (struck >= 0) & ~seen
        expected[photon[mirrored], struck[mirrored]] += 1
        at = at + length[:, None] * way
        turn, axis = next_turn(material, way, wall, rng)
        ends[photon] = np.where(hit, struck, np.where(wall < 0, ABSORBED, LOST))
        alive = ~hit & (turn >= 0)
        photon, at, turn, axis = photon[alive], at[alive], turn[alive], axis[alive]
    return expected, ends


def arrivals(geometry: Geometry, material: Material, at: Floats, axis: Floats, turn: Row,
             rng: np.random.Generator) -> Small:
    """Probability (N, rows · columns) to fly from a turn straight into each detector, by one direction to each.

    Of a direction (cos φ cos τ, sin φ cos τ, sin τ), dφ and d sin τ have equal solid angle everywhere. φ is even over
    a detector's row, sin τ over its length at this φ: so the estimate is a solid angle times p(ω) exp(−d/λ), with no
    1/d² of a point on the detector that would make photons close to it count without bound.
    """
    x, (y_low, y_high), (z_low, z_high) = geometry.edges(at)
    x = np.where(np.abs(x) < 1e-6, 1e-6, x)
    draw_y, draw_z = rng.random((2, len(at), 1))
    low, high = np.arctan(y_low / np.abs(x)), np.arctan(y_high / np.abs(x))  # of φ
    y = np.abs(x) * np.tan(low + draw_y * (high - low))
    along = axis[:, 2].astype(np.float32)[:, None, None]  # in single precision from here
    radius, width, across = (part.astype(np.float32)[:, :, None]
                             for part in (np.hypot(x, y), high - low, axis[:, :1] * x + axis[:, 1:2] * y))
    z_low, z_high, draw = (part.astype(np.float32)[:, None] for part in (z_low, z_high, draw_z))
    low, high = z_low / np.sqrt(radius**2 + z_low**2), z_high / np.sqrt(radius**2 + z_high**2)  # of sin τ
    high -= low
    sine = low + draw * high
    cosine = np.sqrt(np.maximum(1 - sine**2, np.float32(1e-12)))
    a, b, c = PHASE[turn].T.astype(np.float32)[:, :, None, None]
    to_axis = across / radius * cosine + along * sine
    high *= width * (a + b * to_axis**2 + c * np.maximum(to_axis, 0))
    high *= np.exp(radius / cosine * np.float32(-material.extinction))
    return np.asarray(high.reshape(len(at), high.shape[1] * high.shape[2]))


def turned(axis: Floats, turn: Row, rng: np.random.Generator) -> Floats:
    """Directions (N, 3) after a turn: p(ω) of its kind around its axis; what a mirror reflects goes along the axis."""
    anywhere = rng.normal(size=axis.shape)
    anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
    way = np.where((turn == ISOTROPIC)[:, None], anywhere, axis)
    scattered, spread = turn == RAYLEIGH, turn == DIFFUSE
    way[scattered] = around(axis[scattered], rayleigh(rng.random(scattered.sum())), anywhere[scattered])
    way[spread] = axis[spread] + anywhere[spread]  # a point of the sphere that touches the wall: Lambert's law
    return np.asarray(way / np.linalg.norm(way, axis=1, keepdims=True))


def rayleigh(uniform: Floats) -> Floats:
    """Cosine c (N,) of a scattering, 3/8 (1 + c²): the root of c³ + 3 c = 8 u − 4."""
    half = 4 * uniform - 2
    root = np.cbrt(half + np.sqrt(half**2 + 1))
    return np.asarray(root - 1 / root)


def around(axis: Floats, cosine: Floats, anywhere: Floats) -> Floats:
    """Directions (N, 3) at given cosines (N,) from an axis, to the side that isotropic directions lie on."""
    side = anywhere - (anywhere * axis).sum(1, keepdims=True) * axis
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return np.asarray(cosine[:, None] * axis + np.sqrt(1 - cosine[:, None] ** 2) * side)


def flight(geometry: Geometry, material: Material, at: Floats, way: Floats,
           rng: np.random.Generator) -> tuple[Floats, Row]:
    """Length (N,) of the way to a wall, or to what happens in the argon before; and the wall's axis (N,), else −1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(way > 0, np.asarray(geometry.high) - at, np.asarray(geometry.low) - at) / way
    far = np.where(way == 0, np.inf, np.maximum(far, 0))
    wall = far.argmin(1)
    limit = far[np.arange(len(at)), wall]
    free = rng.exponential(size=len(at)) / material.extinction if material.extinction else np.full(len(at), np.inf)
    return np.minimum(free, limit), np.where(free < limit, -1, wall)


def crossed(geometry: Geometry, at: Floats, way: Floats, length: Floats) -> Row:
    """The detector (N,) that a flight hits, else LOST."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = (geometry.plane - at[:, 0]) / way[:, 0]
    cuts = np.flatnonzero((reach > 0) & (reach <= length))
    y, z = (at[cuts, 1:] + reach[cuts, None] * way[cuts, 1:]).T
    found = np.full(len(at), LOST)
    found[cuts] = geometry.struck(y, z)
    return found


def next_turn(material: Material, way: Floats, wall: Row, rng: np.random.Generator) -> tuple[Row, Floats]:
    """What a photon does at the end of a flight (N,), negative where it ends, and the axis (N, 3) of the turn."""
    chance = rng.random((2, len(way)))
    scatters = chance[0] * material.extinction < 1 / material.scattering
    reflected = np.where(chance[1] < material.diffuse, DIFFUSE, MIRROR)
    reflects = np.where(chance[0] < material.reflectivity, reflected, LOST)
    turn = np.where(wall < 0, np.where(scatters, RAYLEIGH, ABSORBED), reflects)
    axis, rows = way.copy(), np.arange(len(way))
    axis[rows, wall] = np.where(wall < 0, way[rows, wall], -way[rows, wall])
    bare = turn == DIFFUSE
    axis[bare] = 0
    axis[rows[bare], wall[bare]] = -np.sign(way[rows[bare], wall[bare]])
    return turn, axis
