"""Both tails of a column: the share of events beyond each place, so that the last per mille can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calque.judging.drawing.binning import Binning, central_range
from calque.judging.drawing.overlays import Ratio, draw_ratio, middles, points, ratio_reach
from calque.judging.drawing.paper import FAKE, REAL, entitle, figure, label_axis, label_numbers
from calque.judging.drawing.plot import Data, Numbers, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEGIN, END = 0.1, 1e-4  # shares of the real events between which a tail is drawn
LEAST_ROWS = 4.0  # effective rows beyond the last place
STEPS = 24
STEEP = 30.0  # ratio of the ends of a tail from which its places are at equal ratios
TOLD = (0.01, 0.001)  # shares that are told in words


@dataclass(frozen=True)
class Tail:
    """Share of both samples at or beyond `places` (K,), in ascending order; `side` is −1 (below) or 1 (above)."""

    side: int
    places: Numbers
    real: Numbers
    real_error: Numbers
    fake: Numbers
    fake_error: Numbers

    @property
    def ratio(self) -> Ratio:
        """Generated over real."""
        return Ratio.of(self.real, self.real_error, self.fake, self.fake_error)


def share_beyond(column: Numbers, weights: Numbers, places: Numbers, side: int) -> tuple[Numbers, Numbers]:
    """Weighted share of a column at or beyond places, and its error.

    With p = Σ'w/Σw over the rows beyond, its variance is (Σ'w² (1 − p)² + Σ''w² p²)/(Σw)², Σ'' over the others.

    >>> share, error = share_beyond(np.arange(4.0), np.ones(4), np.array([1.0, 3.0]), side=1)
    >>> share.tolist(), error.tolist() == np.sqrt(share * (1 - share) / 4).tolist()
    ([0.75, 0.25], True)
    """
    order = np.argsort(side * column)[::-1]
    count = np.searchsorted(-side * column[order], -side * places, side="right")
    held, squares = (np.concatenate([[0.0], np.cumsum(w[order])]) for w in (weights, weights**2))
    share = held[count] / held[-1]
    variance = squares[count] * (1 - share) ** 2 + (squares[-1] - squares[count]) * share**2
    return share, np.sqrt(np.maximum(variance, 0)) / abs(held[-1])


def tails(
    real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers], logarithmic: bool = False
) -> tuple[Tail, ...]:
    """Follow the tails of a column, each sample as (column, weights), from 10 % of the real events outwards.

    A side whose outermost value is a heap of 10 % of the real events has no tail. `logarithmic` asks for places at
    equal ratios, where they are positive.
    """
    column, weights = real
    begins = central_range(column, np.abs(weights), BEGIN)
    ends = central_range(column, np.abs(weights), END, LEAST_ROWS)
    sides = zip((-1, 1), begins, ends, strict=True)
    return tuple(follow(real, fake, side, begin, end, logarithmic) for side, begin, end in sides if begin != end)


def follow(
    real: tuple[Numbers, Numbers], fake: tuple[Numbers, Numbers], side: int, begin: float, end: float,
    logarithmic: bool = False,
) -> Tail:
    """Take shares at equal steps, or at equal ratios."""
    low, high = min(begin, end), max(begin, end)
    spaced = np.geomspace if logarithmic and 0 < STEEP * low < high else np.linspace
    places = np.asarray(spaced(low, high, STEPS), dtype=np.float64)
    return Tail(side, places, *share_beyond(*real, places, side), *share_beyond(*fake, places, side))


def draw_tails(pair: tuple[Tail, ...], label: str, binning: Binning) -> Figure:
    """Draw the lower tail left and the upper right, generated / real below each; or the only one."""
    made = figure(6.4, 5.0)
    panels = made.subplots(2, len(pair), sharex="col", sharey="row", height_ratios=(3, 1), squeeze=False)
    made.subplots_adjust(left=0.145, right=0.965, top=0.93, bottom=0.14, hspace=0.06, wspace=0.07)
    reach = ratio_reach(*(np.concatenate(parts) for parts in zip(*map(known, pair), strict=True)))
    for place, tail in enumerate(pair):
        upper, lower = panels[:, place]
        draw_shares(upper, tail)
        edges = steps(tail.places)
        draw_ratio(lower, edges, tail.ratio, reach, tail.places)
        entitle(upper, "share at or below" if tail.side < 0 else "share at or above")
        entitle(lower)
        lower.set_xlim(edges[0], edges[-1])
        label_axis(lower, "x", label, Binning(edges, logarithmic=are_ratios(tail.places), base=binning.offset))
        upper.tick_params(labelleft=not place)
        lower.tick_params(labelleft=not place)
    set_scale(panels[0, 0], pair)
    for axes, text in ((panels[0, 0], "share of events"), (panels[1, 0], "gen. / real")):
        axes.set_ylabel(text, loc="top" if axes is panels[0, 0] else "center")
    if len(pair) > 1:
        if panels[1, 0].get_xlabel() == panels[1, 1].get_xlabel():
            panels[1, 0].set_xlabel("")
        panels[1, 1].set_ylabel("")
    panels[0, -1].legend(loc="upper right")
    made.align_ylabels(panels[:, 0])
    return made


def known(tail: Tail) -> tuple[Numbers, Numbers]:
    """Ratio and its error."""
    return tail.ratio.value, np.hypot(tail.ratio.error, tail.ratio.spread)


def draw_shares(axes: Axes, tail: Tail) -> None:
    """Draw both samples with their errors."""
    low, high = tail.fake - tail.fake_error, tail.fake + tail.fake_error
    points(axes, tail.places, tail.real, tail.real_error, REAL, 4.0, "real")
    axes.fill_between(tail.places, low, high, color=FAKE, alpha=0.25, linewidth=0)
    axes.plot(tail.places, tail.fake, color=FAKE, linewidth=1.6, label="generated")


def set_scale(axes: Axes, pair: tuple[Tail, ...]) -> None:
    """Share one logarithmic scale, from the last real event to a little above where the tails begin."""
    shares = np.concatenate([tail.real for tail in pair])
    axes.set_yscale("log")
    axes.set_ylim(max(float(shares[shares > 0].min(initial=1.0)), 1e-8) / 4, 3 * max(float(shares.max()), BEGIN))
    label_numbers(axes.yaxis)


def steps(places: Numbers) -> Numbers:
    """Edges halfway between places at equal steps, or at equal ratios."""
    if are_ratios(places):
        return np.asarray(np.exp(steps(np.log(places))))
    half = (places[1] - places[0]) / 2
    return np.concatenate([[places[0] - half], middles(places), [places[-1] + half]])


def are_ratios(places: Numbers) -> bool:
    """Whether places are at equal ratios."""
    if places[0] <= 0:
        return False
    return bool(np.allclose(np.diff(np.log(places)), np.log(places[1] / places[0]))
                and not np.allclose(np.diff(places), places[1] - places[0]))


def in_words(pair: tuple[Tail, ...], label: str) -> str:
    """Say where the last real 1 % and 0.1 % begin, and what share of the generated events lies there."""
    told = []
    for tail in pair:
        for share in TOLD:
            beyond = np.flatnonzero((tail.real > 0) & (tail.real <= share))
            if len(beyond):
                at = beyond[-1] if tail.side < 0 else beyond[0]
                told.append(f"{'below' if tail.side < 0 else 'above'} {number(tail.places[at])} lie "
                            f"{number(100 * tail.real[at], 2)} % of the real and "
                            f"{number(100 * tail.fake[at], 2)} % of the generated events")
    return f"Tails of {label}: " + ("; ".join(told) or "neither falls below 1 % of the real events")


def in_numbers(pair: tuple[Tail, ...], label: str) -> Data:
    """Give the places of the tails, lower then upper, as columns."""
    columns = [{
        "real": tail.real, "real_error": tail.real_error, "generated": tail.fake, "generated_error": tail.fake_error,
        "ratio": tail.ratio.value,
        "ratio_error": np.hypot(tail.ratio.error, tail.ratio.value * tail.ratio.spread),
    } for tail in pair]
    joined = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    return Data("points", {label: np.concatenate([tail.places for tail in pair])}, joined)
