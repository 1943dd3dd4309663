"""Columns of images: their mean, events side by side, and the values of their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.judging.drawing import overlays, pairs
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.paper import FAKE, FIELD, QUIET, REAL, WORDS, entitle, figure, label_axis, safe_label
from calque.judging.drawing.paper import label_numbers as plainly
from calque.judging.drawing.plot import Data, Numbers, Plot, number
from calque.table import Array, Table

if TYPE_CHECKING:
    import hist
    from matplotlib.figure import Figure

SHOWN = 6  # events side by side
MOST = 5000  # events whose pixels are counted
BLOCK = 4096  # events that are summed at once
NAMED = 4  # numbers that tell events apart


def image_plots(
    real: Table, fake: Table, name: str, file: str, words: tuple[str, str] = WORDS
) -> Iterator[Plot]:
    """Draw the column `name` of both samples: `mean_FILE`, `events_FILE` and `pixels_FILE`."""
    yield mean(real, fake, name, file, words)
    yield events(real, fake, name, file, words)
    yield pixels(real, fake, name, file, words)


def flat(column: Array) -> Array:
    """Images (N, …) as pictures (N, rows, columns), or lines (N, places)."""
    return column if column.ndim == 2 else column.reshape(len(column), -1, column.shape[-1])


def mean(real: Table, fake: Table, name: str, file: str, words: tuple[str, str] = WORDS) -> Plot:
    """Mean of both samples and their difference over its error."""
    known, drawn = (weighted_mean(flat(table[name]), table.weights) for table in (real, fake))
    if known[0].ndim == 1:
        made, alt, data = mean_lines(known, drawn, real.label(name), words)
    else:
        labels, ours, theirs = ("column", "row"), as_histogram(*known), as_histogram(*drawn)
        across, up = (Binning(axis.edges) for axis in ours.axes)
        made = pairs.pair(ours, theirs, labels, (across, up), f"mean {real.label(name)}", signed=True,
                          words=words)
        alt = f"Mean {real.label(name)} over {pairs.in_words(ours, theirs, labels, words)}"
        data = pairs.in_numbers(ours, theirs, labels, words)
    return Plot(f"mean_{file}", f"mean {real.label(name)}", "images", made, alt, data)


def weighted_mean(images: Array, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Mean image and the variance of that mean, both of an event's shape."""
    share = weights / weights.sum()
    moments = np.zeros((3, *images.shape[1:]))
    for start in range(0, len(images), BLOCK):
        part, of = images[start : start + BLOCK].astype(np.float64), share[start : start + BLOCK]
        moments += [np.tensordot(of, part, 1), np.tensordot(of**2, part, 1), np.tensordot(of**2, part**2, 1)]
    first, cross, second = moments
    return first, np.maximum(second - 2 * first * cross + first**2 * np.square(share).sum(), 0)


def as_histogram(values: Numbers, variance: Numbers) -> hist.Hist[Any]:
    """A picture (rows, columns) as cells, columns to the right and rows upward."""
    import hist

    axes = [hist.axis.Variable(cells(size)) for size in values.shape[::-1]]
    made = hist.Hist(*axes, storage=hist.storage.Weight())
    made.view().value, made.view().variance = values.T, variance.T
    return made


def cells(count: int) -> Numbers:
    """Edges of so many places, their numbers in the middle."""
    return np.arange(count + 1, dtype=np.float64) - 0.5


def mean_lines(real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers], label: str,
               words: tuple[str, str]) -> tuple[Figure, str, Data]:
    """Mean of events that are lines: both above, their difference in standard deviations below."""
    made, edges = figure(6.4, 5.6), cells(len(real[0]))
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
    error = np.sqrt(fake[1])
    overlays.band(upper, edges, fake[0] - error, fake[0] + error, FAKE)
    upper.stairs(fake[0], edges, baseline=None, color=FAKE, linewidth=1.6, label=words[1])
    overlays.points(upper, overlays.middles(edges), real[0], np.sqrt(real[1]), REAL, 3, words[0])
    upper.set_ylabel(safe_label(f"mean {label}"))
    upper.legend(loc="upper right")
    pull = pairs.standardised(fake[0] - real[0], real[1] + fake[1]).filled(np.nan)
    lower.axhline(0, color=QUIET, linewidth=1)
    lower.plot(overlays.middles(edges), pull, "o", color=FAKE, markersize=3)
    lower.set_ylabel("pull", loc="center")
    label_axis(lower, "x", "place", Binning(edges))
    for axes in (upper, lower):
        entitle(axes)
        plainly(axes.yaxis)
    lower.set_xlim(edges[0], edges[-1])
    made.align_ylabels()
    alt = (f"Mean {label}: {int(np.sum(np.abs(pull) > 3))} of {len(pull)} places differ by more than 3 standard "
           f"deviations; mean squared pull {number(float(np.nanmean(pull**2)))}")
    return made, alt, Data("bins", {"place": edges}, {
        words[0]: real[0], f"{words[0]}_error": np.sqrt(real[1]), words[1]: fake[0], f"{words[1]}_error": error,
        "pull": pull})


def events(
    real: Table, fake: Table, name: str, file: str, words: tuple[str, str] = WORDS, log: bool = False
) -> Plot:
    """A few real events, each above the generated one that is nearest to it in the columns that are numbers."""
    count = min(SHOWN, len(real), len(fake))
    places = [place for place in real.features if real[place].ndim == 1]
    alike = nearest(real, fake, places, count)
    ours, theirs = flat(real[name])[:count].astype(np.float64), flat(fake[name])[alike].astype(np.float64)
    told = [[f"{place} = {number(float(real[place][row]))}" for place in places[:NAMED]] for row in range(count)]
    samples = dict(zip(words, (ours, theirs), strict=True))
    of = f", each with the {words[1]} one nearest in {', '.join(places)}" if places else ""
    return Plot(f"events_{file}", f"events of {real.label(name)}", "images",
                side_by_side(samples, told, real.label(name), log),
                f"{count} {words[0]} and {count} {words[1]} events{of}", of_events(samples))


def side_by_side(samples: Mapping[str, Numbers], told: list[list[str]], label: str, log: bool = False) -> Figure:
    """Draw a few events (K, …) of each sample, those of one place together, `told` (K) above them."""
    if next(iter(samples.values())).ndim == 2:
        return draw_lines(samples, told, label)
    return draw_pictures(samples, told, label, log)


def of_events(samples: Mapping[str, Numbers]) -> Data:
    """Give the pixels of events (K, …) as columns."""
    columns = {f"{which} {row + 1}": event.T.ravel()
               for which, sample in samples.items() for row, event in enumerate(sample)}
    edges = [cells(size) for size in next(iter(samples.values())).shape[:0:-1]]
    return Data("bins", {"place": edges[0]}, columns) if len(edges) == 1 else Data(
        "cells", dict(zip(("column", "row"), edges, strict=True)), columns)


def nearest(real: Table, fake: Table, names: list[str], count: int) -> list[int]:
    """Generated rows that are nearest to the first real ones, in units of the real columns' spread."""
    if not names:
        return list(range(count))
    spread = [float(real[name].std()) or 1.0 for name in names]
    ours, theirs = (np.stack([table[name] / width for name, width in zip(names, spread, strict=True)], axis=1)
                    for table in (real, fake))
    return [int(np.square(theirs - row).sum(1).argmin()) for row in ours[:count]]


def draw_pictures(samples: Mapping[str, Numbers], told: list[list[str]], label: str, log: bool = False) -> Figure:
    """One sample above the other, on one scale of colours: that of the first, or a common one of logarithms."""
    real, rows = next(iter(samples.values())), len(samples)
    made = figure(13.6, 0.6 + 2.2 * rows)
    panels = made.subplots(rows, len(real), squeeze=False)
    made.subplots_adjust(left=0.045, right=0.93, top=1 - 0.5 / made.get_figheight(), bottom=0.03, wspace=0.08,
                         hspace=0.08)
    norm = pairs.shared_scale(real, list(samples.values())[-1], signed=not log)
    for row, (title, sample) in enumerate(samples.items()):
        for axes, event, words in zip(panels[row], sample, told, strict=True):
            shown = np.ma.masked_less_equal(event, 0) if log else event
            image = axes.pcolormesh(shown, norm=norm, cmap="viridis", rasterized=True)
            axes.set_facecolor(FIELD)
            axes.tick_params(which="both", left=False, right=False, top=False, bottom=False, labelleft=False,
                             labelbottom=False)
            entitle(axes)
            if row == 0:
                axes.set_title(folded(words), fontsize=9, y=1.02, pad=0)
        panels[row][0].set_ylabel(title, loc="center")
    pairs.colour_bar(made, panels[-1][-1], image, label)
    return made


def folded(words: list[str]) -> str:
    """Names and values in two lines at most."""
    half = (len(words) + 1) // 2
    return ",\n".join(safe_label(", ".join(line)) for line in (words[:half], words[half:]) if line)


def draw_lines(samples: Mapping[str, Numbers], told: list[list[str]], label: str) -> Figure:
    """Each event of one sample with that of the other."""
    made = figure(13.6, 5.4)
    panels = made.subplots(2, -(-len(told) // 2), squeeze=False, sharex=True, sharey=True)
    made.subplots_adjust(left=0.07, right=0.98, top=0.93, bottom=0.11, wspace=0.06, hspace=0.24)
    for place, (axes, words) in enumerate(zip(panels.ravel(), told, strict=False)):
        for (title, sample), colour in zip(samples.items(), (REAL, FAKE), strict=False):
            axes.plot(sample[place], color=colour, linewidth=1, label=title)
        entitle(axes)
        axes.set_title(folded(words), fontsize=9, y=1.02, pad=0)
    panels[0][0].legend(loc="upper right", fontsize=9)
    panels[0][0].set_ylabel(safe_label(label))
    panels[-1][-1].set_xlabel("place")
    return made


def pixels(real: Table, fake: Table, name: str, file: str, words: tuple[str, str] = WORDS) -> Plot:
    """Spectrum of single pixels; the errors know that the pixels of an event belong together."""
    label = f"pixels of {real.label(name)}"
    samples = [(table[name][:MOST].reshape(min(len(table), MOST), -1).astype(np.float64), table.weights[:MOST])
               for table in (real, fake)]
    values, weights = samples[0]
    few = max(1, 500_000 // values.shape[1])
    binning = Binning.of(values[:few].ravel(), weights[:few].repeat(values.shape[1]))
    ours, theirs = (spectrum(*sample, binning) for sample in samples)
    made = overlays.overlay(ours, theirs, label, binning, "share of pixels per bin", words)
    return Plot(f"pixels_{file}", label, "images", made, f"Values of {overlays.in_words(ours, theirs, label, words)}",
                overlays.in_numbers(ours, theirs, label, words))


def spectrum(values: Numbers, weights: Numbers, binning: Binning) -> hist.Hist[Any]:
    """Share of the pixels (N, P) per bin, its variance that of events with N pixels each."""
    import hist

    bins = len(binning.edges) + 1  # those beyond the edges too
    place = np.searchsorted(binning.edges, values.ravel(), side="right")
    event = np.arange(len(values)).repeat(values.shape[1])
    counts = np.bincount(event * bins + place, minlength=len(values) * bins).reshape(len(values), bins)
    share = weights / (weights.sum() * values.shape[1])
    made = hist.Hist(hist.axis.Variable(binning.edges), storage=hist.storage.Weight())
    made.view(flow=True).value = share @ counts
    made.view(flow=True).variance = share**2 @ counts**2
    return made
