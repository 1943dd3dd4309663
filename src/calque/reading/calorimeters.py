"""The layouts "calogan", "calochallenge" and "grid": HDF5 files of calorimeter showers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from calque.errors import ConfigError
from calque.geometry import Geometry
from calque.reading.binning import read_binning
from calque.reading.showers import Dataset, Showers
from calque.table import Layout


class CaloGan(Showers):
    """CaloGAN's files: `energy` [GeV], the images `layer_0` to `layer_2` [MeV], and `overflow` [MeV] if there is one.

    `energy` is (N, 1) in the file, the images (N, 3, 96), (N, 12, 12), (N, 12, 6); `overflow`, one number a layer,
    is what was left beside the images (arXiv:1712.10321, doi:10.17632/pvn3xc3wy5).
    """

    name = "CaloGAN"

    def geometry(self, path: Path | None = None) -> Geometry:
        """The published one."""
        return Geometry.calogan()

    def datasets(self) -> tuple[Dataset, ...]:
        """Energy, three images, overflow."""
        images = [Dataset.of(name, shape, "MeV") for name, shape in self.geometry().shapes.items()]
        return (Dataset("energy", (1,), Layout.flat(["energy"]), "GeV"), *images,
                Dataset.of("overflow", (3,), "MeV", optional=True))


@dataclass
class CaloChallenge(Showers):
    """CaloChallenge's files: `incident_energies` (N, 1) and `showers` (N, V), both in MeV (arXiv:2410.21611).

    The columns are `energy` and an image (α, r) for every layer with bins, such as `layer_12`. `binning` is the XML
    file, `particle` a name or pdg code where that has several.
    """

    binning: str = ""
    particle: str | int | None = None

    name = "CaloChallenge"

    def __post_init__(self) -> None:
        if not self.binning:
            raise ConfigError("the layout 'calochallenge' needs a binning, as in layout = { name = \"calochallenge\", "
                              'binning = "binning_dataset_2.xml" }')

    @cached_property
    def read(self) -> Geometry:
        """The binning, read once."""
        return read_binning(self.binning, None if self.particle is None else str(self.particle))

    def geometry(self, path: Path | None = None) -> Geometry:
        """That of the binning."""
        return self.read

    def datasets(self) -> tuple[Dataset, ...]:
        """Incident energies and showers."""
        return (Dataset("incident_energies", (1,), Layout.flat(["energy"]), "MeV"),
                Dataset("showers", (self.read.size,), self.read.layout, "MeV"))

    def __str__(self) -> str:
        return f"CaloChallenge with the binning {self.read.name}"


@dataclass
class Grid(Showers):
    """Dense images (x, y, z), and a dataset `target` of numbers side by side, as in the files of the LCD calorimeter.

    `target` names its numbers. `images` gives the shapes of images, which else are all datasets of three axes an event;
    `cells` their voxels' sides in mm. The file tells no units.
    """

    images: dict[str, Sequence[int]] = field(default_factory=dict)
    cells: dict[str, Sequence[float]] = field(default_factory=dict)
    target: Sequence[str] = ("type", "energy", "px", "py", "pz")

    name = "grid"

    def geometry(self, path: Path | None = None) -> Geometry:
        """By settings, or by the images of a file."""
        shapes: Mapping[str, Sequence[int]] = self.images
        if not shapes and path is None:
            raise ConfigError("the layout 'grid' tells its geometry by a file, or by images = { ECAL = [24, 24, 25] }")
        if not shapes and path is not None:
            found = {one.name: one.shape for one in super().describe(path, "/")}
            shapes = {name: found[name] for name in self.images_of(found)}
        return Geometry.grid(shapes, self.cells or None)

    def datasets(self) -> tuple[Dataset, ...]:
        """The images that are named, and `target` where there is one."""
        images = [Dataset.of(name, tuple(shape)) for name, shape in self.images.items()]
        return (*images, Dataset("target", (1, len(self.target)), Layout.flat(self.target), optional=True))

    def images_of(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Those named, or all with three axes."""
        return [name for name, shape in shapes.items() if (name in self.images if self.images else len(shape) == 3)]
