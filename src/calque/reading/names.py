"""Names of columns: what makes them differ, and how formats that do not allow every sign keep them."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

ESCAPED = re.compile("%[0-9A-F]{2}")
WHOLE_NAMES = {"": "%FF", ".": "%2E", "..": "%2E%2E"}


def make_unique(names: Sequence[str], place: str) -> list[str]:
    """Give columns of one name different ones, and warn of it.

    Parameters
    ----------
    names : sequence of str
        Names in the order of the columns.
    place : str
        Where they are from, for the warning.

    Returns
    -------
    list of str
        The second `x` is `x_2`, and so on.

    Examples
    --------
    >>> make_unique(["x", "y"], "a.csv")
    ['x', 'y']
    """
    if len(set(names)) == len(names):
        return list(names)
    taken, count, found = set(names), Counter[str](), []
    for name in names:
        count[name] += 1
        new = name
        while count[name] > 1 and new in taken:
            new = f"{name}_{count[name]}"
            count[name] += new in taken
        taken.add(new)
        found.append(new)
    renamed = [new for old, new in zip(names, found, strict=True) if old != new]
    warnings.warn(f"{place}: names occur twice; the later columns are called {', '.join(renamed)}", stacklevel=2)
    return found


def escape_name(name: str) -> str:
    """Spell a name without the signs that a path has a meaning for; different names stay different.

    Examples
    --------
    >>> escape_name("px"), escape_name("a/b"), escape_name("."), escape_name("5%"), escape_name("a%2Fb")
    ('px', 'a%2Fb', '%2E', '5%', 'a%252Fb')
    """
    if name in WHOLE_NAMES:
        return WHOLE_NAMES[name]
    if "/" in name or ESCAPED.search(name):
        return name.replace("%", "%25").replace("/", "%2F")
    return name
