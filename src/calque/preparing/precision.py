"""Columns as tensors and back in their own types: exact integers, offsets that single precision would round."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calque.errors import DataError
from calque.preparing.step import Shape, Step
from calque.table import Array

EXACT = 2**53  # integers up to here are exact in double precision
EXACT_SINGLE = 2**24  # and up to here in single
OFFSET = 1000.0  # standard deviations from zero: beyond, single precision shows in an image's numbers
SIGN = np.uint64(2**63)


def is_long(column: Array) -> bool:
    """Whether a column holds integers that double precision would round.

    >>> is_long(np.array([2**53 + 1])), is_long(np.array([2**53]))
    (True, False)
    """
    if column.dtype.kind not in "iu" or column.dtype.itemsize < 8 or not column.size:
        return False
    return int(column.max()) > EXACT or int(column.min()) < -EXACT


def needs_double(column: Array) -> bool:
    """Whether draws of a column have to be made in double precision: its type, or its offset, asks for it.

    >>> needs_double(np.array([0.1])), needs_double(np.array([0.1], "f4")), needs_double(np.array([2**24 + 1]))
    (True, False, True)
    """
    if not column.size:
        return False
    if column.dtype.kind in "iu":
        return int(column.max()) > EXACT_SINGLE or int(column.min()) < -EXACT_SINGLE
    if column.dtype.kind != "f" or column.dtype.itemsize < 8:
        return False
    return column.ndim == 1 or bool(abs(column.mean()) > OFFSET * column.std() > 0)


def difference(column: Array, origin: float) -> Array:
    """A column less a number (N,) float64; exact for integers and an integer origin, where it fits 53 bits.

    >>> difference(np.array([2**62 + 1]), 2**62).tolist()
    [1.0]
    """
    if not isinstance(origin, int):
        return np.asarray(column - origin, np.float64)
    start = to_tensor(np.array([origin], column.dtype), long=True).numpy()
    return np.asarray(to_tensor(column, long=True).numpy() - start, np.float64)


def codes_of(columns: Sequence[Array]) -> NDArray[np.int64]:
    """The number of each row's combination of values (N,): equal rows have equal numbers, whatever the types.

    >>> codes_of([np.array([1, 2, 1]), np.array([0.5, 0.5, 0.5])]).tolist()
    [0, 1, 0]
    """
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, which = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + which.reshape(-1), return_inverse=True)[1].reshape(-1)
    return codes


def to_tensor(column: Array, long: bool = False) -> Tensor:
    """A column in double precision, or as 64-bit integers in the same order (unsigned ones less 2⁶³)."""
    if not long:
        return torch.from_numpy(column.astype(np.float64))
    if column.dtype.kind == "u":
        return torch.from_numpy((column.astype(np.uint64) ^ SIGN).view(np.int64))
    return torch.from_numpy(column.astype(np.int64))


def restore(column: Tensor, dtype: np.dtype[Any]) -> tuple[Array, int]:
    """A tensor in the type its column came in, and how many values were put to an end of what the type holds."""
    array: Array = column.cpu().numpy()
    if array.dtype.kind == "i":
        return (array.view(np.uint64) ^ SIGN if dtype.kind == "u" else array).astype(dtype, copy=False), 0
    if dtype.kind in "biu":
        return as_integers(array, dtype)
    return as_floats(array, dtype)


def as_integers(array: Array, dtype: np.dtype[Any]) -> tuple[Array, int]:
    """Round to whole numbers of a type; what it cannot hold becomes its least or greatest.

    >>> as_integers(np.array([-1.2, 3.6, 300.0]), np.dtype("u1"))
    (array([  0,   4, 255], dtype=uint8), 2)
    """
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    whole = np.rint(array)
    low, high = whole < float(least), whole >= float(most) + 1  # float(2⁶³ − 1) is 2⁶³ itself
    outside = low | high | np.isnan(whole)
    if not outside.any():
        return whole.astype(dtype), 0
    numbers: Array = np.where(outside, 0, whole).astype(dtype)
    numbers[low], numbers[high] = least, most
    return numbers, int(outside.sum())


def as_floats(array: Array, dtype: np.dtype[Any]) -> tuple[Array, int]:
    """Round to a shorter type of floating-point numbers; what would become infinite becomes its greatest number.

    >>> as_floats(np.array([1.0, 1e6]), np.dtype("f2"))[1]
    1
    """
    if dtype.itemsize >= array.dtype.itemsize:
        return array.astype(dtype, copy=False), 0
    with np.errstate(over="ignore"):
        numbers: Array = array.astype(dtype)
    beyond = np.isinf(numbers) & np.isfinite(array)
    if not beyond.any():
        return numbers, 0
    numbers[beyond] = np.copysign(np.finfo(numbers.dtype).max, numbers[beyond])
    return numbers, int(beyond.sum())


def follow_double(step: Step, double: Collection[str]) -> set[str]:
    """Mark a step that has to work in double precision; names of the columns after it that need it."""
    step.doubles = tuple(name for name in step.columns if name in double)
    needed = bool(step.doubles) or bool(set(step.given) & set(double))
    step.precise = needed or step.exacting
    left = set(double) - set(step.columns)
    return left | set(step.outputs) if needed else left - set(step.outputs)


def take_apart(step: Step, double: Collection[str], shapes: Mapping[str, Shape]) -> list[Step]:
    """A step that acts on each column alone as two: for columns in single and in double precision."""
    pairs = list(zip(step.columns, step.outputs, strict=False))
    long, short = ([pair for pair in pairs if (pair[0] in double) is wanted] for wanted in (True, False))
    if not (step.separable and long and short and len({shapes.get(name) for name in step.columns}) == 1):
        return [step]
    return [type(step)([name for name, _ in part], [name for _, name in part], **step.settings())
            for part in (short, long)]


def refuse_long(step: Step, long: Collection[str]) -> None:
    """Raise DataError where a step would round integers beyond 2⁵³."""
    found = [name for name in (*step.columns, *step.given) if name in long]
    if found and not (step.whole_numbers and len(step.columns) == 1):
        raise DataError(f"step '{step.kind}' would round column {found[0]!r}: its integers are beyond 2^53, and "
                        f"steps work in double precision; {remedy_for_long(found[0])}")


def remedy_for_long(name: str) -> str:
    """What to do with a column of integers beyond 2⁵³."""
    return (f"use 'discrete {name}' where it has few values, make it a context (prepare.context), or leave it out "
            "(read.columns)")
