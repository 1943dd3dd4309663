"""Which numbers the type of a branch holds: itself, its members, or lists of them. No value is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import awkward as ak
import numpy as np

from calque.reading.formats import Lists
from calque.table import Array

# members that only hold the coordinates of a vector: TLorentzVector's fX lies in fP
HOLDERS = ("fP", "fCoordinates")


@dataclass(frozen=True)
class Leaf:
    """Numbers inside one branch: `path` leads to them; `dtype` is None where there are none."""

    path: tuple[str, ...] = ()
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()
    is_list: bool = False

    @property
    def short_path(self) -> tuple[str, ...]:
        """The path without members that only hold others."""
        return tuple(part for part in self.path if part not in HOLDERS)

    def take(self, array: Any) -> Array | Lists:
        """Take the numbers (N, *shape), or the list of each event, out of what the branch holds."""
        for part in self.path:
            array = array[part]
        if not self.is_list:
            return _numbers(array)
        counts = ak.to_numpy(ak.num(array, axis=1)).astype(np.int64)
        return Lists(counts, _numbers(ak.flatten(array, axis=1)))


def find_leaves(form: Any, leaf: Leaf | None = None) -> Iterator[Leaf]:
    """List what a form of awkward-array holds, in the order of its members.

    Parameters
    ----------
    form : awkward.forms.Form
        The type of one event of a branch.
    leaf : Leaf, optional
        What leads to this form from the branch.

    Yields
    ------
    Leaf
        One for every number, fixed array of numbers or list of numbers; one without dtype for anything else.

    Examples
    --------
    >>> form = ak.Array([{"p": {"x": 1.0}, "hits": [1, 2]}]).layout.form
    >>> [(leaf.path, str(leaf.dtype), leaf.is_list) for leaf in find_leaves(form)]
    [(('p', 'x'), 'float64', False), (('hits',), 'int64', True)]

    """
    leaf = leaf or Leaf()
    if form.is_record:
        for name, content in zip(form.fields, form.contents, strict=True):
            if name.startswith("@"):  # bookkeeping that uproot leaves out of the values
                continue
            yield from find_leaves(content, replace(leaf, path=(*leaf.path, name)))
    elif form.is_numpy:
        yield _number_leaf(form, leaf)
    elif form.is_regular and not _is_text(form) and form.size:
        yield from find_leaves(form.content, replace(leaf, shape=(*leaf.shape, int(form.size))))
    elif form.is_list and not _is_text(form) and not leaf.is_list and not leaf.shape:
        yield from find_leaves(form.content, replace(leaf, is_list=True))
    else:
        yield leaf


def _number_leaf(form: Any, leaf: Leaf) -> Leaf:
    if _is_text(form):
        return leaf
    dtype = np.dtype(form.primitive)
    shape = (*leaf.shape, *(int(size) for size in form.inner_shape))
    return replace(leaf, dtype=dtype if dtype.kind in "biuf" else None, shape=shape)


def _is_text(form: Any) -> bool:
    return form.parameter("__array__") in {"string", "bytestring", "char", "byte"}


def _numbers(array: Any) -> Array:
    """Values as a numpy array in the machine's byte order."""
    values = ak.to_numpy(array, allow_missing=False)
    return np.asarray(values, values.dtype.newbyteorder("="))
