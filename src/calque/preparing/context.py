"""Conditions: columns that a generator is given rather than draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calque.errors import DataError
from calque.preparing.precision import EXACT, difference, is_long
from calque.table import Array, Table

CATEGORIES = 32  # an integer column with more values is continuous


@dataclass(frozen=True)
class Condition:
    """One context column: categories (one-hot) or a number (standardised)."""

    name: str
    dtype: str
    levels: tuple[float, ...] = ()
    shift: float = 0.0
    scale: float = 1.0
    logarithm: bool = False

    @classmethod
    def fit(cls, asked: str, table: Table, weights: Array) -> Condition:
        """Integers with few values are categories, everything else is a number; `log COLUMN` is its logarithm."""
        name = column_of(asked)
        column, logarithm = table[name], asked != name
        if logarithm:
            column = logs(name, column)
        elif column.dtype.kind in "biu":
            levels = np.unique(column)
            if len(levels) <= CATEGORIES:
                return cls(name, str(column.dtype), tuple(levels.tolist()))
        origin = middle(column)
        away = column - 0.0 if origin is None else difference(column, origin)
        mean = float(np.average(away, weights=weights))
        spread = float(np.sqrt(np.average((away - mean) ** 2, weights=weights))) or 1.0
        shift = mean if origin is None else origin + round(mean)
        return cls(name, str(table[name].dtype), (), shift, spread, logarithm)

    @property
    def size(self) -> int:
        """Width of the encoded condition; one category needs none."""
        return (len(self.levels) if len(self.levels) > 1 else 0) if self.levels else 1

    def encode(self, column: Array) -> Array:
        """Column (N,) → (N, size); raises DataError at a category that training never saw."""
        if self.logarithm:
            column = logs(self.name, column)
        if not self.levels:
            return np.asarray(difference(column, self.shift) / self.scale, np.float32)[:, None]
        levels = np.asarray(self.levels, self.dtype if column.dtype.kind in "biu" else None)
        hot = np.asarray(column[:, None] == levels)
        if not hot.any(1).all():
            strange = column[~hot.any(1)][0]
            raise DataError(f"context {self.name} = {strange} was not trained on; there are {list(self.levels)}")
        return hot[:, : self.size].astype(np.float32)


def middle(column: Array) -> int | None:
    """An integer amid integers beyond 2⁵³ that lie together, from which they are counted; None for other columns."""
    if not is_long(column) or int(column.max()) - int(column.min()) > EXACT:
        return None
    return (int(column.max()) + int(column.min())) // 2


def column_of(asked: str) -> str:
    """The column of a condition as it is asked for.

    >>> column_of("log energy"), column_of("charge")
    ('energy', 'charge')
    """
    return asked.removeprefix("log ").strip()


def logs(name: str, column: Array) -> Array:
    """Logarithm of a condition; raises DataError where there is none."""
    if not (column > 0).all():
        raise DataError(f"context 'log {name}' needs values above 0; {int((~(column > 0)).sum())} are not, such as "
                        f"{column[~(column > 0)][0]}")
    logarithms: Array = np.log(column.astype(np.float64))
    return logarithms


@dataclass(frozen=True)
class Context:
    """All conditions, side by side."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def fit(cls, table: Table, names: Sequence[str], weights: Array) -> Context:
        """Take categories and scales from training rows; `log energy` asks for the logarithm of a column."""
        return cls(tuple(Condition.fit(name, table, weights) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Context columns."""
        return tuple(condition.name for condition in self.conditions)

    @property
    def size(self) -> int:
        """Width C of the encoded context."""
        return sum(condition.size for condition in self.conditions)

    def encode(self, table: Table) -> Tensor:
        """Table → (N, C) float32."""
        parts = [condition.encode(table[condition.name]) for condition in self.conditions]
        return torch.from_numpy(np.concatenate([np.zeros((len(table), 0), np.float32), *parts], axis=1))

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain numbers and strings, for JSON."""
        return [vars(condition) for condition in self.conditions]

    @classmethod
    def from_dict(cls, saved: list[dict[str, Any]]) -> Context:
        """Rebuild from `to_dict`."""
        return cls(tuple(Condition(**{**entry, "levels": tuple(entry["levels"])}) for entry in saved))
