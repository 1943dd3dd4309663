"""calque learns a simulation from its own events, draws new ones, and says how good they are.

>>> import calque
>>> calque.__version__
'0.1.0'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from calque.fitting import fit
    from calque.judging.verdict import judge
    from calque.mixture import load
    from calque.preparing import prepare
    from calque.producing import produce
    from calque.reading import read
    from calque.table import Table
    from calque.tuning import tune

_HOMES = {"read": "reading", "prepare": "preparing", "fit": "fitting", "judge": "judging.verdict",
          "produce": "producing", "load": "mixture", "Table": "table", "tune": "tuning"}

__all__ = ["Table", "fit", "judge", "load", "prepare", "produce", "read", "tune"]


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used: `calque --help` needs no torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"calque.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'calque' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
