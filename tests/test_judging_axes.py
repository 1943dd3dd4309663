"""Axes of plots: columns over decades, far from zero, with gaps, heaps and narrow lines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import calque
from calque.errors import FileError
from calque.folder import ReportFolder
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.overlays import in_words, overlay
from calque.judging.drawing.paper import styled
from calque.judging.drawing.plots import column, tail
from calque.judging.drawing.tails import tails
from calque.table import Table

Numbers = NDArray[np.float64]


def unweighted(values: Numbers) -> tuple[Numbers, Numbers]:
    """A column with weights of one."""
    return values, np.ones(len(values))


def drawn(real: Numbers, fake: Numbers) -> object:
    """The figure of one column, rendered once."""
    binning = Binning.of(*unweighted(real))
    with styled():
        made = overlay(binning.fill(*unweighted(real)), binning.fill(*unweighted(fake)), "x [m]", binning)
        made.canvas.draw()
    return made


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_only_positive_columns_over_decades_have_logarithmic_bins(sign: float) -> None:
    values = 10 ** np.random.default_rng(1).uniform(-4, 4, 3000)
    binning = Binning.of(*unweighted(sign * values))
    assert binning.logarithmic == (sign > 0)
    if sign > 0:
        assert np.ptp(np.diff(np.log(binning.edges))) < 1e-6
        assert binning.edges[0] <= values.min()
        assert binning.edges[-1] > values.max()
        assert drawn(values, values).axes[1].get_xscale() == "log"  # type: ignore[attr-defined]


@pytest.mark.parametrize("make", [
    lambda rng: rng.exponential(size=2000), lambda rng: rng.uniform(0.1, 5, 2000), lambda rng: rng.normal(size=2000),
])
def test_other_columns_stay_linear(make: object) -> None:
    assert not Binning.of(*unweighted(make(np.random.default_rng(2)))).logarithmic  # type: ignore[operator]


def test_logarithmic_bins_of_whole_numbers_hold_one_each() -> None:
    values = np.floor(10 ** np.random.default_rng(1).uniform(0, 6, 3000))
    binning = Binning.of(*unweighted(values))
    assert binning.logarithmic
    assert np.all(np.diff(binning.edges) >= 1)
    assert binning.fill(*unweighted(values)).values().sum() == pytest.approx(1)


@pytest.mark.parametrize(("low", "high", "offset"), [
    (1.6e9, 1.6e9 + 99, 1.6e9), (125074.0, 125106.0, 125000.0), (-0.5, 120.0, 0.0), (990.0, 1010.0, 0.0),
    (-3000.02, -2999.9, -3000.0),
])
def test_axes_far_from_zero_are_labelled_from_an_offset(low: float, high: float, offset: float) -> None:
    assert Binning(np.linspace(low, high, 5)).offset == offset


@pytest.mark.parametrize(("centre", "width"), [(1.6e9, 30.0), (125090.0, 4.0), (1e-12, 1e-13), (91.2, 1e-4), (0, 1)])
def test_labels_of_ticks_are_different_and_apart(centre: float, width: float) -> None:
    values = np.random.default_rng(1).normal(centre, width, 2000)
    axes = drawn(values, values).axes[1]  # type: ignore[attr-defined]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    texts = [tick.label1.get_text() for tick in ticks]
    assert len(texts) == len(set(texts)) >= 2
    boxes = [tick.label1.get_window_extent() for tick in ticks]
    assert all(first.x1 < second.x0 for first, second in pairwise(boxes))


def test_values_that_are_few_keep_labels_apart() -> None:
    values = np.random.default_rng(1).choice([-211.0, -13, -11, 11, 13, 211], 600)
    axes = drawn(values, values).axes[1]  # type: ignore[attr-defined]
    boxes = [tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks()]
    assert len(boxes) >= 3
    assert all(first.x1 < second.x0 for first, second in pairwise(boxes))


def test_a_narrow_line_over_a_wide_background_is_resolved() -> None:
    generator = np.random.default_rng(3)
    values = np.concatenate([generator.normal(91, 0.05, 3000), generator.uniform(0, 1000, 100)])
    binning = Binning.of(*unweighted(values))
    inside = values[(values > binning.edges[0]) & (values < binning.edges[-1])]
    assert len(inside) > 2700
    assert binning.fill(*unweighted(values)).values().max() < 0.3


def test_generated_events_in_a_gap_have_a_triangle_and_words() -> None:
    generator = np.random.default_rng(4)
    real = generator.normal(generator.choice([-5, 5], 2000), 0.3)
    fake = np.concatenate([real[:1900] + 0.001, generator.uniform(-3, 3, 100)])
    lower = drawn(real, fake).axes[1]  # type: ignore[attr-defined]
    up = [line for line in lower.get_lines() if line.get_marker() == "^"]
    assert sum(np.sum(np.abs(line.get_xdata()) < 3.2) for line in up) >= 20
    down = [line for line in drawn(fake, real).axes[1].get_lines()  # type: ignore[attr-defined]
            if line.get_marker() == "v"]
    assert sum(np.sum(np.abs(line.get_xdata()) < 3.2) for line in down) >= 20
    binning = Binning.of(*unweighted(real))
    words = in_words(binning.fill(*unweighted(real)), binning.fill(*unweighted(fake)), "x")
    assert "5 % of the generated events in bins without real ones" in words


def test_a_heap_at_the_least_value_has_no_lower_tail() -> None:
    generator = np.random.default_rng(5)
    values = generator.exponential(size=2000) * (generator.random(2000) > 0.3)
    assert [one.side for one in tails(unweighted(values), unweighted(values))] == [1]
    (plot,) = tail(unweighted(values), unweighted(values), "x", "x", "x")
    assert len(plot.figure.axes) == 2
    assert [one.side for one in tails(unweighted(-values), unweighted(-values))] == [-1]
    both = np.clip(generator.normal(size=2000), -1, 1)
    assert tails(unweighted(both), unweighted(both)) == ()
    assert not list(tail(unweighted(both), unweighted(both), "x", "x", "x"))


def test_a_column_over_decades_is_drawn_whole() -> None:
    values = 10 ** np.random.default_rng(1).uniform(-4, 4, 1500)
    plot = column(unweighted(values), unweighted(values[values > 3e-4]), "e", "e [GeV]", "e", None)
    assert plot.data.columns["generated"][:3].sum() == 0
    assert plot.data.columns["real"].sum() == pytest.approx(1)


def report_of(folder: Path) -> dict[str, bytes]:
    """Every file of a report."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = (Table.of({"x": np.random.default_rng(seed).normal(size=300),
                            "y": np.random.default_rng(seed + 9).normal(size=300)}) for seed in (1, 2))
    calque.judge(real, fake, measures=["columns"], out=tmp_path)
    before = report_of(tmp_path)
    assert {"report.json", "report.html", "plots/column_x.png"} <= set(before)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for place in ("calque.judging.verdict.save_page", "calque.folder.ReportFolder.save"):
        with monkeypatch.context() as patched:
            patched.setattr(place, full)
            with pytest.raises((OSError, FileError)):
                calque.judge(real.select(["x"]), fake.select(["x"]), measures=["columns"], out=tmp_path)
        assert report_of(tmp_path) == before
    calque.judge(real.select(["x"]), fake.select(["x"]), measures=["columns"], out=tmp_path)
    assert "plots/column_y.png" not in report_of(tmp_path)
    assert "plots/column_x.png" in report_of(tmp_path)
    calque.judge(real.select(["x"]), fake.select(["x"]), measures=["columns"], out=tmp_path, plots=False)
    assert set(report_of(tmp_path)) <= {"report.json", ".judging.lock"}


def test_what_a_killed_judgement_left_is_removed(tmp_path: Path) -> None:
    folder = ReportFolder(tmp_path)
    (tmp_path / ".judgement.part" / "plots").mkdir(parents=True)
    (tmp_path / ".judgement.part" / "plots" / "old.png").write_bytes(b"torn")
    with folder.renew() as new:
        new.save({"verdict": "fine"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json"]
    assert folder.read() == {"verdict": "fine"}
