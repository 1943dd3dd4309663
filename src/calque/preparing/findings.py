"""What a preparation will not keep, in lines for the user: grain, resolution, exact relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from calque.preparing.exact import COMMON
from calque.preparing.lattice import find_lattice
from calque.preparing.preparation import Preparation, normals, to_tensors
from calque.preparing.relations import find_relations
from calque.table import Array, Table

ROWS, NUMBERS = 10_000, 2_000_000  # that are looked at
LOST = 0.002  # share of distinct values that single precision may join unsaid
FEWEST_LOST = 5
NARROW = 0.1  # standard deviations of a column in which nearly all of it lies: a network sees one value
REPEATED = 10  # rows a value, from which few values are told from many
MOST_VALUES = 256
DECADES = 1e3
KEEPS_VALUES = {"discrete", "lattice", "constant"}
KEEPS_POINTS = KEEPS_VALUES | {"spike", "floor", "scores", "voxels", "layers"}
SHOWN = 8


def findings(table: Table, preparation: Preparation, context: Table, stream: np.random.Generator) -> Iterator[str]:
    """One line for everything that draws will lack: of training rows, their context, and what they become."""
    rows = max(min(ROWS, NUMBERS // max(preparation.layout.size, len(table.names), 1)), 1)
    some = slice(None, None, max(len(table) // rows, 1))
    table, context = table.rows(some), context.rows(some)
    numbers = {name: table[name] for name in preparation.columns if table[name].ndim == 1}
    yield from lost_grain(numbers, preparation)
    yield from lost_digits(table, context, preparation, stream)
    conditions = {name: context[name] for name in context.names}
    for relation in find_relations({**conditions, **numbers}):
        leave = relation.column if relation.column in numbers else next(
            (name for name in relation.factors if name in numbers), "")
        if leave:
            yield (f"{relation.text} holds in every row, and no draw will keep it; leave {leave!r} out (read.columns) "
                   "and compute it afterwards")


def lost_grain(numbers: Mapping[str, Array], preparation: Preparation) -> Iterator[str]:
    """Lines for columns on a lattice, of few values, or with one common value that no step keeps."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, column in numbers.items():
        kinds = {step.kind for step in preparation.typed_steps() if name in step.columns}
        found = grain_of(column, kinds)
        if found:
            groups.setdefault(found, []).append(name)
    for (what, step), names in groups.items():
        listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        several = len(names) > 1
        yield (f"column{'s' if several else ''} {listed} {'hold' if several else 'holds'} {what}, and draws will not; "
               f"the step '{step} {names[0]}'{' and so on' if several else ''} brings them back")


def grain_of(column: Array, kinds: set[str]) -> tuple[str, str] | None:
    """What is repeated in a column (N,), and the step that keeps it; None where nothing is, or a step does."""
    if kinds & KEEPS_VALUES or column.dtype.kind == "b":
        return None
    values, counts = np.unique(column, return_counts=True)
    if len(values) < 2:
        return None
    keep = "discrete" if len(values) <= MOST_VALUES and REPEATED * len(values) <= len(column) else "lattice"
    grid = find_lattice(column)
    if grid is not None and (column.dtype.kind == "f" or grid.step > 1):
        return f"multiples of {grid.step:g}" + (f" from {grid.base / grid.per:g} on" if grid.base else ""), keep
    if column.dtype.kind != "f":
        return None
    if keep == "discrete":
        return f"{len(values)} values only", keep
    share = counts.max() / len(column)
    if share >= COMMON and counts.max() >= FEWEST_LOST and not kinds & KEEPS_POINTS:
        return f"{values[counts.argmax()]:g} in {share:.1%} of the rows", "spike"
    return None


def lost_digits(table: Table, context: Table, preparation: Preparation, stream: np.random.Generator) -> Iterator[str]:
    """Lines for columns of which single precision, in which a network works, joins values after the steps."""
    columns = to_tensors(table, preparation.columns, preparation.long)
    columns |= to_tensors(context, [name for name in preparation.given if name in context.columns])
    packed, _ = preparation(columns, normals(stream, len(table), preparation.forward_noise))
    for name, place in preparation.layout.slices.items():
        if place.stop - place.start > 1:
            continue
        found = squeezed(packed[:, place.start])
        if found:
            yield f"after the steps of {name!r} {found}; use the step '{better(table, name)} {name}'"


def squeezed(column: Tensor) -> str:
    """What is wrong with a prepared column (N,), in words: values that become equal, a bulk without any width."""
    known, kept = distinct(column), distinct(column.float())
    lost = known - kept
    if lost >= FEWEST_LOST and lost > LOST * known:
        return f"single precision keeps {kept} of {known} distinct values ({lost / known:.1%} are lost)"
    low, high = np.quantile(column.numpy(), [0.01, 0.99])
    width = float((high - low) / max(float(column.std()), np.finfo(float).tiny))
    return f"98% of the values lie within {width:.2g} standard deviations" if 0 < width < NARROW else ""


def distinct(column: Tensor) -> int:
    """How many different values there are."""
    return int(torch.unique(column).shape[0])


def better(table: Table, name: str) -> str:
    """A step that spreads a column evenly: the logarithm where it is positive over decades, else its quantiles."""
    if name not in table.columns or not (table[name] > 0).all():
        return "quantile"
    low, high = np.quantile(table[name].astype(np.float64), [0.01, 0.99])
    return "log" if high > DECADES * low else "quantile"
