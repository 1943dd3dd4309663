"""Differences of rank correlations, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calque.judging.joint.draws import Index, Numbers, check_settings, counts, estimate, every, null_blocks
from calque.judging.joint.moments import block_starts
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, check_weights, effective, flat_names, samples
from calque.judging.views import RAW, View
from calque.table import Table

MOST_LISTED = 100


@dataclass(frozen=True)
class Correlation:
    """Largest absolute difference of Spearman's rank correlations over all pairs of columns.

    `details` names the worst pair and gives the differences (generated − real) of all pairs, the largest hundred where
    there are more. Ranks are weighted, ties get their mean; a constant column correlates with nothing. At most `rows`
    rows a class. One column has no pair, hence no estimate. Negative weights have no ranks and raise DataError.
    Source: Spearman, Am. J. Psychol. 15 (1904) 72; Croux and Dehon, Stat. Methods Appl. 19 (2010) 497 (influence).
    """

    view: View = RAW
    rows: int = 100_000
    blocks: int = 100
    replicas: int = 200

    def __post_init__(self) -> None:
        check_settings({"blocks": 20}, self)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"correlation_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the difference; raises DataError where the tables cannot be compared."""
        first, second, more = samples(self.view, real, fake, reference)
        for table in (real, fake) if reference is None else (real, fake, reference):
            check_weights(table, "a rank correlation")
        if first.values.shape[1] == 1:
            return ()
        held = [Ranked.of(one.draw(self.rows, seed, label), self.blocks)
                for one, label in ((first, "real"), (second, "fake"))]
        least = min(one.effective for one in held)
        known = Ranked.of(*null_blocks(first, more, least, 2 * self.rows, self.blocks, seed))
        pairs = listed_pairs(list(flat_names(self.view(real))), held)
        return (estimate("correlation", self.view.name, largest_difference, held[0], held[1], known, self.replicas,
                         seed, worst=next(iter(pairs)), pairs=pairs),)


@dataclass(frozen=True)
class Ranked:
    """Covariances (D, D) of ranks, and what each of K blocks of rows contributes to them: Σw (K,), Σw G (K, D, D).

    Leaving rows out changes the ranks of the others. To first order each row changes the covariance of ranks by its
    influence G, so a resampling of blocks is a sum. Rows come in random order.
    """

    covariance: Numbers
    weights: Numbers
    influence: Numbers
    effective: float

    @classmethod
    def of(cls, sample: Sample, blocks: int) -> Ranked:
        """Rank the rows of a sample, and sum their influences up in blocks."""
        weights = sample.weights / sample.weights.sum()
        orders = [Order.of(column, weights) for column in sample.values.T]
        ranks = np.stack([order.below(weights[:, None])[:, 0] for order in orders], axis=1) - 0.5
        starts = block_starts(len(sample), blocks)
        influence = np.empty((len(starts), len(orders), len(orders)))
        for column, order in enumerate(orders):
            total = weights @ ranks
            above = total - order.below(weights[:, None] * ranks)  # what a row adds to the ranks of those above it
            influence[:, column] = np.add.reduceat(weights[:, None] * (ranks[:, [column]] * ranks / 2 + above), starts)
        sums = np.add.reduceat(weights, starts)
        symmetric = influence + influence.swapaxes(1, 2)
        covariance = (weights[:, None] * ranks).T @ ranks
        return cls(covariance, sums, symmetric - sums[:, None, None] * symmetric.sum(axis=0), effective(weights))

    def __len__(self) -> int:
        return len(self.weights)

    def correlations(self, drawn: Index) -> Numbers:
        """Rank correlations (R, D, D) of drawn blocks (R, n)."""
        times = counts(drawn, len(self))
        change = (times @ self.influence.reshape(len(self), -1)) / (times @ self.weights)[:, None]
        covariance = self.covariance + change.reshape(-1, *self.covariance.shape)
        spread = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0))
        scale = spread[:, :, None] * spread[:, None, :]
        return np.asarray(np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-12))


@dataclass(frozen=True)
class Order:
    """Order of a column's rows, and for each row where its ties begin and end in it."""

    order: Index
    start: Index
    stop: Index

    @classmethod
    def of(cls, column: Numbers, weights: Numbers) -> Order:
        """Sort a column."""
        order = np.argsort(column)
        ordered = column[order]
        return cls(order, np.searchsorted(ordered, column, "left"), np.searchsorted(ordered, column, "right"))

    def below(self, content: Numbers) -> Numbers:
        """Sum of the content (N, D) of all rows below each row, ties counting half."""
        cumulative = np.concatenate([np.zeros((1, content.shape[1])), np.cumsum(content[self.order], axis=0)])
        return np.asarray((cumulative[self.start] + cumulative[self.stop]) / 2)


def largest_difference(first: Ranked, second: Ranked, drawn: Index, drawn_too: Index) -> Numbers:
    """Largest absolute difference (R,) of correlations of drawn blocks."""
    upper = np.triu_indices(len(first.covariance), 1)
    differences = (second.correlations(drawn_too) - first.correlations(drawn))[:, upper[0], upper[1]]
    return np.asarray(np.abs(differences).max(axis=1))


def listed_pairs(names: list[str], held: list[Ranked]) -> dict[str, float]:
    """Differences of all pairs, the largest first."""
    real, fake = (one.correlations(every(one))[0] for one in held)
    pairs = {f"{names[i]}:{names[j]}": float(fake[i, j] - real[i, j]) for i, j in zip(*np.triu_indices(len(names), 1),
                                                                                 strict=True)}
    return dict(sorted(pairs.items(), key=lambda pair: -abs(pair[1]))[:MOST_LISTED])
