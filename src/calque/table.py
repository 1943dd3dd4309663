"""Named columns of events with units and weights, and how they are packed flat for a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from calque.errors import DataError, nearest, unknown
from calque.extras import need

Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """Named columns, first axis = events; a column may be an image of shape (N, ...).

    `weight` names the column that weighs the events (none: every event counts one). Negative weights are
    allowed; what cannot work with them says so.

    >>> table = Table.of({"px": [1.0, 2.0], "w": [1.0, 3.0]}, units={"px": "GeV"}, weight="w")
    >>> len(table), table.names, table.features, table.effective_size
    (2, ('px', 'w'), ('px',), 1.6)
    """

    columns: dict[str, Array]
    units: dict[str, str] = field(default_factory=dict)
    weight: str | None = None
    source: str = "a table in memory"

    @classmethod
    def of(
        cls,
        columns: Mapping[str, ArrayLike],
        units: Mapping[str, str] | None = None,
        weight: str | None = None,
        source: str = "a table in memory",
    ) -> Table:
        """Check and wrap columns; raises DataError where they do not fit together."""
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        lengths = {name: array.shape[0] if array.ndim else -1 for name, array in arrays.items()}
        if not arrays:
            raise DataError(f"no columns in {source}")
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns of unequal length in {source}: {lengths}")
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise DataError(f"column {name!r} of {source} holds {array.dtype}, not numbers")
        if weight is not None and weight not in arrays:
            raise DataError(unknown("weight column", weight, arrays, f"in {source}"))
        known = {name: unit for name, unit in (units or {}).items() if name in arrays}
        return cls(arrays, known, weight, source)

    @classmethod
    def concatenate(cls, tables: Sequence[Table]) -> Table:
        """Join tables of the same columns and units, one after another; raises DataError for others."""
        first = tables[0]
        if len(tables) == 1:
            return first
        for other in tables[1:]:
            first.require(other.names)
            other.require(first.names)
            for name in first.units.keys() & other.units.keys():
                units = first.units[name], other.units[name]
                if units[0] != units[1]:
                    raise DataError(f"column {name!r} is in {units[0]} in {first.source}, "
                                    f"in {units[1]} in {other.source}; convert one of them first")
        joined = {name: np.concatenate([table[name] for table in tables]) for name in first.names}
        return replace(first, columns=joined)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Array:
        self.require([name])
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, the weight included."""
        return tuple(self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """All columns but the weight."""
        return tuple(name for name in self.columns if name != self.weight)

    @property
    def varying(self) -> tuple[str, ...]:
        """Features with more than one value."""
        return tuple(name for name in self.features if len(self) and self[name].min() != self[name].max())

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights (N,) in double precision; ones where the table has none."""
        if self.weight is None:
            return np.ones(len(self))
        return self.columns[self.weight].astype(np.float64)

    @property
    def effective_size(self) -> float:
        """Events of equal weight that would fluctuate as much: (Σw)² / Σw² (Kish, 1965)."""
        weights = self.weights
        return float(weights.sum() ** 2 / max(np.square(weights).sum(), np.finfo(float).tiny))

    def require(self, names: Iterable[str]) -> None:
        """Raise DataError that names the nearest columns where one is missing."""
        for name in names:
            if name not in self.columns:
                raise DataError(unknown("column", name, self.columns, f"in {self.source}"))

    def select(self, names: Sequence[str], weight: str | None = None) -> Table:
        """Keep these columns, in this order; the weight column stays if it is named."""
        self.require(names)
        kept = weight if weight is not None else (self.weight if self.weight in names else None)
        return replace(self, columns={name: self.columns[name] for name in names}, weight=kept)

    def keep(self, features: Iterable[str]) -> Table:
        """Keep these features, and the weight."""
        kept = set(features) | {self.weight}
        return replace(self, columns={name: array for name, array in self.columns.items() if name in kept})

    def rows(self, index: Array | slice) -> Table:
        """Keep rows by index, slice or mask."""
        return replace(self, columns={name: array[index] for name, array in self.columns.items()})

    def with_columns(self, new: Mapping[str, ArrayLike], units: Mapping[str, str] | None = None) -> Table:
        """Add or replace columns."""
        return Table.of(
            {**self.columns, **new}, {**self.units, **(units or {})}, self.weight, self.source
        )

    def without_weight(self) -> Table:
        """Drop the weight column: rows as they are."""
        return self if self.weight is None else self.select(self.features)

    def nonfinite(self) -> dict[str, Array]:
        """Rows that hold NaN or infinities, by column; columns without any are left out."""
        found = {}
        for name, array in self.columns.items():
            if array.dtype.kind == "f":
                bad = ~np.isfinite(array).reshape(len(self), -1).all(axis=1)
                if bad.any():
                    found[name] = np.flatnonzero(bad)
        return found

    def label(self, name: str) -> str:
        """Column name with its unit, for axes."""
        unit = self.units.get(name, "")
        return f"{name} [{unit}]" if unit else name

    def to_dict(self) -> dict[str, Array]:
        """Columns as a plain dictionary."""
        return dict(self.columns)

    def to_pandas(self) -> Any:
        """Columns as a pandas DataFrame (images are left out of it: pandas has no place for them)."""
        flat = {name: array for name, array in self.columns.items() if array.ndim == 1}
        return need("pandas", "Table.to_pandas").DataFrame(flat)

    def to_awkward(self) -> Any:
        """Columns as an awkward record array."""
        return need("awkward", "Table.to_awkward").Array(self.columns)


@dataclass(frozen=True)
class Layout:
    """How columns of given shapes lie in one flat vector.

    >>> layout = Layout(("e", "layer_0"), ((), (3, 96)))
    >>> layout.size, layout.slices["layer_0"]
    (289, slice(1, 289, None))
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def flat(cls, names: Sequence[str]) -> Layout:
        """One number a column."""
        return cls(tuple(names), ((),) * len(names))

    @property
    def size(self) -> int:
        """Length D of the packed vector."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each column lies."""
        places, start = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            places[name] = slice(start, start := start + math.prod(shape))
        return places

    def pack(self, columns: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Columns (N, *shape) → packed (N, D)."""
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise DataError(f"no column {missing[0]!r} to pack; {nearest(missing[0], columns)}")
        return torch.cat([columns[name].flatten(1) if shape else columns[name].unsqueeze(1)
                          for name, shape in zip(self.names, self.shapes, strict=True)], dim=1)

    def unpack(self, packed: torch.Tensor) -> dict[str, torch.Tensor]:
        """Packed (N, D) → columns (N, *shape), as views."""
        return {name: packed[:, place].reshape(-1, *shape) if shape else packed[:, place].squeeze(1)
                for (name, place), shape in zip(self.slices.items(), self.shapes, strict=True)}
