"""Cells of showers, layer by layer: what share of them has energy, and how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calque.errors import ConfigError
from calque.geometry import Geometry
from calque.judging.joint.draws import Index, Numbers, check_totals, counts, estimate, null_blocks
from calque.judging.joint.moments import block_starts
from calque.judging.measure import Estimate
from calque.judging.resampling import REPLICAS
from calque.judging.samples import NotMeasurableError, Sample, comparable, effective
from calque.judging.showers.layers import Layer, layers_of
from calque.table import Table

MOST_ROWS = 100_000  # for the null
LEAST_CELLS = 200.0  # real cells with energy in a bin, so that a spectrum of few is coarse
LOOKED_AT = 2000  # real showers that tell the bins


@dataclass(frozen=True)
class ShowerCells:
    """Sparsity and spectrum of the cells of every layer.

    "sparsity" is the mean share of cells with an energy above zero, generated over real: 1 is the same. "cell_spectrum"
    is the separation power ½ Σ (p − q)²/(p + q) of the energies above zero in at most `bins` bins of equal real
    content: 0 is the same, 1 is disjoint. Cells of one shower belong together: replicas draw whole showers. Weights
    count, negative ones too. Without a geometry there is no estimate.
    """

    geometry: Geometry | None
    bins: int = 50
    blocks: int = 100
    replicas: int = REPLICAS

    def __post_init__(self) -> None:
        if self.bins < 2 or self.blocks < 20 or self.replicas < 20:
            raise ConfigError(f"bins = {self.bins}, blocks = {self.blocks}, replicas = {self.replicas}: at least 2, 20 "
                              "and 20")

    @property
    def name(self) -> str:
        """Name of the measure."""
        return "cells"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate both for every layer; raises NotMeasurableError without images of the geometry."""
        comparable(real, fake)
        if self.geometry is None:
            return ()
        layers = layers_of(self.geometry, real.features)
        if not layers:
            raise NotMeasurableError(f"{real.source} has no images of {self.geometry.name}")
        return tuple(one for layer in layers for one in self.of_layer(layer, real, fake, reference, seed))

    def of_layer(
        self, layer: Layer, real: Table, fake: Table, reference: Table | None, seed: int
    ) -> Iterator[Estimate]:
        """Both measures of one layer; nothing of a layer in which no real shower has energy."""
        edges = spectrum_edges(layer.cells(real.rows(slice(LOOKED_AT))), self.bins)
        if edges is None:
            return
        given = [binned(layer, table, edges) for table in (real, fake)]
        more = None if reference is None else binned(layer, reference, edges)
        check_totals(*given, more)
        least = min(effective(sample.weights) for sample in given)
        ours, theirs = (Filled.of(sample.draw(len(sample), seed, "blocks"), self.blocks) for sample in given)
        null = Filled.of(*null_blocks(given[0], more, least, MOST_ROWS, self.blocks, seed))
        shares = {f"share_{name}": float(cells.shares(np.ones((1, len(cells))))[0])
                  for name, cells in (("real", ours), ("fake", theirs))}
        yield estimate("sparsity", layer.name, ratio, ours, theirs, null, self.replicas, seed, worse="away",
                       cells=ours.cells, **shares)
        yield estimate("cell_spectrum", layer.name, separation, ours, theirs, null, self.replicas, seed,
                       bins=len(edges) + 1)


@dataclass(frozen=True)
class Filled:
    """Σw (K,) of K blocks of showers, and the weighted counts (K, B) of their cells in B bins of energy above zero."""

    weights: Numbers
    contents: Numbers
    cells: int
    effective: float

    @classmethod
    def of(cls, sample: Sample, blocks: int) -> Filled:
        """Sum up showers (counts in bins, cells), which come in random order."""
        starts = block_starts(len(sample), blocks)
        contents = np.add.reduceat(sample.weights[:, None] * sample.values[:, :-1], starts)
        return cls(np.add.reduceat(sample.weights, starts), contents, int(sample.values[0, -1]),
                   effective(sample.weights))

    def __len__(self) -> int:
        return len(self.weights)

    def shares(self, times: Numbers) -> Numbers:
        """Mean share (R,) of cells with energy, of blocks that count so many times (R, K)."""
        return np.asarray((times @ self.contents.sum(axis=1)) / (times @ self.weights) / self.cells)

    def spectra(self, times: Numbers) -> Numbers:
        """Shares (R, B) of the cells with energy in the bins."""
        contents = times @ self.contents
        total = contents.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(contents, total, out=np.zeros_like(contents), where=total != 0))


def spectrum_edges(cells: Numbers, most: int) -> Numbers | None:
    """Inner edges of bins of equal content of the energies (N, V) above zero; None where there are none."""
    energies = np.sort(cells[cells > 0])
    if not len(energies):
        return None
    count = int(np.clip(len(energies) / LEAST_CELLS, 2, most))
    inner: Numbers = np.unique(np.quantile(energies, np.arange(1, count) / count))
    return inner


def binned(layer: Layer, table: Table, edges: Numbers) -> Sample:
    """Showers as the counts of their cells with energy in the bins, and the number of all cells."""
    cells = layer.cells(table)
    row, _ = filled = np.nonzero(cells > 0)
    bins = len(edges) + 1
    place = row * bins + np.searchsorted(edges, cells[filled])
    contents = np.bincount(place, minlength=len(cells) * bins).reshape(len(cells), bins).astype(np.float64)
    return Sample(np.concatenate([contents, np.full((len(cells), 1), float(cells.shape[1]))], axis=1), table.weights)


def ratio(real: Filled, fake: Filled, drawn: Index, drawn_too: Index) -> Numbers:
    """Mean shares of cells with energy (R,), generated over real."""
    ours, theirs = real.shares(counts(drawn, len(real))), fake.shares(counts(drawn_too, len(fake)))
    return np.divide(theirs, ours, out=np.ones_like(ours), where=ours != 0)


def separation(real: Filled, fake: Filled, drawn: Index, drawn_too: Index) -> Numbers:
    """½ Σ (p − q)²/(p + q) (R,)."""
    ours, theirs = real.spectra(counts(drawn, len(real))), fake.spectra(counts(drawn_too, len(fake)))
    both = ours + theirs
    return np.asarray(np.divide((ours - theirs) ** 2, both, out=np.zeros_like(both), where=both != 0).sum(axis=1) / 2)
