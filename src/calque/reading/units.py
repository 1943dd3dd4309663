"""Units of columns: which can be converted into which, and by what number values are multiplied."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from calque.errors import DataError
from calque.table import Array, Table

LONGEST = 60
EXACT = 2**53  # integers up to here have a float64 of their own
SPELLINGS = {"**": "^", "{": "(", "}": ")", "·": "*", "⋅": "*", "−": "-", "#mu": "μ", "\\mu": "μ"}
POWER = re.compile(r"(?<=[^\W\d_])(-?\d)")  # "cm2", "cm-1"
LIGHT = re.compile(r"/\s*\(?\s*c\s*(\^?\s*\d)?\s*\)?(?!\w)")  # "/c", "/c2", "/(c^2)"
NUMBER = re.compile(r"(?<![\w^(.-])\d(?!\s*/)|\d{3}|\^[^A-Za-z]*\^")  # a bare number, or a tower of powers


def convert_factor(from_unit: str, to_unit: str) -> float:
    """Find the number by which values in one unit are multiplied to be in another.

    The speed of light is one where two units agree in nothing else: GeV, GeV/c and GeV/c² are the same.

    Parameters
    ----------
    from_unit, to_unit : str
        Units as files write them, such as "GeV/c^2", "GeV/c2", "µm", "cm-1" or "deg".

    Returns
    -------
    float
        The factor, correctly rounded.

    Raises
    ------
    DataError
        For a unit that is not known, for two that measure different things, and for scales that are shifted against
        each other (degC and K).

    Examples
    --------
    >>> convert_factor("cm", "m"), convert_factor("MeV/c", "GeV"), convert_factor("µm", "μm")
    (0.01, 0.001, 1.0)
    """
    return float(_exact_factor(from_unit, to_unit))


def convert_values(values: Array, from_unit: str, to_unit: str) -> Array:
    """Convert values from one unit to another.

    Parameters
    ----------
    values : array (N, ...)
        Numbers in `from_unit`.
    from_unit, to_unit : str
        See `convert_factor`.

    Returns
    -------
    array (N, ...)
        Floats in `to_unit`: float32 stays float32, integers become float64. Where the units are equal, `values`.

    Raises
    ------
    DataError
        As `convert_factor`; for integers beyond 2⁵³, of which float64 would lose digits.

    Examples
    --------
    >>> convert_values(np.array([-6350, 25]), "cm", "m")
    array([-63.5 ,   0.25])
    """
    factor = _exact_factor(from_unit, to_unit)
    if factor == 1:
        return values
    kind = converted_type(values.dtype, from_unit, to_unit)
    if values.dtype.kind in "iu" and not fits_float64(values):
        lost = f"from {from_unit!r} to {to_unit!r}"
        raise DataError(f"integers beyond 2^53 would lose digits in the conversion {lost}")
    wide = values.astype(np.result_type(kind, np.float64), copy=False)
    # 1/100 has no exact float, 100 has: a division rounds once
    scaled = wide * float(factor) if factor > 1 else wide / float(1 / factor)
    # entries that are missing (masked) become NaN
    return np.ma.filled(scaled.astype(kind, copy=False), np.nan)


def converted_type(kind: np.dtype[Any], from_unit: str, to_unit: str) -> np.dtype[Any]:
    """Find the type that values of a type have after a conversion: the same where the factor is one."""
    if _exact_factor(from_unit, to_unit) == 1:
        return kind
    return np.result_type(kind, np.float32) if kind.kind == "f" else np.dtype(np.float64)


def convert_table(table: Table, units: Mapping[str, str]) -> Table:
    """Convert the columns of a table that state a unit to the given ones.

    Parameters
    ----------
    table : Table
        Columns with units; those without a unit stay as they are.
    units : mapping of str to str
        The wanted unit by column; names that the table lacks are passed over.

    Returns
    -------
    Table
        The same rows, with the wanted units.

    Raises
    ------
    DataError
        Naming the column, both units and the table, where one cannot be converted.

    Examples
    --------
    >>> table = Table.of({"e": [1.0, 2.0]}, units={"e": "GeV"})
    >>> convert_table(table, {"e": "MeV"})["e"]
    array([1000., 2000.])
    """
    wanted = {name: unit for name, unit in units.items() if unit and table.units.get(name, unit) != unit}
    if not wanted:
        return table
    new = {}
    for name, unit in wanted.items():
        which = f"column {name!r} of {table.source}"
        check_conversion(table.units[name], unit, which, "is asked for", "leave the column out")
        new[name] = convert_values(table[name], table.units[name], unit)
    return replace(table, columns={**table.columns, **new}, units={**table.units, **wanted})


def check_conversion(from_unit: str, to_unit: str, which: str, why: str, remedy: str) -> None:
    """Raise DataError unless one unit can be converted to the other.

    Parameters
    ----------
    from_unit, to_unit : str
        See `convert_factor`.
    which : str
        The column and its file, as in "column 'z' of a.root".
    why : str
        Where the second unit comes from, as in "is asked for" or "in b.root".
    remedy : str
        What to do.
    """
    try:
        _exact_factor(from_unit, to_unit)
    except DataError as error:
        raise DataError(f"{which} is in {from_unit!r}, {to_unit!r} {why}: {error}; {remedy}") from None


def fits_float64(values: Array) -> bool:
    """Whether integers (N, ...) keep all their digits in float64; True for none."""
    there = np.ma.compressed(values) if np.ma.isMaskedArray(values) else values
    return not there.size or bool(there.max() <= EXACT and there.min() >= -EXACT)


@lru_cache(maxsize=256)
def _exact_factor(from_unit: str, to_unit: str) -> Fraction:
    """The factor as a fraction; 1 for equal units, for which no library is loaded."""
    one, other = _spelt(from_unit), _spelt(to_unit)
    if one == other or LIGHT.sub("", one) == LIGHT.sub("", other):
        return Fraction(1)
    for unit in (from_unit, to_unit):
        if _parse(_spelt(unit)) is None:
            raise DataError(f"{unit!r} is no unit that is known")
    factor = _ratio(_parse(one), _parse(other))
    if factor is None:
        factor = _ratio(_parse(LIGHT.sub("", one)), _parse(LIGHT.sub("", other)))
    if factor is None:
        raise DataError(f"{from_unit!r} and {to_unit!r} measure different things, or differ by more than a factor")
    return factor


def _ratio(one: Any, other: Any) -> Fraction | None:
    """The factor between two of pint's units; None where there is none."""
    registry = _registry()
    try:
        start = registry.Quantity(Fraction(0), one).to(other).magnitude
        factor = registry.Quantity(Fraction(1), one).to(other).magnitude
    except Exception:  # whatever pint raises for units that do not fit, or are no simple product
        return None
    return Fraction(factor) if start == 0 and factor > 0 else None


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """A unit of pint's; None where it knows none of that name."""
    if text == "1":
        return _registry().parse_units("dimensionless")
    if not text or len(text) > LONGEST or NUMBER.search(text):
        return None
    for spelling in (text, POWER.sub(r"^\1", text)):
        with suppress(Exception):  # pint's parser raises anything on what is no unit
            return _registry().parse_units(spelling)
    return None


def _spelt(unit: str) -> str:
    """One spelling of what is written in several ways."""
    text = unicodedata.normalize("NFKC", unit).strip()
    for old, new in SPELLINGS.items():
        text = text.replace(old, new)
    return text


@lru_cache(maxsize=1)
def _registry() -> Any:
    # late, because it takes most of a second; fractions, so that a factor of 1000 is not 1000.0000000000001
    import pint

    return pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
