"""The run folder: the only module that knows its file names."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from calque.atomic import guarded, make_folder, put_in_place, replacing, write_bytes
from calque.config import Config, load_config
from calque.errors import FileError, nearest
from calque.locks import Lock
from calque.table import Array

CONFIG, PREPARATION, MODEL = "config.toml", "preparation.json", "model.safetensors"
SPLIT, CONTEXTS, PROVENANCE = "split.npz", "contexts.npz", "provenance.json"
HISTORY, BOARD, CHECKPOINT = "history.jsonl", "tensorboard", "checkpoint/state.safetensors"
TRAINING_LOCK, JUDGING_LOCK = ".training.lock", ".judging.lock"
SIMULATIONS = "simulations.h5"
REPORT, PAGE, PLOTS = "report.json", "report.html", "plots"
PROGRESS = "progress"
UNFINISHED = ".judgement.part"
RESERVED = (CONFIG, PREPARATION, MODEL, SPLIT, CONTEXTS, PROVENANCE, HISTORY, BOARD, CHECKPOINT.partition("/")[0],
            TRAINING_LOCK, JUDGING_LOCK, SIMULATIONS, REPORT, PAGE, PLOTS, PROGRESS, UNFINISHED, "teacher")


@dataclass(frozen=True)
class ReportFolder:
    """The files of a judgement in a folder: the report as JSON and as a page, and the plots."""

    folder: Path

    @contextmanager
    def renew(self) -> Iterator[ReportFolder]:
        """Yield a new folder beside, to be filled; it takes the place of the old report if nothing is raised.

        Until then the earlier report, its page and its plots stay as they are. The numbers come last.
        """
        beside = ReportFolder(self.folder / UNFINISHED)
        shutil.rmtree(beside.folder, ignore_errors=True)  # of a judgement that was killed
        try:
            with guarded(self.folder):
                make_folder(beside.folder)
            yield beside
            with guarded(self.folder):
                self._take(beside)
        finally:
            shutil.rmtree(beside.folder, ignore_errors=True)

    def _take(self, other: ReportFolder) -> None:
        """Put the files of another folder in place of one's own, and remove what it does not have."""
        new = [path.relative_to(other.folder) for path in other.files() if path.name != REPORT]
        for name in new:
            make_folder((self.folder / name).parent)
            put_in_place(other.folder / name, self.folder / name)
        kept = {self.folder / REPORT, *(self.folder / name for name in new)}
        for path in self.files():
            if path not in kept:
                path.unlink()
        put_in_place(other.folder / REPORT, self.folder / REPORT)

    def files(self) -> list[Path]:
        """The files of a judgement that are there."""
        plots = [*self.plots.glob("*.png"), *self.plots.glob("*.pdf")]
        return [path for path in (*plots, self.page, self.folder / REPORT) if path.is_file()]

    def save(self, report: Mapping[str, Any]) -> None:
        """Keep the numbers."""
        write_bytes(self.folder / REPORT, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))

    def read(self) -> dict[str, Any]:
        """The numbers that were kept, or nothing."""
        kept = self.folder / REPORT
        try:
            return dict(json.loads(kept.read_text())) if kept.is_file() else {}
        except (ValueError, TypeError, RecursionError):  # damaged: it is judged again
            return {}

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.folder / PAGE

    @property
    def plots(self) -> Path:
        """The folder of single plots."""
        return self.folder / PLOTS


def lock_training(folder: Path | None) -> AbstractContextManager[object]:
    """One process at a time trains in a folder; no lock is needed where there is none."""
    if folder is None:
        return nullcontext()
    return Lock(folder / TRAINING_LOCK, folder, "wait for it, or choose another folder with --out")


def lock_judging(folder: Path | None) -> AbstractContextManager[object]:
    """One process at a time writes a report into a folder; no lock is needed where there is none."""
    if folder is None:
        return nullcontext()
    return Lock(folder / JUDGING_LOCK, f"the report of {folder}", "wait for it")


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not, or a run of categories."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> Config:
    """The resolved configuration of a run folder."""
    if is_run(folder):
        return load_config(folder / CONFIG)
    begun = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
    if begun:
        raise FileError(f"{folder} is half written or holds several runs: it has no {CONFIG}, but {', '.join(begun)} "
                        "in it have; finish it with --resume, or name one of these")
    near = [str(path.parent) for path in folder.parent.glob(f"*/{CONFIG}")] if folder.parent.is_dir() else []
    raise FileError(f"{folder} is no run folder (no {CONFIG} in it); "
                    + (nearest(str(folder), near) if near else "calque fit makes one"))


def read_history(folder: Path) -> Iterator[dict[str, Any]]:
    """Entries of the training history, up to the first that is torn or damaged."""
    if (folder / HISTORY).is_file():
        for line in (folder / HISTORY).read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
                return
            yield entry


def contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors wants them: contiguous, on the CPU, sharing nothing."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an npz file."""
    plain: dict[str, Any] = {name: as_plain(array) for name, array in arrays.items()}
    with replacing(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, **plain)  # an older numpy would store a setting as one more array


def as_plain(array: Array) -> Array:
    """An array that needs no pickling; raises TypeError for objects."""
    plain = np.asarray(array)
    if plain.dtype.hasobject:
        raise TypeError(f"an array of {plain.dtype} cannot be stored as numbers")
    return plain


def load_arrays(content: bytes) -> dict[str, Array]:
    """The arrays of an npz file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
