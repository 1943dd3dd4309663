"""The samples that come with the package; README.md beside them says how they were made."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from calque.errors import FileError, unknown

SUFFIXES = (".root", ".h5")


def sample(name: str = "muons.root") -> Path:
    """Path of a sample that comes with the package; raises FileError for a name that does not.

    >>> sample().name, sample("photons.h5").name
    ('muons.root', 'photons.h5')
    """
    folder = Path(str(files(__name__)))
    known = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
    if name not in known:
        raise FileError(unknown("sample", name, known, "in the package"))
    return folder / name
