"""Boosted trees that tell real rows from generated ones: the note's, and the same on binned columns."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calque.extras import need
from calque.judging.classifying.scores import Scores
from calque.judging.samples import Sample

Kind = Literal["fast", "note", "network", "calochallenge", "evaluate"]
KINDS: tuple[Kind, ...] = ("fast", "note", "network", "calochallenge", "evaluate")
NETWORKS = ("network", "calochallenge", "evaluate")
MOST_BINS = 255  # what scikit-learn's histogram trees can hold


@dataclass
class BinnedTrees:
    """Histogram gradient boosting on columns that are binned here, by weighted quantiles.

    Same trees as the note's (100, rate 0.1, depth 4), about forty times faster. scikit-learn's own binning
    with weights sorts every column again for each of 254 quantiles; this sorts it once.
    """

    seed: int

    def fit(self, values: NDArray[np.float64], labels: NDArray[np.int64], sample_weight: Any) -> BinnedTrees:
        """Train on rows (N, D) with labels and weights (N,)."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        self.edges = [bin_edges(column, sample_weight) for column in values.T]
        self.trees = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.1, max_depth=4, max_leaf_nodes=16, min_samples_leaf=1,
            early_stopping=False, random_state=self.seed,
        ).fit(self.binned(values), labels, sample_weight=sample_weight)
        return self

    def predict_proba(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (N, 2) of being generated and real."""
        probabilities: NDArray[np.float64] = self.trees.predict_proba(self.binned(values))
        return probabilities

    def binned(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replace every value by the number of its bin."""
        return np.stack([np.searchsorted(edges, column) for edges, column in zip(self.edges, values.T, strict=True)],
                        axis=1).astype(np.float64)


def bin_edges(
    column: NDArray[np.float64], weights: NDArray[np.float64], most: int = MOST_BINS
) -> NDArray[np.float64]:
    """Upper edges of at most so many bins: one per value where they are few, else equal weight in each."""
    order = np.argsort(column)
    ordered = column[order]
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    if len(distinct) <= most:
        return distinct[:-1]
    cumulative = np.cumsum(weights[order])
    wanted = cumulative[-1] * np.arange(1, most) / most
    return np.unique(ordered[np.minimum(np.searchsorted(cumulative, wanted), len(ordered) - 1)])


def train(kind: Kind, real: Sample, fake: Sample, seed: int) -> Any:
    """Fit a classifier (real 1, generated 0), both classes of the same total weight."""
    values, labels, weights = stacked(real, fake)
    return untrained(kind, seed).fit(values, labels, sample_weight=weights)


def untrained(kind: Kind, seed: int) -> Any:
    """Make a classifier of this kind: `fit(values, labels, sample_weight)`, `predict_proba(values)`."""
    state = seed % 2**32
    if kind == "fast":
        return BinnedTrees(state)
    if kind in NETWORKS:
        from calque.judging.classifying.network import DESIGNS, Network

        return Network(seed, DESIGNS[kind])
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=100, learning_rate=0.1, max_depth=4, random_state=state)


def stacked(real: Sample, fake: Sample) -> tuple[Any, Any, Any]:
    """Rows, labels and weights of both classes, the mean weight of each class being one."""
    values = np.concatenate([real.values, fake.values])
    labels = np.repeat([1, 0], [len(real), len(fake)])
    weights = np.concatenate([sample.weights / sample.weights.mean() for sample in (real, fake)])
    return values, labels, weights


def score(model: Any, real: Sample, fake: Sample) -> Scores:
    """Probability of being real of both samples."""
    both = model.predict_proba(np.concatenate([real.values, fake.values]))[:, 1]
    return Scores(both[: len(real)], both[len(real):], real.weights, fake.weights)


def limited(threads: int | None) -> AbstractContextManager[Any]:
    """Keep the trees to so many threads; None leaves it to the machine."""
    if threads is None:
        return nullcontext()
    limits = need("threadpoolctl", "a limit on threads").threadpool_limits  # scikit-learn brings it
    limit: AbstractContextManager[Any] = limits(threads, user_api="openmp")
    return limit
