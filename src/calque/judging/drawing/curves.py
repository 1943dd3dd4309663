"""Training curves: watched measures and losses against steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.judging.drawing.paper import LINES, QUIET, entitle, figure, label_numbers, safe_label
from calque.judging.drawing.plot import Data, Plot, number
from calque.judging.glossary import explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MERITS = {"auc": "AUC", "chi2": "reduced χ²", "overlap": "overlap", "log_prob": "mean log density"}
IDEAL = {"auc": 0.5, "chi2": 1.0, "overlap": 1.0}
NOT_LOSSES = {"step", "auc_error", "seconds", "time", "rate", "epoch"}


def curves(history: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Draw what a history of dictionaries with a "step" holds; None if nothing.

    A measure has a panel of its own, "gradient/critic" and "gradient/generator" share one; all else are losses.
    """
    taken, measures = [key for key in numbers(history) if points(history, key)[0]], titles()
    others = [key for key in taken if key not in measures and key not in NOT_LOSSES]
    groups: dict[str, list[str]] = {}
    for key in others:
        groups.setdefault(key.rpartition("/")[0], []).append(key)
    panels = [[key] for key in measures if key in taken] + list(groups.values())
    if not panels:
        return None
    keys = [key for panel in panels for key in panel]
    return Plot("curves", "Training", "training", stack(history, panels), in_words(history, keys),
                in_numbers(history, keys))


def titles() -> dict[str, str]:
    """Title of everything that may be watched, in the order of the panels."""
    from calque.judging.watching import list_numbers  # late: it brings the measures along

    return MERITS | {key: explained(key).title for key in list_numbers() if key not in MERITS}


def stack(history: Sequence[Mapping[str, Any]], panels: Sequence[Sequence[str]]) -> Figure:
    """Draw one panel below another."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    made = figure(7.2, 0.9 + 2.1 * len(panels))
    rows = made.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    margin = 0.62 / made.get_figheight()
    made.subplots_adjust(left=0.115, right=0.965, top=1 - 0.55 * margin, bottom=margin, hspace=0.22)
    for axes, keys in zip(rows, panels, strict=True):
        draw(axes, history, keys)
    rows[-1].set_xlabel("step")
    rows[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    rows[-1].xaxis.set_major_formatter(EngFormatter(sep=""))  # 50k, 2M: no power of ten to collide with the label
    return made


def in_words(history: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """Say how every curve begins and ends."""
    told, measures = [], titles()
    for key in keys:
        steps, values = points(history, key)
        told.append(f"{measures.get(key, key)} from {number(values[0])} at step {steps[0]:.0f} "
                    f"to {number(values[-1])} at step {steps[-1]:.0f}")
    return "Training: " + "; ".join(told)


def in_numbers(history: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Data:
    """Give the curves as columns over all their steps; NaN where a number was not taken."""
    taken = {key: dict(zip(*points(history, key), strict=True)) for key in keys}
    steps = sorted({step for values in taken.values() for step in values})
    columns = {key: np.array([values.get(step, math.nan) for step in steps]) for key, values in taken.items()}
    return Data("points", {"step": np.array(steps)}, columns)


def draw(axes: Axes, history: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    """Draw one panel; where χ² falls over decades, its scale is logarithmic."""
    for key, colour in zip(keys, (LINES * len(keys))[: len(keys)], strict=True):
        steps, values = points(history, key)
        axes.plot(steps, values, color=colour, linewidth=1.5, marker="o" if len(steps) < 60 else None, markersize=3.2,
                  label=safe_label(key))
    name, title = keys[0], titles().get(keys[0])
    if name == "chi2" and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    label_numbers(axes.yaxis)
    if name in IDEAL:
        axes.axhline(IDEAL[name], color=QUIET, linewidth=1, linestyle=":")
    entitle(axes, title or "losses", 1.05)
    axes.margins(x=0.02, y=0.12 if title else 0.3)
    if not title:
        axes.legend(loc="upper right", fontsize=11, ncols=min(len(keys), 4))


def points(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Steps and values where this number was taken."""
    found = [(float(entry["step"]), float(entry[key])) for entry in history
             if "step" in entry and is_number(entry.get(key))]
    return [step for step, _ in found], [value for _, value in found]


def numbers(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that hold a number anywhere, in order of appearance."""
    return list(dict.fromkeys(key for entry in history for key, value in entry.items() if is_number(value)))


def is_number(value: object) -> bool:
    """Whether this can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
