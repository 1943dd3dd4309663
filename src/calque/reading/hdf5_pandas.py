"""What pandas stores in HDF5: frames in blocks ("fixed") and in tables; names of columns, and no labels of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from calque.errors import FileError
from calque.reading.compound import Leaf, number_type
from calque.reading.hdf5_columns import Column, find_fault, is_bits, name_apart, read_bytes, read_text
from calque.reading.hdf5_links import Shelf

TYPE_KEY = "pandas_type"
FIXED, TABLES = ("frame", "series"), ("frame_table", "series_table")
LABELS = "row labels of pandas"
# a line of the text in which Python notes a list: marks, then a string or a whole number
NOTED = re.compile(rb"[a(lt]*?([VSIL])(.*)")


def is_frame(group: Any) -> bool:
    """Whether a group is a frame or a series of pandas."""
    return TYPE_KEY in group.attrs and read_text(group.attrs, TYPE_KEY) in (*FIXED, *TABLES)


def is_inner(name: str) -> bool:
    """Whether a group serves pandas itself: an index for searching, notes on categories."""
    return name.startswith("_i_") or name == "meta"


def list_frame(group: Any, shelf: Shelf) -> list[Column]:
    """List the columns of a frame.

    Parameters
    ----------
    group : h5py.Group
        What pandas calls a key.
    shelf : Shelf
        The file that it lies in.

    Returns
    -------
    list of Column
        In the order of the frame; the labels of its rows have no dtype.

    Raises
    ------
    FileError
        Where the names of the columns cannot be read.
    """
    kind = read_text(group.attrs, TYPE_KEY)
    if kind in TABLES:
        columns = _list_table(group["table"], group, shelf)
    elif kind == "series":
        columns = _list_series(group, shelf)
    else:
        columns = _list_blocks(group, shelf)
    return name_apart(columns, group)


def _list_blocks(group: Any, shelf: Shelf) -> list[Column]:
    """Columns of a frame in blocks (N, columns), one block a type."""
    order = {name: place for place, name in enumerate(_read_labels(group, "axis0"))}
    found: list[Column] = []
    for block in range(int(group.attrs["nblocks"])):
        names = _read_labels(group, f"block{block}_items")
        values = group[f"block{block}_values"]
        found += _list_items(values, names, group, shelf)
    found.sort(key=lambda column: order.get(column.name, len(order)))
    return [*found, _label_column(group, "axis1")]


def _list_items(values: Any, names: Sequence[str], group: Any, shelf: Shelf) -> list[Column]:
    base = values.dtype
    times = read_text(values.attrs, "value_type")
    if values.ndim != 2 or number_type(base) is None:
        kind = "Python objects"
        rows = len(group["axis1"]) if "axis1" in group else 0
        return [Column(name, None, Leaf((), np.dtype(object), ()), rows, kind=kind) for name in names]
    across = "transposed" not in values.attrs
    rows = values.shape[1 if across else 0]
    kind = f"times ({times})" if "time" in times else ""
    fault = find_fault(values, shelf)
    column = Column(
        "", values, Leaf((), base, ()), rows, across=across, kind=kind, truths=is_bits(values), fault=fault
    )
    return [replace(column, name=name, item=item) for item, name in enumerate(names)]


def _list_series(group: Any, shelf: Shelf) -> list[Column]:
    values = group["values"]
    name = _strip_noted(read_text(group.attrs, "name")) or "values"
    leaf = Leaf((), values.dtype, values.shape[1:])
    column = Column(name, values, leaf, len(values), truths=is_bits(values), fault=find_fault(values, shelf))
    return [column, _label_column(group, "index")]


def _label_column(group: Any, name: str) -> Column:
    labels = group.get(name)
    rows = len(labels) if isinstance(labels, h5py.Dataset) and labels.ndim else 0
    return Column("index", labels, Leaf((), np.dtype(object), ()), rows, kind=LABELS)


def _list_table(table: Any, group: Any, shelf: Shelf) -> list[Column]:
    """Columns of a frame in a table: a compound dataset whose fields hold several columns each."""
    fault = find_fault(table, shelf)
    found: list[Column] = []
    levels = _read_noted(read_bytes(group.attrs, "levels"))
    for name in table.dtype.names:
        found += _list_field(table, name, name == "index" or name in levels, fault)
    axes = _read_noted(read_bytes(group.attrs, "non_index_axes"))
    order = {name: place for place, name in enumerate(axes)}
    found.sort(key=lambda column: order.get(column.name, len(order)))
    return found


def _list_field(table: Any, field: str, labels: bool, fault: str) -> list[Column]:
    base, shape = table.dtype[field].subdtype or (table.dtype[field], ())
    leaf = Leaf((field,), base, ())
    if labels:
        return [Column(field, table, leaf, len(table), kind=LABELS)]
    names = _read_noted(read_bytes(table.attrs, f"{field}_kind"))
    column = Column(
        names[0] if len(names) == 1 else field, table, leaf, len(table), kind=_kind_of_field(table, field),
        truths=read_text(table.attrs, f"{field}_dtype") == "bool", fault=fault,
    )  # fmt: skip
    if not shape:
        return [column]
    if len(names) != shape[0]:
        raise FileError(
            f"{table.file.filename}: the names of the columns in {table.name}/{field} are Python objects, which are "
            "not read; write the frame anew with to_parquet"
        )
    return [replace(column, name=name, item=item) for item, name in enumerate(names)]


def _kind_of_field(table: Any, field: str) -> str:
    """What to call columns whose numbers stand for something else; empty for numbers."""
    stored = read_text(table.attrs, f"{field}_dtype")
    if "time" in stored:
        return f"times ({stored})"
    return "categories of pandas" if "category" in read_text(table.attrs, f"{field}_meta") else ""


def _read_labels(group: Any, name: str) -> list[str]:
    """Names of columns; whole numbers count as names."""
    labels = group.get(name)
    variety = read_text(group.attrs, f"{name}_variety")
    plain = isinstance(labels, h5py.Dataset) and labels.ndim == 1 and _is_word_or_number(labels.dtype)
    if variety not in ("", "regular") or not plain:
        raise FileError(
            f"{group.file.filename}: the names of the columns in {group.name} are Python objects or of several levels, "
            "which are not read; write the frame anew with to_parquet"
        )
    encoding = read_text(group.attrs, "encoding") or "utf-8"
    return [one.decode(encoding) if isinstance(one, bytes) else str(one) for one in labels[()]]


def _is_word_or_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "SUiu" or h5py.check_string_dtype(dtype) is not None


def _read_noted(text: bytes) -> list[str]:
    """Strings and whole numbers in the text of a list that Python noted; nothing of it is run."""
    found = []
    for line in text.split(b"\n"):
        noted = NOTED.fullmatch(line)
        if noted is None:
            continue
        payload = noted[2].decode("raw_unicode_escape") if noted[1] == b"V" else noted[2].decode("utf-8", "replace")
        found.append(payload.strip("'") if noted[1] == b"S" else payload.rstrip("L") if noted[1] == b"L" else payload)
    return found


def _strip_noted(text: str) -> str:
    """A name, noted by Python or plain; empty for none."""
    if text == "N.":
        return ""
    noted = _read_noted(text.encode()) if text.endswith(".") else []
    return noted[0] if len(noted) == 1 else text
