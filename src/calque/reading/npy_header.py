"""The header of a npy file, in all its versions and of any length."""

from __future__ import annotations

import ast
import struct
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

LONGEST = 1 << 27  # bytes; a hundred thousand columns take three million
DIGITS = 20  # room for the number of rows, so that it can be written when all are there
ALIGN = 64
ENCODINGS = {1: "latin-1", 2: "latin-1", 3: "utf-8"}


class Header(NamedTuple):
    """What a header states: the shape, the type, and whether columns lie one after another."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_column: bool


def read_header(file: IO[bytes]) -> Header:
    """Read a header; nothing in it is run.

    Parameters
    ----------
    file : binary file
        At its beginning; afterwards at the first value.

    Returns
    -------
    Header

    Raises
    ------
    ValueError
        Where it is no header of a known version.
    """
    version = npy.read_magic(file)[0]
    if version not in ENCODINGS:
        raise ValueError(f"version {version} of npy is not known")
    form = "<H" if version == 1 else "<I"
    (length,) = struct.unpack(form, _read(file, struct.calcsize(form)))
    if length > LONGEST:
        raise ValueError(f"its header states that it is {length} bytes long")
    return _parse(_read(file, length).decode(ENCODINGS[version]))


def write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write a header, as long whatever the number of rows; names outside of latin-1 take version 3."""
    stated = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    text = repr(stated) + " " * (DIGITS - len(str(shape[0])))
    version = 2 if text.isascii() else 3
    data = text.encode(ENCODINGS[version])
    start = npy.magic(version, 0)
    padding = -(len(start) + 4 + len(data) + 1) % ALIGN
    file.write(start + struct.pack("<I", len(data) + padding + 1) + data + b" " * padding + b"\n")


def _parse(text: str) -> Header:
    try:
        stated = ast.literal_eval(text.strip())
        shape = tuple(int(size) for size in stated["shape"])
        dtype = npy.descr_to_dtype(stated["descr"])
        by_column = bool(stated["fortran_order"])
    except (SyntaxError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"its header is damaged: {text[:60]!r}") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"its header states the shape {shape}")
    return Header(shape, dtype, by_column and len(shape) > 1)


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError("its header is cut short")
    return data
