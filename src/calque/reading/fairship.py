"""The layout "fairship": muons that leave the absorber, from FairShip's tree `cbmsim`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.reading.formats import Compression, Field, Writer
from calque.reading.origin import find_origin, shift_z
from calque.reading.root import Root, opened
from calque.table import Array

START = {
    "w": "MCTrack.fW",
    "id": "vetoPoint.fPdgCode",
    "x": "MCTrack.fStartX",
    "y": "MCTrack.fStartY",
    "z": "MCTrack.fStartZ",
    "px": "MCTrack.fPx",
    "py": "MCTrack.fPy",
    "pz": "MCTrack.fPz",
}
HIT = {
    "w": "MCTrack.fW",
    "id": "vetoPoint.fPdgCode",
    "x": "vetoPoint.fX",
    "y": "vetoPoint.fY",
    "z": "vetoPoint.fZ",
    "px": "vetoPoint.fPx",
    "py": "vetoPoint.fPy",
    "pz": "vetoPoint.fPz",
}
PLACES = {"start": START, "hit": HIT}
TRACK_NUMBER = "vetoPoint.fTrackID"
UNITS = {"x": "cm", "y": "cm", "z": "cm", "px": "GeV", "py": "GeV", "pz": "GeV"}
TARGET = -7084.5  # start of the target in the 2018 background production [cm]
EVENTS = 20_000


@dataclass
class FairShip(Root):
    """One row per muon that has a hit in vetoPoint: weight, PDG code, position and momentum.

    Parameters
    ----------
    at : str
        "start": position and momentum at the start of the muon's MCTrack, the pair that FairShip's muon background
        generator reads. "hit": position and momentum at the muon's first vetoPoint hit.
    origin : str or float
        The place in FairShip's global frame, along z, that becomes z = 0: "global" (z as in the file), "target"
        (-70.845 m, the start of the target in the 2018 background production), a number [cm], or a text
        with a unit, such as "-72.285 m".

    """

    at: str = "start"
    origin: str | float = "global"

    name = "FairShip"

    def __post_init__(self) -> None:
        if str(self.at) not in PLACES:
            raise ConfigError(unknown("at", str(self.at), PLACES, "of the layout 'fairship'"))
        self._zero = find_origin(self.origin, "cm", TARGET, "fairship")

    def choose(self, path: Path, tree: str | None) -> str:
        """`cbmsim`, if no other is named."""
        return super().choose(path, tree or "cbmsim")

    def describe(self, path: Path, tree: str) -> list[Field]:
        """The eight columns; how many rows there are is known once the hits are read."""
        branches = PLACES[self.at]
        with opened(path) as file:
            _require(file[tree], branches, path)
        types = {name: np.dtype(np.int32 if name == "id" else np.float32) for name in branches}
        return [Field(name, types[name], (), UNITS.get(name, ""), None, str(types[name])) for name in branches]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Muons of some events at a time."""
        branches = PLACES[self.at]
        wanted = dict.fromkeys((TRACK_NUMBER, *branches.values()))
        step = min(rows, EVENTS)
        with opened(path) as file:
            table = file[tree]
            for start in range(0, table.num_entries, step):
                part = {"entry_start": start, "entry_stop": start + step, "library": "ak"}
                muons = join_hits({name: table[name].array(**part) for name in wanted}, branches)
                muons["z"] = shift_z(muons["z"], -self._zero)
                yield {name: muons[name] for name in columns}

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Refuse: the tree holds whole events, of which a table knows the muons alone."""
        raise ConfigError("layout 'fairship' is for reading; layout = 'fairship-muons' writes what FairShip reads")


def join_hits(events: Mapping[str, Any], branches: Mapping[str, str]) -> dict[str, Array]:
    """Find the first hit of each muon track and its MCTrack.

    Parameters
    ----------
    events : mapping of awkward arrays, (E, jagged)
        The branches by their names, and `vetoPoint.fTrackID`.
    branches : mapping of str
        The branch of each column; a branch of MCTrack is read at the hit's track, a branch of vetoPoint at the hit.

    Returns
    -------
    dict of arrays, (N,)
        The columns, in the order of the hits. Hits without a track (a negative number, or one beyond the event's
        tracks) are left out.

    """
    track = ak.to_numpy(ak.flatten(events[TRACK_NUMBER])).astype(np.int64)
    pdg = ak.to_numpy(ak.flatten(events["vetoPoint.fPdgCode"]))
    tracks = ak.to_numpy(ak.num(events["MCTrack.fW"])).astype(np.int64)
    event = np.repeat(np.arange(len(tracks)), ak.to_numpy(ak.num(events[TRACK_NUMBER])))
    muon = np.flatnonzero((np.abs(pdg) == 13) & (track >= 0) & (track < tracks[event]))
    # where each hit's track lies among all tracks; unique() gives the first hit of each
    place = (np.cumsum(tracks) - tracks)[event[muon]] + track[muon]
    first = np.sort(np.unique(place, return_index=True)[1])
    rows = {"vetoPoint": muon[first], "MCTrack": place[first]}
    return {
        name: ak.to_numpy(ak.flatten(events[branch]))[rows[branch.partition(".")[0]]]
        for name, branch in branches.items()
    }


def _require(table: Any, branches: Mapping[str, str], path: Path) -> None:
    """Raise DataError where a branch is absent."""
    there = set(table.keys(full_paths=False))
    for branch in (TRACK_NUMBER, *branches.values()):
        if branch not in there:
            raise DataError(f"{path} has no branch '{branch}': it is not a FairShip simulation file")
