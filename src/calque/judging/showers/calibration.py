"""Response and resolution of a calorimeter in bins of incident energy, generated against real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from calque.errors import ConfigError
from calque.geometry import Geometry
from calque.judging.conditional.bins import Bins
from calque.judging.conditional.response import edges
from calque.judging.joint.draws import Index, Numbers, again, check_totals, counts, estimate, every, null_blocks
from calque.judging.joint.moments import block_starts
from calque.judging.measure import Estimate
from calque.judging.resampling import REPLICAS
from calque.judging.samples import NotMeasurableError, Sample, comparable, effective
from calque.judging.showers.layers import INCIDENT, energy_unit, incident, layers_of, totals
from calque.seeds import numpy_stream
from calque.table import Table

MOST_ROWS = 1_000_000  # for the null
ABSENT = 1.0  # how far a bin without generated showers is off
MEASURES = ("energy_response", "energy_resolution")
HOW = "error: null of real showers, and bootstrap beyond it; floor: the worst bin of real showers"

InBins = list[dict[str, Any]]


@dataclass(frozen=True)
class Calibration:
    """How far mean response and relative resolution are from the real ones, in the worst of `bins` of incident energy.

    Response is total over incident energy; its mean is "energy_response", its standard deviation over its mean
    "energy_resolution". Both are |generated / real − 1| in the bin that is farthest off: 0 is the same, 0.01 is one per
    cent. Bins hold equal weight of the real showers, or one energy each where those are few. `details` has all bins.
    Weights count, negative ones too. Without a geometry there is no estimate.
    """

    geometry: Geometry | None
    bins: int = 10
    blocks: int = 100
    replicas: int = REPLICAS

    def __post_init__(self) -> None:
        if self.bins < 1 or self.blocks < 20 or self.replicas < 20:
            raise ConfigError(f"bins = {self.bins}, blocks = {self.blocks}, replicas = {self.replicas}: at least 1, 20 "
                              "and 20")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return "calibration"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate both; raises NotMeasurableError without images, or incident energies above zero."""
        comparable(real, fake)
        if self.geometry is None:
            return ()
        given = [responses(table, self.geometry) for table in (real, fake)]
        more = None if reference is None else responses(reference, self.geometry)
        check_totals(*given, more)
        bins = Bins.of(real, INCIDENT, self.bins)
        least = min(effective(sample.weights) for sample in given)
        ours, theirs = (Sums.of(sample.draw(len(sample), seed, "blocks"), bins, self.blocks) for sample in given)
        rows, blocks = null_blocks(given[0], more, least, MOST_ROWS, self.blocks, seed)
        null = Sums.of(rows, bins, blocks)
        shown = in_bins(ours, theirs, bins, edges(bins, real[INCIDENT]), self.replicas, seed)
        return tuple(
            estimate(measure, INCIDENT, partial(worst, moment=moment), ours, theirs, null, self.replicas, seed, how=HOW,
                     **located(shown[measure])) for moment, measure in enumerate(MEASURES))


@dataclass(frozen=True)
class Sums:
    """Σw, Σw r and Σw r² (K, B, 3) of responses r in K blocks of showers and B bins of incident energy."""

    moments: Numbers
    effective: float

    @classmethod
    def of(cls, sample: Sample, bins: Bins, blocks: int) -> Sums:
        """Sum up showers (energy, response), which come in random order."""
        energy, response = sample.values.T
        starts = block_starts(len(sample), blocks)
        block = np.searchsorted(starts, np.arange(len(sample)), side="right") - 1
        cell = block * len(bins) + bins.place(energy)
        size = len(starts) * len(bins)
        parts = [np.bincount(cell, sample.weights * response**power, size).astype(float) for power in range(3)]
        return cls(np.stack(parts, axis=1).reshape(len(starts), len(bins), 3), effective(sample.weights))

    def __len__(self) -> int:
        return len(self.moments)

    def calibrated(self, drawn: Index) -> tuple[Numbers, Numbers]:
        """Mean and relative spread (R, B) of the response in drawn blocks (R, n); NaN in a bin without showers."""
        sums = (counts(drawn, len(self)) @ self.moments.reshape(len(self), -1)).reshape(-1, *self.moments.shape[1:])
        weight = np.where(sums[..., 0] > 0, sums[..., 0], np.nan)
        mean, square = sums[..., 1] / weight, sums[..., 2] / weight
        return mean, np.sqrt(np.maximum(square - mean**2, 0)) / np.where(mean > 0, mean, np.nan)


def responses(table: Table, geometry: Geometry) -> Sample:
    """Showers as (incident energy as it is, response), with weights."""
    layers = layers_of(geometry, table.features)
    unit = energy_unit(table, layers)
    energy = incident(table, unit)
    if not layers or energy is None or not (energy > 0).all():
        raise NotMeasurableError(f"the response takes images of showers and incident energies above zero, in a column "
                                 f"{INCIDENT!r} of {table.source}")
    response = totals(table, layers, unit).sum(axis=1) / energy
    return Sample(np.stack([table[INCIDENT].astype(np.float64), response], axis=1), table.weights)


def worst(real: Sums, fake: Sums, drawn: Index, drawn_too: Index, moment: int) -> Numbers:
    """Largest |generated / real − 1| (R,) of any bin, of the mean (0) or the relative spread (1) of the response."""
    ours, theirs = real.calibrated(drawn)[moment], fake.calibrated(drawn_too)[moment]
    off = np.abs(theirs / np.where(ours > 0, ours, np.nan) - 1)
    return np.asarray(np.nan_to_num(off, nan=ABSENT).max(axis=1))


def in_bins(real: Sums, fake: Sums, bins: Bins, edge: Sequence[float], replicas: int, seed: int) -> dict[str, InBins]:
    """Real and generated values of every bin and their ratio, each with the spread of its bootstrap, by measure."""
    stream = numpy_stream(seed, "judging/calibration/bins")
    values = [cells.calibrated(every(cells)) for cells in (real, fake)]
    drawn = [cells.calibrated(again(every(cells)[0], replicas, stream)) for cells in (real, fake)]
    found = {}
    for moment, measure in enumerate(MEASURES):
        ours, theirs = (one[moment] for one in values)
        columns = {"real": ours[0], "fake": theirs[0], "ratio": (theirs / ours)[0]}
        columns |= {f"{name}_error": np.std(one, axis=0) for name, one in (
            ("real", drawn[0][moment]), ("fake", drawn[1][moment]), ("ratio", drawn[1][moment] / drawn[0][moment]))}
        found[measure] = [{"label": label, "low": edge[place], "high": edge[place + 1],
                           **{name: float(column[place]) for name, column in columns.items()}}
                          for place, label in enumerate(bins.labels)]
    return found


def located(rows: InBins) -> dict[str, Any]:
    """Name the bin that is farthest off."""
    off = [abs(float(row["ratio"]) - 1) for row in rows]
    place = int(np.argmax(np.nan_to_num(off, nan=ABSENT)))
    return {"where": rows[place]["label"], "ratio": rows[place]["ratio"], "bins": rows}
