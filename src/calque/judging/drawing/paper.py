"""What every plot shares: style and safe labels."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from calque.judging.drawing.binning import Binning

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
REAL, FAKE, QUIET = "#000000", "#D55E00", "#6E6E6E"  # black against Okabe and Ito's vermilion
FIELD = "#fefefe"  # behind a map of colours, which stays light on a dark page
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
WORDS = ("real", "generated")  # what is compared, where nothing else is said
LONGEST_LABEL = 32
MOST_NAMED = 8  # so many values are all named on an axis
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

STYLE: dict[str, Any] = {
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"], "font.size": 13, "axes.labelsize": 14,
    "axes.titlesize": 13, "legend.fontsize": 12, "xtick.labelsize": 12, "ytick.labelsize": 12,
    "axes.linewidth": 1.1, "axes.unicode_minus": True, "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4), "mathtext.fontset": "dejavusans", "mathtext.default": "regular",
    "xtick.major.size": 6, "xtick.minor.size": 3, "ytick.major.size": 6, "ytick.minor.size": 3,
    "xtick.major.width": 1.0, "ytick.major.width": 1.0, "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.8, "svg.fonttype": "none", "svg.hashsalt": "calque",
    "savefig.dpi": 130, "figure.dpi": 130,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in mplhep's ROOT style at sane sizes; matplotlib's settings are as before afterwards."""
    import mplhep
    from matplotlib import rc_context

    style: Any = {**mplhep.style.ROOT, **STYLE}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a column may be named in any script
        yield


def figure(width: float, height: float) -> Figure:
    """Make a figure of so many inches that no global state knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height))
    FigureCanvasAgg(made)
    return made


def entitle(axes: Axes, title: str = "", height: float = 1.015) -> None:
    """Give a panel its title at a fixed height; without one too, or matplotlib looks for a free one at every draw."""
    axes.set_title(title, loc="left", y=height, pad=0)


def label_axis(axes: Axes, side: Literal["x", "y"], label: str, binning: Binning) -> None:
    """Label an axis; a common power of ten goes into the label, values that are few are the ticks."""
    power = binning.power
    axis, write = (axes.xaxis, axes.set_xlabel) if side == "x" else (axes.yaxis, axes.set_ylabel)
    write(safe_label(label) + (f"  (× 10{str(power).translate(RAISED)})" if power else ""))
    if binning.values is not None and len(binning.values) <= MOST_NAMED:
        axis.set_ticks([float(value) for value in binning.values])
        axis.set_ticks([], minor=True)
    axis.set_major_formatter(lambda value, _: f"{value / 10.0**power:.6g}".replace("-", "−"))


def label_numbers(axis: Axis) -> None:
    """Write numbers, or decades where the axis is logarithmic, as plain text: ten times faster than formulas."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if axis.get_scale() != "log":
        axis.set_major_formatter(lambda value, _: f"{value:.6g}".replace("-", "−"))
        return
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(lambda value, _: power_of_ten(value))
    axis.set_minor_formatter(NullFormatter())


def power_of_ten(value: float) -> str:
    """Write a decade.

    >>> power_of_ten(1e-4), power_of_ten(1.0), power_of_ten(0.0)
    ('10⁻⁴', '1', '')
    """
    if value <= 0:
        return ""
    power = round(math.log10(value))
    return {0: "1", 1: "10"}.get(power, "10" + str(power).translate(RAISED))


def safe_label(text: str) -> str:
    """Label that matplotlib shows as it is: no formula starts in it, no line breaks, not too long.

    >>> print(safe_label("cost_$x$ [%]"))
    cost_\\$x\\$ [%]
    """
    flat = " ".join(CONTROL.sub(" ", text).split()) or "(no name)"
    short = flat if len(flat) <= LONGEST_LABEL else flat[: LONGEST_LABEL - 1] + "…"
    return short.replace("$", r"\$")


def safe_names(names: tuple[str, ...]) -> dict[str, str]:
    """File name for each column: letters, digits, dash and underscore, none twice.

    >>> safe_names(("px", "a/b", "a b"))
    {'px': 'px', 'a/b': 'a_b', 'a b': 'a_b_2'}
    """
    given: dict[str, str] = {}
    for name in names:
        base = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:40] or "column"
        taken, number, chosen = set(map(str.lower, given.values())), 1, base
        while chosen.lower() in taken:
            chosen, number = f"{base}_{number + 1}", number + 1
        given[name] = chosen
    return given
