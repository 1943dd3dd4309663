"""A sample with known faults planted in its copies: what a judge has to find, and what finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.table import Table

Columns = dict[str, NDArray[np.float64]]
STEEP = 0.4  # weights fall with the momentum


@dataclass(frozen=True)
class Fault:
    """A fault: how it gets into honest rows, what finds it in so many rows, and what is blind to it."""

    plant: Callable[[Columns, Columns, np.random.Generator], Columns]
    found_by: tuple[str, ...]
    blind: tuple[str, ...] = ()
    rows: int = 5000
    weighted: bool = False
    used: int = 5000


def honest(rows: int, stream: np.random.Generator) -> Columns:
    """A beam: exponential pT, any azimuth, pz that grows with pT, two targets in z, a ring (u, v), two charges."""
    pt, phi = stream.exponential(0.5, rows), stream.uniform(-np.pi, np.pi, rows)
    charge = stream.choice([-1.0, 1.0], rows)
    far = stream.uniform(size=rows) < 0.1
    angle, radius = stream.uniform(-np.pi, np.pi, rows), stream.normal(1, 0.15, rows)
    return {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": 10 + stream.exponential(20 + 5 * pt),
        "z": np.where(far, stream.normal(4, 0.3, rows), stream.normal(0, 0.5, rows)),
        "u": radius * np.cos(angle), "v": radius * np.sin(angle), "q": charge,
        "t": charge + stream.normal(0, 1, rows),
    }


def weights(columns: Columns) -> NDArray[np.float64]:
    """Weights of a sample that was biased towards high momenta."""
    return np.exp(-STEEP * (columns["pz"] - 10) / 20)


def table(columns: Columns, weighted: bool = False) -> Table:
    """Columns as a table; with the weights of `weights`, or without."""
    more = {"w": weights(columns)} if weighted else {}
    return Table.of({**columns, **more}, {"pz": "GeV"}, "w" if weighted else None)


def none(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    return fake


def dropped_mode(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """The far target is missing: its rows are drawn from the near one."""
    near = fake["z"][fake["z"] < 2]
    return {**fake, "z": np.where(fake["z"] < 2, fake["z"], stream.choice(near, len(fake["z"])))}


def shifted_tail(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """The highest 0.1 % of pz are 60 % higher."""
    high = fake["pz"] > np.quantile(fake["pz"], 0.999)
    return {**fake, "pz": np.where(high, 1.6 * fake["pz"], fake["pz"])}


def copied(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """Training rows, handed back."""
    rows = stream.permutation(len(train["pz"]))[: len(fake["pz"])]
    return {name: column[rows] for name, column in train.items()}


def turned(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """Training rows turned about the beam by any angle."""
    rows = copied(fake, train, stream)
    angle = stream.uniform(-np.pi, np.pi, len(rows["pz"]))
    return {**rows, "px": rows["px"] * np.cos(angle) - rows["py"] * np.sin(angle),
            "py": rows["px"] * np.sin(angle) + rows["py"] * np.cos(angle)}


def swapped(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """Two columns under each other's name."""
    return {**fake, "px": fake["u"], "u": fake["px"]}


def shuffled(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """t goes with the wrong charge: every column right, their dependence gone."""
    return {**fake, "t": stream.permutation(fake["t"])}


def filled_ring(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """u goes with the wrong v: a dependence without correlation gone."""
    return {**fake, "v": stream.permutation(fake["v"])}


def narrowed(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """t is 4 % too narrow."""
    return {**fake, "t": 0.96 * fake["t"]}


def drawn_by_weight(fake: Columns, train: Columns, stream: np.random.Generator) -> Columns:
    """Rows of weight one that follow the weights: no fault."""
    kept = stream.uniform(size=len(fake["pz"])) < weights(fake)
    return {name: column[kept] for name, column in fake.items()}


FAULTS = {
    "none": Fault(none, ()),
    "weights followed": Fault(drawn_by_weight, (), weighted=True),
    "weights ignored": Fault(none, ("auc", "auc_network", "ks", "wasserstein", "chi2", "sliced_wasserstein"),
                             ("copying",), weighted=True),
    "dropped mode": Fault(dropped_mode, ("auc", "auc_network", "ks", "js", "recall", "coverage", "fpd", "energy"),
                          ("copying",)),
    "shifted tail of 0.1 %": Fault(shifted_tail, ("tail_high",), ("auc", "auc_network", "ks", "energy"),
                                   rows=40_000),
    "copied training set": Fault(copied, ("copying",), ("auc", "auc_network", "ks", "fpd", "coverage")),
    "copied and turned": Fault(turned, ("copying",), ("auc", "auc_network", "ks", "fpd")),
    "swapped columns": Fault(swapped, ("auc", "auc_network", "ks", "wasserstein", "sliced_wasserstein"), ("copying",)),
    "shuffled column": Fault(shuffled, ("auc", "auc_network", "correlation", "fpd", "energy", "auc_in_bins"), ("ks",)),
    "filled ring": Fault(filled_ring, ("auc", "auc_network"), ("ks", "correlation", "fpd")),
    "too narrow by 4 %": Fault(narrowed, ("chi2", "js", "wasserstein"), ("copying", "coverage"), rows=40_000),
}


def planted(name: str, rows: int, seed: int) -> tuple[Table, Table, Table]:
    """Real rows, a copy with this fault, and training rows (twice as many)."""
    stream, fault = np.random.default_rng(seed), FAULTS[name]
    real, train = honest(rows, stream), honest(2 * rows, stream)
    fake = fault.plant(honest(rows, stream), train, stream)
    return table(real, fault.weighted), table(fake), table(train, fault.weighted)
