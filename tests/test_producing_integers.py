"""Integers that are drawn outside their type are clipped to it and counted, never wrapped."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calque.errors import ConfigError, DataError
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


def test_runs_of_different_types_are_widened_without_loss(run: Run, tmp_path: Path) -> None:
    narrow = {name: run.sample(400, seed=2)[name] for name in ("i64", "x")}
    tables = [Table.of(narrow), Table.of({"i64": narrow["i64"].astype(np.int8), "x": narrow["x"].astype("f4")})]
    runs = [fit(prepare(table, steps=["standardise *"]), kind="nsf", steps=0, quiet=True) for table in tables]
    for order in ("shuffled", "sorted"):
        path = tmp_path / f"{order}.npz"
        produce(runs[::-1], 90, out=path, exact=True, quiet=True, block=30, order=order)
        table = read(path)
        assert (table["i64"].dtype, table["x"].dtype) == (np.int64, np.float64)
    other = replace(runs[0], preparation=copy.deepcopy(runs[0].preparation))
    other.preparation.dtypes["i64"] = "uint64"
    with pytest.raises(ConfigError, match="draw 'i64' as int64 and as uint64; train them on"):
        produce([runs[0], other], 9, out=tmp_path / "x.npz", quiet=True)
    other.preparation.dtypes["i64"], other.preparation.units = "int64", {"x": "MeV"}
    assert produce([runs[0], other], 9, out=tmp_path / "x.npz", quiet=True, exact=True).rows == 9
    runs[0].preparation.units = {"x": "GeV"}
    with pytest.raises(ConfigError, match=r"draw 'x' in GeV and in MeV; train them"):
        produce([runs[0], other], 9, out=tmp_path / "x.npz", quiet=True)


def test_contexts_are_converted_to_the_units_of_the_training() -> None:
    stream = np.random.default_rng(1)
    energy = stream.uniform(1, 9, 400)
    table = Table.of({"e": energy, "x": energy + stream.normal(0, 1, 400)}, {"e": "GeV"})
    run = fit(prepare(table, steps=["standardise *"], context=["e"]), kind="nsf", steps=0, quiet=True)
    one = run.sample(20, context=Table.of({"e": energy[:20]}, {"e": "GeV"}))
    other = run.sample(20, context=Table.of({"e": 1000 * energy[:20]}, {"e": "MeV"}))
    np.testing.assert_allclose(other["x"], one["x"], rtol=1e-6)
    np.testing.assert_allclose(other["e"], energy[:20], rtol=1e-12)
    with pytest.raises(DataError, match="is in 'cm', 'GeV' is asked for"):
        run.sample(20, context=Table.of({"e": energy[:20]}, {"e": "cm"}))


def test_tables_of_different_units_are_not_joined() -> None:
    one, other = (Table.of({"x": [1.0]}, {"x": unit}, source=unit) for unit in ("cm", "m"))
    with pytest.raises(DataError, match="column 'x' is in cm in cm, in m in m; convert one"):
        Table.concatenate([one, other])
    assert len(Table.concatenate([one, one])) == 2
