"""Copying: are generated rows nearer to the training rows than to other real rows?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.judging.copies import find_copies
from calque.judging.joint.draws import spreads
from calque.judging.measure import Estimate
from calque.judging.samples import Sample, comparable, row_keys
from calque.judging.views import RAW, View
from calque.seeds import numpy_stream
from calque.table import Table

Numbers = NDArray[np.float64]

MOST = 1_000_000  # real rows of each set that are searched
LEAST_VARIANCE = 0.1  # of decisions that were independent, should all real rows decide for equally many
TREE_COLUMNS = 8  # in more, a tree looks at nearly every row
WIDE = 2_000_000  # numbers of each set that are searched there, row by row


@dataclass(frozen=True)
class Copying:
    """Share of generated rows whose nearest real row is a training row; 0.5 is honest, 1 is a copy.

    At most `rows` generated rows are asked. Nearest among equally many training (`reference`) and held-out (`real`)
    rows, as many as there are up to a million of each (two million numbers of each in more than eight columns), in
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
        asked = Sample.of(drawn, names).draw(self.rows, seed, "asked").values
        ours, theirs = (row_keys(table, names) for table in (trained, held))
        count = min(len(held), len(trained), self.most(asked.shape[1]))
        chosen = [distinct(keys, count, seed, label) for keys, label in ((ours, "trained"), (theirs, "held"))]
        known = [Sample.of(table.rows(rows), names).values for table, rows in zip((trained, held), chosen, strict=True)]
        sets = {"identical": trained, "identical_trained": trained.rows(chosen[0]),
                "identical_held": held.rows(chosen[1])}
        repeated = {name: float(find_copies(drawn.select(names), table.select(names)).mean())
                    for name, table in sets.items()}
        return (self.estimate(*nearest_two(asked, *known), {"searched": count, **repeated}),)

    def most(self, columns: int) -> int:
        """Real rows of each set that may be searched."""
        return MOST if columns <= TREE_COLUMNS else max(WIDE // columns, self.rows)

    def estimate(self, trained: Neighbours, held: Neighbours, details: Mapping[str, Any]) -> Estimate:
        """Count the rows whose nearest is a training row."""
        copied = (trained.distance < held.distance) + 0.5 * (trained.distance == held.distance)
        share, size = float(copied.mean()), independent(trained, held, 2 * details["searched"])
        guarded = (share * size + 1) / (size + 2)  # so that 0 and 1 keep an error
        return Estimate(
            "copying", self.view.name, share, math.sqrt(guarded * (1 - guarded) / size), 0.5, 0.0,
            how="labels of equally many rows of both sets drawn at random; floor: exact, by symmetry",
            details={
                "view": self.view.name, "generated_rows": len(copied), "independent_rows": size, **details,
                "median_distance_trained": float(np.median(trained.distance)),
                "median_distance_held": float(np.median(held.distance)),
            },
            null_error=0.5 / math.sqrt(size),
        )


@dataclass(frozen=True)
class Neighbours:
    """Distance to, and row number of, the nearest row of a set."""

    distance: Numbers
    row: NDArray[np.intp]


def distinct(keys: NDArray[np.uint64], count: int, seed: int, label: str) -> NDArray[np.intp]:
    """Choose so many rows at random, and of equal ones the first: many equal rows make a tree slow."""
    chosen = numpy_stream(seed, f"judging/copying/{label}").permutation(len(keys))[:count]
    return np.asarray(chosen[np.unique(keys[chosen], return_index=True)[1]])


def nearest_two(asked: Numbers, trained: Numbers, held: Numbers) -> tuple[Neighbours, Neighbours]:
    """Nearest training and nearest held-out row of every asked row, all columns scaled to unit spread."""
    scale = spreads(np.concatenate([trained, held]))
    return neighbours(asked / scale, trained / scale), neighbours(asked / scale, held / scale)


def neighbours(asked: Numbers, known: Numbers) -> Neighbours:
    """Find the nearest of the known rows: by a tree, or in many columns by products of all pairs."""
    if asked.shape[1] <= TREE_COLUMNS:
        from scipy.spatial import KDTree

        return Neighbours(*KDTree(known).query(asked))
    from sklearn.metrics import pairwise_distances_argmin

    row = pairwise_distances_argmin(asked, known)
    return Neighbours(np.sqrt(np.square(asked - known[row]).sum(axis=1)), row)  # products round, differences do not


def independent(trained: Neighbours, held: Neighbours, known: int) -> float:
    """Number of independent decisions that vary as much as those of generated rows.

    In an honest copy each of `known` = K real rows is one of the training by chance, half of them in all. A real row
    that is the nearest of n generated ones decides for n, and the variance of the share of N is that of a draw
    without replacement: (Σn²/N² − 1/K)/4, K/(K − 1) left out.
    """
    winner = np.where(trained.distance <= held.distance, trained.row, -1 - held.row)
    _, shared = np.unique(winner, return_counts=True)
    together = float(np.sum(np.square(shared / len(winner))))
    return 1 / max(together - 1 / known, LEAST_VARIANCE * together)
