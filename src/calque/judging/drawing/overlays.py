"""One column of both samples: shares per bin, and their ratio below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.drawing.binning import Binning, outside
from calque.judging.drawing.paper import FAKE, QUIET, REAL, entitle, figure, label_axis

if TYPE_CHECKING:
    import hist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEEP = 100.0  # ratio of the tallest to the lowest bin from which the scale is logarithmic


def overlay(real: hist.Hist[Any], fake: hist.Hist[Any], label: str, binning: Binning) -> Figure:
    """Draw real points and a generated line with their statistical errors, generated / real below."""
    made = figure(6.4, 5.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
    draw_shares(upper, real, fake)
    draw_ratio(lower, real, fake)
    entitle(upper)
    entitle(lower)
    lower.set_xlim(binning.edges[0], binning.edges[-1])
    label_axis(lower, "x", label, binning)
    made.align_ylabels()
    return made


def draw_shares(axes: Axes, real: hist.Hist[Any], fake: hist.Hist[Any]) -> None:
    """Draw both histograms; logarithmic where they span two orders of magnitude."""
    import mplhep

    mplhep.histplot(fake, ax=axes, histtype="step", edges=False, yerr=False, color=FAKE, linewidth=1.6,
                    label="generated", flow="none")
    band(axes, fake.axes[0].edges, fake.values(), np.sqrt(fake.variances()), FAKE)
    mplhep.histplot(real, ax=axes, histtype="errorbar", yerr=np.sqrt(real.variances()), color=REAL, markersize=4.5,
                    elinewidth=1.0, label="real", flow="none")
    set_share_scale(axes, np.concatenate([real.values(), fake.values()]))
    axes.set_xlabel("")
    axes.set_ylabel("share of events per bin")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper right", title=outside_note(real, fake), title_fontsize=10,
                alignment="right")


def set_share_scale(axes: Axes, contents: NDArray[np.float64]) -> None:
    """Leave room for the legend above the tallest bin, on either scale."""
    filled = contents[contents > 0]
    low, high = float(filled.min()), float(filled.max())
    if high / low > STEEP:
        axes.set_yscale("log")
        low = max(low, high * 1e-7) / 2
        axes.set_ylim(low, high * (high / low) ** 0.42)
    else:
        axes.set_ylim(0, 1.38 * high)


def outside_note(real: hist.Hist[Any], fake: hist.Hist[Any]) -> str | None:
    """Say what lies beyond the axis."""
    shares = outside(real), outside(fake)
    if max(shares) < 5e-5:
        return None
    return f"beyond the axis: {100 * shares[0]:.2g} % real, {100 * shares[1]:.2g} % generated"


def draw_ratio(axes: Axes, real: hist.Hist[Any], fake: hist.Hist[Any]) -> None:
    """Draw generated / real with the generated error, the real error as a band; triangles lie beyond the axis."""
    edges, known = real.axes[0].edges, real.values() > 0
    divisor = np.where(known, real.values(), np.nan)
    ratio, error = fake.values() / divisor, np.sqrt(fake.variances()) / divisor
    spread = np.sqrt(real.variances()) / divisor
    centres, reach = (edges[1:] + edges[:-1]) / 2, ratio_reach(ratio, np.hypot(error, spread))
    axes.axhline(1, color=QUIET, linewidth=1)
    band(axes, edges, np.ones_like(ratio), np.nan_to_num(spread), QUIET)
    axes.errorbar(centres, ratio, yerr=error, fmt="o", color=FAKE, markersize=3.8, elinewidth=1.0)
    for beyond, marker, side in ((ratio > 1 + reach, "^", 1), (ratio < 1 - reach, "v", -1)):
        place = np.full(int(beyond.sum()), 1 + 0.92 * side * reach)
        axes.plot(centres[beyond], place, marker, color=FAKE, markersize=4.5)
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_ylabel("gen. / real", loc="center")


def ratio_reach(ratio: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Half height of the ratio's axis: what most well-known bins need, between 0.2 and 1."""
    useful = np.abs(ratio - 1)[np.isfinite(ratio) & (error < 0.5)]
    needed = float(np.quantile(useful, 0.9)) if len(useful) else 1.0
    return next((reach for reach in (0.19, 0.49) if 1.2 * needed < reach), 0.99)


def band(axes: Axes, edges: NDArray[np.float64], middle: NDArray[np.float64], half: NDArray[np.float64],
         colour: str) -> None:
    """Draw a stepped band of one standard deviation around a histogram."""
    low, high = (np.append(values, values[-1]) for values in (middle - half, middle + half))
    axes.fill_between(edges, low, high, step="post", color=colour, alpha=0.25, linewidth=0)
