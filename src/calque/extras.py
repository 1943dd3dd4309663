"""Optional libraries, each with the line that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from calque.errors import CalqueError

INSTALL = {
    "pandas": "dev",
    "pythia8mc": "simulate",
    "tensorboard": "tensorboard",
}


class MissingExtraError(CalqueError):
    """An optional library is not installed."""


def need(module: str, purpose: str) -> ModuleType:
    """Import an optional library or say how to install it.

    >>> need("json", "anything").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = INSTALL.get(module.split(".")[0], "dev")
        raise MissingExtraError(f"{purpose} needs {module}: pip install 'calque[{extra}]'") from error
