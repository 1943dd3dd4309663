"""The light map of a liquid-argon detector: which share of a point's photons each of its detectors sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calque.errors import ConfigError
from calque.seeds import derive, numpy_stream
from calque.simulating.photons import Floats, Geometry, Material, Small, follow
from calque.simulating.shapes import Shape
from calque.simulating.simulator import Progress, Simulator
from calque.table import Table

BLOCK = 256  # positions
CHUNK = 8192  # photons followed together

# the test volume of arXiv:1812.00879's authors (Whitehead 2020); planes of 6 m by 2.3 m, detectors of DUNE's size
DUNE = Geometry(low=(-379.662, -658.09, -302.946), high=(379.662, 699.59, 1443.5),
                rows=tuple(-570.0 + 60.0 * row for row in range(20)),
                columns=tuple(116.0 + 232.0 * column for column in range(6)), height=12.0, length=209.0)


def visibilities(positions: Floats, seed: int, *, geometry: Geometry, material: Material,
                 photons: int) -> tuple[Small, Small]:
    """Visibilities of positions (N, 3) [cm], (N, rows, columns), and their statistical errors, of the same shape.

    The visibility is the probability that a photon from there ends in this detector. The error is the standard
    deviation over the photons divided by √photons.
    """
    found = np.empty((2, len(positions), *geometry.shape), np.float32)
    step = max(1, CHUNK // photons)
    for number, first in enumerate(range(0, len(positions), step)):
        part = slice(first, first + step)
        starts = np.repeat(positions[part], photons, axis=0)
        expected, _ = follow(geometry, material, starts, numpy_stream(seed, "photons", number))
        each = expected.reshape(-1, photons, *geometry.shape)
        found[0, part], found[1, part] = each.mean(1), each.std(1, ddof=1) / np.sqrt(photons)
    return found[0], found[1]


@dataclass(frozen=True)
class LightMap(Simulator):
    """Simulate the visibilities of `n` random positions with `photons` photons each.

    The box is DUNE's test volume, x ±379.662, y −658.09 … 699.59, z −302.946 … 1443.5 cm. Its 12 planes stand side by
    side at x = 0: 2 in y (−600 … 0 … 600 cm), 6 in z (0 … 1392 cm in steps of 232). Each holds 10 bars, 209 cm
    along z and 12 cm along y, 60 cm apart in y, in the middle of the plane's length; they see both sides. The image
    (20, 6) has a row for each height, y upward, and a column for each place in z. The planes between bars are clear.

    Lengths [cm] are those of liquid argon at 128 nm: Rayleigh scattering 99.1 (Babicz et al. 2020, arXiv:2002.09346),
    absorption 2000 and walls of reflectivity 0.25, half of it diffuse (Lambert's law), the other half a mirror
    (LArSoft's standard values). Positions are even in y and z, and in |x|^(1/focus): a `focus` above 1 looks closer at
    the detectors, where the map varies most, and 1 is even. Columns: x, y, z [cm], image, and error, the standard
    deviation of the image.
    Equal settings and seeds give equal rows, whatever `n`.
    """

    n: int
    seed: int = 0
    photons: int = 100
    absorption: float = 2000.0
    scattering: float = 99.1
    reflectivity: float = 0.25
    diffuse: float = 0.5
    focus: float = 2.0
    geometry: Geometry = DUNE

    def __post_init__(self) -> None:
        if self.n != int(self.n) or self.n < 1:
            raise ConfigError(f"n = {self.n}: the number of positions must be whole and at least 1")
        if self.photons != int(self.photons) or self.photons < 2:
            raise ConfigError(f"photons = {self.photons}: an error needs at least 2 at each position")
        if self.focus <= 0:
            raise ConfigError(f"focus = {self.focus:g} has to be above zero; 1 draws positions evenly")
        self.material  # noqa: B018  its own settings are checked

    @property
    def material(self) -> Material:
        """What photons fly through."""
        return Material(self.absorption, self.scattering, self.reflectivity, self.diffuse)

    @property
    def total(self) -> int:
        """Positions to simulate: what `progress` counts up to."""
        return int(self.n)

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate block by block; `progress` hears how much is done."""
        for number, done in enumerate(range(0, self.total, BLOCK)):
            places = self.positions(numpy_stream(self.seed, "positions", number))
            count = min(BLOCK, self.total - done)
            yield self.table(places, derive(self.seed, "light", number)).rows(slice(count))
            if progress is not None:
                progress(done + count)

    def positions(self, stream: np.random.Generator) -> Floats:
        """Random positions (BLOCK, 3) [cm], even in y and z."""
        low, high, plane = self.geometry.low, self.geometry.high, self.geometry.plane
        even: Floats = stream.uniform(low, high, (BLOCK, 3))
        end = np.where(even[:, 0] > plane, high[0] - plane, low[0] - plane)
        even[:, 0] = plane + end * ((even[:, 0] - plane) / end) ** self.focus
        return even

    def table(self, positions: Floats, seed: int) -> Table:
        """Simulate given positions (N, 3) [cm]."""
        image, error = visibilities(positions, seed, geometry=self.geometry, material=self.material,
                                    photons=int(self.photons))
        columns = dict(zip("xyz", positions.T.astype(np.float32), strict=True))
        return Table.of({**columns, "image": image, "error": error}, dict.fromkeys("xyz", "cm"),
                        source=f"a light map, seed {self.seed}")


@dataclass(frozen=True)
class Light(Shape):
    """The same in the same box, as a simulator with parameters x, y, z [cm]: the images without their errors."""

    photons: int = 100
    absorption: float = 2000.0
    scattering: float = 99.1
    reflectivity: float = 0.25
    diffuse: float = 0.5

    space: ClassVar = dict(zip("xyz", zip(DUNE.low, DUNE.high, strict=True), strict=True))

    def __call__(self, parameters: Floats, seed: int) -> Small:
        """Positions (N, 3) → visibilities (N, 20, 6)."""
        material = Material(self.absorption, self.scattering, self.reflectivity, self.diffuse)
        return visibilities(parameters, seed, geometry=DUNE, material=material, photons=self.photons)[0]
