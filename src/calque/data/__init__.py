"""The sample that comes with the package; README.md beside it says how it was made."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from calque.errors import FileError, unknown


def sample(name: str = "muons.root") -> Path:
    """Path of a sample that comes with the package; raises FileError for a name that does not.

    >>> sample().name
    'muons.root'
    """
    folder = Path(str(files(__name__)))
    known = [path.name for path in folder.glob("*.root")]
    if name not in known:
        raise FileError(unknown("sample", name, known, "in the package"))
    return folder / name
