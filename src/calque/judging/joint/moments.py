"""Weighted moments of blocks of rows: additive, so any subset of blocks has its mean and covariance for a sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calque.judging.joint.draws import Numbers
from calque.judging.samples import Sample


@dataclass(frozen=True)
class Moments:
    """Σw (K,), Σw² (K,), Σw x (K, D) and Σw x xᵀ (K, D, D) of K blocks of rows, each block a cell.

    Negative weights count as they are. Blocks of one table after another join to those of a longer one.

    >>> from calque.judging.samples import Sample
    >>> rows = Sample(np.array([[0.0], [1.0], [2.0], [3.0]]), np.ones(4))
    >>> whole = Moments.of(rows, blocks=2, seed=0).joined(np.ones((1, 2)))
    >>> whole.mean, whole.covariance
    (array([[1.5]]), array([[[1.66666667]]]))
    """

    weights: Numbers
    squares: Numbers
    first: Numbers
    second: Numbers

    @classmethod
    def of(cls, sample: Sample, blocks: int, seed: int) -> Moments:
        """Sum up rows in random order, in so many blocks of one size or two."""
        drawn = sample.draw(len(sample), seed, "blocks")
        starts = block_starts(len(drawn), blocks)
        parts = [drawn.rows(slice(start, stop)) for start, stop in zip(starts, [*starts[1:], len(drawn)], strict=True)]
        weighted = [(part.weights[:, None] * part.values, part.values) for part in parts]
        return cls(
            np.add.reduceat(drawn.weights, starts), np.add.reduceat(drawn.weights**2, starts),
            np.stack([rows.sum(axis=0) for rows, _ in weighted]), np.stack([rows.T @ x for rows, x in weighted]),
        )

    def __len__(self) -> int:
        return len(self.weights)

    def __add__(self, other: Moments) -> Moments:
        """The blocks of both."""
        return Moments(*(np.concatenate([getattr(self, name), getattr(other, name)])
                         for name in ("weights", "squares", "first", "second")))

    @property
    def effective(self) -> float:
        """Events of equal weight."""
        return float(self.weights.sum() ** 2 / self.squares.sum())

    def joined(self, times: Numbers) -> Gaussians:
        """Sum blocks, each so many times (R, K), to R Gaussians."""
        count, width = self.first.shape
        weights, squares, first = times @ self.weights, times @ self.squares, times @ self.first
        second = (times @ self.second.reshape(count, -1)).reshape(-1, width, width)
        mean = first / weights[:, None]
        biased = second / weights[:, None, None] - mean[:, :, None] * mean[:, None, :]
        return Gaussians(mean, biased / (1 - squares / weights**2)[:, None, None])


@dataclass(frozen=True)
class Gaussians:
    """Means (R, D) and unbiased covariances (R, D, D) of R weighted samples."""

    mean: Numbers
    covariance: Numbers


def block_starts(rows: int, blocks: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """First rows of blocks of nearly equal size."""
    count = min(blocks, rows // 2)
    return (np.arange(count) * rows // count).astype(np.intp)
