"""The type of a column of text, found from all of its values and never rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as compute

from calque.reading.text_titles import FALSEHOODS, MISSING, TRUTHS
from calque.table import Array

TYPES = {
    "empty": pyarrow.float64(),
    "bool": pyarrow.bool_(),
    "int64": pyarrow.int64(),
    "uint64": pyarrow.uint64(),
    "float64": pyarrow.float64(),
}
WIDER = {
    "empty": ("bool", "int64", "uint64", "float64"),
    "bool": ("bool",),
    "int64": ("int64", "uint64", "float64"),
    "uint64": ("uint64", "float64"),
    "float64": ("float64",),
}
EXACT = 2**53  # up to here float64 holds every whole number
TRIED = 16
WORDS = pyarrow.array([*TRUTHS, *FALSEHOODS])
MARKS = pyarrow.array(sorted(MISSING))
FORTRAN = r"^([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)$"
FORTRAN_SHORT = r"^([+-]?\d*\.\d*)([+-]\d+)$"
VALUE = r"^(?:[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))|0[xX][0-9a-fA-F]+)$"


class Column:
    """What is known of one column after some of its values.

    Attributes
    ----------
    kind : str
        "empty", "bool", "int64", "uint64", "float64" or "text".
    rough : bool
        Whether values must be tidied before they are converted: blanks, a plus, Fortran's exponents.
    fault : str
        Why a column of numbers cannot be read; empty where it can.
    bad_row : int
        Row of the value that is to blame.
    example : str
        That value.
    """

    def __init__(self, decimal_comma: bool = False, kind: str = "empty") -> None:
        self.kind, self.fault, self.example, self.bad_row = kind, "", "", -1
        self.comma = self.rough = decimal_comma
        self.low = self.high = 0

    @property
    def is_numeric(self) -> bool:
        """Whether its values can be read as numbers."""
        return self.kind != "text" and not self.fault

    def add(self, texts: Any, row: int) -> None:
        """Take account of further values; null is missing.

        Parameters
        ----------
        texts : pyarrow.Array of string, shape (N,)
            Values as they are written.
        row : int
            Row of the first of them in the file.
        """
        if not self.is_numeric:
            return
        if not self.rough and self._fits(texts):
            return
        tidied = tidy(texts, self.comma)
        if self._fits(tidied):
            self.rough = True
            return
        self._give_up(tidied, row)

    def _fits(self, texts: Any) -> bool:
        """Whether a type holds these values and those before; it becomes the column's."""
        present = texts.drop_null() if texts.null_count else texts
        if not len(present):
            return True
        first = str(present[0].as_py())
        for kind in WIDER[self.kind]:
            values = _convert(present, kind) if _is_possible(first, kind) else None
            if values is not None:
                self._note(kind, values, present)
                return True
        return False

    def _note(self, kind: str, values: Any, texts: Any) -> None:
        if kind in {"int64", "uint64"}:
            extremes = compute.min_max(values)
            low, high = extremes["min"].as_py(), extremes["max"].as_py()
            if kind == "uint64" and self.low < 0:
                kind = "float64"
            self.low, self.high = min(self.low, low), max(self.high, high)
        else:
            self._check_rounding(kind, values, texts)
        self.kind = kind
        if kind == "float64" and max(-self.low, self.high) > EXACT and not self.fault:
            self.fault = "mixes fractions with whole numbers beyond 2^53, which would be rounded"

    def _check_rounding(self, kind: str, values: Any, texts: Any) -> None:
        """Note a whole number that float64 cannot hold."""
        if kind != "float64" or self.fault:
            return
        numbers = values.to_numpy(zero_copy_only=False)
        large = np.flatnonzero(np.abs(numbers) >= EXACT)
        if not len(large):
            return
        written = texts.take(pyarrow.array(large))
        whole = written.filter(compute.match_substring_regex(written, r"^[+-]?\d+$"))
        rounded = next((text for text in whole.to_pylist() if int(text) != int(float(text))), None)
        if rounded is not None:
            self.fault = f"holds whole numbers that 64 bits cannot hold without rounding, such as {rounded[:40]}"

    def _give_up(self, texts: Any, row: int) -> None:
        """What is no number makes text of a column, or a fault where numbers came before."""
        truths = self._begins_with_truth(texts)
        good = compute.is_in(texts, WORDS) if truths else compute.match_substring_regex(texts, VALUE)
        bad = compute.fill_null(compute.invert(good), False)
        place = max(compute.index(bad, True).as_py(), 0)
        self.example, self.bad_row = str(texts[place].as_py())[:40], row + place
        before = texts.slice(0, place)
        if self.kind != "empty" or before.null_count < len(before):
            self.fault = "holds numbers only up to line {line}, where it holds {example!r}"
        self.kind = "text"

    def _begins_with_truth(self, texts: Any) -> bool:
        if self.kind != "empty":
            return self.kind == "bool"
        return texts.drop_null()[0].as_py() in (*TRUTHS, *FALSEHOODS)


def _is_possible(text: str, kind: str) -> bool:
    """Whether a text may stand for a value of a type: a quick look that saves a failing conversion."""
    if kind == "bool":
        return text in TRUTHS or text in FALSEHOODS
    return kind == "float64" or not any(sign in text for sign in ".eEnN")


def tidy(texts: Any, comma: bool) -> Any:
    """Numbers written in other ways, as arrow reads them: no blanks, no plus, E for an exponent, a decimal point."""
    plain = compute.utf8_trim_whitespace(texts)
    plain = compute.if_else(compute.is_in(plain, MARKS), None, plain)
    plain = compute.replace_substring_regex(plain, r"^\+", "")
    plain = compute.replace_substring_regex(plain, FORTRAN, r"\1E\2")
    plain = compute.replace_substring_regex(plain, FORTRAN_SHORT, r"\1E\2")
    plain = compute.replace_substring_regex(plain, r"^([+-]?)1\.#INF$", r"\1inf")
    return compute.replace_substring(plain, ",", ".") if comma else plain


def _convert(texts: Any, kind: str) -> Any:
    """Values in a type, or None where one of them has no place in it."""
    if kind == "bool":
        words = compute.is_in(texts, WORDS)
        return texts.cast(pyarrow.bool_()) if compute.all(words).as_py() else None
    try:
        if len(texts) > TRIED:  # a few first: to fail on many takes long
            texts.slice(0, TRIED).cast(TYPES[kind])
        return texts.cast(TYPES[kind])
    except pyarrow.ArrowInvalid:
        return None


def to_numbers(values: Any, kind: str, rough: bool, comma: bool) -> Array:
    """Convert a column of arrow to NumPy.

    Parameters
    ----------
    values : pyarrow.Array, shape (N,)
        Numbers, or text where `rough`.
    kind : str
        The type of the column.
    rough : bool
        Whether the values are text that has to be tidied.
    comma : bool
        Whether a comma stands before the decimals.

    Returns
    -------
    ndarray, shape (N,)
        What is missing is NaN, or masked where numbers are whole or truths.
    """
    if rough:
        values = tidy(values, comma).cast(TYPES[kind])
    if kind in {"float64", "empty"}:
        return np.array(values.to_numpy(zero_copy_only=False), np.float64)
    if not values.null_count:
        return np.array(values.to_numpy(zero_copy_only=False))
    filled = compute.fill_null(values, pyarrow.scalar(0).cast(values.type))
    missing = compute.is_null(values).to_numpy(zero_copy_only=False)
    return np.ma.masked_array(np.array(filled.to_numpy(zero_copy_only=False)), missing)
