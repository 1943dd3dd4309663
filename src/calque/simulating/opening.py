"""A simulator with parameters from its name: one that ships, or `module:function` of somebody's own."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calque.errors import ConfigError, unknown
from calque.simulating import PARAMETRIC, SIMULATORS, find
from calque.simulating.parametric import IMAGE, Parametric
from calque.simulating.source import digest

Space = Mapping[str, tuple[float, float]]


class Wanted(Protocol):
    """The section [simulate]: what to open and how."""

    simulator: str
    settings: dict[str, Any]
    space: dict[str, tuple[float, float]]
    workers: int
    chunk: int
    folder: str | None


def open_simulator(wanted: Wanted) -> Parametric:
    """Open what a section [simulate] names; see `parametric`."""
    return parametric(wanted.simulator, wanted.settings, wanted.space, workers=wanted.workers, chunk=wanted.chunk,
                      folder=wanted.folder)


def parametric(
    name: str,
    settings: Mapping[str, Any] | None = None,
    space: Space | None = None,
    *,
    workers: int = 0,
    chunk: int = 64,
    folder: str | Path | None = None,
) -> Parametric:
    """Open a simulator of PARAMETRIC, or the function `module:function`.

    `space` has low and high of each parameter: all of a function's, in the order of its columns; a shipped one's only
    where they differ from its own. The module is looked for in `folder`, the working directory and on sys.path.
    Raises ConfigError for what does not exist or has no meaning.

    >>> parametric("lines", {"hard": True}, {"m": (1, 2)}).names
    ('m', 'x0', 'c', 'x_steps')
    """
    if ":" in name:
        return of_function(name, dict(settings or {}), space or {}, workers, chunk, folder)
    if name not in PARAMETRIC:
        kind = "simulator with parameters" if name in SIMULATORS else "simulator"
        raise ConfigError(f"{unknown(kind, name, PARAMETRIC)}; a function of your own is named 'module:function'")
    return of_shape(name, dict(settings or {}), space or {}, workers, chunk)


def of_shape(name: str, settings: dict[str, Any], space: Space, workers: int, chunk: int) -> Parametric:
    """One that ships."""
    chosen = find(name, PARAMETRIC)
    check_known(settings, [one.name for one in fields(chosen)], "setting", name)
    check_known(space, chosen.space, "parameter", name)
    shape, (low, high) = built(chosen, settings, name), limits({**chosen.space, **space})
    truth = np.array(list(chosen.truth.values()), dtype=float).T if chosen.truth else None
    identity = {"settings": asdict(shape), "source": digest(inspect.getfile(chosen))}
    return Parametric(name, tuple(chosen.space), low, high, shape, shape.inside, truth, identity, workers, chunk)


def built(chosen: Any, settings: dict[str, Any], name: str) -> Any:
    """A shape with its settings, their types checked."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(chosen).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"simulator {name!r}: {'.'.join(map(str, first['loc']))} = {first['input']!r}: "
                          f"{first['msg']}") from error


def of_function(
    name: str, settings: dict[str, Any], space: Space, workers: int, chunk: int, folder: str | Path | None
) -> Parametric:
    """A function of somebody's own."""
    if not space:
        raise ConfigError(f"simulator {name!r} needs its space: low and high of each parameter, in the order of its "
                          "columns, in [simulate.space], or with --space NAME=LOW:HIGH")
    module, _, function = name.partition(":")
    theirs = Theirs(module, function, str(folder or ""), settings)
    check_keywords(theirs.found(), settings, name)
    source = getattr(importlib.import_module(module), "__file__", None)
    if source is None:
        raise ConfigError(f"simulator {name!r}: the module {module!r} is part of Python, not a file; name one of your "
                          "own, module:function")
    identity = {"settings": settings, "source": digest(source)}
    return Parametric(name, tuple(space), *limits(space), theirs, identity=identity, workers=workers, chunk=chunk)


@dataclass(frozen=True)
class Theirs:
    """A function by name, to be found again in every process."""

    module: str
    function: str
    folder: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, parameters: NDArray[np.float64], seed: int) -> Any:
        """Call it."""
        return self.found()(parameters, seed, **self.settings)

    def found(self) -> Callable[..., Any]:
        """The function; raises ConfigError where it is not there."""
        module = load(self.module, self.folder)
        function = getattr(module, self.function, None)
        if not callable(function):
            there = [name for name, value in vars(module).items() if inspect.isfunction(value)]
            raise ConfigError(unknown("function", self.function, there, f"in {module.__file__}"))
        return function  # type: ignore[no-any-return]


def load(name: str, folder: str) -> Any:
    """Import a module from a folder, the working directory or sys.path, whichever has it first."""
    before = sys.path[:]
    places = [place for place in (folder, str(Path.cwd())) if place]
    sys.path[:0] = places
    try:
        importlib.invalidate_caches()
        forget_other(name)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise ConfigError(f"simulator: {name} imports {error.name!r}, which is not installed") from error
        looked = f"{folder}, " if folder else ""
        raise ConfigError(f"no module {name!r} in {looked}the working directory {Path.cwd()} or on sys.path; put the "
                          "file beside the TOML file") from error
    except Exception as error:  # whatever somebody's module does when it is imported
        raise ConfigError(f"simulator: importing {name} raised {type(error).__name__}: {error}") from error
    finally:
        sys.path[:] = before + [place for place in places if place not in before]  # for what it imports later


def forget_other(name: str) -> None:
    """A module of this name that was imported from elsewhere is another one."""
    known, here = sys.modules.get(name), PathFinder.find_spec(name)
    if known is not None and here is not None and known.__spec__ and known.__spec__.origin != here.origin:
        del sys.modules[name]


def check_keywords(function: Callable[..., Any], settings: Mapping[str, Any], name: str) -> None:
    """Raise ConfigError for settings that the function does not take."""
    try:
        signature = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:  # some functions in C show none
        raise ConfigError(f"simulator {name!r}: what it takes cannot be found out ({error}); wrap it in a function "
                          "of your own") from error
    if not any(one.kind is one.VAR_KEYWORD for one in signature):
        check_known(settings, [one.name for one in list(signature)[2:]], "setting", name)


def check_known(given: Iterable[str], known: Iterable[str], kind: str, name: str) -> None:
    """Raise ConfigError that names the nearest."""
    there = list(known)
    for one in given:
        if one not in there:
            raise ConfigError(unknown(kind, one, there, f"of the simulator {name!r}"))


def limits(space: Space) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high (P,); raises ConfigError where they enclose nothing."""
    for name, (low, high) in space.items():
        if not (low < high and math.isfinite(low) and math.isfinite(high)):
            raise ConfigError(f"simulate.space: {name} from {low:g} to {high:g} is no range; give low < high")
        if name == IMAGE:
            raise ConfigError(f"simulate.space: {IMAGE!r} is the column of what is simulated; call the parameter "
                              "otherwise")
    low, high = np.array(list(space.values()), dtype=float).T
    return low, high
