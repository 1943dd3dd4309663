"""Runs side by side, one per category; opening what lies in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.folder import read_config
from calque.run import BLOCK, Run, blocks, load_run
from calque.seeds import numpy_stream
from calque.table import Table


@dataclass(frozen=True)
class Mixture:
    """Runs side by side, one per category, mixed by their rates."""

    runs: tuple[Run, ...]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Shares of the categories, summing to one."""
        rates = np.array([run.rate for run in self.runs])
        return np.asarray(rates / rates.sum())

    @property
    def units(self) -> dict[str, str]:
        """Units of what is drawn."""
        return self.runs[0].preparation.units

    def block(self, seed: int, index: int, rows: int = BLOCK, keep: int | None = None) -> Table:
        """Draw block `index`: each event's category by the rates, shuffled; see `Run.block`."""
        if len(self.runs) == 1:
            return self.runs[0].block(seed, index, rows, keep=keep)
        category = numpy_stream(seed, "categories", index).choice(len(self.runs), rows, p=self.rates)
        kept = category[:keep]
        parts = [run.block(seed, index, int((category == lane).sum()), lane=lane, keep=int((kept == lane).sum()))
                 for lane, run in enumerate(self.runs)]
        place = np.empty(len(kept), np.int64)
        place[np.argsort(kept, kind="stable")] = np.arange(len(kept))
        return Table.concatenate([part.select(parts[0].names, parts[0].weight) for part in parts]).rows(place)

    def sample(self, n: int, seed: int = 0) -> Table:
        """Draw n events in physical units, categories mixed; see `Run.sample`."""
        return Table.concatenate([self.block(seed, index, keep=rows) for index, rows in blocks(n)])


def load(folder: str | Path) -> Run | Mixture:
    """Open a run folder, or a folder of categories; raises FileError where something is missing."""
    folder = Path(folder)
    config = read_config(folder)
    if config.categories:
        return Mixture(tuple(load_run(folder / name) for name in config.categories))
    return load_run(folder)


def runs_in(folder: str | Path) -> tuple[Run, ...]:
    """The runs of a folder: itself, or its categories."""
    loaded = load(folder)
    return loaded.runs if isinstance(loaded, Mixture) else (loaded,)
