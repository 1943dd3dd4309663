"""Records inside records: the single columns of a compound type."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from calque.table import Array


class Leaf(NamedTuple):
    """One column of a compound type: the names that lead to it, its type and its shape in one record."""

    path: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the column: `pos.x` for x of pos."""
        return ".".join(self.path)

    def pick(self, records: Array) -> Array:
        """Values (N, *shape) out of records (N,)."""
        for name in self.path:
            records = records[name]
        return records


def list_leaves(
    dtype: np.dtype[Any], path: tuple[str, ...] = (), shape: tuple[int, ...] = ()
) -> Iterator[Leaf]:
    """List the columns of a type, those of records inside records too.

    Parameters
    ----------
    dtype : dtype
        A plain or a compound type, or an array of one.
    path : tuple of str
        Names that lead to it.
    shape : tuple of int
        Shape of the arrays that it lies in.

    Returns
    -------
    iterator of Leaf
        In the order of the type.

    Examples
    --------
    >>> [leaf.name for leaf in list_leaves(np.dtype([("n", "i4"), ("pos", [("x", "f4"), ("y", "f4")])]))]
    ['n', 'pos.x', 'pos.y']
    """
    base, inner = dtype.subdtype or (dtype, ())
    shape = (*shape, *inner)
    if base.names is None:
        yield Leaf(path, base, shape)
        return
    for name in base.names:
        yield from list_leaves(base[name], (*path, name), shape)


def number_type(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type of numbers as this machine holds them; none for text, objects, times and what torch cannot take."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        return None
    return np.dtype(dtype.newbyteorder("=").str)


def count_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Bytes of an array."""
    return dtype.itemsize * math.prod(shape)
