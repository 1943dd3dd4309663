"""Plots: they exist, are not empty, survive hostile names and odd columns."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calque.errors import DataError, FileError
from calque.judging import judge_tables
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.curves import curves
from calque.judging.drawing.plots import draw_plots, save_plots
from calque.table import Table

HISTORY: list[dict[str, Any]] = [
    {"step": step, "auc": 0.5 + 1 / (step + 2), "chi2": 100 / (step + 1), "overlap": 0.8, "critic": 0.7, "note": "x"}
    for step in range(5)
]


def table(columns: dict[str, Any], **settings: Any) -> Table:
    return Table.of(columns, **settings)


def sample(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    return table({"px": rng.normal(size=rows), "py": rng.normal(size=rows), "w": rng.exponential(size=rows)},
                 units={"px": "GeV"}, weight="w")


def check(paths: list[Path]) -> None:
    for path in paths:
        head = path.read_bytes()[:8]
        assert path.stat().st_size > 3000
        assert head.startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")


def test_every_plot_is_made(tmp_path: Path) -> None:
    real, fake = sample(500, 1), sample(400, 2)
    report = judge_tables(real, fake, measures=["trees"], repeats=1, replicas=5, threads=1)
    paths = save_plots(report, real, fake, HISTORY, tmp_path / "new" / "plots")
    check(paths)
    names = {path.stem for path in paths}
    assert names == {"column_px", "column_py", "tails_px", "tails_py", "pair_px_py", "curves",
                     *(f"{kind}_{name}" for kind in ("classifier", "roc") for name in report.judgements)}
    assert len(paths) == 2 * len(names) == len(list((tmp_path / "new" / "plots").iterdir()))


def test_hostile_names_and_odd_columns_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "$\\frac{": rng.normal(size=300), "../a_b^{$x$}<b>&%\n長い": rng.integers(-13, 14, 300),
        "layer" * 60: rng.random((300, 2, 3)),
    }
    real = table(columns, units={"$\\frac{": "%_"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(save_plots(None, real, real, [], tmp_path))
    assert len(list(tmp_path.iterdir())) == 2 * (3 + 3 + 3)


@pytest.mark.parametrize("column", [
    np.zeros(100), np.full(100, 1e300), np.full(100, -1e-300), np.r_[np.zeros(99), 1e12], np.arange(100) > 50,
    np.array([1e8, 1e8 + 1]).repeat(50), np.random.default_rng(0).standard_cauchy(100),
], ids=["zeros", "huge", "tiny", "outlier", "bool", "close", "cauchy"])
def test_extreme_columns_are_drawn(tmp_path: Path, column: Any) -> None:
    check(save_plots(None, table({"a": column}), table({"a": column.astype(float) + 3}), [], tmp_path))


def test_a_pair_without_common_events_is_drawn(tmp_path: Path) -> None:
    near, far = (table({"a": place + np.arange(100.0), "b": np.zeros(100)}) for place in (0, 1e6))
    check(save_plots(None, near, far, [], tmp_path))


def test_negative_weights_are_drawn(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).choice([-1.0, 2.0], 300)
    real = table({"a": np.random.default_rng(1).normal(size=300), "w": weights}, weight="w")
    check(save_plots(None, real, real, [], tmp_path))


def test_bins_hold_every_value_or_say_what_lies_outside() -> None:
    integers = np.random.default_rng(0).poisson(60, 5000).astype(float)
    binning = Binning.of(integers, np.ones(5000))
    assert np.allclose(np.diff(binning.edges), 1)
    charges = Binning.of(np.array([-13.0, 13.0] * 50), np.ones(100))
    assert charges.fill(np.array([13.0, 13.0, -13.0, 500.0]), np.ones(4)).values().tolist() == [0.25, 0.5]
    normal = np.random.default_rng(0).normal(size=10_000)
    content = Binning.of(normal, np.ones(10_000)).fill(normal, np.ones(10_000))
    assert content.values(flow=True).sum() == pytest.approx(1)
    assert content.values().sum() > 0.995


def test_histories_without_numbers_are_left_out() -> None:
    assert curves([]) is None
    assert curves([{"step": 1, "note": "x", "auc": float("nan")}]) is None


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="cannot write"):
        save_plots(None, sample(100, 1), sample(100, 2), [], tmp_path / "file" / "plots")


def test_nan_is_said(tmp_path: Path) -> None:
    bad = table({"px": np.array([np.nan, 1.0])})
    with pytest.raises(DataError, match="not finite"):
        save_plots(None, bad, bad, [], tmp_path)


def test_the_same_plot_is_the_same_file() -> None:
    real, fake = sample(300, 1), sample(300, 2)
    first, second = (draw_plots(None, real, fake, HISTORY)[-1] for _ in range(2))
    assert (first.svg, first.pdf, first.png) == (second.svg, second.pdf, second.png)


def test_a_plot_says_what_it_shows() -> None:
    real = table({"a": np.arange(1000.0), "b": np.arange(1000) % 2})
    fake = table({"a": np.arange(1000.0) * 0.9, "b": np.arange(1000) % 2})
    held = {plot.name: plot for plot in draw_plots(None, real, fake, HISTORY)}
    assert "tails_b" not in held  # two values have no tails
    assert "50.00" not in held["column_b"].alt
    assert "2 bins from" in held["column_b"].alt
    assert "between 1.00 and 1.00" in held["column_b"].alt
    assert re.search("above 9.. lie 0.* % of the real and 0 % of the generated", held["tails_a"].alt)
    assert "AUC from 1 at step 0 to 0.667 at step 4" in held["curves"].alt


def test_the_numbers_of_a_plot_are_a_table() -> None:
    real = table({"a": np.repeat([0.0, 1.0, 2.0], [1, 2, 1]), "b": np.array([0.0, 0.0, 1.0, 1.0])})
    held = {plot.name: plot.data.table() for plot in draw_plots(None, real, real)}
    assert held["column_a"]["real"].tolist() == [0.25, 0.5, 0.25]
    assert held["column_a"]["a from"].tolist() == [-0.5, 0.5, 1.5]
    pair = held["pair_a_b"]
    assert len({len(column) for column in pair.values()}) == 1
    at = [(low, below) for low, below, share in zip(pair["a from"], pair["b from"], pair["real"], strict=True) if share]
    assert at == [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (1.5, 0.5)]
