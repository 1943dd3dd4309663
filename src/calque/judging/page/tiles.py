"""Key figures of a report as the page shows them first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from calque.judging.glossary import explained
from calque.judging.measure import Estimate
from calque.judging.page.measures import Row, measured, on_paper, regions, where
from calque.judging.report import STANDS_OUT, Report, excess, farthest_value

LIMITS = (0.6, 0.75, 1.0)  # where the scale of an AUC may end


@dataclass(frozen=True)
class Scale:
    """Where value and floor lie between two limits, each with its error, in per cent."""

    low: float
    high: float
    value: tuple[float, float]
    floor: tuple[float, float] | None

    @classmethod
    def of(cls, estimate: Estimate) -> Scale | None:
        """Place a share between one half, or a little below, and one; None where there is no number."""
        if not math.isfinite(estimate.value):
            return None
        floor = estimate.floor if math.isfinite(estimate.floor) else 0.5
        reach = max(estimate.value, floor)
        high = next((limit for limit in LIMITS if reach < limit - 0.02), 1.0)
        low = min(0.5 - 0.1 * (high - 0.5), estimate.value - 0.02, floor - 0.02)

        def place(value: float, error: float) -> tuple[float, float]:
            width = error if math.isfinite(error) else 0.0
            return 100 * (value - low) / (high - low), min(100 * width / (high - low), 50.0)

        known = math.isfinite(estimate.floor)
        return cls(low, high, place(estimate.value, estimate.error),
                   place(estimate.floor, estimate.floor_error) if known else None)


@dataclass(frozen=True)
class Tile:
    """A key figure: what, the number, where, the comparison; a scale, or a bar with or without the mark of 3."""

    label: str
    number: str
    note: str
    against: str
    stands_out: bool
    scale: Scale | None = None
    bar: float | None = None
    marked: bool = False
    link: str = ""


def tiles(report: Report, beyond: int, judged: int) -> list[Tile]:
    """The worst AUC, the worst column, copying, how many of all numbers lie beyond their floors; a corner that does."""
    made = [response_tile(report), *calibration_tiles(report),
            share_tile("Worst AUC", report.worst), column_tile(report.worst_column),
            share_tile("Copying", max(report.of("copying"), key=lambda found: found.value, default=None)),
            Tile("Beyond their floors", f"{beyond} of {judged}", "numbers",
                 f"by {STANDS_OUT:g} standard deviations or more", beyond > 0, bar=beyond / judged) if judged else None,
            corner_tile(next(iter(regions(report)), None))]
    return [tile for tile in made if tile is not None]


def share_tile(label: str, estimate: Estimate | None) -> Tile | None:
    """Show an AUC or a share of copies on its scale."""
    if estimate is None:
        return None
    title = explained(estimate.measure).title
    note = f"{estimate.of} view" if label == title else f"{title}, {estimate.of} view"
    return Tile(label, on_paper(estimate.text), note,
                f"floor {measured(estimate.floor, estimate.floor_error)}", excess(estimate) >= STANDS_OUT,
                Scale.of(estimate))


def column_tile(estimate: Estimate | None) -> Tile | None:
    """Show the column that is farthest beyond its floor."""
    if estimate is None:
        return None
    row = Row.of_estimate(estimate)
    return Tile("Worst column", estimate.of, f"{explained(estimate.measure).title} {row.value}",
                f"{row.excess} standard deviations from its floor, {row.floor}", row.stands_out,
                bar=row.bar, marked=True)


def response_tile(report: Report) -> Tile | None:
    """Show how far images of the same parameters are apart, and where most."""
    found, bins = farthest_value(report.of("response")), farthest_value(report.of("response_in_bins"))
    if found is None:
        return None
    note = f"of the pixels' spread, {100 * bins.value:.2g} % where {where(bins)}" if bins else "of the pixels' spread"
    floor = f"{100 * found.floor:.2g} %" if math.isfinite(found.floor) else "not known: no parameters are repeated"
    return Tile("Images of the same parameters", f"{measured(100 * found.value, 100 * found.error)} %", note,
                f"floor {floor}", excess(found) >= STANDS_OUT)


def calibration_tiles(report: Report) -> list[Tile]:
    """Show how far response and resolution of showers are off, and where most."""
    return [Tile(explained(found.measure).title, f"{measured(100 * found.value, 100 * found.error)} %",
                 f"off where {where(found)}", f"floor {measured(100 * found.floor, 100 * found.floor_error)} %",
                 excess(found) >= STANDS_OUT, bar=Row.of_estimate(found).bar, marked=True)
            for found in report.of("energy_response", "energy_resolution")]


def corner_tile(estimate: Estimate | None) -> Tile | None:
    """Show the worst corner, where it stands out."""
    if estimate is None or excess(estimate) < STANDS_OUT:
        return None
    row = Row.of_estimate(estimate)
    return Tile("Worst corner", where(estimate), f"{row.value} generated over real events",
                f"{row.excess} standard deviations from its floor, {row.floor}", True, bar=row.bar, marked=True,
                link="corners")
