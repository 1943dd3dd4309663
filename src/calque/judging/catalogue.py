"""Which measures there are, and how each is made for a view: one literal table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from calque.errors import ConfigError, unknown
from calque.geometry import Geometry
from calque.judging.classifying.classifier import Classifier
from calque.judging.classifying.region import Region
from calque.judging.classifying.trees import Kind
from calque.judging.columns import Columns
from calque.judging.columns.beyond import Beyond
from calque.judging.columns.granularity import Granularity
from calque.judging.conditional.auc import ConditionalAUC
from calque.judging.conditional.ranks import Draw, Ranks
from calque.judging.conditional.response import Response
from calque.judging.joint import (
    Correlation,
    EnergyDistance,
    FrechetPhysicsDistance,
    KernelPhysicsDistance,
    SlicedWasserstein,
)
from calque.judging.measure import Measure
from calque.judging.neighbours.copying import Copying
from calque.judging.neighbours.coverage import Coverage
from calque.judging.showers.calibration import Calibration
from calque.judging.showers.cells import ShowerCells
from calque.judging.views import View
from calque.judging.worth import Worth
from calque.names import split_names


@dataclass(frozen=True)
class Budget:
    """What the measures may use: kinds of classifiers, rows of each class, trainings, resamplings, threads, contexts.

    One thread, as trees on several wait for each other wherever something else runs. `rows` go into a classifier at
    most, `neighbours` into measures of pairs of rows. `context` names the columns that the generator was given, and
    `draw` gives generated rows for rows of them. `geometry` is where the voxels of showers lie.
    """

    kind: Kind = "fast"
    network: Kind = "network"
    rows: int = 100_000
    repeats: int = 1
    folds: int = 0
    bins: int = 50
    replicas: int = 200
    neighbours: int = 10_000
    threads: int | None = 1
    context: tuple[str, ...] = ()
    draw: Draw | None = None
    geometry: Geometry | None = None

    def classifier(self, kind: Kind, view: View) -> Classifier:
        """Make a classifier of this kind in a view."""
        return Classifier(kind, view, self.rows, self.repeats, self.folds, self.bins, self.replicas, self.threads)


Make = Callable[[View, Budget], Measure]

CATALOGUE: dict[str, Make] = {
    "trees": lambda view, budget: budget.classifier(budget.kind, view),
    "columns": lambda view, budget: Columns(view),
    "beyond": lambda view, budget: Beyond(view),
    "granularity": lambda view, _: Granularity(view),
    "network": lambda view, budget: budget.classifier(budget.network, view),
    "region": lambda view, budget: Region(replace(budget.classifier("fast", view), repeats=1, folds=0)),
    "sliced": lambda view, budget: SlicedWasserstein(view, budget.rows),
    "correlation": lambda view, budget: Correlation(view, budget.rows),
    "fpd": lambda view, budget: FrechetPhysicsDistance(view),
    "kpd": lambda view, budget: KernelPhysicsDistance(view),
    "energy": lambda view, budget: EnergyDistance(view, budget.neighbours),
    "coverage": lambda view, budget: Coverage(view, rows=budget.neighbours),
    "copying": lambda view, budget: Copying(view, budget.neighbours),
    "worth": lambda view, budget: Worth(view),
    "conditional": lambda view, budget: ConditionalAUC(budget.context, view, rows=budget.neighbours,
                                                       threads=budget.threads),
    "ranks": lambda view, budget: Ranks(budget.context, view, budget.draw, rows=FEW if budget.geometry else 2000),
    "response": lambda view, budget: Response(budget.context, view, budget.draw),
    "calibration": lambda _, budget: Calibration(budget.geometry),
    "cells": lambda _, budget: ShowerCells(budget.geometry),
}
FEW = 500  # showers whose contexts are drawn for again and again: a good generator of them may be slow
QUICK = ("trees", "columns", "beyond", "sliced")
NEEDS_TRAINING = ("copying", "worth")
NEEDS_CONTEXT = ("conditional", "ranks", "response")
NEEDS_DRAWS = ("response",)
NEEDS_GEOMETRY = ("calibration", "cells")  # of the showers themselves, whatever the view
UNFIT_FOR_SHOWERS = ("response",)  # two showers of one energy are not alike
PIXELS = ("response",)  # images, not numbers
SINGLE = ("columns", "beyond", "granularity", "region", "correlation", "fpd", "kpd", "worth", "conditional",
          "ranks")  # numbers, not pixels
ONCE = ("conditional", "response")  # taken in the first view only: its numbers are of a context, whatever the view


WORDS = {"all": tuple(CATALOGUE), "quick": QUICK, "none": ()}  # that stand for several measures


@dataclass(frozen=True)
class Choice:
    """Measures to take, in the catalogue's order, and those of them that were asked for by name."""

    names: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def is_strict(self) -> bool:
        """Whether measures were named: one that cannot be taken is an error then, and left out otherwise."""
        return bool(self.named)


def choose_measures(asked: str | Sequence[str]) -> Choice:
    """Resolve what a configuration, the command line or a caller asks for.

    Parameters
    ----------
    asked
        Names of measures, and the words "all", "quick" and "none": a list, or one text with commas.

    Returns
    -------
    Choice
        Each measure once.

    Raises
    ------
    ConfigError
        For a name that is neither; it names the nearest.

    Examples
    --------
    >>> choose_measures("quick").names, choose_measures(["fpd", "trees"]).names, choose_measures("trees, fpd").names
    (('trees', 'columns', 'beyond', 'sliced'), ('trees', 'fpd'), ('trees', 'fpd'))
    """
    wanted, named = set[str](), set[str]()
    if isinstance(asked, str) and not split_names(asked):
        raise ConfigError(unknown("measure", asked, [*CATALOGUE, *WORDS]))
    for name in split_names(asked):
        if name in WORDS:
            wanted |= set(WORDS[name])
        elif name in CATALOGUE:
            named.add(name)
        else:
            raise ConfigError(unknown("measure", name, [*CATALOGUE, *WORDS]))
    return Choice(tuple(name for name in CATALOGUE if name in wanted | named),
                  tuple(name for name in CATALOGUE if name in named))
