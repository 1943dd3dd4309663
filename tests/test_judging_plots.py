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
from calque.judging.drawing.critics import critics
from calque.judging.drawing.curves import curves
from calque.judging.drawing.pairings import MOST_PAIRS, Placed, Rows, chosen, distance
from calque.judging.drawing.pairs import fill_pair, mean_square, pull
from calque.judging.drawing.plots import draw_plots, save_plots
from calque.judging.drawing.tails import share_beyond
from calque.judging.watching import list_numbers
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
    assert paths
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
    assert names == {"column_px", "column_py", "tails_px", "tails_py", "pair_px_py", "curves", "critic_loss",
                     *(f"{kind}_{name}" for kind in ("classifier", "roc") for name in report.judgements)}
    assert len(paths) == 2 * len(names) == len(list((tmp_path / "new" / "plots").iterdir()))


def test_hostile_names_and_odd_columns_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "$\\frac{": rng.normal(size=300), "../a_b^{$x$}<b>&%\n長い": rng.integers(-13, 14, 300),
        "layer" * 60: rng.random(300),
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


@pytest.mark.parametrize("most", [50, 200, 350, 7919])
def test_bins_of_whole_numbers_hold_as_many_values_each(most: int) -> None:
    column = np.random.default_rng(0).permutation(np.arange(most).repeat(9)).astype(float)
    made = Binning.of(column, np.ones(len(column))).fill(column, np.ones(len(column)))
    filled = made.values()[:-1]
    assert len(filled) <= 120
    np.testing.assert_allclose(filled, filled[0])
    assert made.values(flow=True)[[0, -1]].sum() < 0.003


def test_bins_hold_every_value_or_say_what_lies_outside() -> None:
    integers = np.random.default_rng(0).poisson(60, 5000).astype(float)
    binning = Binning.of(integers, np.ones(5000))
    assert np.allclose(np.diff(binning.edges), 1)
    shares = Binning.of(integers / 144, np.ones(5000))
    np.testing.assert_allclose(shares.edges * 144, binning.edges)
    charges = Binning.of(np.array([-13.0, 13.0] * 50), np.ones(100))
    assert charges.fill(np.array([13.0, 13.0, -13.0, 500.0]), np.ones(4)).values().tolist() == [0.25, 0.5]
    normal = np.random.default_rng(0).normal(size=10_000)
    content = Binning.of(normal, np.ones(10_000)).fill(normal, np.ones(10_000))
    assert content.values(flow=True).sum() == pytest.approx(1)
    assert content.values().sum() > 0.995


def test_histories_without_numbers_are_left_out() -> None:
    assert curves([]) is None
    assert curves([{"step": 1, "note": "x", "auc": float("nan")}]) is None


def test_every_watched_measure_has_a_panel_and_players_are_losses() -> None:
    watched = {"auc": 0.6, "overlap": 0.8, **dict.fromkeys(("ks", "js", "fpd", "coverage", "copying"), 0.3)}
    assert watched.keys() < set(list_numbers())
    history = [{"step": step, "critic": 0.7, "generator": 0.1, **watched} for step in range(3)]
    made = curves(history)
    assert made is not None
    assert [axes.get_title(loc="left") for axes in made.figure.axes] == [
        "AUC", "overlap", "Kolmogorov–Smirnov", "Jensen–Shannon", "Fréchet physics distance",
        "Coverage", "Copying", "losses"]
    drawn = [[line.get_label() for line in axes.get_lines() if len(line.get_xdata()) == 3] for axes in made.figure.axes]
    assert drawn == [*([name] for name in watched), ["critic", "generator"]]
    assert "Fréchet physics distance from 0.3 at step 0" in made.alt


def test_a_critic_is_drawn() -> None:
    """Its first and last histogram of weights, and its loss against what was watched."""
    bell, piled = [0.0, 0.1, 0.8, 0.1, 0.0], [0.45, 0.03, 0.04, 0.03, 0.45]
    history = [{"step": 10 * look, "auc": 0.9 - 0.1 * look, "critic": -2.0 + 0.5 * look, "weights/largest": 0.1,
                "weights/shares": shares} for look, shares in enumerate([bell, bell, piled])]
    weights, loss = critics(history)
    assert (weights.section, loss.section) == ("training", "training")
    assert weights.data.columns["step 0"].tolist() == bell
    assert weights.data.columns["step 20"].tolist() == piled
    drawn = [patch.get_data().values.tolist() for patch in weights.figure.axes[0].patches]
    assert drawn == [bell, piled]
    assert "at step 20 the largest is 0.1, and 90 % lie in the two outermost of 5 bins" in weights.alt
    assert loss.figure.axes[0].get_lines()[1].get_xydata().tolist() == [[-2.0, 0.9], [-1.5, 0.8], [-1.0, 0.7]]
    assert "; correlation −1" in loss.alt
    assert not list(critics([{"step": 1, "auc": 0.6, "likelihood": 2.0}])), "a flow has no critic"


def test_pairs_are_ranked_by_the_pulls_that_are_drawn() -> None:
    rng = np.random.default_rng(0)
    weights = rng.choice([-1.0, 2.0], 500)
    real = Rows({"a": rng.normal(size=500), "b": rng.poisson(3, 500).astype(float)}, weights)
    fake = Rows({"a": rng.normal(0.3, 2, 400), "b": rng.poisson(5, 400).astype(float)}, np.ones(400))
    binnings = {name: Binning.of(real.columns[name], real.weights, 50) for name in "ab"}
    shares = [fill_pair((rows.columns["a"], rows.columns["b"]), (binnings["a"], binnings["b"]), rows.weights)
              for rows in (real, fake)]
    ranked = distance(*(Placed.of(rows, binnings).fill(("a", "b")) for rows in (real, fake)))
    assert ranked == pytest.approx(mean_square(pull(*shares)), rel=1e-12)


@pytest.mark.parametrize("columns", [5, 20, 60])
def test_of_many_pairs_those_that_differ_are_drawn(columns: int) -> None:
    rng = np.random.default_rng(0)
    real, fake = (Rows({f"c{place}": rng.normal(size=6000) for place in range(columns)}, np.ones(6000))
                  for _ in range(2))
    tied = fake.columns["c1"] + 0.1 * fake.columns["c4"]  # only this pair differs
    fake = Rows({**fake.columns, "c4": tied / tied.std()}, fake.weights)
    binnings = {name: Binning.of(column, real.weights, 50) for name, column in real.columns.items()}
    found = chosen(real, fake, binnings)
    assert len(found) == min(MOST_PAIRS, columns * (columns - 1) // 2)
    assert ("c1", "c4") in found
    assert found == sorted(found, key=lambda pair: [int(name[1:]) for name in pair])


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


def test_shares_beyond_a_place_are_binomial() -> None:
    rng = np.random.default_rng(0)
    places = np.array([0.5, 1.5])
    shares = np.array([share_beyond(rng.normal(size=500), np.ones(500), places, 1)[0] for _ in range(400)])
    mean, error = share_beyond(rng.normal(size=500), np.ones(500), places, 1)
    assert np.allclose(shares.std(axis=0), error, rtol=0.2)
    low, _ = share_beyond(np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 1.0, 1.0, 5.0]), np.array([2.0]), -1)
    assert low.tolist() == [3 / 8]
    assert mean[0] > mean[1]
