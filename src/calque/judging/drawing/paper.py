"""What every plot shares: style and safe labels."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
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
LETTER, LINE = 7.2, 15.0  # points that a letter of a tick's label is wide, and a label high
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
    """Label an axis; a common power of ten and a large offset go into the label, values that are few are the ticks.

    An axis of logarithmic bins is made logarithmic.
    """
    axis, write = (axes.xaxis, axes.set_xlabel) if side == "x" else (axes.yaxis, axes.set_ylabel)
    if binning.logarithmic:
        write(safe_label(label))
        (axes.set_xscale if side == "x" else axes.set_yscale)("log")
        label_numbers(axis)
        return
    power, offset = binning.power, binning.offset
    write(shifted(safe_label(label), offset) + (f"  (× 10{str(power).translate(RAISED)})" if power else ""))

    def written(value: float, _: object = None) -> str:
        return f"{(value - offset) / 10.0**power:.6g}".replace("-", "−")

    axis.set_major_formatter(written)
    if binning.values is not None and len(binning.values) <= MOST_NAMED:
        places = [float(value) for value in binning.values]
        axis.set_ticks(apart(places, [written(place) for place in places], length(axes, side), binning, side))
        axis.set_ticks([], minor=True)
    elif side == "x":
        thin_out(axes, written, binning)


def shifted(label: str, offset: float) -> str:
    """Write a column from which a number is subtracted, before its unit.

    >>> shifted("t [s]", 1.6e9), shifted("m", -200.0), shifted("x", 0.0)
    ('t − 1.6·10⁹ [s]', 'm + 200', 'x')
    """
    if not offset:
        return label
    name, bracket, unit = label.partition(" [")
    size = abs(offset)
    power = math.floor(math.log10(size))
    text = f"{size:.12g}" if -3 <= power < 5 else f"{size / 10.0**power:.12g}·10{str(power).translate(RAISED)}"
    return f"{name} {'−' if offset > 0 else '+'} {text}{bracket}{unit}"


def length(axes: Axes, side: Literal["x", "y"]) -> float:
    """Length of an axis in letters of its ticks, or in lines of them."""
    place, size = axes.get_position(), axes.get_figure(root=True)
    width, height = (0.0, 0.0) if size is None else size.get_size_inches()
    return float(place.width * width * 72 / LETTER if side == "x" else place.height * height * 72 / LINE)


def apart(
    places: list[float], texts: list[str], room: float, binning: Binning, side: Literal["x", "y"]
) -> list[float]:
    """Leave out ticks whose labels would touch the one before."""
    low, high = float(binning.edges[0]), float(binning.edges[-1])
    kept: list[float] = []
    free = -math.inf
    for place, text in zip(places, texts, strict=True):
        middle, half = room * (place - low) / (high - low), (len(text) / 2 if side == "x" else 0.5)
        if middle - half >= free:
            kept.append(place)
            free = middle + half + (1 if side == "x" else 0)
    return kept


def thin_out(axes: Axes, written: Callable[[float], str], binning: Binning) -> None:
    """Choose so few ticks that their labels do not touch."""
    from matplotlib.ticker import MaxNLocator

    room, (low, high) = length(axes, "x"), binning.edges[[0, -1]]
    for count in (8, 6, 5, 4, 3, 2):
        locator = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])
        inside = [place for place in locator.tick_values(low, high) if low <= place <= high]
        if sum(len(written(place)) + 1.5 for place in inside) <= room:
            break
    axes.xaxis.set_major_locator(locator)


def label_numbers(axis: Axis) -> None:
    """Write numbers, or decades where the axis is logarithmic, as plain text: ten times faster than formulas."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if axis.get_scale() != "log":
        axis.set_major_formatter(lambda value, _: f"{value:.6g}".replace("-", "−"))
        return
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_minor_locator(LogLocator(subs="auto", numticks=8))
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
