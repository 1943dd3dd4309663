"""The layout "fairship-muons": the fifteen branches that FairShip's muon background generator reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from calque.errors import DataError, unknown
from calque.reading.formats import Compression, Field, Writer
from calque.reading.root import Root, TreeWriter
from calque.table import Array

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
GEV = {"GeV": 1.0, "MeV": 0.001, "TeV": 1000.0}
UNITS = {"x": "m", "y": "m", "z": "m", "px": "GeV", "py": "GeV", "pz": "GeV"}
BRANCHES = (
    "event_id", "id", "parentid", "pythiaid", "ecut", "w", "x", "y", "z", "px", "py", "pz",
    "release_time", "mother_id", "process_id",
)  # fmt: skip
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


class FairShipMuons(Root):
    """Muons at the end of the absorber: positions in metres, momenta in GeV, all float32."""

    name = "FairShip muons"
    default_tree = "pythia8-Geant4"

    def describe(self, path: Path, tree: str) -> list[Field]:
        """Branches with the units that the layout gives them."""
        return [replace(field, unit=field.unit or UNITS.get(field.name, "")) for field in super().describe(path, tree)]

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Begin a file; columns beyond the fifteen branches are left out of it."""
        return MuonWriter(path, tree, units, compression)


class MuonWriter(TreeWriter):
    """Fills up and converts before it writes."""

    def __init__(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> None:
        super().__init__(path, tree, {}, compression)
        self.factors = {name: _factor(name, units.get(name, "")) for name in UNITS}

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append muons."""
        super().write({name: self._branch(name, columns) for name in BRANCHES})

    def _branch(self, name: str, columns: Mapping[str, Array]) -> Array:
        if name in columns:
            factor = self.factors.get(name, 1.0)
            return (columns[name] if factor == 1.0 else columns[name] * factor).astype(np.float32)
        if name == "pythiaid":
            return self._branch("id", columns)
        if name not in DEFAULTS:
            raise DataError(unknown("column", name, columns, "to write as 'fairship-muons'"))
        return np.full(len(next(iter(columns.values()))), DEFAULTS[name], np.float32)


def _factor(name: str, unit: str) -> float:
    known = GEV if name.startswith("p") else METRES
    if unit and unit not in known:
        raise DataError(f"column {name!r} is in {unit!r}; 'fairship-muons' converts from {', '.join(known)}")
    return known.get(unit, 1.0)
