"""Looking into files that are wide, or hold many tables."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet

from calque.reading import look


def test_many_columns_are_counted(tmp_path: Path) -> None:
    values = np.arange(2.0)
    columns = {f"c{place}": values + place for place in range(20_000)}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    found = look(tmp_path / "x.parquet")
    lines = str(found).splitlines()
    assert lines[2] == "2 rows, 20000 columns"
    assert lines[-2].split() == ["c199", "float64", "199", "200", "199.5", "0"]
    assert lines[-1] == "  and 19,800 more columns"
    assert len(found.trees[0].fields) == 20_000


def test_many_tables_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for place in range(150):
            file.create_dataset(f"g{place:03}/x", data=np.arange(3.0))
    found = look(tmp_path / "x.h5")
    assert [tree.name for tree in found.trees] == [f"g{place:03}" for place in range(20)]
    assert len(found.others) == 130
    last = str(found).splitlines()[-1]
    assert last.startswith("130 more trees: g020, g021, ")
    assert last.endswith(", g119, …")
    assert look(f"{tmp_path / 'x.h5'}:g149").trees[0].rows == 3
