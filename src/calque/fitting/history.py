"""The training history: one JSON line per look at the measures, and TensorBoard's files where they are wanted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calque.atomic import guarded, write_bytes
from calque.extras import need


class History:
    """Entries in memory and, where there is a folder, in a file that is truncated on resume; also on a board."""

    def __init__(
        self, path: Path | None, entries: list[dict[str, Any]] | None = None, board: Board | None = None
    ) -> None:
        self.path, self.entries, self.board = path, list(entries or []), board
        if path is not None:
            write_bytes(path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry."""
        self.entries.append(entry)
        if self.path is not None:
            with guarded(self.path), self.path.open("a") as stream:
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())  # a checkpoint may follow: it must not survive alone
        if self.board is not None:
            self.board.show(entry)


class Board:
    """The same numbers for TensorBoard, in a folder of their own; what came after a checkpoint is forgotten."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        need("tensorboard", "fit.tensorboard = true")
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def show(self, entry: dict[str, Any]) -> None:
        """Write every number of an entry at its step, and its histogram of weights."""
        for name, value in scalars(entry).items():
            self.writer.add_scalar(name, value, entry["step"])
        if "weights/shares" in entry:
            self.spread(entry["weights/shares"], entry["weights/largest"], entry["step"])
        self.writer.flush()

    def spread(self, shares: list[float], largest: float, step: int) -> None:
        """Write shares of weights in equal bins from −largest to largest; their moments are those of the bins."""
        edges = np.linspace(-largest, largest, len(shares) + 1)
        middles = (edges[1:] + edges[:-1]) / 2
        self.writer.add_histogram_raw("weights/all", -largest, largest, 1, float(middles @ shares),
                                      float(middles**2 @ shares), edges[1:].tolist(), shares, step)


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an entry, without its step and its histograms."""
    return {key: value for key, value in entry.items() if key != "step" and not isinstance(value, list)}


def until(entries: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Entries up to a checkpoint's step."""
    return [entry for entry in entries if entry["step"] <= step]
