"""Integers that are drawn outside their type are clipped to it and counted, never wrapped."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calque.fitting import fit
from calque.mixture import Mixture
from calque.preparing import prepare
from calque.producing import produce
from calque.reading import read
from calque.run import Run
from calque.table import Table

LOW = {"n": "uint32", "u": "uint64", "b": "uint8"}  # near 0, the least that they hold
HIGH = {"i8": "int8"}  # near 127, the most
WIDE = ("i64", "x")


@pytest.fixture(scope="module")
def run() -> Run:
    """A generator of columns near the ends of their types, as it was initialised: wide in all directions."""
    stream = np.random.default_rng(0)
    columns = {name: stream.integers(0, 3, 500).astype(kind) for name, kind in LOW.items()}
    columns |= {name: stream.integers(125, 128, 500).astype(kind) for name, kind in HIGH.items()}
    columns["i64"] = stream.integers(-9, 9, 500)
    columns["x"] = stream.normal(0, 1, 500)
    data = prepare(Table.of(columns), steps=["standardise *"])
    return fit(data, kind="nsf", steps=0, quiet=True)


@pytest.mark.parametrize("suffix", ["root", "h5", "parquet", "npz", "npy", "csv"])
def test_what_is_drawn_outside_a_type_is_clipped_in_every_format(
    run: Run, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"x.{suffix}"
    said = r"values clipped to what their type holds, in \d+ draws: n \(uint32\) \d+, u \(uint64\) \d+"
    with pytest.warns(UserWarning, match=said):
        produce(run, 300, out=path, exact=True, quiet=True, block=300)
    table = read(path)
    for name, kind in LOW.items():
        assert (table[name].min(), table[name].max() < 60) == (0, True), name
        assert suffix == "csv" or table[name].dtype == kind
    assert (table["i8"].max(), table["i8"].min() > 60) == (127, True)


def test_the_counts_are_those_of_values_that_were_clipped(run: Run) -> None:
    table = run.sample(2000, seed=3)
    counts = run.clipped
    assert set(counts) == {"n", "u", "b", "i8"}
    for name in LOW:
        assert 0 < counts[name] < (table[name] == 0).sum()
    assert 0 < counts["i8"] < (table["i8"] == 127).sum()
    run.sample(1, seed=3)
    assert max(run.clipped.values(), default=0) <= 1


def test_the_line_counts_the_draws_of_all_runs(run: Run, tmp_path: Path) -> None:
    other = replace(run, rate=3 * run.rate)
    with pytest.warns(UserWarning, match=r"in 400 draws: n \(uint32\) \d+") as told:
        produce(Mixture((run, other)), 400, out=tmp_path / "x.npz", exact=True, quiet=True, block=400)
    assert len(told) == 1


def test_nothing_is_said_where_nothing_is_clipped(run: Run, tmp_path: Path) -> None:
    table = Table.of({name: run.sample(400)[name] for name in WIDE})
    inner = fit(prepare(table, steps=["standardise *"]), kind="nsf", steps=0, quiet=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        produce(inner, 50, out=tmp_path / "x.npz", quiet=True, block=50)
