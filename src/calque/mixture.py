"""Runs side by side, one per category; opening what lies in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from calque.checkpoints import Which
from calque.contexts import Fixed, Given, shares_of, written
from calque.errors import DataError
from calque.provenance import open_config
from calque.run import Run, blocks, join, load_run, shared
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

    @property
    def device(self) -> torch.device:
        """Where events are drawn."""
        return self.runs[0].device

    def to(self, device: torch.device | str) -> Mixture:
        """All runs on a device; see `Run.to`."""
        return Mixture(tuple(run.to(device) for run in self.runs))

    @property
    def rows(self) -> int:
        """Events of a block; see `Run.rows`."""
        return min(run.rows for run in self.runs)

    def block(self, seed: int, index: int, rows: int | None = None, keep: int | None = None, given: Table | None = None,
              count: int = 1) -> Table:
        """Draw `count` blocks from `index` on: each event's category by the rates, shuffled; see `Run.block`.

        `given` are the contexts of all their rows: categories then follow how often each has such events. `keep` wants
        the first events of a single block.
        """
        rows = rows or self.rows
        if len(self.runs) == 1:
            given = None if given is None else given.rows(slice(keep))
            return self.runs[0].block(seed, index, rows, given, keep=keep, count=count)
        blocks = [(at, own, self.categories(seed, at, rows, own))
                  for at, own in enumerate(shared(given, rows, count), index)]
        parts = [run.events(*join([
            run.inputs(seed, at, int((category == lane).sum()), lane=lane, keep=int((category[:keep] == lane).sum()),
                       given=None if own is None else own.rows(np.flatnonzero(category[:keep] == lane)))
            for at, own, category in blocks])) for lane, run in enumerate(self.runs)]
        kept = np.concatenate([category for _, _, category in blocks])[:keep]
        place = np.empty(len(kept), np.int64)
        place[np.argsort(kept, kind="stable")] = np.arange(len(kept))
        return Table.concatenate([part.select(parts[0].names, parts[0].weight) for part in parts]).rows(place)

    def categories(self, seed: int, index: int, rows: int, given: Table | None) -> NDArray[np.int64]:
        """The category of each row of a block."""
        stream = numpy_stream(seed, "categories", index)
        if given is None:
            return stream.choice(len(self.runs), rows, p=self.rates)
        return np.asarray((self.shares(given).cumsum(1)[:, :-1] < stream.random(rows)[:, None]).sum(1))

    @property
    def together(self) -> int:
        """Blocks that are worth drawing at once; see `Run.together`."""
        return min(run.together for run in self.runs)

    def shares(self, given: Table) -> NDArray[np.float64]:
        """Shares (N, K) of the categories for given contexts: their rates times how often each has such classes.

        Raises DataError for classes that none of them was trained on.
        """
        found = self.rates * np.stack([shares_of(run.context, run.contexts, given) for run in self.runs], axis=1)
        total = found.sum(1, keepdims=True)
        if not total.all():
            strange = int(np.flatnonzero(total == 0)[0])
            told = ", ".join(f"{name} = {written(given[name][strange])}" for name in self.runs[0].context.names)
            raise DataError(f"context {told} was not trained on by any of the {len(self.runs)} runs")
        return np.asarray(found / total)

    def given(self, context: Fixed | None, n: int) -> Given | None:
        """Contexts that the caller fixes for n events; raises DataError where they do not fit all runs."""
        for run in self.runs[1:]:
            if context is not None and set(run.context.names) != set(self.runs[0].context.names):
                raise DataError(f"the runs were trained with different contexts: {listed(self.runs[0])} and "
                                f"{listed(run)}; draw from one of them at a time")
        checked = [run.given(context, n) for run in self.runs]
        return checked[0]

    def sample(self, n: int, context: Fixed | None = None, seed: int = 0) -> Table:
        """Draw n events in physical units, categories mixed; see `Run.sample`."""
        given = self.given(context, n)
        return Table.concatenate([
            self.block(seed, index, keep=rows,
                       given=None if given is None else given.block(index * self.rows, self.rows))
            for index, rows in blocks(n, self.rows)])


def listed(run: Run) -> str:
    """A run's contexts in words."""
    return ", ".join(run.context.names) or "none"


def load(folder: str | Path, weights: Which = "best") -> Run | Mixture:
    """Open a run folder, or a folder of categories.

    Parameters
    ----------
    folder : str or Path
        What `fit` or `calque fit` wrote.
    weights : "best" or "latest"
        Of a training that has not ended: which weights of its checkpoint. One line warns that it is unfinished.

    Returns
    -------
    Run or Mixture
        Ready to draw from.

    Raises
    ------
    FileError
        Where something is missing or damaged.
    """
    folder = Path(folder)
    config = open_config(folder)
    if config.categories:
        return Mixture(tuple(load_run(folder / name, weights) for name in config.categories))
    return load_run(folder, weights)


def runs_in(folder: str | Path) -> tuple[Run, ...]:
    """The runs of a folder: itself, or its categories."""
    loaded = load(folder)
    return loaded.runs if isinstance(loaded, Mixture) else (loaded,)
