"""Simulations kept in a file: an HDF5 of parameters and images that knows what they were made of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calque.atomic import replacing
from calque.errors import FileError
from calque.locks import lock_output
from calque.simulating.calls import Images
from calque.simulating.parametric import IMAGE, Parametric
from calque.simulating.parts import Parts
from calque.simulating.simulator import Progress

MARK = "simulation"  # the attribute of the file


def keep(simulator: Parametric, parameters: ArrayLike, seed: int, path: Path,
         progress: Progress | None = None) -> bool:
    """Simulate into a file, complete or absent; says whether it was done now, not before.

    What an interrupted simulation has made so far lies beside it, and the next one of the same goes on from there.
    Raises FileError where the file holds other simulations: it may have taken long to make.
    """
    from calque.reading.formats import Compression
    from calque.reading.hdf5 import GroupWriter

    wanted = fingerprint(simulator, parameters, seed)
    if path.is_file():
        check_same(path, wanted)
        return False
    parts = Parts(path, wanted)
    with lock_output(path), parts.kept(), replacing(path) as beside:
        writer = GroupWriter(beside, "", {}, Compression("zlib", 1))
        for table in simulator.tables(parameters, seed, progress, parts):
            writer.write(table.columns)
        writer.file.attrs[MARK] = json.dumps(wanted)
        writer.close()
    return True


def fingerprint(simulator: Parametric, parameters: ArrayLike, seed: int) -> dict[str, Any]:
    """Everything that images depend on, as plain numbers and strings."""
    vectors = np.ascontiguousarray(parameters, np.float64)
    return {"simulator": simulator.name, "parameters": list(simulator.names), **simulator.identity,
            "vectors": len(vectors), "sha256 of vectors": hashlib.sha256(vectors.tobytes()).hexdigest(),
            "chunk": simulator.chunk, "seed": int(seed)}


def check_same(path: Path, wanted: dict[str, Any]) -> None:
    """Raise FileError that names what differs."""
    there = made_by(path)
    # as JSON gives it back: a tuple is a list
    name = next((name for name, value in json.loads(json.dumps(wanted)).items() if there.get(name) != value), None)
    if name is not None:
        raise FileError(f"{path} holds other simulations ({name} {short(there.get(name))}, now {short(wanted[name])}); "
                        "remove it to simulate anew, or choose another place with --out")


def short(value: Any) -> str:
    """A value, for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:20]}…"


def made_by(path: Path) -> dict[str, Any]:
    """What the simulations in a file were made of; nothing where it holds none, FileError where it is damaged."""
    import h5py

    if path.suffix not in (".h5", ".hdf5") or not path.is_file():
        return {}
    try:
        with h5py.File(path, "r") as file:
            return dict(json.loads(file.attrs.get(MARK, "{}")))
    except (OSError, ValueError) as error:
        raise FileError(f"{path} is damaged; remove it to simulate anew") from error


def load_images(path: Path) -> Images:
    """Images (N, …) of a file of simulations."""
    from calque.reading import read

    images: Images = read(path, columns=[IMAGE])[IMAGE]
    return images
