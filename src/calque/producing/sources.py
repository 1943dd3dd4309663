"""What a production draws from: runs side by side, and the contexts that its caller fixes."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calque.contexts import Given, written
from calque.errors import CalqueError, ConfigError
from calque.mixture import Mixture, runs_in
from calque.preparing import Preparation
from calque.reading import read
from calque.reading.formats import Chosen
from calque.run import Run
from calque.table import Table

Source = Run | Mixture | str | Path
Contexts = Mapping[str, float] | Table | str | Path


def mix(runs: Source | Sequence[Source]) -> Mixture:
    """One mixture of all runs named, in memory or in folders."""
    sources = [runs] if isinstance(runs, Run | Mixture | str | Path) else list(runs)
    found: list[Run] = []
    for source in sources:
        if isinstance(source, Run):
            found.append(source)
        else:
            found.extend(source.runs if isinstance(source, Mixture) else runs_in(source))
    if not found:
        raise ConfigError("no run to produce from")
    for run in found[1:]:
        if set(run.names) != set(found[0].names):
            raise ConfigError(f"the runs make different columns: {', '.join(found[0].names)} and "
                              f"{', '.join(run.names)}; a 'constant' step keeps a column that one of them lacks")
        check_units(found[0], run)
    return Mixture(tuple(widen(found)))


def check_units(one: Run, other: Run) -> None:
    """Raise ConfigError where two runs draw a column in different units."""
    left, right = one.preparation.units, other.preparation.units
    for name in one.names:
        if left.get(name) and right.get(name) and left[name] != right[name]:
            raise ConfigError(f"the runs draw {name!r} in {left[name]} and in {right[name]}; train them "
                              f"with the same read.units, or produce from one at a time")


def widen(runs: Sequence[Run]) -> list[Run]:
    """The runs, all drawing in types that hold what each of them draws.

    Raises ConfigError where no type does, and for a context in different types.
    """
    types = {name: {run.dtypes[name] for run in runs} for name in runs[0].names}
    differing = {name: kinds for name, kinds in types.items() if len(kinds) > 1}
    if not differing:
        return list(runs)
    wide = {}
    for name, kinds in differing.items():
        common = np.result_type(*kinds)
        exact = all(np.can_cast(kind, common, "safe") and not is_rounded(kind, common) for kind in kinds)
        if not exact or any(name in run.context.names or name in run.preparation.long for run in runs):
            raise ConfigError(f"the runs draw {name!r} as {' and as '.join(sorted(kinds))}; train them on "
                              "columns of one type, or produce from one at a time")
        wide[name] = str(common)
    return [replace(run, preparation=retyped(run.preparation, wide)) for run in runs]


def is_rounded(kind: str, common: np.dtype[Any]) -> bool:
    """Whether integers of a type lose digits in a common type of floating-point numbers."""
    whole = np.dtype(kind)
    return common.kind == "f" and whole.kind in "iu" and 8 * whole.itemsize > np.finfo(common).nmant + 1


def retyped(preparation: Preparation, types: Mapping[str, str]) -> Preparation:
    """A preparation that gives some columns in other types."""
    new = copy.deepcopy(preparation)
    new.dtypes |= types
    return new


def identify(mixture: Mixture) -> str:
    """A hash of all weights: what was interrupted can only go on with the same runs."""
    digest = hashlib.sha256()
    for run in mixture.runs:
        for tensor in run.generator.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        digest.update(json.dumps([run.preparation.to_dict(), run.rate], sort_keys=True).encode())
        digest.update(b"" if run.contexts is None else digest_of(run.contexts))
    return digest.hexdigest()


def digest_of(table: Table) -> bytes:
    """The bytes of all columns."""
    return b"".join(column.tobytes() for column in table.columns.values())


def chosen(pairs: Sequence[str], file: str | None) -> Contexts | None:
    """Contexts as a command line fixes them: NAME=NUMBER pairs, or a file of rows; raises ConfigError for both.

    >>> chosen(["pdg=13", "energy=5e1"], None)
    {'pdg': 13, 'energy': 50.0}
    """
    if pairs and file:
        raise ConfigError("give either --context or --contexts, not both")
    fixed: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name in fixed:
            raise ConfigError(f"--context {name} is given twice: {', '.join(pairs)}")
        try:
            fixed[name] = as_number(value)
        except ValueError:
            raise ConfigError(f"--context takes NAME=NUMBER; it was given {pair!r}") from None
    return file or fixed


def as_number(text: str) -> float:
    """An integer with all its digits, or else a floating-point number; raises ValueError for what is none."""
    try:
        whole = int(text)
    except ValueError:
        return float(text)
    return whole if -(2**63) <= whole < 2**64 else float(whole)


def fix_contexts(mixture: Mixture, contexts: Contexts | None, n: float | None, first_event: int) -> Given | None:
    """Contexts for n events from `first_event` on: the same for all, or row by row of a table or a file.

    Each row of a table is for n / rows events that follow one another. Raises DataError, ConfigError and FileError
    where contexts do not fit the runs, or the table not the number of events; warns of numbers beyond the training's.
    """
    if contexts is None or (isinstance(contexts, Mapping) and not contexts):
        return None
    names = mixture.runs[0].context.names
    if isinstance(contexts, str | Path):
        contexts = read_contexts(str(contexts), list(names) or None, mixture.runs[0].config.read.layout)
    if isinstance(contexts, Table) and not names:
        raise ConfigError("contexts are given to runs that were trained without any; leave them out")
    rows = len(contexts) if isinstance(contexts, Table) else 1
    given = mixture.given(contexts, rows)
    if given is None:
        return None
    each = 1
    if isinstance(contexts, Table) and n is not None:
        each = int(n) // rows
        if each * rows != int(n):
            raise ConfigError(f"n = {n:g} events for {rows} rows of contexts: give a multiple, or leave n out for one "
                              "each")
    if len(mixture.runs) > 1:
        mixture.shares(given.table)
    else:
        mixture.runs[0].context.encode(given.table)
    warn_beyond(mixture, given.table)
    return replace(given, first=first_event, each=each)


def read_contexts(path: str, names: list[str] | None, layout: Chosen | None) -> Table:
    """Contexts from a file: in the layout of the training, or else by their names as they are."""
    if layout is not None:
        with suppress(CalqueError):
            return read(path, columns=names, layout=layout)
    return read(path, columns=names)


def warn_beyond(mixture: Mixture, table: Table) -> None:
    """Warn of numbers that no run has seen: a network guesses there."""
    for condition in mixture.runs[0].context.conditions:
        seen = [run.contexts[condition.name] for run in mixture.runs if run.contexts is not None]
        low, high = min(column.min() for column in seen), max(column.max() for column in seen)
        column = table[condition.name]
        beyond = (column < low) | (column > high)
        if not condition.levels and beyond.any():
            worst = column.max() if column.max() > high else column.min()
            many = f" in {int(beyond.sum())} of {len(column)} rows" if len(column) > 1 else ""
            warnings.warn(f"context {condition.name} = {worst:g} is beyond what was trained on, {low:g} to {high:g}"
                          f"{many}; what is drawn there is a guess", stacklevel=4)


def described(given: Given | None) -> str:
    """Contexts in words, to tell one production from another."""
    if given is None:
        return "the sample's own"
    if len(given.table) == 1:
        return ", ".join(f"{name} = {written(column[0])}" for name, column in given.table.columns.items())
    return f"{len(given.table)} rows, {hashlib.sha256(digest_of(given.table)).hexdigest()[:12]}"
