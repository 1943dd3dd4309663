"""Showers: response and resolution against energy, what layers hold, mean showers, events, and spectra of cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.geometry import Geometry, Segment
from calque.judging.drawing import images, overlays, pairs
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.paper import FAKE, REAL, WORDS, entitle, figure, label_axis, label_numbers, safe_label
from calque.judging.drawing.plot import Data, Numbers, Plot, number
from calque.judging.measure import Estimate
from calque.judging.report import Report
from calque.judging.showers.layers import energy_unit, layers_of, totals
from calque.table import Table

if TYPE_CHECKING:
    import hist
    from matplotlib.figure import Figure

MOST = 8  # images that are drawn, from the first to the last
WIDE = 10.0  # ratio of the ends of an axis of energy from which it is logarithmic
TITLES = {"energy_response": "mean response", "energy_resolution": "relative resolution"}


@dataclass(frozen=True)
class Compared:
    """Values (B,) of both samples with their errors, over bins with these edges (B + 1,), or of one value (B,) each."""

    label: str
    edges: Numbers
    real: Numbers
    real_error: Numbers
    fake: Numbers
    fake_error: Numbers
    values: Numbers | None = None

    @property
    def ratio(self) -> overlays.Ratio:
        """Generated over real."""
        return overlays.Ratio.of(self.real, self.real_error, self.fake, self.fake_error)

    @property
    def data(self) -> Data:
        """Everything as columns."""
        ratio = self.ratio
        return Data("bins", {self.label: self.edges}, {
            WORDS[0]: self.real, f"{WORDS[0]}_error": self.real_error, WORDS[1]: self.fake,
            f"{WORDS[1]}_error": self.fake_error, "ratio": ratio.value,
            "ratio_error": np.hypot(ratio.error, ratio.value * ratio.spread)})

    def plot(self, name: str, title: str) -> Plot:
        """Draw it."""
        ratio = self.ratio.value
        told = (f"between {np.nanmin(ratio):.3f} and {np.nanmax(ratio):.3f}" if np.isfinite(ratio).any() else "unknown")
        return Plot(name, title, "showers", self.drawn(title), f"{title.capitalize()} in {len(self.real)} bins of "
                    f"{self.label}: {WORDS[1]} over {WORDS[0]} {told}", self.data)

    def drawn(self, title: str) -> Figure:
        """Real points and a generated line with their errors, their ratio below."""
        made = figure(6.4, 5.6)
        upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
        overlays.band(upper, self.edges, self.fake - self.fake_error, self.fake + self.fake_error, FAKE)
        upper.stairs(self.fake, self.edges, baseline=None, color=FAKE, linewidth=1.6, label=WORDS[1])
        overlays.points(upper, overlays.middles(self.edges), self.real, self.real_error, REAL, 4.5, WORDS[0])
        overlays.draw_ratio(lower, self.edges, self.ratio, reach(self.ratio))
        upper.set_ylim(*limits(np.concatenate([self.real, self.fake])))
        upper.set_ylabel(safe_label(title))
        upper.legend(loc="upper right")
        label_numbers(upper.yaxis)
        label_axis(lower, "x", self.label, Binning(self.edges, self.values))
        if self.edges[0] > 0 and self.edges[-1] > WIDE * self.edges[0]:
            upper.set_xscale("log")
            label_numbers(lower.xaxis)
        for axes in (upper, lower):
            axes.set_xlim(self.edges[0], self.edges[-1])
            entitle(axes)
        made.align_ylabels()
        return made


def reach(ratio: overlays.Ratio) -> float:
    """Half height of the ratio's axis: so that all bins lie inside, from 1 % on."""
    off = np.abs(ratio.value - 1) + np.hypot(ratio.error, ratio.spread)
    needed = float(np.nanmax(off)) if np.isfinite(off).any() else 1.0
    return next((size for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if 1.1 * needed < size), 0.99)


def limits(values: Numbers) -> tuple[float, float]:
    """Ends of an axis with room for the legend: from zero, unless all values are alike."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    base = 0.0 if low < 0.5 * high or low <= 0 else low - 0.3 * (high - low)
    return base, high + 0.38 * max(high - base, 1e-12)


def shower_plots(
    report: Report, real: Table, fake: Table, geometry: Geometry, names: Mapping[str, str]
) -> Iterator[Plot]:
    """Draw both measures of `Calibration`, `profile_…` of layers, and `mean_…`, `events_…`, `spectrum_…` of images.

    `names` are the file names of columns. Of more than eight images some are drawn, evenly chosen.
    """
    for estimate in report.of(*TITLES):
        yield in_energy(estimate, real).plot(estimate.measure, TITLES[estimate.measure])
    yield from profiles(real, fake, geometry)
    for segment in some([segment for segment in geometry.segments if segment.name in real.features]):
        name, file = segment.name, names[segment.name]
        yield mean(real, fake, segment, geometry, file)
        yield replace(images.events(real, fake, name, file, log=True), section="showers")
        yield spectrum(real, fake, name, file)


def some(segments: Sequence[Segment]) -> list[Segment]:
    """At most eight, evenly chosen."""
    places = np.unique(np.linspace(0, len(segments) - 1, min(MOST, len(segments))).round().astype(int))
    return [segments[place] for place in places]


def in_energy(estimate: Estimate, real: Table) -> Compared:
    """Values of a measure of `Calibration` in its bins."""
    rows = estimate.details["bins"]
    columns = {name: np.array([row[name] for row in rows], np.float64)
               for name in ("real", "real_error", "fake", "fake_error")}
    edges = np.array([row["low"] for row in rows] + [rows[-1]["high"]], np.float64)
    return Compared(real.label(estimate.of), edges, **columns)


def profiles(real: Table, fake: Table, geometry: Geometry) -> Iterator[Plot]:
    """Mean energy and mean share of cells with energy of every layer."""
    layers = layers_of(geometry, real.features)
    unit = energy_unit(real, layers)
    edges, places = images.cells(len(layers)), np.arange(len(layers), dtype=np.float64)
    weights = [table.weights / table.weights.sum() for table in (real, fake)]
    energies = [moments(totals(table, layers, unit), share) for table, share in zip((real, fake), weights, strict=True)]
    filled = [moments(np.stack([(layer.cells(table) > 0).mean(axis=1) for layer in layers], axis=1), share)
              for table, share in zip((real, fake), weights, strict=True)]
    energy = f"mean energy [{unit}]" if unit else "mean energy"
    for file, title, ((ours, error), (theirs, spread)) in (("energy", energy, energies),
                                                           ("sparsity", "share of cells with energy", filled)):
        yield Compared("layer", edges, ours, error, theirs, spread, places).plot(f"profile_{file}", title)


def moments(values: Numbers, share: Numbers) -> tuple[Numbers, Numbers]:
    """Weighted mean (L,) of rows (N, L) and its error."""
    centre = share @ values
    return centre, np.sqrt(np.square(share) @ np.square(values - centre))


def mean(real: Table, fake: Table, segment: Segment, geometry: Geometry, file: str) -> Plot:
    """Mean shower in one image, on logarithmic colours; of one with depth the sum over y, z to the right."""
    ours, theirs = (averaged(table, segment) for table in (real, fake))
    across = ("z", "x") if "z" in segment.axes else segment.axes[::-1]
    labels = tuple(f"{axis} [{geometry.units[axis]}]" if geometry.units.get(axis) else axis for axis in across)
    binnings = tuple(Binning(axis.edges) for axis in ours.axes)
    label = f"mean {real.label(segment.name)}"
    named = labels[0], labels[1]
    made = pairs.pair(ours, theirs, named, (binnings[0], binnings[1]), label)
    alt = f"Mean {segment.name} over {pairs.in_words(ours, theirs, named)}"
    return Plot(f"mean_{file}", label, "showers", made, alt, pairs.in_numbers(ours, theirs, named))


def averaged(table: Table, segment: Segment) -> hist.Hist[Any]:
    """Mean energy of the cells of an image, with its variance, over their places."""
    import hist

    deep = "z" in segment.axes
    shown = table[segment.name].sum(axis=2, dtype=np.float64) if deep else table[segment.name]
    values, variance = images.weighted_mean(shown, table.weights)
    edges = [segment.edges[2], segment.edges[0]] if deep else [segment.edges[1], segment.edges[0]]
    made = hist.Hist(*(hist.axis.Variable(along) for along in edges), storage=hist.storage.Weight())
    made.view().value, made.view().variance = values.T, variance.T
    return made


def spectrum(real: Table, fake: Table, name: str, file: str) -> Plot:
    """Energies above zero of the cells of an image, on a logarithmic axis; shares are those of all cells."""
    unit = real.units.get(name, "")
    label = f"log10({name} / {unit})" if unit else f"log10({name})"
    ours, theirs = (logarithms(table, name) for table in (real, fake))
    filled = ours[np.isfinite(ours)]
    binning = Binning.of(filled, np.ones(len(filled)))
    known, drawn = (without_zeros(images.spectrum(values, table.weights[: len(values)], binning))
                    for values, table in ((ours, real), (theirs, fake)))
    empty = [number(100 * float(np.isinf(values).mean())) for values in (ours, theirs)]
    alt = (f"Energies of cells, {overlays.in_words(known, drawn, label)}; without energy are {empty[0]} % of the real "
           f"and {empty[1]} % of the generated cells")
    return Plot(f"spectrum_{file}", f"cells of {real.label(name)}", "showers",
                overlays.overlay(known, drawn, label, binning, "share of cells per bin"), alt,
                overlays.in_numbers(known, drawn, label))


def without_zeros(made: hist.Hist[Any]) -> hist.Hist[Any]:
    """Forget what lies below the first edge: zeros, which the sparsity tells."""
    view = made.view(flow=True)
    view.value[0] = view.variance[0] = 0
    return made


def logarithms(table: Table, name: str) -> Numbers:
    """Decimal logarithms (N, V) of the energies of an image, −∞ of zero, in at most so many events as images show."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cells = table[name][: images.MOST].reshape(min(len(table), images.MOST), -1).astype(np.float64)
        return np.where(cells > 0, np.log10(cells), -np.inf)
