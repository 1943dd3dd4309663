"""One column of two samples as the contents of fine cells: what every one-dimensional measure is computed from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calque.judging.resampling import resample
from calque.judging.samples import effective

Numbers = NDArray[np.float64]

BULK = 1500  # cells of equal weight
TAIL = 150  # more cells in each tail, narrower and narrower
LEAST_EVENTS = 20.0  # effective events of a bin


@dataclass(frozen=True)
class Column:
    """Values (N,) and weights (N,) of one column of one sample."""

    values: Numbers
    weights: Numbers

    @property
    def effective(self) -> float:
        """Events of equal weight that would fluctuate as much."""
        return effective(self.weights)

    def joined(self, other: Column | None) -> Column:
        """Both samples as one, each with the total weight that stands for its rows."""
        if other is None:
            return self
        scale = (len(other.weights) / other.weights.sum()) / (len(self.weights) / self.weights.sum())
        return Column(np.concatenate([self.values, other.values]),
                      np.concatenate([self.weights, other.weights * scale]))

    def fill(self, edges: Numbers) -> tuple[Numbers, Numbers]:
        """Share of the weight in each cell (K,), and its variance over that share (K,), its mean where empty."""
        place = np.searchsorted(edges, self.values, side="left")
        cells, total = len(edges) + 1, self.weights.sum()
        share = np.bincount(place, self.weights, cells) / total
        variance = np.bincount(place, np.square(self.weights), cells) / total**2
        mean = np.square(self.weights).sum() / total**2
        return share, np.divide(variance, share, out=np.full(cells, mean), where=share != 0)


@dataclass(frozen=True)
class Shares:
    """Two samples in K cells, once or in R replicas.

    `upper` (K − 1,) are the upper edges of all cells but the last, `position` (K,) their mean values; `real` and
    `fake` (..., K) are shares of the weight; a `scale` (K,) is a sample's variance over its share; `bins` (B,) are
    the first cells of bins that hold enough events for a histogram.
    """

    upper: Numbers
    position: Numbers
    real: Numbers
    fake: Numbers
    real_scale: Numbers
    fake_scale: Numbers
    bins: NDArray[np.intp]

    @property
    def difference(self) -> Numbers:
        """Cumulative share of the real sample minus that of the generated one (..., K)."""
        return np.asarray(np.cumsum(self.real - self.fake, axis=-1))

    def histograms(self) -> tuple[Numbers, Numbers]:
        """Shares in the bins (..., B)."""
        return self.summed(self.real), self.summed(self.fake)

    def variances(self) -> tuple[Numbers, Numbers]:
        """Variances of the shares in the bins (..., B)."""
        return self.summed(self.real * self.real_scale), self.summed(self.fake * self.fake_scale)

    def summed(self, cells: Numbers) -> Numbers:
        """Sum over the cells of every bin."""
        return np.asarray(np.add.reduceat(cells, self.bins, axis=-1))

    def drawn(self, real: Numbers, fake: Numbers, replicas: int, generator: np.random.Generator) -> Shares:
        """Draw both samples anew around expected shares (K,), with their own fluctuations."""
        return replace(self, real=normalised(real, self.real_scale, replicas, generator),
                       fake=normalised(fake, self.fake_scale, replicas, generator))

    def replica(self, row: int) -> Shares:
        """One of R replicas, as if it were the data."""
        return replace(self, real=self.real[row], fake=self.fake[row])


def normalised(share: Numbers, scale: Numbers, replicas: int, generator: np.random.Generator) -> Numbers:
    """Resample shares and make each replica sum to one."""
    drawn = resample(share, np.abs(share * scale), replicas, generator)
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def mixed(real: Column, fake: Column) -> tuple[Numbers, Numbers]:
    """Values of both samples in order, and the cumulative share of a mixture of equal parts of both."""
    values = np.concatenate([real.values, fake.values])
    weights = np.concatenate([np.abs(one.weights) / np.abs(one.weights).sum() for one in (real, fake)])
    order = np.argsort(values)
    return values[order], np.cumsum(weights[order]) / 2


def fine_edges(real: Column, fake: Column) -> Numbers:
    """Upper edges of cells that hold about equally much of both samples together, and ever less in the tails."""
    values, cumulative = mixed(real, fake)
    tail = np.geomspace(1 / len(values), 0.01, TAIL)
    levels = np.concatenate([np.arange(1, BULK) / BULK, tail, 1 - tail])
    return np.unique(values[np.minimum(np.searchsorted(cumulative, levels), len(values) - 1)])


def bin_edges(real: Column, fake: Column, bins: int) -> Numbers:
    """Upper edges of at most `bins` bins of equal weight of both together, each worth some 20 effective events."""
    count = int(np.clip(min(real.effective, fake.effective) / LEAST_EVENTS, 2, bins))
    values, cumulative = mixed(real, fake)
    places = np.searchsorted(cumulative, np.arange(1, count) / count - 1e-12)
    edges = np.unique(values[np.minimum(places, len(values) - 1)])
    return np.asarray(edges[edges < values[-1]])


def exact_shares(real: Column, fake: Column, edges: Numbers) -> Shares:
    """Give each distinct value a cell of its own: distances of the samples themselves."""
    position = np.unique(np.concatenate([real.values, fake.values]))
    return shares_in(position[:-1], position, real, fake, edges)


def fine_shares(real: Column, fake: Column, edges: Numbers) -> Shares:
    """Put the samples in some two thousand cells, for replicas that cost the same for any number of rows."""
    upper = np.union1d(fine_edges(real, fake), edges)
    values = np.concatenate([real.values, fake.values])
    place = np.searchsorted(upper, values, side="left")
    count = np.bincount(place, minlength=len(upper) + 1)
    sums = np.bincount(place, values, len(upper) + 1)
    kept = count > 0
    position = np.interp(np.arange(len(kept)), np.flatnonzero(kept), sums[kept] / count[kept])
    return shares_in(upper, position, real, fake, edges)


def shares_in(upper: Numbers, position: Numbers, real: Column, fake: Column, edges: Numbers) -> Shares:
    """Fill the cells of both samples; bins start after the cells that end at their edges."""
    first, first_scale = real.fill(upper)
    second, second_scale = fake.fill(upper)
    bins = np.concatenate([[0], np.searchsorted(upper, edges, side="left") + 1])
    return Shares(upper, position, first, second, first_scale, second_scale, np.unique(bins[bins < len(position)]))
