"""Figures of an answer: each parameter's distribution, pairs of them, and scans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.judging.drawing import overlays, pairs
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.images import flat, of_events, side_by_side
from calque.judging.drawing.pairings import MOST_PAIRS
from calque.judging.drawing.paper import (
    FAKE,
    FIELD,
    LINES,
    QUIET,
    REAL,
    entitle,
    figure,
    label_axis,
    label_numbers,
    safe_label,
)
from calque.judging.drawing.plot import STILL, Data, Numbers, Plot, number
from calque.table import Array, Table
from calque.tuning.scans import Scan
from calque.tuning.tuned import Tuned

if TYPE_CHECKING:
    import hist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_IN_CORNER = 8  # parameters
BINS, PAIR_BINS = 60, 40
PICTURES = 6  # along a scan
STYLES = {"emulated": (FAKE, "o", "-"), "tuner": (LINES[0], "s", "--")}


def binned(tuned: Tuned, bins: int) -> dict[str, Binning]:
    """Bins of each parameter, for its draws and its truth."""
    every = [Table.concatenate(list(tuned.draws)), *([] if tuned.truth is None else [tuned.truth])]
    columns = {name: np.concatenate([table[name] for table in every]).astype(np.float64) for name in tuned.names}
    return {name: Binning.of(column, np.ones(len(column)), bins) for name, column in columns.items()}


def filled(tuned: Tuned, binnings: tuple[Binning, ...], names: tuple[str, ...]) -> tuple[hist.Hist[Any], list[Numbers]]:
    """Share of the draws per bin, its variance that between the members; and that of each member."""
    import hist

    axes = [hist.axis.Variable(binning.edges) for binning in binnings]
    made, counted = hist.Hist(*axes, storage=hist.storage.Weight()), hist.Hist(*axes, storage=hist.storage.Weight())
    each = []
    for table in tuned.draws:
        counted.reset()
        counted.fill(*(table[name] for name in names))
        each.append(counted.values(flow=True) / len(table))
    made.view(flow=True).value = np.mean(each, axis=0)
    made.view(flow=True).variance = np.var(each, axis=0, ddof=1) + np.mean(each, axis=0) / len(tuned.draws[0])
    return made, [share[(slice(1, -1),) * share.ndim] for share in each]


def distributions(tuned: Tuned, labels: Mapping[str, str], files: Mapping[str, str],
                  bounds: Mapping[str, tuple[float, float]]) -> Iterator[Plot]:
    """Draw each parameter: `parameter_NAME`."""
    for name, binning in binned(tuned, BINS).items():
        pooled, each = filled(tuned, (binning,), (name,))
        truth = None if tuned.truth is None else binning.fill(tuned.truth[name], np.ones(len(tuned.truth)))
        columns = {"found": pooled.values(), "found_error": np.sqrt(pooled.variances())}
        if truth is not None:
            columns |= {"truth": truth.values(), "truth_error": np.sqrt(truth.variances())}
        columns |= {f"member {place}": share for place, share in enumerate(each)}
        mean, width = tuned.means[name], tuned.widths[name]
        alt = (f"{labels[name]}: mean {number(mean[0], 4)} ± {number(mean[1], 2)}, width {number(width[0], 4)} ± "
               f"{number(width[1], 2)}, of {number(bounds[name][0])} to {number(bounds[name][1])}")
        yield Plot(f"parameter_{files[name]}", labels[name], "parameters",
                   distribution(columns, len(each), labels[name], binning, bounds[name]), alt,
                   Data("bins", {labels[name]: binning.edges}, columns))


def distribution(columns: Mapping[str, Numbers], members: int, label: str, binning: Binning,
                 bounds: tuple[float, float]) -> Figure:
    """All members together, each as a thin line, the truth as points; below, where that lies in the whole space."""
    made, edges = figure(6.4, 5.6), binning.edges
    upper, lower = made.subplots(2, 1, height_ratios=(12, 1))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.1, hspace=0.34)
    for place in range(members):
        upper.stairs(columns[f"member {place}"], edges, baseline=None, color=FAKE, linewidth=0.7, alpha=0.55,
                     label=None if place else "each member")
    upper.stairs(columns["found"], edges, baseline=None, color=FAKE, linewidth=2, label="found")
    if "truth" in columns:
        overlays.points(upper, overlays.middles(edges), columns["truth"], columns["truth_error"], REAL, 4, "truth")
    upper.set_ylim(0, 1.3 * max(float(column.max()) for column in columns.values()))
    upper.set_xlim(edges[0], edges[-1])
    upper.set_ylabel("share per bin")
    upper.legend(loc="upper right")
    label_numbers(upper.yaxis)
    label_axis(upper, "x", label, binning)
    lower.axvspan(max(edges[0], bounds[0]), min(edges[-1], bounds[1]), color=FAKE, alpha=0.6, linewidth=0)
    lower.set_xlim(*bounds)
    lower.set_yticks([])
    lower.set_xticks([*bounds])
    lower.set_xticks([], minor=True)
    lower.set_xlabel("drawn above, in the whole space", fontsize=11)
    lower.set_gid(STILL)
    label_numbers(lower.xaxis)
    for axes in (upper, lower):
        entitle(axes)
    return made


def all_pairs(tuned: Tuned, labels: Mapping[str, str], files: Mapping[str, str]) -> Iterator[Plot]:
    """Draw a corner of all pairs, `corner`, and each pair beside its truth, where that is known: `pair_A_B`."""
    binnings = binned(tuned, PAIR_BINS)
    if 1 < len(tuned.names) <= MOST_IN_CORNER:
        yield corner(tuned, labels, binnings)
    if tuned.truth is None:
        return
    for one, two in list(combinations(tuned.names, 2))[:MOST_PAIRS]:
        bins, called, words = (binnings[one], binnings[two]), (labels[one], labels[two]), ("truth", "found")
        truth = pairs.fill_pair((tuned.truth[one].astype(np.float64), tuned.truth[two].astype(np.float64)), bins,
                                np.ones(len(tuned.truth)))
        found, _ = filled(tuned, bins, (one, two))
        yield Plot(f"pair_{files[one]}_{files[two]}", f"{called[0]} and {called[1]}", "parameters",
                   pairs.pair(truth, found, called, bins, "share per bin", words=words),
                   pairs.in_words(truth, found, called, words), pairs.in_numbers(truth, found, called, words))


def corner(tuned: Tuned, labels: Mapping[str, str], binnings: Mapping[str, Binning]) -> Plot:
    """Every parameter, every pair below, their correlation above."""
    count, (values, errors) = len(tuned.names), tuned.correlations
    made = figure(13.6, 12.4 if count > 2 else 9)
    panels = made.subplots(count, count)
    made.subplots_adjust(left=0.075, right=0.985, top=0.98, bottom=0.065, wspace=0.08, hspace=0.08)
    for row, below in enumerate(tuned.names):
        for column, across in enumerate(tuned.names):
            axes = panels[row][column]
            chosen = {across: binnings[across], below: binnings[below]}
            shares, _ = filled(tuned, tuple(chosen.values()), tuple(chosen))
            if row < column:
                value = f"{values[row, column]:+.2f} ± {errors[row, column]:.2f}".replace("-", "−")
                axes.text(0.5, 0.5, value, transform=axes.transAxes, ha="center", va="center", color=QUIET)
                axes.axis("off")
            elif row == column:
                axes.stairs(shares.values(), binnings[across].edges, color=FAKE, linewidth=1.6)
            else:
                content = np.ma.masked_less_equal(shares.values().T, 0)
                axes.pcolormesh(binnings[across].edges, binnings[below].edges, content, cmap="viridis", rasterized=True)
                axes.set_facecolor(FIELD)
            tidy(axes, row, column, count, labels, binnings, (across, below))
    ways = list(combinations(range(count), 2))
    told = [f"{tuned.names[one]} and {tuned.names[two]} {values[one, two]:+.2f}" for one, two in ways]
    data = Data("points", {"pair": np.arange(1.0, len(ways) + 1)}, {
        "correlation": np.array([values[way] for way in ways]),
        "correlation_error": np.array([errors[way] for way in ways])})
    return Plot("corner", "All pairs", "parameters", made, f"Correlations: {', '.join(told)}", data, wide=True)


def tidy(axes: Axes, row: int, column: int, count: int, labels: Mapping[str, str], binnings: Mapping[str, Binning],
         names: tuple[str, str]) -> None:
    """Labels at the left and at the bottom alone; nothing here is read by the pointer."""
    entitle(axes)
    axes.set_gid(STILL)
    axes.minorticks_off()
    axes.tick_params(labelbottom=row == count - 1, labelleft=column == 0 and row > 0, labelsize=10, top=False,
                     right=False, left=row != column, direction="out")
    across, below = names
    axes.set_xlim(binnings[across].edges[0], binnings[across].edges[-1])
    if row == count - 1:
        label_axis(axes, "x", labels[across], binnings[across])
    if row == column:
        axes.set_yticks([])
    elif column == 0:
        label_axis(axes, "y", labels[below], binnings[below])
    axes.locator_params(nbins=4) if row != column else axes.locator_params("x", nbins=4)


def scanned(scan: Scan, label: str, file: str, images: Mapping[str, Array], told: str) -> Iterator[Plot]:
    """Draw a scan, `scan_NAME`, and some of its images, `along_NAME`; `told` names the images."""
    columns: dict[str, Numbers] = {}
    for which, (value, error) in scan.seen.items():
        columns |= {which: value, f"{which}_error": error}
    for which in STYLES:
        columns[f"{which} away"], columns[f"{which} away_error"] = scan.away(which)
    base = "simulated images" if "simulated" in scan.seen else "the parameter"
    worst = {which: float(np.abs(columns[f"{which} away"]).max()) for which in STYLES}
    alt = (f"{label} from {number(scan.at[0])} to {number(scan.at[-1])}: what is seen in emulated images is at most "
           f"{worst['emulated']:.2f} widths from {base}, as the tuner saw it {worst['tuner']:.2f}")
    yield Plot(f"scan_{file}", label, "scans", draw_scan(scan, columns, label), alt,
               Data("points", {label: scan.at}, columns))
    chosen = np.unique(np.linspace(0, len(scan.at) - 1, PICTURES).astype(int))
    shown = {which: flat(made)[chosen].astype(np.float64) for which, made in images.items()}
    if next(iter(shown.values())).ndim == 2:  # lines: the simulation is black, as above
        shown = dict(reversed(shown.items()))
    titles = [[f"{label} = {number(float(value))}"] for value in scan.at[chosen]]
    yield Plot(f"along_{file}", f"{told} along {label}", "scans", side_by_side(shown, titles, told),
               f"{len(chosen)} {' and '.join(shown)} images along {label}", of_events(shown), wide=True)


def draw_scan(scan: Scan, columns: Mapping[str, Numbers], label: str) -> Figure:
    """What is seen against what was set; below how far from the simulation, in the width that was found."""
    made = figure(6.4, 5.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
    if "simulated" in scan.seen:
        overlays.points(upper, scan.at, columns["simulated"], columns["simulated_error"], REAL, 4.5, "simulated")
    lower.axhline(0, color=QUIET, linewidth=1)
    for which, (colour, marker, line) in STYLES.items():
        upper.plot(scan.at, columns[which], line, color=colour, linewidth=1.6, label=which)
        away, error = columns[f"{which} away"], columns[f"{which} away_error"]
        lower.errorbar(scan.at, away, error, fmt=marker, linestyle=line, color=colour, markersize=3, linewidth=1)
    upper.set_ylabel(safe_label(f"{label}, seen"))
    upper.legend(loc="upper left")
    reach = max(0.1, 1.15 * max(float(np.abs(columns[f"{which} away"]).max()) for which in STYLES))
    lower.set_ylim(-reach, reach)
    lower.set_ylabel("away [widths]", loc="center")
    label_axis(lower, "x", label, Binning(scan.at[[0, -1]]))
    for axes in (upper, lower):
        entitle(axes)
        label_numbers(axes.yaxis)
    made.align_ylabels()
    return made
