"""The run folder: the only module that knows its file names. A run rebuilds everything from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from calque.atomic import replacing, write_bytes
from calque.config import Config, checked, load_config, to_toml
from calque.errors import CalqueError, ConfigError, DataError, FileError, nearest, unknown
from calque.kinds import find_kind
from calque.models import GENERATORS, Generator
from calque.preparing import TRAIN, Context, Data, Preparation
from calque.reading.formats import first_line
from calque.seeds import numpy_stream, torch_stream
from calque.table import Array, Layout, Table

CONFIG, PREPARATION, MODEL = "config.toml", "preparation.json", "model.safetensors"
SPLIT, CONTEXTS, PROVENANCE = "split.npz", "contexts.npz", "provenance.json"
HISTORY, BOARD, CHECKPOINT = "history.jsonl", "tensorboard", "checkpoint/state.safetensors"
REPORT, PAGE, PLOTS = "report.json", "report.html", "plots"
BLOCK = 10_000
CHUNK = 2_000  # rows whose activations stay in the cache; larger ones cost page faults, and half the speed


def build_generator(config: Config, layout: Layout, context: int) -> Generator:
    """Make the untrained generator that a configuration names."""
    make = GENERATORS[find_kind(config.fit.kind).generator]
    return make(layout, context, **checked(f"kind {config.fit.kind!r} (fit.model)", make, config.fit.model))


@dataclass
class Run:
    """A trained generator with everything that turns noise into physical events.

    `contexts` holds the sample's own weighted contexts; `rate` is what the sample counts, for mixing categories.
    """

    config: Config
    generator: Generator
    preparation: Preparation
    context: Context
    contexts: Table | None
    rate: float
    history: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    data: Data | None = None
    part: NDArray[np.uint8] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of what is drawn: those learnt, and the context's."""
        return (*self.preparation.columns, *self.context.names)

    @property
    def dtypes(self) -> dict[str, str]:
        """Type of each column that is drawn."""
        return {**self.preparation.dtypes, **{c.name: c.dtype for c in self.context.conditions}}

    @property
    def weight(self) -> str | None:
        """Name of the generated weight column, where weights were learnt."""
        name = self.config.read.weight
        return name if name in self.preparation.columns else None

    def sample(self, n: int, context: Mapping[str, float] | Table | None = None, seed: int = 0) -> Table:
        """Draw n events in physical units: the first n of the endless stream that a seed defines.

        `context`: none draws from the sample's own; a mapping fixes values; a Table gives one row per event.
        """
        return Table.concatenate([self.block(seed, index, given=self.conditions(context, index * BLOCK, n), keep=rows)
                                  for index, rows in blocks(n)])

    def imitate(self, real: Table, seed: int = 0) -> Table:
        """Draw as many events as a real table has, in its columns, to be judged against it."""
        fake = self.sample(len(real), seed=seed)
        return fake.select(real.names, self.weight) if self.weight else fake.select(real.features)

    def conditions(self, context: Mapping[str, float] | Table | None, start: int, n: int) -> Table | None:
        """The context rows of one block, where the caller fixed them."""
        if context is None:
            return None
        rows = min(BLOCK, n - start)
        for name in self.context.names:
            if name not in context:
                raise DataError(unknown("context", name, list(context), "given"))
        for name in () if isinstance(context, Table) else context:
            if name not in self.context.names:
                raise DataError(unknown("context", name, self.context.names, "that this run was trained with"))
        if not self.context.names:
            return None
        if isinstance(context, Table):
            if len(context) != n:
                raise DataError(f"the context table has {len(context)} rows for {n} events")
            return context.rows(slice(start, start + rows))
        return Table.of({name: np.full(rows, context[name]) for name in self.context.names})

    def block(self, seed: int, index: int, rows: int = BLOCK, given: Table | None = None, lane: int = 0,
              keep: int | None = None) -> Table:
        """Draw block `index` of the events that a seed and a lane define; a pure function of its arguments.

        `keep` wants its first events only: their noise and contexts are those of the whole block.
        """
        device = next(self.generator.parameters()).device
        conditions = given if given is not None else self.draw_contexts(seed, index, rows, lane, keep)
        stream = torch_stream(seed, "events", index, lane, device=device)
        width = self.generator.noise + self.preparation.inverse_noise
        noise = torch.randn(rows, width, generator=stream, device=device)[:keep]
        with torch.inference_mode():
            encoded = self.context.encode(conditions) if conditions is not None else torch.zeros(len(noise), 0)
            packed = self.draw(noise[:, : self.generator.noise], encoded.to(device)).cpu()
            columns = self.preparation.decode(packed, noise[:, self.generator.noise :].cpu())
        if conditions is not None:
            columns |= {c.name: conditions[c.name].astype(c.dtype) for c in self.context.conditions}
        return Table(columns, self.preparation.units, self.weight, "generated events")

    def draw(self, noise: Tensor, context: Tensor) -> Tensor:
        """Packed events (B, D) from normals and encoded contexts."""
        rows = CHUNK if noise.device.type == "cpu" else max(1, len(noise))
        return torch.cat([self.generator.sample(n, c).float()
                          for n, c in zip(torch.split(noise, rows), torch.split(context, rows), strict=True)])

    def draw_contexts(self, seed: int, index: int, rows: int, lane: int, keep: int | None = None) -> Table | None:
        """Draw contexts with the sample's own weighted frequencies."""
        if self.contexts is None:
            return None
        cumulative = np.cumsum(self.contexts.weights)
        uniform = numpy_stream(seed, "contexts", index, lane).random(rows)[:keep]
        return self.contexts.rows(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))

    def log_prob(self, table: Table) -> NDArray[np.float64]:
        """Log density (N,) in physical units, the preparation's Jacobian included."""
        master = copy.deepcopy(self.preparation).double()
        packed, jacobian = master.encode(table, numpy_stream(self.config.seed, "dequantise"))
        context = self.context.encode(table)
        with torch.inference_mode():
            parts = [self.generator.log_prob(x, c)
                     for x, c in zip(torch.split(packed, BLOCK), torch.split(context, BLOCK), strict=True)]
        return (torch.cat(parts).double() + jacobian).numpy()

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs; the provenance comes last and marks the folder complete."""
        self.save_setup(folder)
        write_bytes(folder / MODEL, save_tensors(contiguous(self.generator.state_dict())))
        write_bytes(folder / PROVENANCE, json.dumps({**self.provenance, "rate": self.rate}, indent=1))
        self.folder = folder

    def save_setup(self, folder: Path) -> None:
        """Write what is known before training."""
        described = {"preparation": self.preparation.to_dict(), "context": self.context.to_dict()}
        write_bytes(folder / CONFIG, to_toml(self.config.model_dump()) + "\n")
        write_bytes(folder / PREPARATION, json.dumps(described, indent=1))
        if self.part is not None:
            save_arrays(folder / SPLIT, {"part": self.part})
        if self.contexts is not None:
            save_arrays(folder / CONTEXTS, self.contexts.to_dict())

    @property
    def reports(self) -> ReportFolder | None:
        """Where a judgement goes."""
        return None if self.folder is None else ReportFolder(self.folder)


@dataclass(frozen=True)
class ReportFolder:
    """The files of a judgement in a folder: the report as JSON and as a page, and the plots."""

    folder: Path

    def clear(self) -> None:
        """Remove what an earlier judgement left: old files must not pose as new ones."""
        for path in (self.folder / REPORT, self.page, *self.plots.glob("*.png"), *self.plots.glob("*.pdf")):
            path.unlink(missing_ok=True)

    def save(self, report: Mapping[str, Any]) -> None:
        """Keep the numbers."""
        write_bytes(self.folder / REPORT, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False))

    def read(self) -> dict[str, Any]:
        """The numbers that were kept, or nothing."""
        kept = self.folder / REPORT
        return dict(json.loads(kept.read_text())) if kept.is_file() else {}

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.folder / PAGE

    @property
    def plots(self) -> Path:
        """The folder of single plots."""
        return self.folder / PLOTS


def blocks(n: int) -> Iterator[tuple[int, int]]:
    """Numbers of the blocks that hold the first n events, and how many of each are wanted."""
    if n < 0:
        raise ConfigError(f"n = {n}: a number of events cannot be negative")
    for start in range(0, max(n, 1), BLOCK):
        yield start // BLOCK, min(BLOCK, n - start)


def save_categories(config: Config) -> None:
    """Mark the folder of a configuration complete: all its categories are trained."""
    write_bytes(Path(config.out) / CONFIG, to_toml(config.model_dump()) + "\n")


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
    raise FileError(f"{folder} is no run folder (no {CONFIG} in it); {nearest(str(folder), near)}")


def load_run(folder: Path) -> Run:
    """Open one run."""
    config = read_config(folder)
    for name in (PREPARATION, MODEL, PROVENANCE):
        if not (folder / name).is_file():
            raise FileError(f"{folder} is half written: no {name} in it; finish it with --resume")
    try:
        described = json.loads((folder / PREPARATION).read_text())
        provenance = json.loads((folder / PROVENANCE).read_text())
        preparation = Preparation.from_dict(described["preparation"])
        context = Context.from_dict(described["context"])
        generator = build_generator(config, preparation.layout, context.size)
        generator.load_state_dict(load_tensors((folder / MODEL).read_bytes()))
        contexts = Table.of(load_arrays(folder / CONTEXTS), weight="weight") if context.names else None
        part = load_arrays(folder / SPLIT)["part"]
        return Run(config, generator.eval(), preparation.float(), context, contexts, provenance["rate"],
                   list(read_history(folder)), provenance, folder, None, part)
    except CalqueError:
        raise
    except Exception as error:  # whatever a library raises on what is not its own file
        raise FileError(f"{folder} is damaged ({type(error).__name__}: {first_line(error)}); train it again") from error


def read_history(folder: Path) -> Iterator[dict[str, Any]]:
    """Entries of the training history; a torn last line is left out."""
    if (folder / HISTORY).is_file():
        for line in (folder / HISTORY).read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def new_run(config: Config, data: Data, generator: Generator) -> Run:
    """Put a generator and a prepared sample together."""
    preparation = copy.deepcopy(data.preparation).float()
    return Run(config, generator, preparation, data.context, own_contexts(data), data.rate, data=data, part=data.part)


def own_contexts(data: Data) -> Table | None:
    """The training rows' weighted contexts, equal ones put together."""
    if not data.context.names:
        return None
    wanted = [*data.context.names, *([data.table.weight] if data.table.weight else [])]
    table = data.table.select(wanted, data.table.weight).rows(data.part == TRAIN)
    codes = np.zeros(len(table), np.int64)
    for name in data.context.names:
        values, which = np.unique(table[name], return_inverse=True)
        codes = np.unique(codes * len(values) + which, return_inverse=True)[1]
    weights = table.weights if data.weights == "draw" else np.ones(len(table))
    chosen = table.select(data.context.names).rows(np.unique(codes, return_index=True)[1])
    return Table.of({**chosen.columns, "weight": np.bincount(codes, weights)}, weight="weight")


def contiguous(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as safetensors wants them: contiguous, on the CPU, sharing nothing."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an npz file."""
    with replacing(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> dict[str, Array]:
    """Read an npz file."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
