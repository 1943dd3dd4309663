"""The frame of z: FairShip's global frame, or one that begins at the target."""

from __future__ import annotations

import re

import numpy as np

from calque.errors import ConfigError
from calque.table import Array

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
LENGTH = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(mm|cm|m)")


def find_origin(origin: str | float, unit: str, target: float, layout: str) -> float:
    """Find the place along z that is the origin of a layout's columns.

    Parameters
    ----------
    origin : str or float
        "global", "target", a number in the layout's unit, or a text with a unit.
    unit : str
        Unit of the layout's z: m, cm or mm.
    target : float
        Where the target starts in the layout's files, in that unit.
    layout : str
        Name of the layout, for the message.

    Returns
    -------
    float
        The origin, in the layout's unit.

    Raises
    ------
    ConfigError
        Where the text is none of these, or the number is not finite.

    Examples
    --------
    >>> find_origin("-72.285 m", "cm", -7084.5, "fairship")
    -7228.5

    """
    named = {"global": 0.0, "target": target}
    if isinstance(origin, str) and origin in named:
        return named[origin]
    if isinstance(origin, str) and (match := LENGTH.fullmatch(origin.strip())):
        return round(float(match.group(1)) * METRES[match.group(2)] / METRES[unit], 9)
    if isinstance(origin, int | float) and not isinstance(origin, bool) and np.isfinite(origin):
        return float(origin)
    raise ConfigError(
        f"origin = {origin!r} of the layout {layout!r}: give \"global\", \"target\", a number [{unit}], "
        'or a length with its unit, such as "-70.845 m"'
    )


def shift_z(z: Array, step: float) -> Array:
    """Add a step to z, in double precision, and return z in its own type."""
    return z if step == 0.0 else (z.astype(np.float64) + step).astype(z.dtype)
