"""Split first, then fit the steps on training rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calque.errors import ConfigError, DataError, unknown
from calque.preparing.context import Context
from calque.preparing.preparation import Preparation
from calque.seeds import numpy_stream
from calque.table import Array, Table

TRAIN, VALIDATE, JUDGE = 0, 1, 2
WeightMode = Literal["draw", "column", "none"]


@dataclass(frozen=True)
class Data:
    """A prepared sample: the physical rows, who they are for, and what a network sees of them.

    `part` (N,) marks training, validation and judging rows. `weights` says what the event weights do:
    "draw" (training draws follow them), "column" (they are learnt like any column), "none" (rows as they are).
    """

    table: Table
    part: NDArray[np.uint8]
    preparation: Preparation
    context: Context
    weights: WeightMode
    seed: int

    def rows(self, part: int) -> Table:
        """Physical rows of one part."""
        return self.table.rows(self.part == part)

    def encode(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """What a network sees of one part: x (N, D), context (N, C), draw weights (N,) float64."""
        table = self.rows(part)
        x, _ = self.preparation.encode(table, numpy_stream(self.seed, "dequantise", part))
        return x, self.context.encode(table), to_draw(table, self.weights)

    def judged(self, part: int) -> Table:
        """Rows as generated ones have to look: weighted unless taken as they are, columns of one value left out."""
        table = self.rows(part).without_weight() if self.weights == "none" else self.rows(part)
        return table.select([name for name in table.names
                             if name == table.weight or np.ptp(self.table[name]) > 0], table.weight)

    @property
    def rate(self) -> float:
        """What the sample counts: the sum of its weights, or its rows."""
        return float(self.table.weights.sum()) if self.weights != "none" else float(len(self.table))


def to_draw(table: Table, mode: WeightMode) -> Tensor:
    """Weights that training draws follow (N,); raises DataError where they are negative."""
    weights = table.weights if mode == "draw" else np.ones(len(table))
    if (weights < 0).any():
        raise DataError(f"{int((weights < 0).sum())} of {len(table)} weights in {table.source} are negative and "
                        "cannot be drawn from; fit.weights = \"column\" learns them, \"none\" ignores them")
    return torch.from_numpy(weights)


def split(rows: int, seed: int, judging: float = 1 / 3, validation: float = 0.1) -> NDArray[np.uint8]:
    """Mark rows for training, validation and judging; `validation` is a share of what is not judged.

    >>> np.bincount(split(90, seed=0))
    array([54,  6, 30])
    """
    if not (0 <= judging < 1 and 0 <= validation < 1):
        raise ConfigError(f"judging = {judging:g} and validation = {validation:g} have to be shares in [0, 1)")
    judged = round(rows * judging)
    validated = round((rows - judged) * validation)
    part = np.full(rows, TRAIN, np.uint8)
    part[:judged], part[judged : judged + validated] = JUDGE, VALIDATE
    numpy_stream(seed, "split").shuffle(part)
    return part


def default_steps(table: Table, context: Sequence[str], choice: Mapping[str, str | Sequence[str]]) -> list[str]:
    """Named columns take their own steps; whole numbers are discrete; all else is scaled at the end."""
    table.require(choice)
    steps = []
    for name in table.names:
        if name in context:
            continue
        own = choice.get(name, "discrete" if table[name].dtype.kind in "biu" else ())
        steps += [f"{kind} {name}" for kind in ([own] if isinstance(own, str) else own)]
    return [*steps, "standardise *"]


def prepare(
    table: Table,
    *,
    steps: Sequence[str] | None = None,
    context: Sequence[str] = (),
    judging: float = 1 / 3,
    validation: float = 0.1,
    weights: WeightMode = "draw",
    seed: int = 0,
    **columns: str | Sequence[str],
) -> Data:
    """Split a table and fit its preparation on the training rows.

    Either `steps`, an ordered list such as "polar px py -> pt phi", or a step (or several) for single columns:
    `prepare(table, px="arcsinh", pz=["log", "quantile"])`. Raises ConfigError and DataError.
    """
    if weights not in ("draw", "column", "none"):
        raise ConfigError(unknown("weights", weights, ["draw", "column", "none"]))
    if steps is not None and columns:
        raise ConfigError(f"give either steps or single columns, not both: {', '.join(columns)}")
    table.require(context)
    part = split(len(table), seed, judging, validation)
    training = table.rows(part == TRAIN)
    if len(training) < 2:
        raise DataError(f"{table.source} has {len(table)} rows, of which {len(training)} train; it needs more")
    learnt = [name for name in (table.names if weights == "column" else table.features) if name not in context]
    shares = training_weights(training, weights)
    chosen = list(steps) if steps is not None else default_steps(training.select(learnt), context, columns)
    preparation = Preparation.fit(training.select(learnt), chosen, shares, numpy_stream(seed, "fit preparation"))
    return Data(table, part, preparation, Context.fit(training, context, shares), weights, seed)


def training_weights(table: Table, mode: WeightMode) -> Array:
    """Weights for statistics; raises DataError where they sum to nothing."""
    weights = to_draw(table, mode).numpy()
    if not weights.sum() > 0:
        raise DataError(f"the weights {table.weight!r} of the training rows sum to {weights.sum():g}; "
                        "fit.weights = \"none\" ignores them")
    return weights
