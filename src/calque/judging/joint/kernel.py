"""Quadratic forms of a pairwise matrix that is never whole in memory, and distances that are such forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calque.judging.joint.draws import (
    Distance,
    Index,
    Numbers,
    check_totals,
    counts,
    estimate,
    pooled,
)
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, effective

if TYPE_CHECKING:
    import torch

Pairwise = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
CHUNK = 1024  # rows of the matrix at a time: 80 MB in single precision against 20 000 points


@dataclass(frozen=True)
class Rows:
    """Rows (N, D) with weights (N,), each row a cell."""

    values: Numbers
    weights: Numbers

    def __len__(self) -> int:
        return len(self.values)

    @property
    def effective(self) -> float:
        """Events of equal weight."""
        return effective(self.weights)

    def shares(self, drawn: Index) -> tuple[Numbers, Numbers]:
        """Share (N, R) of every row in every replica, and what its copies share with themselves (N, R): Σw²/(Σw)²."""
        times = counts(drawn, len(self)).T
        total = self.weights @ times
        return times * self.weights[:, None] / total, times * np.square(self.weights)[:, None] / total**2


def of_rows(
    measure: str, of: str, distance: Distance[Rows], given: tuple[Sample, Sample, Sample | None],
    centre: Numbers | float, scale: Numbers, rows: int, replicas: int, seed: int,
) -> Estimate:
    """Estimate a distance of at most so many rows a class, each row a cell, columns moved and scaled."""
    real, fake, more = given
    chosen = real.draw(rows, seed, "real"), fake.draw(rows, seed, "fake"), pooled(real, more, rows, seed)
    check_totals(*chosen)
    first, second, known = (Rows((one.values - centre) / scale, one.weights) for one in chosen)
    return estimate(measure, of, distance, first, second, known, replicas, seed,
                    rows=len(first), generated_rows=len(second))


def differences(first: Rows, second: Rows, a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """Points, and the signed measure (N, R) upon them; the same rows are not laid beside themselves."""
    if first is second:
        return first.values, a - b
    return np.concatenate([first.values, second.values]), np.concatenate([a, -b])


def quadratic(pairwise: Pairwise, points: Numbers, z: Numbers) -> Numbers:
    """Σᵢⱼ zᵢᵣ M(xᵢ, xⱼ) zⱼᵣ (R,) of points (N, D) and columns z (N, R), for symmetric M.

    Half of the matrix is made, a chunk of rows at a time, with one product for all columns. Few columns are
    computed in double precision, many (replicas, of which only the spread matters) in single.
    """
    import torch

    kind = torch.float64 if z.shape[1] < 4 else torch.float32
    x, columns = torch.from_numpy(points).to(kind), torch.from_numpy(z).to(kind)
    total = torch.zeros(z.shape[1], dtype=torch.float64)
    for start in range(0, len(x), CHUNK):
        part = columns[start: start + CHUNK]
        matrix = pairwise(x[start: start + CHUNK], x[start:])
        matrix[:, : len(part)] /= 2  # pairs within the chunk come twice
        total += 2 * (part * (matrix @ columns[start:])).sum(dim=0, dtype=torch.float64)
    return total.numpy()
