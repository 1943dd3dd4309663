"""A figure with its words and its numbers, so that it can be read, heard and computed with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from calque.judging.drawing.paper import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]
STILL = "still"  # the gid of a panel in which the pointer reads nothing
METADATA: dict[str, dict[str, Any]] = {  # no date: the same plot is the same file
    "pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {},
}


@dataclass(frozen=True)
class Data:
    """What a plot shows: `columns` of numbers (K,) along one axis, or over the cells of two.

    `kind` says what `axes` hold by name: "bins" the edges (K + 1,) of one axis, "points" its places (K,), "cells"
    the edges of two axes, whose cells the columns hold row by row. A column NAME_error is the error of NAME.
    """

    kind: Literal["bins", "points", "cells"]
    axes: Mapping[str, Numbers]
    columns: Mapping[str, Numbers]

    def table(self) -> dict[str, Numbers]:
        """Everything as columns of equal length: bins by their edges."""
        sides = {name: self.sides(name, edges) for name, edges in self.axes.items()}
        if self.kind == "cells":
            (_, first), (_, second) = sides.items()
            count = len(next(iter(first.values()))), len(next(iter(second.values())))
            placed = {**{name: np.repeat(side, count[1]) for name, side in first.items()},
                      **{name: np.tile(side, count[0]) for name, side in second.items()}}
        else:
            (placed,) = sides.values()
        return {**placed, **self.columns}

    def sides(self, name: str, places: Numbers) -> dict[str, Numbers]:
        """Lower and upper edge of every bin, or the places as they are."""
        if self.kind == "points":
            return {name: places}
        return {f"{name} from": places[:-1], f"{name} to": places[1:]}


@dataclass(frozen=True)
class Plot:
    """One figure of a comparison: file name, title, section of the page, what it says in words, and its numbers.

    `of` is the column that it shows, if it shows one; a `wide` one takes a whole line of the page, as cells do.
    """

    name: str
    title: str
    section: str
    figure: Figure
    alt: str
    data: Data
    of: str = ""
    wide: bool = False

    @cached_property
    def png(self) -> bytes:
        """The figure as pixels."""
        return self.rendered("png")

    @cached_property
    def pdf(self) -> bytes:
        """The figure for paper."""
        return self.rendered("pdf")

    @cached_property
    def svg(self) -> bytes:
        """The figure for a page, its text as text."""
        return self.rendered("svg")

    def rendered(self, kind: str) -> bytes:
        """Draw in one format; equal figures give equal bytes."""
        stream = io.BytesIO()
        with styled():
            self.figure.savefig(stream, format=kind, metadata=METADATA[kind])
        return stream.getvalue()


def number(value: float, digits: int = 3) -> str:
    """Write a number shortly, for words.

    >>> number(0.00012345), number(150.0), number(-1.5e-7), number(float("nan"))
    ('0.000123', '150', '−1.5e−07', '-')
    """
    return f"{value:.{digits}g}".replace("-", "−") if np.isfinite(value) else "-"
