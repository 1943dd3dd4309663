"""Split first, then fit the steps on training rows alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calque.errors import ConfigError, DataError, unknown
from calque.preparing.context import Context, column_of
from calque.preparing.findings import findings
from calque.preparing.precision import codes_of
from calque.preparing.preparation import Preparation, is_whole
from calque.preparing.showers import expanded
from calque.preparing.step import Shape
from calque.preparing.weight import add_weight_steps
from calque.seeds import numpy_stream
from calque.table import Array, Table
from calque.threads import threads

TRAIN, VALIDATE, JUDGE = 0, 1, 2
LOOKED_AT = 500_000  # numbers of a column that statistics are taken from: a mean is known to 0.0014 standard deviations
LOOKED_AT_WHOLE = 20_000_000  # the same of events that are seen whole: they have many numbers, each its statistics
FEWEST = 100  # events that are looked at, however large
FEW = 256  # a column with more values is continuous
WeightMode = Literal["draw", "column", "none"]


@dataclass(frozen=True)
class Data:
    """A prepared sample: the physical rows, who they are for, and what a network sees of them.

    `part` (N,) marks training, validation and judging rows. `weights` says what the event weights do:
    "draw" (training draws follow them; negative ones subtract), "column" (they are learnt like any column), "none"
    (rows as they are).
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
        """What a network sees of one part: x (N, D), context (N, C), draw weights (N,) float64, signed."""
        rows, noise, at = int((self.part == part).sum()), numpy_stream(self.seed, "dequantise", part), 0
        x = torch.empty(rows, self.preparation.layout.size)
        context, weights = torch.empty(rows, self.context.size), torch.empty(rows, dtype=torch.float64)
        with threads(1):
            for table in self.blocks(part):
                place = slice(at, at := at + len(table))
                x[place], _ = self.preparation.encode(table, noise)
                context[place], weights[place] = self.context.encode(table), to_draw(table, self.weights)
        self.check_finite(x, part)
        return x, context, weights

    def blocks(self, part: int) -> Iterator[Table]:
        """Physical rows of one part, piece by piece: memory stays bounded."""
        step = self.preparation.at_once
        for start in range(0, len(self.table), step):
            block = slice(start, start + step)
            yield self.table.rows(block).rows(self.part[block] == part)

    def check_finite(self, x: Tensor, part: int) -> None:
        """Raise DataError where steps made something that is no number."""
        bad = ~torch.isfinite(x.sum(1))  # a row that holds no number sums to none
        if bad.any():
            rows = np.flatnonzero(self.part == part)[bad.numpy()]
            name = next(name for name, place in self.preparation.layout.slices.items()
                        if not torch.isfinite(x[bad][:, place]).all())
            raise DataError(f"the steps give non-finite values of {name!r} in {len(rows)} rows of {self.table.source} "
                            f"(first rows {rows[:3].tolist()}); choose other steps, or leave these rows out")

    def judged(self, part: int) -> Table:
        """Rows as generated ones have to look: weighted unless taken as they are, columns of one value left out."""
        table = self.rows(part).without_weight() if self.weights == "none" else self.rows(part)
        return table.keep(self.table.varying)

    @property
    def rate(self) -> float:
        """What to draw for this sample beside others: its weights' sum, or its rows where they keep their weights."""
        return float(self.table.weights.sum()) if self.weights == "draw" else float(len(self.table))


def to_draw(table: Table, mode: WeightMode) -> Tensor:
    """Weights that training draws follow (N,), by their size; negative ones keep their sign, for the loss."""
    return torch.from_numpy(table.weights if mode == "draw" else np.ones(len(table)))


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


def split_together(table: Table, names: Sequence[str], seed: int, judging: float, validation: float
                   ) -> NDArray[np.uint8]:
    """Mark rows as `split` does, those that are equal in these columns alike; the shares are those of such groups."""
    if not names:
        return split(len(table), seed, judging, validation)
    table.require(names)
    groups = codes_of([table[name] for name in names])
    return split(int(groups.max()) + 1, seed, judging, validation)[groups]


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
    together: Sequence[str] = (),
    judging: float = 1 / 3,
    validation: float = 0.1,
    weights: WeightMode = "draw",
    seed: int = 0,
    **columns: str | Sequence[str],
) -> Data:
    """Split a table and fit its preparation on the training rows.

    Either `steps`, an ordered list such as "polar px py -> pt phi", or a step (or several) for single columns:
    `prepare(table, px="arcsinh", pz=["log", "quantile"])`. Rows that are equal in the columns `together`, such as
    images of the same parameters, are all for training, or all for judging. A condition "log energy" is the logarithm
    of a column. Raises ConfigError and DataError.
    """
    if weights not in ("draw", "column", "none"):
        raise ConfigError(unknown("weights", weights, ["draw", "column", "none"]))
    if steps is not None and columns:
        raise ConfigError(f"give either steps or single columns, not both: {', '.join(columns)}")
    asked, context = context, [column_of(entry) for entry in context]
    table.require(context)
    part = split_together(table, together, seed, judging, validation)
    rows = np.flatnonzero(part == TRAIN)
    if len(rows) < 2:
        raise DataError(f"{table.source} has {len(table)} rows, of which {len(rows)} train; it needs more")
    learnt = [name for name in (table.names if weights == "column" else table.features) if name not in context]
    if not learnt:
        raise ConfigError(f"every column of {table.source} is a context ({', '.join(context)}): nothing is left to "
                          "learn")
    check_context(table, context)
    shares = training_weights(table, rows, weights)
    images = {name: table[name] for name in learnt if table[name].ndim > 1}
    chosen = (default_steps(table.select(learnt), context, columns) if steps is None else
              [one for text in steps for one in expanded(text, images)])
    if table.weight in learnt and table.weight is not None:
        chosen = add_weight_steps(chosen, table.weight, table[table.weight])
    seen = table.select([*learnt, *context])
    looked = looked_at(seen, rows, seed, any(is_whole(text) for text in chosen))
    preparation = Preparation.fit(seen, chosen, shares, numpy_stream(seed, "fit preparation"), looked, context)
    numbers = looked[()]
    conditions = Context.fit(table.select(context).rows(numbers), asked, shares[numbers]) if context else Context()
    for line in findings(seen.select(learnt).rows(numbers), preparation, seen.rows(numbers).keep(context),
                         numpy_stream(seed, "findings")):
        warnings.warn(line, stacklevel=2)
    return Data(table, part, preparation, conditions, weights, seed)


def check_context(table: Table, context: Sequence[str]) -> None:
    """Raise DataError for a condition that is no number."""
    for name in context:
        if table[name].ndim > 1:
            raise DataError(f"context {name!r} of {table.source} has events of shape {table[name].shape[1:]}; a "
                            "condition is one number or category")


def looked_at(table: Table, rows: Array, seed: int, whole: bool = False) -> dict[Shape, Array]:
    """Rows to take statistics from, for numbers and for the columns of each shape: a bounded count of numbers.

    With `whole`, for steps that see events whole, the rows are the same for all, and the bound is greater.
    """
    shapes = {name: table[name].shape[1:] for name in table.names}
    if whole:
        most = max(LOOKED_AT_WHOLE // sum(math.prod(shape) for shape in shapes.values()), FEWEST)
        chosen = representative(list(table.columns.values()), rows, most, numpy_stream(seed, "representative events"))
        return dict.fromkeys([(), *shapes.values()], rows[chosen])
    found = {}
    for shape in dict.fromkeys([(), *shapes.values()]):
        columns = [table[name] for name, other in shapes.items() if other == shape]
        most = max(LOOKED_AT // math.prod(shape), FEWEST)
        found[shape] = rows[representative(columns, rows, most, numpy_stream(seed, "representative rows", *shape))]
    return found


def representative(columns: Sequence[Array], rows: Array, most: int, stream: np.random.Generator) -> Array:
    """Places in `rows` to take statistics from: all where there are at most so many, else a random share.

    With it come each column's least and greatest value, and every value of a column that has few: no domain is
    overstepped and no category missed because its row was not drawn.
    """
    if len(rows) <= most:
        return np.arange(len(rows))
    chosen = [stream.choice(len(rows), most, replace=False, shuffle=False)]
    for column in columns:
        pixels = column.reshape(len(column), -1)
        chosen.append(np.array([pixels.min(1)[rows].argmin(), pixels.max(1)[rows].argmax()]))
        if (column.ndim == 1 or column.dtype.kind in "biu") and len(np.unique(pixels[rows[chosen[0]]])) <= FEW:
            chosen.append(np.unique(pixels[rows], return_index=True)[1] // pixels.shape[1])
    return np.unique(np.concatenate(chosen))


def training_weights(table: Table, rows: Array, mode: WeightMode) -> Array:
    """Sizes |w| (N,) of training rows' weights, for statistics; raises DataError where the weights sum to nothing.

    Steps only choose coordinates: rows that are subtracted elsewhere need them as much as those that are added.
    """
    names = table.names[:1] if table.weight is None else [table.weight]
    weights = to_draw(table.select(names).rows(rows), mode).numpy()
    if not weights.sum() > 0:
        raise DataError(f"the weights {table.weight!r} of the training rows sum to {weights.sum():g}, which is no "
                        "sample to draw; fit.weights = \"none\" ignores them")
    sizes = np.zeros(len(table))
    sizes[rows] = np.abs(weights)
    return sizes
