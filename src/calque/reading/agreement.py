"""Several files as one table: columns, shapes, units and types agree before anything is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from calque.errors import DataError
from calque.reading.request import Plan, Request
from calque.reading.source import Source
from calque.reading.units import check_conversion, convert_factor

Kind = np.dtype[Any]
INT64 = np.iinfo(np.int64)


def agree(sources: Sequence[Source], plans: Sequence[Plan], request: Request) -> list[Plan]:
    """Make the plans of several tables yield one table.

    Parameters
    ----------
    sources : sequence of Source
        The tables, in their order.
    plans : sequence of Plan
        The request matched with each of them.
    request : Request
        What is asked for: its units win over those of the files.

    Returns
    -------
    list of Plan
        The same plans; all yield the columns of the first in its order, in the same units and types.

    Raises
    ------
    DataError
        Naming file and column: for one that is missing or has another shape, for units that cannot be
        converted, and for types that no type holds without loss.
    """
    first = plans[0]
    for plan in plans[1:]:
        if request.columns is None:
            _check_names(first, plan)
            _check_names(plan, first)
        _check_shapes(first, plan)
    units = _choose_units(plans, request.units)
    agreed = [_convert(plan, units, request.units) for plan in plans]
    _warn_conversions(agreed, request.units)
    types = _choose_types(sources, agreed)
    kept = {name: units[name] for name in first.keeps if units.get(name)}
    return [replace(plan, keeps=first.keeps, units=kept, types=types) for plan in agreed]


def _check_names(one: Plan, other: Plan) -> None:
    """Raise DataError unless the other table has all columns of the one."""
    gone = [name for name in one.keeps if name not in other.fields]
    if not gone:
        return
    name, remedy = gone[0], "name the columns to read with read.columns"
    kinds = {field.name: field.kind for field in other.left_out}
    if name in kinds:
        here, there = kinds[name] or "no numbers", one.fields[name].dtype
        raise DataError(f"column {name!r} is {here} in {other.source}, {there} in {one.source}; {remedy}")
    more = f" (nor {len(gone) - 1} others of its columns)" if len(gone) > 1 else ""
    raise DataError(f"no column {name!r}{more} in {other.source}, which {one.source} has; {remedy}")


def _check_shapes(one: Plan, other: Plan) -> None:
    for name, field in one.fields.items():
        shape = other.fields[name].shape
        if shape != field.shape:
            where = f"{field.shape} in {one.source}, {shape} in {other.source}"
            remedy = "read them apart, or leave it out with read.columns"
            raise DataError(f"column {name!r} has shape {where}; {remedy}")


def _choose_units(plans: Sequence[Plan], asked: Mapping[str, str]) -> dict[str, str]:
    """The unit of each column: as asked for, or else the first that a file states."""
    units = {name: unit for name, unit in asked.items() if unit}
    for plan in plans:
        for name, field in plan.fields.items():
            if field.unit:
                units.setdefault(name, field.unit)
    return units


def _convert(plan: Plan, units: Mapping[str, str], asked: Mapping[str, str]) -> Plan:
    """The plan with the conversions that its columns need."""
    found = {}
    for name, field in plan.fields.items():
        wanted = units.get(name, "")
        if field.unit and field.unit != wanted:
            which = f"column {name!r} of {plan.source}"
            why, remedy = "in the files before it", f"leave {name!r} out with read.columns"
            if name in asked:
                why, remedy = "is asked for", f"leave {name!r} out of read.units, or correct it"
            check_conversion(field.unit, wanted, which, why, remedy)
            found[name] = (field.unit, wanted)
    return replace(plan, conversions=found)


def _warn_conversions(plans: Sequence[Plan], asked: Mapping[str, str]) -> None:
    """Warn, in one line each, of conversions that nobody asked for, and of units that are guessed."""
    converted: dict[str, str] = {}
    guessed: dict[str, str] = {}
    stated = {name for plan in plans for name, field in plan.fields.items() if field.unit}
    for plan in plans:
        for name, (old, new) in plan.conversions.items():
            if name not in asked and convert_factor(old, new) != 1:
                converted[name] = f"{name!r} from {old} to {new}"
        for name, field in plan.fields.items():
            if not field.unit and name in stated and name not in asked:
                guessed.setdefault(name, f"{name!r} in {plan.source}")
    if converted:
        text = ", ".join(converted.values())
        warnings.warn(f"units differ between files: converted {text}", stacklevel=5)
    if guessed:
        text = ", ".join(guessed.values())
        told = f"no unit for {text}: taken to be that of the other files"
        warnings.warn(f"{told}; read.units states it", stacklevel=5)


def _choose_types(sources: Sequence[Source], plans: Sequence[Plan]) -> dict[str, Kind]:
    """Types of the columns whose type differs between files."""
    differing = {}
    for name in plans[0].fields:
        if len({plan.type_of(name) for plan in plans}) > 1:
            differing[name] = _common_type(name, sources, plans)
    return differing


def _common_type(name: str, sources: Sequence[Source], plans: Sequence[Plan]) -> Kind:
    """The type that holds every value of a column without loss; raises DataError where there is none."""
    kinds = [plan.type_of(name) for plan in plans]
    wide = np.result_type(*kinds)
    whole = all(kind.kind in "biu" for kind in kinds)
    if whole and wide.kind == "f":
        return _common_integer(name, sources, plans)
    if wide.kind == "f":
        digits = np.finfo(wide).nmant + 1
        for source, plan, kind in zip(sources, plans, kinds, strict=True):
            if kind.kind in "iu" and kind.itemsize * 8 > digits:
                low, high = source.find_range(plan, name)
                if max(-low, high) > 2**digits:
                    other = next(at for at in plans if at.type_of(name).kind == "f")
                    raise DataError(_refusal(name, plan, other, low, high))
    return wide


def _common_integer(name: str, sources: Sequence[Source], plans: Sequence[Plan]) -> Kind:
    """int64 or uint64, whichever holds the values of signed and unsigned integers."""
    ranges = list(_ranges(name, sources, plans))
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if high <= INT64.max:
        return np.dtype(np.int64)
    if low >= 0:
        return np.dtype(np.uint64)
    signed = next(plan for plan, (least, _) in zip(plans, ranges, strict=True) if least < 0)
    large = next(plan for plan, (_, most) in zip(plans, ranges, strict=True) if most > INT64.max)
    raise DataError(_refusal(name, signed, large, low, high))


def _ranges(name: str, sources: Sequence[Source], plans: Sequence[Plan]) -> Iterator[tuple[int, int]]:
    for source, plan in zip(sources, plans, strict=True):
        yield source.find_range(plan, name)


def _refusal(name: str, one: Plan, other: Plan, low: int, high: int) -> str:
    types = f"{one.type_of(name)} in {one.source}, {other.type_of(name)} in {other.source}"
    remedy = "read the files apart, or leave it out with read.columns"
    found = f"no type holds both without loss (integers from {low} to {high})"
    return f"column {name!r} is {types}: {found}; {remedy}"
