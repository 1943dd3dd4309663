"""Quality against speed, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from calque.judging.drawing.paper import LINES, QUIET, figure, label_plainly, label_powers, safe_label, styled
from calque.judging.drawing.plot import Data, Plot, number
from calque.leaderboard.ranking import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = "osD^vPX*"


def pareto(lines: Sequence[Line]) -> Plot | None:
    """Worst AUC of every entry against its rate, the front drawn; None where nothing was measured."""
    shown = sorted((one for one in lines if math.isfinite(one.worst.value) and math.isfinite(one.rate)),
                   key=lambda one: one.rate)
    if not shown:
        return None
    with styled():
        made = draw(shown)
    front = ", ".join(f"{one.name} ({number(one.worst.value)} at {number(one.rate / 1e6, 2)} M/s)"
                      for one in shown if one.front)
    data = Data("points", {"events per second": np.array([one.rate for one in shown])},
                {"worst AUC": np.array([one.worst.value for one in shown]),
                 "worst AUC_error": np.array([one.worst.error for one in shown])})
    return Plot("pareto", "Quality against speed", "board", made, f"On the front, from slow to fast: {front}.", data)


def draw(shown: Sequence[Line]) -> Figure:
    """Points with errors and names, a look for each way to train; a line along the front, another at the floor."""
    made = figure(11.0, 6.4)
    axes = made.add_axes((0.085, 0.115, 0.885, 0.85))
    axes.set_xscale("log")
    families = list(dict.fromkeys(one.family for one in shown))
    for one in shown:
        look = families.index(one.family)
        axes.errorbar(one.rate, one.worst.value, np.nan_to_num(one.worst.error), fmt=MARKS[look % len(MARKS)],
                      color=LINES[look % len(LINES)], markersize=8 if one.front else 6, capsize=2,
                      markerfacecolor=None if one.front else "#ffffff")
    keys = [axes.plot([], [], MARKS[look % len(MARKS)], color=LINES[look % len(LINES)], label=family)[0]
            for look, family in enumerate(families)]
    axes.legend(handles=keys, loc="upper left", ncols=2, fontsize=11)
    front = [one for one in shown if one.front]
    axes.step([one.rate for one in front], [one.worst.value for one in front], where="pre", color=QUIET, linewidth=1.2,
              alpha=0.5, zorder=0)
    floors = [one.worst.floor for one in shown if math.isfinite(one.worst.floor)]
    if floors:
        axes.axhline(float(np.mean(floors)), color=QUIET, linestyle=":", linewidth=1.2, zorder=0)
    axes.set_xlabel("events per second, one thread")
    axes.set_ylabel("worst AUC")
    label_powers(axes.xaxis)
    label_plainly(axes.yaxis)
    name_points(axes, shown)
    return made


def name_points(axes: Axes, shown: Sequence[Line]) -> None:
    """Write names beside points, one below the other where they are crowded."""
    axes.margins(x=0.12, y=0.08)
    low, high = axes.get_ylim()
    left, right = np.log(axes.get_xlim())
    taken: list[tuple[float, float]] = []
    for one in sorted(shown, key=lambda one: -one.worst.value):
        x, y = (math.log(one.rate) - left) / (right - left), (one.worst.value - low) / (high - low)
        while any(abs(y - other) < 0.035 and abs(x - beside) < 0.16 for beside, other in taken):
            y -= 0.01
        taken.append((x, y))
        end = "right" if x > 0.8 else "left"
        axes.annotate(safe_label(one.name), (x + (-0.012 if end == "right" else 0.012), y), ha=end, va="center",
                      xycoords="axes fraction", fontsize=11)
