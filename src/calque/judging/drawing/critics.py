"""What an adversarial training's history tells of its critic: sizes of its weights, its loss against the quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.judging.drawing.curves import IDEAL, points, titles
from calque.judging.drawing.paper import LINES, QUIET, entitle, figure, label_numbers
from calque.judging.drawing.plot import Data, Plot, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS, SHARES, LARGEST = "critic", "weights/shares", "weights/largest"


def critics(history: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """Draw `critic_weights` and `critic_loss` where a history with steps holds their numbers."""
    held = [entry for entry in history if "step" in entry and entry.get(SHARES)]
    if held:
        yield weights(held[0], held[-1])
    watched = [key for key in titles() if points(history, key)[0]]
    if watched and points(history, LOSS)[0]:
        yield from against(history, watched[0])


def weights(first: Mapping[str, Any], last: Mapping[str, Any]) -> Plot:
    """Draw the first and the last histogram: a clip piles weights up at both ends, a penalty leaves a bell."""
    columns = {f"step {entry['step']}": np.array(entry[SHARES]) for entry in (first, last)}
    edges = np.linspace(-1, 1, len(first[SHARES]) + 1)
    made = figure(7.2, 3.4)
    axes = made.subplots()
    made.subplots_adjust(left=0.115, right=0.965, top=0.9, bottom=0.19)
    for (label, shares), entry, colour in zip(columns.items(), (first, last), (QUIET, LINES[0]), strict=False):
        axes.stairs(shares, edges, color=colour, linewidth=1.8, label=f"{label}: largest {number(entry[LARGEST])}")
    axes.set_ylim(0, 1.42 * max(shares.max() for shares in columns.values()))
    axes.set_xlim(-1, 1)
    axes.set_xlabel("weight / largest")
    axes.set_ylabel("share per bin")
    entitle(axes, "critic's weights")
    axes.legend(loc="upper right", fontsize=11)
    told = "; ".join(f"at {label} the largest is {number(entry[LARGEST])}, and {percent(shares[[0, -1]].sum())} lie "
                     f"in the two outermost of {len(shares)} bins"
                     for (label, shares), entry in zip(columns.items(), (first, last), strict=False))
    return Plot("critic_weights", "Critic's weights", "training", made, f"Sizes of the critic's weights: {told}",
                Data("bins", {"weight / largest": edges}, columns))


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.3g} %"


def against(history: Sequence[Mapping[str, Any]], key: str) -> Iterator[Plot]:
    """Draw the critic's mean loss between two looks against what the later one measured."""
    losses, measured = (dict(zip(*points(history, name), strict=True)) for name in (LOSS, key))
    steps = sorted(losses.keys() & measured.keys())
    if len(steps) < 2:
        return
    x, y = (np.array([values[step] for step in steps]) for values in (losses, measured))
    title = titles()[key]
    told = ", ".join(f"{number(x[place])} with {title} {number(y[place])} at step {steps[place]:.0f}"
                     for place in (0, -1))
    related = f"; correlation {number(np.corrcoef(x, y)[0, 1], 2)}" if np.ptp(x) > 0 and np.ptp(y) > 0 else ""
    yield Plot("critic_loss", f"Critic's loss against {title}", "training",
               path(x.tolist(), y.tolist(), steps, title, IDEAL.get(key)), f"The critic's loss: {told}{related}",
               Data("points", {"critic's loss": x}, {title: y, "step": np.array(steps)}))


def path(x: Sequence[float], y: Sequence[float], steps: Sequence[float], title: str, ideal: float | None) -> Figure:
    """Draw a way through points, and name its ends."""
    made = figure(7.2, 3.4)
    axes = made.subplots()
    made.subplots_adjust(left=0.115, right=0.965, top=0.9, bottom=0.19)
    axes.plot(x, y, "-", color=QUIET, linewidth=0.8)
    axes.plot(x, y, "o", color=LINES[0], markersize=3.6)
    for place in (0, -1):
        axes.annotate(f"step {steps[place]:.0f}", (x[place], y[place]), xytext=(6, 5), textcoords="offset points",
                      fontsize=10)
    if ideal is not None:
        axes.axhline(ideal, color=QUIET, linewidth=1, linestyle=":")
    axes.margins(0.14)
    axes.set_xlabel("critic's loss")
    axes.set_ylabel(title)
    entitle(axes, f"critic's loss against {title}")
    label_numbers(axes.xaxis)
    label_numbers(axes.yaxis)
    return made
