"""One column of both samples: shares per bin, and their ratio below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.drawing.binning import Binning, outside
from calque.judging.drawing.paper import FAKE, QUIET, REAL, WORDS, entitle, figure, label_axis, label_numbers
from calque.judging.drawing.plot import Data, Numbers, number

if TYPE_CHECKING:
    import hist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEEP = 100.0  # ratio of the tallest to the lowest bin from which the scale is logarithmic
LEAST_SHARE = 0.01  # of the events in a bin whose ratio is told in words


def overlay(real: hist.Hist[Any], fake: hist.Hist[Any], label: str, binning: Binning,
            told: str = "share of events per bin", words: tuple[str, str] = WORDS) -> Figure:
    """Draw real points and a generated line with their statistical errors, generated / real below.

    `words` is what both samples are called.
    """
    made = figure(6.4, 5.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
    draw_shares(upper, real, fake, told, words, binning.middles)
    draw_ratio(lower, real.axes[0].edges, overlay_ratio(real, fake), places=binning.middles)
    lower.set_ylabel(f"{words[1][:3]}. / {words[0]}", loc="center")
    entitle(upper)
    entitle(lower)
    lower.set_xlim(binning.edges[0], binning.edges[-1])
    label_axis(lower, "x", label, binning)
    made.align_ylabels()
    return made


def draw_shares(
    axes: Axes, real: hist.Hist[Any], fake: hist.Hist[Any], told: str, words: tuple[str, str], places: Numbers
) -> None:
    """Draw both histograms; logarithmic where they span two orders of magnitude."""
    edges = fake.axes[0].edges
    error = np.sqrt(fake.variances())
    band(axes, edges, fake.values() - error, fake.values() + error, FAKE)
    axes.stairs(fake.values(), edges, baseline=None, color=FAKE, linewidth=1.6, label=words[1])
    points(axes, places, real.values(), np.sqrt(real.variances()), REAL, 4.5, words[0])
    set_share_scale(axes, np.concatenate([real.values(), fake.values()]))
    axes.set_ylabel(told)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper right", title=outside_note(real, fake, words),
                title_fontsize=10, alignment="right")


def set_share_scale(axes: Axes, contents: Numbers) -> None:
    """Leave room for the legend above the tallest bin, on either scale."""
    filled = contents[contents > 0]
    low, high = float(filled.min()), float(filled.max())
    if high / low > STEEP:
        axes.set_yscale("log")
        low = max(low, high * 1e-7) / 2
        axes.set_ylim(low, high * (high / low) ** 0.42)
        label_numbers(axes.yaxis)
    else:
        axes.set_ylim(0, 1.5 * high)


def outside_note(real: hist.Hist[Any], fake: hist.Hist[Any], words: tuple[str, str]) -> str | None:
    """Say what lies beyond the axis."""
    shares = outside(real), outside(fake)
    if max(shares) < 5e-5:
        return None
    return f"beyond the axis: {100 * shares[0]:.2g} % {words[0]}, {100 * shares[1]:.2g} % {words[1]}"


@dataclass(frozen=True)
class Ratio:
    """Generated over real in every bin, with the generated error; `spread` is the real one. NaN without real events.

    `unmatched` marks bins with generated events and no real ones.
    """

    value: Numbers
    error: Numbers
    spread: Numbers
    unmatched: NDArray[np.bool_]

    @classmethod
    def of(cls, real: Numbers, real_error: Numbers, fake: Numbers, fake_error: Numbers) -> Ratio:
        """Divide."""
        divisor = np.where(real > 0, real, np.nan)
        return cls(fake / divisor, fake_error / divisor, real_error / divisor, (fake > 0) & ~(real > 0))


def draw_ratio(
    axes: Axes, edges: Numbers, ratio: Ratio, reach: float | None = None, places: Numbers | None = None
) -> None:
    """Draw generated / real with the generated error, the real error as a band; triangles lie beyond the axis.

    A triangle upwards is also where there are generated events only, one downwards where there are real ones only.
    """
    centres = middles(edges) if places is None else places
    reach = reach or ratio_reach(ratio.value, np.hypot(ratio.error, ratio.spread))
    axes.axhline(1, color=QUIET, linewidth=1)
    spread = np.nan_to_num(ratio.spread)
    band(axes, edges, 1 - spread, 1 + spread, QUIET)
    points(axes, centres, ratio.value, ratio.error, FAKE, 3.8)
    above, below = (ratio.value > 1 + reach) | ratio.unmatched, ratio.value < 1 - reach
    for beyond, marker, side in ((above, "^", 1), (below, "v", -1)):
        place = np.full(int(beyond.sum()), 1 + 0.92 * side * reach)
        axes.plot(centres[beyond], place, marker, color=FAKE, markersize=4.5)
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_ylabel("gen. / real", loc="center")
    label_numbers(axes.yaxis)


def ratio_reach(ratio: Numbers, error: Numbers) -> float:
    """Half height of the ratio's axis: what most well-known bins need, between 0.2 and 1."""
    useful = np.abs(ratio - 1)[np.isfinite(ratio) & (error < 0.5)]
    needed = float(np.quantile(useful, 0.9)) if len(useful) else 1.0
    return next((reach for reach in (0.19, 0.49) if 1.2 * needed < reach), 0.99)


def points(axes: Axes, places: Numbers, values: Numbers, errors: Numbers, colour: str, size: float,
           label: str | None = None) -> None:
    """Draw points with error bars: one broken line, which costs a tenth of as many bars."""
    gap = np.full_like(values, np.nan)
    bars = np.stack([values - errors, values + errors, gap]).T.ravel()
    axes.plot(np.repeat(places, 3), bars, color=colour, linewidth=1.0)
    axes.plot(places, values, "o", color=colour, markersize=size, label=label)


def band(axes: Axes, edges: Numbers, low: Numbers, high: Numbers, colour: str) -> None:
    """Fill between two histograms."""
    axes.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.25, linewidth=0)


def middles(edges: Numbers) -> Numbers:
    """Centres of bins."""
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def in_words(real: hist.Hist[Any], fake: hist.Hist[Any], label: str, words: tuple[str, str] = WORDS) -> str:
    """Say what an overlay shows: bins, range, and how far the ratio goes where events are."""
    edges, ratio = real.axes[0].edges, overlay_ratio(real, fake).value
    known = (real.values() > LEAST_SHARE) & np.isfinite(ratio)
    digits = distinguishing(edges)
    span = f"{label}: {len(ratio)} bins from {number(edges[0], digits)} to {number(edges[-1], digits)}"
    alone = float(fake.values()[overlay_ratio(real, fake).unmatched].sum())
    span += f"; {number(100 * alone, 2)} % of the {words[1]} events in bins without {words[0]} ones" if alone else ""
    if not known.any():
        return span
    low, high = ratio[known].min(), ratio[known].max()
    return (f"{span}; {words[1]} over {words[0]} between {low:.2f} and {high:.2f} in bins with more than "
            f"{100 * LEAST_SHARE:g} % of the events")


def distinguishing(edges: Numbers) -> int:
    """Digits that tell the ends of an axis apart, three at least."""
    largest, span = float(np.abs(edges).max()), float(edges[-1] - edges[0])
    return max(3, math.ceil(math.log10(largest / span)) + 2) if largest > 0 and span > 0 else 3


def overlay_ratio(real: hist.Hist[Any], fake: hist.Hist[Any]) -> Ratio:
    """Ratio of two histograms."""
    return Ratio.of(real.values(), np.sqrt(real.variances()), fake.values(), np.sqrt(fake.variances()))


def in_numbers(real: hist.Hist[Any], fake: hist.Hist[Any], label: str, words: tuple[str, str] = WORDS) -> Data:
    """Give the bins of an overlay as columns."""
    ratio = overlay_ratio(real, fake)
    return Data("bins", {label: real.axes[0].edges}, {
        words[0]: real.values(), f"{words[0]}_error": np.sqrt(real.variances()),
        words[1]: fake.values(), f"{words[1]}_error": np.sqrt(fake.variances()),
        "ratio": ratio.value, "ratio_error": np.hypot(ratio.error, ratio.value * ratio.spread),
    })
