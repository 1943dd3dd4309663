"""What a long simulation has made so far: files beside the one to be, so that one that was interrupted goes on."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from calque.atomic import write_bytes
from calque.errors import CalqueError
from calque.simulating.calls import Images

EVERY = 20.0  # seconds of simulating that may be lost


class Parts:
    """Images (N, …) in the order of their parameters, in as many files as time has gone by.

    They belong to a file of simulations, and to what it is made of: those of other settings lie in other folders.
    """

    def __init__(self, path: Path, made_of: Mapping[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        self.path, self.folder = path, path.with_name(f".{path.name}.{digest[:12]}.parts")
        self.rows = 0
        self.held: list[Images] = []
        self.saved = time.monotonic()

    def load(self) -> Iterator[Images]:
        """What was made before, up to the first file that is missing or damaged."""
        while (path := self.place).is_file():
            try:
                images = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return
            self.rows += len(images)
            yield images

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Save what is held if something is raised within; if not, remove all that is left for this file."""
        try:
            yield
        except BaseException as error:
            with suppress(CalqueError):  # the first error is the one to tell
                self.save()
            if isinstance(error, KeyboardInterrupt):
                raise CalqueError(f"stopped; {self.rows} images for {self.path} are kept, and the same command goes "
                                  "on") from None
            raise
        left = escape(f".{self.path.name}.")
        for folder in self.path.parent.glob(f"{left}*.parts"):
            shutil.rmtree(folder, ignore_errors=True)
        for killed in self.path.parent.glob(f"{left}*.part"):
            killed.unlink(missing_ok=True)

    def add(self, images: Images) -> None:
        """Hold more, and save what is held from time to time."""
        self.held.append(images)
        if time.monotonic() - self.saved >= EVERY:
            self.save()

    def save(self) -> None:
        """Write what is held, complete or not at all."""
        if self.held:
            images, content = np.concatenate(self.held), io.BytesIO()
            np.save(content, images)
            write_bytes(self.place, content.getvalue())
            self.held, self.rows, self.saved = [], self.rows + len(images), time.monotonic()

    @property
    def place(self) -> Path:
        """The file that comes next, named by its first row."""
        return self.folder / f"{self.rows:09d}.npy"
