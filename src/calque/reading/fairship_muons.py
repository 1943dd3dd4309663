"""The layout "fairship-muons": the fifteen branches that FairShip's muon background generator reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from calque.errors import DataError, unknown
from calque.reading.formats import Compression, Field, Writer
from calque.reading.origin import METRES, find_origin, shift_z
from calque.reading.root import Root, TreeWriter
from calque.table import Array

GEV = {"GeV": 1.0, "MeV": 0.001, "TeV": 1000.0}
UNITS = {"x": "m", "y": "m", "z": "m", "px": "GeV", "py": "GeV", "pz": "GeV"}
BRANCHES = (
    "event_id", "id", "parentid", "pythiaid", "ecut", "w", "x", "y", "z", "px", "py", "pz",
    "release_time", "mother_id", "process_id",
)  # fmt: skip
TARGET = -50.0  # where FairShip's scripts expect the start of the target in such files [m]
DEFAULTS = {
    "event_id": 1.0,
    "parentid": 0.0,
    "ecut": 1e-5,
    "w": 1.0,
    "x": 0.0,
    "y": 0.0,
    "release_time": 0.0,
    "mother_id": 99.0,
    "process_id": 99.0,
}


@dataclass
class FairShipMuons(Root):
    """Muons at the end of the absorber: positions in metres, momenta in GeV, all float32.

    Parameters
    ----------
    origin : str or float
        The place in the file, along z, that is z = 0 in the table: "global" (z as in the table), "target" (-50 m,
        where FairShip's scripts expect the start of the target), a number [m], or a text with a unit, such as
        "-72.285 m". It is subtracted when a file is read and added when one is written.

    """

    origin: str | float = "global"

    name = "FairShip muons"
    default_tree = "pythia8-Geant4"

    def __post_init__(self) -> None:
        self._zero = find_origin(self.origin, "m", TARGET, "fairship-muons")

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Branches with the units that the layout gives them."""
        return [replace(field, unit=field.unit or UNITS.get(field.name, "")) for field in super().describe(path, tree)]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Branches in pieces, z from the origin."""
        for piece in super().iterate(path, tree, columns, rows):
            if "z" in piece:
                piece["z"] = shift_z(piece["z"], -self._zero)
            yield piece

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file; columns beyond the fifteen branches are left out of it."""
        return MuonWriter(path, tree, units, compression, self._zero)


class MuonWriter(TreeWriter):
    """Fills up, converts and shifts before it writes."""

    def __init__(
        self, path: Path, tree: str, units: Mapping[str, str], compression: Compression, zero: float = 0.0
    ) -> None:
        super().__init__(path, tree, {}, compression)
        self.factors = {name: _factor(name, units.get(name, "")) for name in UNITS}
        self.zero = zero

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append muons."""
        super().write({name: self._branch(name, columns) for name in BRANCHES})

    def _branch(self, name: str, columns: Mapping[str, Array]) -> Array:
        if name in columns:
            return self._convert(name, columns[name]).astype(np.float32)
        if name == "pythiaid":
            return self._branch("id", columns)
        if name not in DEFAULTS:
            raise DataError(unknown("column", name, columns, "to write as 'fairship-muons'"))
        return np.full(len(next(iter(columns.values()))), DEFAULTS[name], np.float32)

    def _convert(self, name: str, values: Array) -> Array:
        """Values in the layout's unit and frame."""
        factor = self.factors.get(name, 1.0)
        shift = self.zero if name == "z" else 0.0
        return values if (factor, shift) == (1.0, 0.0) else values.astype(np.float64) * factor + shift


def _factor(name: str, unit: str) -> float:
    known = GEV if name.startswith("p") else METRES
    if unit and unit not in known:
        raise DataError(f"column {name!r} is in {unit!r}; 'fairship-muons' converts from {', '.join(known)}")
    return known.get(unit, 1.0)
