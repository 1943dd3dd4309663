"""Lists in Parquet files: what lies in them, and their entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute
import pyarrow.types as kinds

from calque.reading.formats import Field, Lists
from calque.table import Array


def find_lists(column: Any, field: Field) -> Iterator[Field]:
    """List the lists of numbers in one column: itself, or members of its structures, called `column.member`.

    Parameters
    ----------
    column : pyarrow.Field
        The column in the schema.
    field : Field
        Its description as a column without numbers.

    Yields
    ------
    Field
        One for each list; the description as it is where there is none.

    """
    if not is_list(column.type):
        yield field
        return
    entry = column.type.value_type
    members = {f"{field.name}.{one.name}": one.type for one in entry} if kinds.is_struct(entry) else {field.name: entry}
    items = {name: _number_type(kind) for name, kind in members.items()}
    found = [Field(name, None, (), field.unit, field.rows, field.kind, item=item)
             for name, item in items.items() if item is not None]
    yield from found or [field]


def take_lists(array: Any, member: str = "") -> Lists:
    """Take the entries of a list column, or of a member of its structures; a missing list is an empty one."""
    counts = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(array), 0)
    entries = pyarrow.compute.list_flatten(array)
    if member:
        entries = pyarrow.compute.struct_field(entries, member)
    return Lists(np.asarray(counts).astype(np.int64), _entries(entries))


def _entries(entries: Any) -> Array:
    """Missing entries are NaN, of integers and booleans masked."""
    if not entries.null_count or kinds.is_floating(entries.type):
        return np.array(entries.to_numpy(zero_copy_only=False))
    missing = np.asarray(entries.is_null())
    filled = pyarrow.compute.fill_null(entries, False if kinds.is_boolean(entries.type) else 0)
    return np.ma.masked_array(np.array(filled.to_numpy(zero_copy_only=False)), missing)


def is_list(kind: Any) -> bool:
    """Whether a type of Arrow is a list of any length."""
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind))


def _number_type(kind: Any) -> np.dtype[Any] | None:
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind):
        found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return found
    return None
