"""Small samples and small runs that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from calque.run import Run
from calque.table import Table


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small products run faster alone, and bits do not depend on the machine's cores."""
    torch.set_num_threads(1)


def make_muons(rows: int = 3000, seed: int = 3) -> Table:
    """A toy of the muons: correlated momenta, two charges, two weights."""
    stream = np.random.default_rng(seed)
    pt, phi = stream.exponential(0.4, rows), stream.uniform(-np.pi, np.pi, rows)
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": 10 + stream.exponential(20, rows) * (1 + pt),
               "z": stream.uniform(-2, 1, rows)}
    return Table.of({**{name: column.astype("f4") for name, column in columns.items()},
                     "id": stream.choice([-13, 13], rows).astype("i4"),
                     "w": stream.choice([1.0, 20.0], rows, p=[0.9, 0.1]).astype("f4")},
                    {"px": "GeV", "py": "GeV", "pz": "GeV", "z": "m"}, "w")


@pytest.fixture(scope="session")
def muons() -> Table:
    """The toy sample."""
    return make_muons()


STEPS = ["polar px py -> pt phi", "rotation phi", "log pt pz", "standardise *"]


def small_fit(table: Table, out: Path | None, **settings: object) -> Run:
    """A tiny flow on the toy sample."""
    from calque.fitting import fit
    from calque.preparing import prepare

    data = prepare(table, steps=STEPS, context=["id"], seed=1)
    options = {"steps": 30, "batch": 64, "watch_every": 10, "checkpoint_every": 7,
               "model": {"transforms": 1, "hidden": [16]}, "optimiser": {"rate": 1e-2}, **settings}
    return fit(data, "flow", out=out, quiet=True, **options)


@pytest.fixture(scope="session")
def flow_run(muons: Table, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny flow in a folder."""
    torch.set_num_threads(1)
    return small_fit(muons, tmp_path_factory.mktemp("runs") / "flow")
