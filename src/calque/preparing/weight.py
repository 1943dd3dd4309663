"""Steps for a weight that is learnt as a column: what is drawn of positive weights is positive."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from calque.table import Array

FEW = 64  # weights with at most so many values keep exactly these
ROWS_EACH = 10  # rows of each value, on average, from which weights count as such
CHANGING_SIGN = ("standardise", "minmax", "quantile", "whiten")  # steps of all columns that may draw the other sign


def add_weight_steps(steps: Sequence[str], name: str, weights: Array) -> list[str]:
    """Put the steps in front that keep a learnt weight as it is in the sample.

    Weights of a few values are `discrete`; positive ones are learnt in their logarithm, and zeros among them as a
    point of their own. Weights of both signs, and those that a step is written for, are left alone.

    Parameters
    ----------
    steps : sequence of str
        The steps of all columns, as they are written.
    name : str
        The weight column.
    weights : array (N,)
        Its values.

    Returns
    -------
    list of str
        The steps to fit.

    Examples
    --------
    >>> add_weight_steps(["standardise *"], "w", np.geomspace(1e-6, 1, 1000))
    ['log w', 'standardise *']
    >>> add_weight_steps(["discrete w", "standardise *"], "w", np.ones(1000))
    ['discrete w', 'standardise *']
    """
    if any(is_written_for(text, name) for text in steps):
        return list(steps)
    column = shlex.quote(name)
    added = [step.format(column) for step in choose_steps(weights)]
    is_scaled = any("*" in shlex.split(text) for text in steps)
    if f"log {column}" in added and not is_scaled:
        added.append(f"standardise {column}")
    return [*added, *steps]


def is_written_for(text: str, name: str) -> bool:
    """Whether a step names the weight, or takes all columns to where their sign is kept."""
    kind, *words = shlex.split(text) or [""]
    return name in words or ("*" in words and kind not in CHANGING_SIGN)


def choose_steps(weights: Array) -> list[str]:
    """Steps of a column `{}` that keep the sign of weights (N,), where there are such steps."""
    values = np.unique(weights)
    if not np.isfinite(values).all():
        return []
    if len(values) == 1:
        return ["constant {}"]
    if len(values) <= min(FEW, len(weights) / ROWS_EACH):
        return ["discrete {}"]
    if values[0] > 0:
        return ["log {}"]
    return ["spike {} value=0", "log {}"] if values[0] == 0 else []
