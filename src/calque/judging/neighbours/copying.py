"""Copying: are generated rows nearer to the training rows than to other real rows?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, comparable
from calque.judging.views import RAW, View
from calque.table import Table


@dataclass(frozen=True)
class Copying:
    """Share of generated rows whose nearest real row is a training row; 0.5 is honest, 1 is a copy.

    Nearest among equally many training (`reference`) and held-out (`real`) rows, at most `rows` of each, in
    columns scaled to unit spread; ties count half. Weights play no part: a row is copied or it is not.
    """

    view: View = RAW
    rows: int = 10_000

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"copying_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the share; raises DataError without training rows."""
        if reference is None:
            raise DataError("copying needs the training rows beside the held-out ones; pass them as reference")
        held, drawn, trained = (self.view(table) for table in (real, fake, reference))
        names = comparable(held, drawn)
        comparable(held, trained)
        count = min(len(held), len(trained), self.rows)
        known = [Sample.of(table, names).draw(count, seed, label).values
                 for table, label in ((trained, "trained"), (held, "held"))]
        asked = Sample.of(drawn, names).draw(self.rows, seed, "asked").values
        return (self.estimate(*nearest_two(asked, *known)),)

    def estimate(self, trained: Neighbours, held: Neighbours) -> Estimate:
        """Count the rows whose nearest is a training row."""
        copied = (trained.distance < held.distance) + 0.5 * (trained.distance == held.distance)
        share, size = float(copied.mean()), independent(trained, held)
        guarded = (share * size + 1) / (size + 2)  # so that 0 and 1 keep an error
        return Estimate(
            "copying", self.view.name, share, math.sqrt(guarded * (1 - guarded) / size), 0.5, 0.0,
            how="binomial, generated rows that share a nearest row counted once; floor: exact, by symmetry",
            details={
                "view": self.view.name, "generated_rows": len(copied), "independent_rows": size,
                "identical": float(np.mean(trained.distance == 0)),
                "median_distance_trained": float(np.median(trained.distance)),
                "median_distance_held": float(np.median(held.distance)),
            },
        )


@dataclass(frozen=True)
class Neighbours:
    """Distance to, and row number of, the nearest row of a set."""

    distance: NDArray[np.float64]
    row: NDArray[np.intp]


def nearest_two(
    asked: NDArray[np.float64], trained: NDArray[np.float64], held: NDArray[np.float64]
) -> tuple[Neighbours, Neighbours]:
    """Nearest training and nearest held-out row of every asked row, all columns scaled to unit spread."""
    both = np.concatenate([trained, held])
    spread = both.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return neighbours(asked / scale, trained / scale), neighbours(asked / scale, held / scale)


def neighbours(asked: NDArray[np.float64], known: NDArray[np.float64]) -> Neighbours:
    """Find the nearest of the known rows."""
    from sklearn.neighbors import NearestNeighbors

    distance, row = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(asked)
    return Neighbours(distance[:, 0], row[:, 0])


def independent(trained: Neighbours, held: Neighbours) -> float:
    """Number of independent decisions: generated rows with the same nearest real row are one."""
    winner = np.where(trained.distance <= held.distance, trained.row, -1 - held.row)
    _, shared = np.unique(winner, return_counts=True)
    return float(len(winner) ** 2 / np.sum(shared.astype(np.float64) ** 2))
