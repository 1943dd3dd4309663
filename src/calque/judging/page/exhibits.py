"""A plot as the page shows it: picture, words, numbers, and where its axes lie."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from calque.judging.drawing.plot import STILL, Data, Numbers, Plot, number
from calque.judging.page.vector import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECTIONS = {
    "showers": ("Showers", "Response and resolution in bins of incident energy and what layers hold on average, with "
                           "the ratio below; of each layer the mean shower, a few showers side by side (real ones, and "
                           "the generated ones nearest to them in energy), and the energies of its cells. Colours are "
                           "logarithmic; white is nothing."),
    "images": ("Images", "The mean of all events, a few events side by side (real ones, and the generated ones nearest "
                         "to them in the other columns), and the values of single pixels."),
    "columns": ("Columns", "Share of events per bin, and the ratio of generated to real events. Bars and bands are "
                           "one standard deviation; triangles lie beyond the axis."),
    "tails": ("Tails", "Share of events at or beyond each place, from the last tenth of the real events outwards. "
                       "Neighbouring points hold the same events, so they move together."),
    "pairs": ("Pairs", "Two columns at a time: real, generated, and their difference in standard deviations."),
    "classifiers": ("Classifiers", "The output for events that the classifier did not see (1 looks real), and its ROC "
                                   "curve: the share of real events that pass a threshold against that of the "
                                   "generated ones. On the diagonal it cannot tell."),
    "training": ("Training", "The watched measures and the losses against steps; dotted: the ideal. Of a critic also "
                             "the histogram of its weights, and its loss against the quality."),
}
SHOWN = 8  # rows of a table before it is asked for in full
DIGITS = {"axes": 9, "columns": 6}


@dataclass(frozen=True)
class Exhibit:
    """What the template needs of one plot; `json` holds the numbers, and where the axes lie in the picture."""

    name: str
    id: str
    title: str
    alt: str
    svg: str
    pdf: str
    json: str
    wide: bool
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    rest: str
    flags: tuple[str, ...]
    square: tuple[str, str, float] | None = None

    @classmethod
    def of(cls, plot: Plot, place: int, flags: Sequence[tuple[str, str, str]] = ()) -> Exhibit:
        """Render a plot; `place` numbers its ids, `flags` are measure, title and excess of what stands out in it."""
        identity, table = f"plot-{place}", plot.data.table()
        chosen, rest = preview(plot.data, table)
        rows = tuple(tuple(number(float(column[row]), 4) for column in table.values()) for row in chosen)
        return cls(plot.name, identity, plot.title, plot.alt, inline_svg(plot.svg, f"g{place}"),
                   base64.b64encode(plot.pdf).decode(), script_safe(described(plot)),
                   plot.wide or plot.data.kind == "cells",
                   tuple(name.replace("_", " ") for name in heads(table)), rows, rest,
                   tuple(f"{title} {excess}" for measure, title, excess in flags if shows(plot, measure)),
                   square(plot.data))


def shows(plot: Plot, measure: str) -> bool:
    """Whether a measure of a column is told beside this plot: of the tails beside the tails."""
    return plot.section == ("tails" if measure.startswith("tail") else "columns")


def heads(table: Mapping[str, Numbers]) -> Iterable[str]:
    """Headings of a table; an error is one of what stands before it."""
    return ("±" if before and name == f"{before}_error" else name for before, name in pairwise(["", *table]))


def preview(data: Data, table: Mapping[str, Numbers]) -> tuple[Iterable[int], str]:
    """Rows to begin with, and what they are: of cells those that differ most."""
    count = len(next(iter(table.values())))
    if data.kind != "cells" or "pull" not in data.columns:
        return range(min(SHOWN, count)), "" if count <= SHOWN else f"the first {SHOWN} of {count} rows"
    pulls = np.nan_to_num(np.abs(data.columns["pull"]))
    order = np.argsort(-pulls, kind="stable")[:SHOWN]
    return order.tolist(), f"the {SHOWN} cells of {count} that differ most"


def square(data: Data) -> tuple[str, str, float] | None:
    """Names of a pair of columns with their mean squared pull; None for other plots."""
    if data.kind != "cells" or "pull" not in data.columns:
        return None
    pulls = data.columns["pull"]
    known = pulls[np.isfinite(pulls)]
    first, second = data.axes
    return first, second, float(np.mean(known**2)) if len(known) else 0.0


def described(plot: Plot) -> dict[str, Any]:
    """Everything that the page's script reads out, draws or saves of a plot."""
    return {
        "name": plot.name, "kind": plot.data.kind,
        "axes": [[name, short(values, DIGITS["axes"])] for name, values in plot.data.axes.items()],
        "columns": [[name, short(values, DIGITS["columns"])] for name, values in plot.data.columns.items()],
        "frames": [frame(axes, *plot.figure.get_size_inches()) for axes in plot.figure.axes
                   if axes.get_gid() != STILL],
    }


def frame(axes: Axes, width: float, height: float) -> dict[str, Any]:
    """Place of a panel in the picture [points, from above], its limits, and which scales are logarithmic."""
    box = axes.get_position()
    places = (box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height)
    return {
        "box": [round(72 * float(place), 2) for place in places],
        "x": [float(limit) for limit in axes.get_xlim()], "y": [float(limit) for limit in axes.get_ylim()],
        "log": [axes.get_xscale() == "log", axes.get_yscale() == "log"],
    }


def short(values: Numbers, digits: int) -> list[float | int | None]:
    """Numbers of so many digits; what is not finite is None."""
    return [shortest(float(f"{value:.{digits}g}")) if math.isfinite(value) else None for value in values.tolist()]


def shortest(value: float) -> float | int:
    """Write whole numbers without a point."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def script_safe(content: Any) -> str:
    """Write strict JSON that ends no script element and starts no comment.

    >>> script_safe({"</script>": 1})
    '{"\\\\u003c/script\\\\u003e":1}'
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
