"""Showers made up for every layout, and a little binning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from calque.geometry import Geometry
from calque.reading.deposits import geometry_of
from calque.table import Table

N = 40
RING = '<Layer id="{}" r_edges="{}" n_bin_alpha="{}"/>'
TWO = f"""<Bins>
  <Bin pid="22" etaMin="0" etaMax="130" name="photon">
    {RING.format(0, "0,5,10", 1)} {RING.format(1, "0", 1)} {RING.format(12, "0,1.5,4,10", 4)}
  </Bin>
  <Bin pid="211" name="pion"> {RING.format(0, "2,4", 3)} </Bin>
</Bins>"""
Layout = dict[str, Any]


def challenge(folder: Path, particle: str = "photon") -> Layout:
    """The layout with 2 + 12 voxels in the layers 0 and 12, or 3 in one."""
    (folder / "two.xml").write_text(TWO)
    return {"name": "calochallenge", "binning": str(folder / "two.xml"), "particle": particle}


def grid(folder: Path) -> Layout:
    return {"name": "grid", "images": {"ECAL": [3, 3, 4], "HCAL": [2, 2, 5]}}


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "calogan": lambda folder: {"name": "calogan"},
    "calochallenge": challenge,
    "grid": grid,
    "hits": lambda folder: {"name": "hits", "calorimeter": challenge(folder)},
}


def showers(geometry: Geometry, energy: str = "energy", rows: int = N) -> Table:
    """Energies, most of them exact zeros, no shower empty."""
    stream = np.random.default_rng(0)
    packed = stream.exponential(5, (rows, geometry.size)) * (stream.random((rows, geometry.size)) < 0.3)
    packed[:, -1] += 0.5
    images = {name: packed[:, place].reshape(-1, *geometry.shapes[name]).astype("f4")
              for name, place in geometry.layout.slices.items()}
    return Table.of({energy: stream.uniform(1, 100, rows).astype("f4"), **images})


def made(layout: Layout, rows: int = N) -> Table:
    table = showers(geometry_of(layout), rows=rows)
    if layout["name"] == "grid":
        table = table.with_columns(dict.fromkeys(("type", "px", "py", "pz"), table["energy"] * 0))
    return table


def suffix(layout: Layout) -> str:
    return "root" if layout["name"] == "hits" else "hdf5"


def identical(one: Table, other: Table) -> None:
    assert set(one.names) == set(other.names)
    for name in one.names:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
        assert one[name].dtype == other[name].dtype


def tree(path: Path, cells: list[list[Any]], energies: list[list[float]]) -> Path:
    lists = {"CellID": ak.Array(cells), "CellE": ak.Array(energies)}
    kinds = {name: f"var * {np.asarray(ak.flatten(one)).dtype}" for name, one in lists.items()}
    with uproot.recreate(path) as file:
        handle = file.mktree("events", {"energy": np.dtype("f4"), **kinds})
        handle.extend({"energy": np.ones(len(cells), "f4"), **lists})
    return path


def own(folder: Path) -> Layout:
    return {**LAYOUTS["hits"](folder), "cell": "CellID", "energy": "CellE"}
