"""Columns that hold no numbers: named in one line wherever they are left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from calque.reading.formats import Field
from calque.reading.request import Plan

MOST_NAMES = 10
LONGEST_KIND = 40


def warn_omissions(plans: Sequence[Plan]) -> None:
    """Warn once of the columns that are left out of any of several tables."""
    text = describe_omissions(field for plan in plans for field in plan.left_out)
    if text:
        sources = [plan.source for plan in plans if plan.left_out]
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        warnings.warn(f"{sources[0]}{more}: {text}", stacklevel=4)


def describe_omissions(fields: Iterable[Field]) -> str:
    """Name columns that hold no numbers, with their types.

    Parameters
    ----------
    fields : iterable of Field
        Columns of one table or several; those with numbers are passed over.

    Returns
    -------
    str
        One line, the first ten names and the number of the others; empty where there are none.

    Examples
    --------
    >>> describe_omissions([Field("py", None, kind="text"), Field("n", None)])
    'left out, no numbers: py (text), n'
    """
    kinds: dict[str, str] = {}
    for field in fields:
        if field.dtype is None:
            kinds.setdefault(field.name, field.kind)
    if not kinds:
        return ""
    shown = ", ".join(_described(*one) for one in list(kinds.items())[:MOST_NAMES])
    more = f" and {len(kinds) - MOST_NAMES} more" if len(kinds) > MOST_NAMES else ""
    return f"left out, no numbers: {shown}{more}"


def _described(name: str, kind: str) -> str:
    short = kind if len(kind) <= LONGEST_KIND else kind[: LONGEST_KIND - 1] + "…"
    return f"{name} ({short})" if short else name
