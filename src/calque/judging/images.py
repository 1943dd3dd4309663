"""Columns of images in a few numbers an event: what can be looked at, and what measures of single columns can take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.views import View
from calque.table import Array, Table

Numbers = NDArray[np.float64]

LIT = 0.1  # of the brightest pixel that an event typically has: from there on a pixel counts as lit
TYPICAL = 2000  # events that tell what is typical


def image_columns(table: Table) -> tuple[str, ...]:
    """Features of more than one number an event."""
    return tuple(name for name in table.features if table[name].ndim > 1)


@dataclass(frozen=True)
class Summary:
    """One column of images in numbers: sum, max, lit (pixels of at least `level`), and the centre along each axis.

    The centre is the mean index, weighted by |pixel|; of an event without any it is the middle.
    """

    name: str
    level: float

    @classmethod
    def of(cls, table: Table, name: str) -> Summary:
        """Take the level from a table."""
        pixels = table[name][:TYPICAL].reshape(min(len(table), TYPICAL), -1)
        return cls(name, LIT * float(np.median(pixels.max(axis=1))))

    def __call__(self, images: Array) -> dict[str, Numbers]:
        """Images (N, …) → columns (N,), named after the image."""
        flat, size = images.reshape(len(images), -1), np.abs(images)
        total = size.reshape(len(images), -1).sum(1, dtype=np.float64)
        found = {"sum": flat.sum(1, dtype=np.float64), "max": flat.max(1).astype(np.float64),
                 "lit": (flat >= self.level).sum(1).astype(np.float64)}
        for axis in range(1, images.ndim):
            along = size.sum(tuple(set(range(1, images.ndim)) - {axis}), dtype=np.float64)
            middle = (images.shape[axis] - 1) / 2
            # from the middle, which is where an empty event lies then
            lean = (along * (np.arange(images.shape[axis]) - middle)).sum(1)
            found[f"centre_{axis - 1}"] = middle + lean / np.where(total > 0, total, 1.0)
        return {f"{self.name}.{what}": values for what, values in found.items()}


def image_view(real: Table) -> View | None:
    """The view "images": every image in a few numbers that vary in real rows; None where there are no images."""
    names = image_columns(real)
    if not names:
        return None
    summaries = tuple(Summary.of(real, name) for name in names)
    kept = summarised(real, summaries).varying
    return View("images", lambda table: summarised(table, summaries).keep(kept))


def summarised(table: Table, summaries: tuple[Summary, ...]) -> Table:
    """A table without its images, with their summaries; the weight stays."""
    gone = {summary.name for summary in summaries}
    units = {f"{name}.{what}": table.units[name] for name in gone & set(table.units) for what in ("sum", "max")}
    new = {key: values for summary in summaries for key, values in summary(table[summary.name]).items()}
    kept = {name: array for name, array in table.columns.items() if name not in gone}
    return Table.of({**kept, **new}, {**table.units, **units}, table.weight, table.source)
