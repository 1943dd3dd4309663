"""Productions that were interrupted: what they were to become, and what they left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from calque.errors import CalqueError, FileError
from calque.fitting.fit import StoppedError
from calque.mixture import Mixture
from calque.reading import Sink


class DrawingError(CalqueError):
    """A worker could not draw its events."""


def plan_of(path: Path) -> Path:
    """Where the settings of an unfinished production lie."""
    return path.with_name(path.name + ".plan")


def check_plan(path: Path, plan: Mapping[str, object]) -> None:
    """Raise FileError unless what was begun is what is asked for now."""
    try:
        before = dict(json.loads(plan_of(path).read_text()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise FileError(f"{plan_of(path)} is damaged; begin anew without --resume") from error
    for name, value in json.loads(json.dumps(plan)).items():
        if before.get(name) != value:
            raise FileError(f"{path} was begun with {name} = {before.get(name)}, now it is {value}; "
                            "resume with the same, or begin anew without --resume")


def salvage(sink: Sink, mixture: Mixture) -> int:
    """Write again what a killed production left, in the types in which it was drawn; returns the number of rows."""
    types = mixture.runs[0].dtypes
    for table in sink.salvaged():
        sink.write({name: table[name].astype(types[name]) for name in types})
    return sink.rows


@contextmanager
def stoppable(sink: Sink) -> Iterator[None]:
    """Say how to go on after Ctrl-C, or where events could not be drawn."""
    try:
        yield
    except DrawingError as error:
        raise StoppedError(f"stopped after {sink.rows} events of {sink.path}: {error}; go on with --resume") from error
    except KeyboardInterrupt:
        raise StoppedError(f"stopped after {sink.rows} events of {sink.path}; go on with --resume") from None
