"""Quality against speed, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from calque.judging.drawing.paper import LINES, QUIET, figure, label_numbers, safe_label, styled
from calque.judging.drawing.plot import Data, Plot, number
from calque.leaderboard.ranking import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = "osD^vPX*"
LEAST = 1e-3  # above one half, below which no difference is seen
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
NEAR = 0.012  # of the axes' width, between a point and its name
SHIFTS = [sign * step * 0.014 for step in range(24) for sign in (1, -1)]


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
    """Points with errors and names, a look for each way to train; a line along the front.

    The AUC's distance from one half is on a logarithmic axis, since good entries are close to it.
    """
    made = figure(11.0, 7.2)
    axes = made.add_axes((0.085, 0.1, 0.885, 0.87))
    axes.set_xscale("log")
    axes.set_yscale("log")
    families = list(dict.fromkeys(one.family for one in shown))
    for one in shown:
        look = families.index(one.family)
        axes.errorbar(one.rate, height(one), np.nan_to_num(one.worst.error), fmt=MARKS[look % len(MARKS)],
                      color=LINES[look % len(LINES)], markersize=8 if one.front else 6, capsize=2,
                      markerfacecolor=None if one.front else "#ffffff")
    keys = [axes.plot([], [], MARKS[look % len(MARKS)], color=LINES[look % len(LINES)], label=family)[0]
            for look, family in enumerate(families)]
    axes.legend(handles=keys, loc="upper left", ncols=2, fontsize=11)
    front = [one for one in shown if one.front]
    axes.step([one.rate for one in front], [height(one) for one in front], where="pre", color=QUIET, linewidth=1.2,
              alpha=0.5, zorder=0)
    axes.set_xlabel("events per second, one thread")
    axes.set_ylabel("worst AUC")
    label_numbers(axes.xaxis)
    label_above_half(axes, shown)
    name_points(axes, shown)
    return made


def height(one: Line) -> float:
    """How far the worst AUC is above one half."""
    return max(LEAST, one.worst.value - 0.5)


def label_above_half(axes: Axes, shown: Sequence[Line]) -> None:
    """Set the limits, with AUCs written at distances from one half."""
    heights = [height(one) for one in shown]
    axes.set_ylim(min(heights) / 1.35, max(heights) * 1.6)
    axes.margins(x=0.14)
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{0.5 + tick:.4g}" for tick in ticks])
    axes.set_yticks([], minor=True)


def name_points(axes: Axes, shown: Sequence[Line]) -> None:
    """Write names beside points, above or below where it is crowded, with a line to those that are farther away."""
    place = axes.transData + axes.transAxes.inverted()
    points = [place.transform((one.rate, height(one))) for one in shown]
    taken = [(x - 0.008, x + 0.008, y) for x, y in points]
    for one, (x, y) in sorted(zip(shown, points, strict=True), key=lambda pair: pair[1][1]):
        name, width = safe_label(one.name), 0.0098 * len(one.name)
        side, level = next(((end, y + shift) for shift in SHIFTS for end in (1, -1)
                            if free(x, end, width, y + shift, taken)), (1, y))
        near = x + side * NEAR
        taken.append((min(near, near + side * width), max(near, near + side * width), level))
        axes.annotate(name, (x, y), (near, level), "axes fraction", "axes fraction", fontsize=11, va="center",
                      ha="left" if side > 0 else "right",
                      arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.5} if abs(level - y) > 0.03 else None)


def free(x: float, side: int, width: float, level: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    """Whether a name on one side of a point lies within the axes, on no other and on no point."""
    ends = sorted((x + side * NEAR, x + side * (NEAR + width)))
    inside = ends[0] > 0.005 and ends[1] < 0.995 and 0.02 < level < 0.98
    return inside and not any(abs(level - other) < 0.027 and ends[0] < right and left < ends[1]
                              for left, right, other in taken)
