"""The response in bins of each parameter, beside what two simulations of the same parameters give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from calque.judging.drawing import overlays
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.paper import FAKE, REAL, entitle, figure, label_axis, label_numbers, safe_names
from calque.judging.drawing.plot import Data, Numbers, Plot, number
from calque.judging.measure import Estimate
from calque.judging.report import Report
from calque.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("value", "error", "floor")


def responses(report: Report, real: Table) -> Iterator[Plot]:
    """Draw the response in the bins of every context: `response_NAME`."""
    found = report.of("response_in_bins")
    named = safe_names(tuple(estimate.of for estimate in found))
    for estimate in found:
        label = real.label(estimate.of) if estimate.of in real.columns else estimate.of
        yield Plot(f"response_{named[estimate.of]}", f"response along {label}", "images", draw(estimate, label),
                   in_words(estimate, label), in_numbers(estimate, label))


def in_words(estimate: Estimate, label: str) -> str:
    """Say how large it is, and where most."""
    values = in_numbers(estimate, label).columns["response"]
    return (f"Images of the same parameters in {len(values)} bins of {label}: they differ by "
            f"{number(100 * float(np.nanmin(values)), 2)} to {number(100 * float(np.nanmax(values)), 2)} % of the "
            f"pixels' spread, most above the floor where {estimate.details['where']}")


def in_numbers(estimate: Estimate, label: str) -> Data:
    """Give value, error and floor of the bins."""
    value, error, floor = (np.array([one[name] for one in estimate.details["bins"]], np.float64) for name in COLUMNS)
    columns: dict[str, Numbers] = {"response": value, "response_error": error}
    if np.isfinite(floor).any():
        columns["floor"] = floor
    return Data("bins", {label: np.array(estimate.details["edges"], np.float64)}, columns)


def draw(estimate: Estimate, label: str) -> Figure:
    """The response with its error, the floor as points."""
    data = in_numbers(estimate, label)
    (edges,), columns = data.axes.values(), data.columns
    made = figure(6.4, 4.6)
    axes = made.subplots()
    made.subplots_adjust(left=0.145, right=0.965, top=0.955, bottom=0.15)
    value, error = columns["response"], columns["response_error"]
    overlays.band(axes, edges, value - error, value + error, FAKE)
    axes.stairs(value, edges, baseline=None, color=FAKE, linewidth=1.6, label="generated")
    if "floor" in columns:
        axes.plot(overlays.middles(edges), columns["floor"], "o", color=REAL, markersize=4.5, label="two real ones")
    axes.set_ylim(0, 1.4 * max(float(np.nanmax(column)) for column in columns.values()))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel("difference / pixels' spread")
    axes.legend(loc="upper right")
    label_numbers(axes.yaxis)
    label_axis(axes, "x", label, Binning(edges))
    entitle(axes)
    return made
