"""The layout "fairship": muons that leave the absorber, from FairShip's tree `cbmsim`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from calque.errors import ConfigError, DataError
from calque.reading.formats import Compression, Field, Writer
from calque.reading.root import Root, opened
from calque.table import Array

HIT = {"id": "fPdgCode", "px": "fPx", "py": "fPy", "pz": "fPz"}
TRACK = {"w": "fW", "x": "fStartX", "y": "fStartY", "z": "fStartZ"}
UNITS = {"x": "cm", "y": "cm", "z": "cm", "px": "GeV", "py": "GeV", "pz": "GeV"}
COLUMNS = ("w", "id", "x", "y", "z", "px", "py", "pz")
EVENTS = 20_000


class FairShip(Root):
    """One row per muon with a vetoPoint hit: weight and start of its MCTrack, pdg and momentum at its first hit."""

    name = "FairShip"

    def choose(self, path: Path, tree: str | None) -> str:
        """`cbmsim`, if no other is named."""
        return super().choose(path, tree or "cbmsim")

    def describe(self, path: Path, tree: str) -> list[Field]:
        """The eight columns; how many rows there are is known once the hits are read."""
        with opened(path) as file:
            _require(file[tree], path)
        types = {name: np.dtype(np.int32 if name == "id" else np.float32) for name in COLUMNS}
        return [Field(name, types[name], (), UNITS.get(name, ""), None, str(types[name])) for name in COLUMNS]

    def iterate(self, path: Path, tree: str, columns: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Muons of some events at a time."""
        branches = [f"vetoPoint.{leaf}" for leaf in ("fTrackID", *HIT.values())]
        branches += [f"MCTrack.{leaf}" for leaf in TRACK.values()]
        with opened(path) as file:
            table = file[tree]
            for start in range(0, table.num_entries, min(rows, EVENTS)):
                stop = start + min(rows, EVENTS)
                muons = join_hits(
                    {name: table[name].array(entry_start=start, entry_stop=stop, library="ak") for name in branches}
                )
                yield {name: muons[name] for name in columns}

    def open(self, path: Path, tree: str, units: Mapping[str, str], compression: Compression) -> Writer:
        """Refuse: the tree holds whole events, of which a table knows the muons alone."""
        raise ConfigError("layout 'fairship' is for reading; layout = 'fairship-muons' writes what FairShip reads")


def join_hits(events: Mapping[str, Any]) -> dict[str, Array]:
    """Jagged branches → the first hit of each muon track with its MCTrack, in the order of the hits.

    Hits without a track (a negative number, or one beyond the event's tracks) are left out.
    """
    hits, tracks = events["vetoPoint.fTrackID"], events["MCTrack.fW"]
    track = ak.to_numpy(ak.flatten(hits)).astype(np.int64)
    pdg = ak.to_numpy(ak.flatten(events["vetoPoint.fPdgCode"]))
    per_event = ak.to_numpy(ak.num(tracks)).astype(np.int64)
    event = np.repeat(np.arange(len(per_event)), ak.to_numpy(ak.num(hits)))
    muon = np.flatnonzero((np.abs(pdg) == 13) & (track >= 0) & (track < per_event[event]))
    # where each hit's track lies among all tracks; unique() gives the first hit of each
    place = (np.cumsum(per_event) - per_event)[event[muon]] + track[muon]
    first = np.sort(np.unique(place, return_index=True)[1])
    hit, place = muon[first], place[first]
    found = {name: ak.to_numpy(ak.flatten(events[f"vetoPoint.{leaf}"]))[hit] for name, leaf in HIT.items()}
    start = {name: ak.to_numpy(ak.flatten(events[f"MCTrack.{leaf}"]))[place] for name, leaf in TRACK.items()}
    return {name: {**found, **start}[name] for name in COLUMNS}


def _require(table: Any, path: Path) -> None:
    there = set(table.keys(full_paths=False))
    for group, leaves in (("vetoPoint", ("fTrackID", *HIT.values())), ("MCTrack", tuple(TRACK.values()))):
        missing = [leaf for leaf in leaves if f"{group}.{leaf}" not in there]
        if missing:
            raise DataError(f"{path} has no branch '{group}.{missing[0]}': it is not a FairShip simulation file")
