"""Where the voxels of a calorimeter lie, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError, unknown
from calque.table import Layout, Table

Numbers = NDArray[np.float64]
Edges = tuple[float, ...]
AXES = (("y", "x"), ("alpha", "r"), ("x", "y", "z"))
CALOGAN = (("layer_0", (3, 96), 90.0), ("layer_1", (12, 12), 347.0), ("layer_2", (12, 6), 43.0))
CALOGAN_SIDE = 480.0


@dataclass(frozen=True)
class Segment:
    """Voxels of one image: every combination of the bins along its axes, the last axis fastest.

    `edges` are the borders of the bins along `axes`, which are ("y", "x"), ("alpha", "r") [rad] or ("x", "y", "z").
    `depth` is z of front and back where z is no axis. `layer` is the number of the (first) layer.
    """

    name: str
    axes: tuple[str, ...]
    edges: tuple[Edges, ...]
    depth: tuple[float, float] = (0.0, 1.0)
    layer: int = 0

    def __post_init__(self) -> None:
        if self.axes not in AXES or len(self.edges) != len(self.axes):
            raise DataError(f"segment {self.name!r} has axes {self.axes} with {len(self.edges)} rows of edges; there "
                            f"are {', '.join(map(str, AXES))}")
        for axis, edges in zip(self.axes, self.edges, strict=True):
            if len(edges) < 2 or not all(math.isfinite(edge) for edge in edges) or np.diff(edges).min() <= 0:
                raise DataError(f"edges of {self.name!r} along {axis} are {list(edges)}: "
                                "two or more that grow are needed")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        return tuple(len(edges) - 1 for edges in self.edges)

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return self.shape[2] if "z" in self.axes else 1

    def voxels(self) -> dict[str, Numbers]:
        """Numbers of each voxel, all of the image's shape.

        `layer`; the centre `x`, `y`, `z` and `r`, `alpha` (in −π to π); the sizes along the axes, such as `dr`, and
        `dz`; the `area` across z. The centre of a polar voxel is the middle of both bins: of a whole ring, with one bin
        in alpha, only r and z mean anything.
        """
        middles = [[(low + high) / 2 for low, high in pairwise(edges)] for edges in self.edges]
        found = dict(zip(self.axes, np.meshgrid(*middles, indexing="ij"), strict=True))
        sizes = dict(zip(self.axes, np.meshgrid(*map(np.diff, self.edges), indexing="ij"), strict=True))
        if "z" not in found:
            found["z"] = np.full(self.shape, sum(self.depth) / 2)
            sizes["z"] = np.full(self.shape, self.depth[1] - self.depth[0])
            number = np.full(self.shape, float(self.layer))
        else:
            number = self.layer + np.broadcast_to(np.arange(self.layers, dtype=float), self.shape)
        if "r" in found:
            area = found["r"] * sizes["r"] * sizes["alpha"]  # the middle radius makes it exact
            found |= {"x": found["r"] * np.cos(found["alpha"]), "y": found["r"] * np.sin(found["alpha"])}
        else:
            area = sizes["x"] * sizes["y"]
            found |= {"r": np.hypot(found["x"], found["y"]), "alpha": np.arctan2(found["y"], found["x"])}
        centre = {name: found[name] for name in ("x", "y", "z", "r", "alpha")}
        return {"layer": number, **centre, **{f"d{axis}": sizes[axis] for axis in sizes}, "area": area}


@dataclass(frozen=True)
class Geometry:
    """A calorimeter's segments, in the order in which their voxels are numbered.

    >>> geometry = Geometry.calogan()
    >>> geometry.shapes["layer_0"], geometry.size, geometry.segment("layer_2").voxels()["dx"][0, 0].item()
    ((3, 96), 504, 80.0)
    """

    name: str
    segments: tuple[Segment, ...]
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def calogan(cls) -> Geometry:
        """The published sizes of CaloGAN's calorimeter (arXiv:1712.10321): 480 mm wide and deep, three layers.

        Cells of 5 × 160, 40 × 40 and 80 × 40 mm (x × y: η × φ), 90, 347 and 43 mm deep. Images are (y, x).
        """
        segments, front = [], 0.0
        for number, (name, shape, depth) in enumerate(CALOGAN):
            sides = tuple(centred(bins, CALOGAN_SIDE / bins) for bins in shape)
            segments.append(Segment(name, ("y", "x"), sides, (front, front + depth), number))
            front += depth
        return cls("CaloGAN", tuple(segments), lengths("mm"))

    @classmethod
    def grid(cls, shapes: Mapping[str, Sequence[int]], cells: Mapping[str, Sequence[float]] | None = None) -> Geometry:
        """Dense images (x, y, z), centred on x = y = 0, one behind the other; sides of `cells` in mm (none: all 1).

        >>> calorimeter = Geometry.grid({"ECAL": (24, 24, 25), "HCAL": (4, 4, 60)})
        >>> calorimeter.size, calorimeter.segment("HCAL").layer, calorimeter.segment("HCAL").edges[2][0]
        (15360, 25, 25.0)
        """
        for name in cells or {}:
            if name not in shapes:
                raise DataError(unknown("image", name, shapes, "to give cells to"))
        if cells and len(cells) < len(shapes):
            raise DataError(f"cells are given for {', '.join(cells)} of {', '.join(shapes)}: give all, or none")
        segments, layer, front = [], 0, 0.0
        for name, shape in shapes.items():
            sides = (cells or {}).get(name, (1.0, 1.0, 1.0))
            if len(shape) != 3 or len(sides) != 3 or min(shape) < 1 or min(sides) <= 0:
                raise DataError(f"image {name!r} has shape {tuple(shape)} and cells of {tuple(sides)}; a grid has "
                                "three axes, x, y and z")
            across = tuple(centred(bins, side) for bins, side in zip(shape[:2], sides, strict=False))
            along = tuple(front + step * sides[2] for step in range(shape[2] + 1))
            segments.append(Segment(name, ("x", "y", "z"), (*across, along), layer=layer))
            layer, front = layer + shape[2], along[-1]
        return cls("grid", tuple(segments), lengths("mm" if cells else "cells"))

    @cached_property
    def layout(self) -> Layout:
        """Where each segment lies in the flat vector of all voxels."""
        return Layout(tuple(self.shapes), tuple(self.shapes.values()))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every segment's image."""
        return {segment.name: segment.shape for segment in self.segments}

    @property
    def size(self) -> int:
        """Number of voxels V."""
        return self.layout.size

    def segment(self, name: str) -> Segment:
        """One segment; raises DataError for another name."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise DataError(unknown("segment", name, self.shapes, f"in the geometry {self.name!r}"))

    def voxels(self) -> Table:
        """All voxels in their order, one a row: the columns of `Segment.voxels`."""
        parts = [Table.of({name: column.reshape(-1) for name, column in segment.voxels().items()}, self.units,
                          source=f"voxels of {self.name}") for segment in self.segments]
        return Table.concatenate(parts)


def centred(bins: int, size: float) -> Edges:
    """Borders of equal bins around 0."""
    return tuple((step - bins / 2) * size for step in range(bins + 1))


def lengths(unit: str, depth: str | None = None) -> dict[str, str]:
    """Units of the columns of `Segment.voxels`; `depth` is that along z where it is another."""
    along = dict.fromkeys(("z", "dz"), depth or unit)
    return {**dict.fromkeys(("x", "y", "r", "dx", "dy", "dr"), unit), **along,
            **dict.fromkeys(("alpha", "dalpha"), "rad"), "area": f"{unit}²"}
