"""Two columns of both samples beside each other, on one colour scale, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.drawing.binning import Binning
from calque.judging.drawing.paper import FIELD, WORDS, entitle, figure, label_axis, label_numbers, safe_label
from calque.judging.drawing.plot import Data

if TYPE_CHECKING:
    import hist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PULL_LIMIT = 5.0


def fill_pair(
    columns: tuple[NDArray[np.float64], NDArray[np.float64]], binnings: tuple[Binning, Binning],
    weights: NDArray[np.float64],
) -> hist.Hist[Any]:
    """Histogram of the share of the weight in two columns, with its variances."""
    import hist

    made = hist.Hist(*(hist.axis.Variable(binning.edges) for binning in binnings), storage=hist.storage.Weight())
    made.fill(*columns, weight=weights)
    return made / weights.sum()


def pair(
    real: hist.Hist[Any], fake: hist.Hist[Any], labels: tuple[str, str], binnings: tuple[Binning, Binning],
    told: str = "share of events per bin", signed: bool = False, words: tuple[str, str] = WORDS,
) -> Figure:
    """Draw real, generated, and their difference in standard deviations; contents that are `signed` are all drawn."""
    made = figure(13.6, 4.5)
    grid = made.add_gridspec(1, 4, width_ratios=(1, 1, 0.17, 1), left=0.07, right=0.94, top=0.915, bottom=0.15,
                             wspace=0.1)
    first = made.add_subplot(grid[0])
    panels = [first, *(made.add_subplot(grid[place], sharex=first, sharey=first) for place in (1, 3))]
    norm = shared_scale(real.values(), fake.values(), signed)
    for axes, shares, title in ((panels[0], real, words[0]), (panels[1], fake, words[1])):
        shown = shares.values() if signed else np.ma.masked_less_equal(shares.values(), 0)
        image = draw(axes, shares, shown, title, norm=norm, cmap="viridis")
    colour_bar(made, panels[1], image, told)
    image = draw(panels[2], real, pull(real, fake), f"{words[1]} − {words[0]}", cmap="PuOr_r", vmin=-PULL_LIMIT,
                 vmax=PULL_LIMIT)
    colour_bar(made, panels[2], image, "standard deviations")
    for axes in panels:
        label_axis(axes, "x", labels[0], binnings[0])
        axes.tick_params(labelleft=axes is first, direction="out", top=False, right=False)
        axes.minorticks_off()
        axes.set_facecolor(FIELD)
    label_axis(first, "y", labels[1], binnings[1])
    return made


def draw(axes: Axes, shape: hist.Hist[Any], content: NDArray[np.float64], title: str, **colours: Any) -> Any:
    """Draw one panel, rasterised so that a PDF stays small."""
    entitle(axes, title)
    return axes.pcolormesh(shape.axes[0].edges, shape.axes[1].edges, content.T, rasterized=True, **colours)


def colour_bar(made: Figure, axes: Axes, image: Any, label: str) -> None:
    """Place a colour bar right of a panel without shrinking it."""
    beside = axes.inset_axes((1.025, 0, 0.04, 1))
    entitle(beside)
    bar = made.colorbar(image, cax=beside)
    bar.set_label(safe_label(label), loc="top", fontsize=11)
    label_numbers(beside.yaxis)
    beside.minorticks_off()
    beside.tick_params(labelsize=10, which="both", direction="out", left=False)


def shared_scale(real: NDArray[np.float64], fake: NDArray[np.float64], signed: bool = False) -> Any:
    """Colours from the lowest filled bin of either sample to the highest; logarithmic, but for shallow samples.

    If `signed`, they are linear, and what is generated beyond the real range has the colour of its end.
    """
    from matplotlib.colors import LogNorm, Normalize

    if signed:
        return Normalize(min(float(real.min()), 0.0), float(real.max()))
    both = np.concatenate([real.ravel(), fake.ravel()])
    highest = float(both.max())
    if highest <= 0:
        return Normalize(0, 1)
    lowest = max(float(both[both > 0].min()), 1e-6 * highest)
    return LogNorm(lowest, highest) if highest > 20 * lowest else Normalize(0, highest)


def pull(real: hist.Hist[Any], fake: hist.Hist[Any]) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """Difference in standard deviations; blank where neither sample has events."""
    return standardised(fake.values() - real.values(), real.variances() + fake.variances())


def standardised(
    difference: NDArray[np.float64], variance: NDArray[np.float64]
) -> np.ma.MaskedArray[Any, np.dtype[np.float64]]:
    """Divide by the standard deviation; blank where there is none."""
    filled = variance > 0
    return np.ma.masked_where(~filled, difference / np.sqrt(np.where(filled, variance, 1)))


def in_words(
    real: hist.Hist[Any], fake: hist.Hist[Any], labels: tuple[str, str], words: tuple[str, str] = WORDS
) -> str:
    """Say how far two columns differ: how many cells by more than three standard deviations, and χ² per cell."""
    differences = pull(real, fake)
    pulls = differences.compressed()
    return (f"{labels[0]} and {labels[1]}, {words[0]} beside {words[1]}: {np.sum(np.abs(pulls) > 3)} of "
            f"{len(pulls)} filled cells differ by more than 3 standard deviations; mean squared pull "
            f"{mean_square(differences):.2f}")


def mean_square(pulls: np.ma.MaskedArray[Any, np.dtype[np.float64]]) -> float:
    """χ² per filled cell."""
    known = pulls.compressed()
    return float(np.mean(known**2)) if len(known) else 0.0


def in_numbers(
    real: hist.Hist[Any], fake: hist.Hist[Any], labels: tuple[str, str], words: tuple[str, str] = WORDS
) -> Data:
    """Give the cells as columns; a pull where neither sample has events is NaN."""
    first, second = labels if labels[0] != labels[1] else (f"{labels[0]} (1)", f"{labels[1]} (2)")
    return Data("cells", {first: real.axes[0].edges, second: real.axes[1].edges}, {
        words[0]: real.values().ravel(), words[1]: fake.values().ravel(),
        "pull": pull(real, fake).filled(np.nan).ravel(),
    })
