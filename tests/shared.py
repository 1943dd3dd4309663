"""Where the shared public data lie; a test that needs them is skipped where they are absent."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_file(name: str) -> Path:
    """Path of `data/NAME` in $CALQUE_SHARED, or in ../shared beside the repository."""
    root = Path(os.environ.get("CALQUE_SHARED", REPOSITORY.parent / "shared"))
    path = root / "data" / name
    if not path.is_file():
        pytest.skip(f"needs the shared data: {path} is not there (CALQUE_SHARED names another folder)")
    return path
