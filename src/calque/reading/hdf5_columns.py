"""The columns of one table in an HDF5 file: datasets of a group, or fields of a compound dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from calque.reading.compound import Leaf, count_bytes, list_leaves, number_type
from calque.reading.formats import Field
from calque.reading.hdf5_links import LinkError, Shelf
from calque.reading.names import escape_name, make_unique
from calque.table import Array

UNIT_KEYS = ("unit", "units", "Unit", "Units")
NAME_KEY = "name"  # an attribute: the name of a column where a path allows only another spelling
LARGE, UNLIKELY = 1 << 30, 1_000_000


@dataclass(frozen=True)
class Column:
    """A column, and where its values lie.

    Attributes
    ----------
    name : str
        Name of the column.
    dataset : h5py.Dataset or None
        Where its values lie; None where it is a link that is not followed.
    leaf : Leaf
        Its place in a record, its type and shape.
    item : int or None
        Its place among the columns of a block (N, columns).
    rows : int
        Number of events.
    across : bool
        Whether the block is (columns, N).
    truths : bool
        Whether the numbers stand for true and false.
    """

    name: str
    dataset: Any
    leaf: Leaf
    rows: int
    item: int | None = None
    across: bool = False
    truths: bool = False
    unit: str = ""
    kind: str = ""
    fault: str = ""

    @property
    def field(self) -> Field:
        """The column as other formats describe it."""
        dtype = None if self.kind or self.fault else number_type(self.leaf.dtype)
        if dtype is not None and self.truths:
            dtype = np.dtype(bool)
        kind = self.kind or ("values out of reach" if self.fault else _describe_type(self.leaf.dtype))
        return Field(self.name, dtype, self.leaf.shape, self.unit, self.rows, kind, self.fault)

    def pick(self, data: Array) -> Array:
        """Values (N, *shape) in the byte order of the machine, out of a piece of the dataset."""
        values = self.leaf.pick(data)
        if self.item is not None:
            values = values[self.item] if self.across else values[:, self.item]
        return np.ascontiguousarray(values, bool if self.truths else number_type(values.dtype))

    def cut(self, start: int, stop: int) -> Any:
        """The selection of rows."""
        return (slice(None), slice(start, stop)) if self.across else slice(start, stop)


def list_columns(group: Any, shelf: Shelf) -> list[Column]:
    """List the datasets of a group, links to datasets too; groups inside it are tables of their own."""
    found = [_member(group, name, shelf) for name in group]
    return name_apart([column for column in found if column is not None], group)


def list_fields(table: Any, shelf: Shelf) -> list[Column]:
    """List the fields of a compound dataset (N, ...)."""
    fault = find_fault(table, shelf)
    outer = table.shape[1:]
    leaves = [leaf._replace(shape=(*outer, *leaf.shape)) for leaf in list_leaves(table.dtype)]
    columns = [Column(leaf.name, table, leaf, len(table), fault=fault) for leaf in leaves]
    return name_apart(columns, table)


def read_pieces(columns: Sequence[Column], rows: int) -> Iterator[dict[str, Array]]:
    """Read columns in pieces of `rows` rows; each dataset once a piece."""
    end = min(column.rows for column in columns)
    for start in range(0, end, rows):
        stop = min(start + rows, end)
        data: dict[Any, Array] = {}
        piece = {}
        for column in columns:
            key = (column.dataset.id, column.across)
            if key not in data:
                data[key] = column.dataset[column.cut(start, stop)]
            piece[column.name] = column.pick(data[key])
        yield piece


def find_fault(dataset: Any, shelf: Shelf, size: int | None = None) -> str:
    """Say why the values of a dataset are not read; empty where they are."""
    try:
        shelf.check_storage(dataset)
    except LinkError as error:
        return str(error)
    size = count_bytes(dataset.dtype, dataset.shape) if size is None else size
    if size <= LARGE or dataset.is_virtual:
        return ""
    stored = dataset.id.get_storage_size()
    if size > UNLIKELY * stored:
        return f"states {len(dataset)} rows, of which the file holds {stored} bytes"
    return ""


def read_text(attributes: Any, key: str) -> str:
    """An attribute as text, however it was stored: bytes, an array of one, nothing."""
    return read_bytes(attributes, key).decode("utf-8", "replace").strip("\0 \t\n")


def read_bytes(attributes: Any, key: str) -> bytes:
    """An attribute as the bytes of a text."""
    try:
        value = attributes.get(key)
    except (OSError, TypeError, ValueError):
        return b""
    if value is None or isinstance(value, h5py.Empty):
        return b""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else b""
    return bytes(value) if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def name_apart(columns: Sequence[Column], place: Any) -> list[Column]:
    """Give columns names that differ."""
    names = make_unique([column.name for column in columns], f"{place.name} of {place.file.filename}")
    return [replace(column, name=name) for column, name in zip(columns, names, strict=True)]


def read_unit(attributes: Any) -> str:
    """The unit that a dataset states."""
    if not len(attributes):
        return ""
    return next((text for key in UNIT_KEYS if (text := read_text(attributes, key))), "")


def _member(group: Any, name: str, shelf: Shelf) -> Column | None:
    """The column that a dataset of a group makes; none for groups and single numbers."""
    nothing = Leaf((), np.dtype(object), ())
    try:
        item = shelf.follow(group, name)
    except LinkError as error:
        return Column(name, None, nothing, 0, kind="a link that is not followed", fault=str(error))
    if not isinstance(item, h5py.Dataset):
        return None
    dtype, shape = item.dtype, item.shape  # each look at these costs as much as a read
    if not shape or dtype.names:
        return None
    base, inner = dtype.subdtype or (dtype, ())
    leaf = Leaf((), base, (*shape[1:], *inner))
    size = count_bytes(dtype, shape)
    return Column(
        _real_name(item, name), item, leaf, shape[0], unit=read_unit(item.attrs), fault=find_fault(item, shelf, size)
    )


def is_bits(dataset: Any) -> bool:
    """Whether values are stored as bits, as PyTables stores true and false."""
    found: bool = dataset.id.get_type().get_class() == h5py.h5t.BITFIELD
    return found


def _real_name(item: Any, name: str) -> str:
    """The name of a column, whose dataset may bear another spelling of it."""
    if "%" not in name:
        return name
    stored = item.attrs.get(NAME_KEY)
    return stored if isinstance(stored, str) and escape_name(stored) == name else name


def _describe_type(dtype: np.dtype[Any]) -> str:
    if h5py.check_string_dtype(dtype) is not None or dtype.kind in "SU":
        return "text"
    inner = h5py.check_vlen_dtype(dtype)
    if inner is not None:
        return f"lists of {inner}"
    return "references" if h5py.check_ref_dtype(dtype) else str(np.dtype(dtype.str))
