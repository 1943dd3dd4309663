"""A run: a trained generator with what turns noise into physical events; it rebuilds everything from its folder."""

from __future__ import annotations

import copy
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from calque.atomic import write_bytes
from calque.checkpoints import Which, has_checkpoint, load_generator, read_newest
from calque.config import Config, checked, to_toml
from calque.contexts import Fixed, Given, draw_contexts, fix, own_contexts
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.folder import (
    CHECKPOINT,
    CONFIG,
    CONTEXTS,
    MODEL,
    PREPARATION,
    PROVENANCE,
    SPLIT,
    ReportFolder,
    contiguous,
    is_run,
    load_arrays,
    read_config,
    read_history,
    save_arrays,
)
from calque.kinds import find_kind
from calque.models import GENERATORS, Generator
from calque.preparing import Context, Data, Preparation
from calque.provenance import open_config, read_checked, read_provenance, unsealed, write_provenance
from calque.reading.formats import first_line
from calque.reading.units import convert_table
from calque.seeds import numpy_stream, torch_stream
from calque.table import Layout, Table
from calque.threads import keep_pages

BLOCK = 10_000
CHUNK = 2_000  # rows drawn at once, at least
CACHE = 160_000  # numbers that a layer may put out: more do not stay in the cache, fewer cost calls
SEVERAL, SMALL, FEW = 5, 10_000, 50  # blocks drawn at once by a generator of so many weights, of so many numbers
MANY = 200_000  # events drawn at once where each call goes to a device
WIDE = 20_000_000  # numbers of a block, at most: noise and events
Inputs = tuple[Tensor, Table | None]


def build_generator(config: Config, layout: Layout, context: int) -> Generator:
    """Make the untrained generator that a configuration names."""
    make = GENERATORS[find_kind(config.fit.kind).generator]
    settings = checked(f"kind {config.fit.kind!r} (fit.model)", make, config.fit.model)
    with building(f"a generator of kind {config.fit.kind!r}", "fit.model", config.fit.model):
        return make(layout, context, **settings)


@contextmanager
def building(what: str, section: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Say in one line which settings no network can be built with, or none that the memory holds."""
    try:
        yield
    except CalqueError:
        raise
    except (MemoryError, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        given = ", ".join(f"{name} = {value!r}" for name, value in settings.items())
        raise ConfigError(f"{what} cannot be built with {section} {{{given}}}: {first_line(error)}") from error


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
        """Name of the generated weight column, where weights were learnt or are a context."""
        name = self.config.read.weight
        return name if name in self.names else None

    @property
    def device(self) -> torch.device:
        """Where events are drawn."""
        return next(self.generator.parameters()).device

    def to(self, device: torch.device | str) -> Run:
        """The same run, drawing elsewhere; a kind of device has its own random numbers, hence events of its own."""
        return replace(self, generator=copy.deepcopy(self.generator).to(device),
                       preparation=copy.deepcopy(self.preparation).to(device))

    def sample(self, n: int, context: Fixed | None = None, seed: int = 0) -> Table:
        """Draw n events in physical units: the first n of the endless stream that a seed defines.

        `context`: none draws from the sample's own; a mapping fixes values; a Table gives one row per event.
        What a column's type cannot hold is clipped; `clipped` has the counts of the latest sample.
        """
        given = self.given(context, n)
        self.preparation.take_clipped()
        return Table.concatenate([
            self.block(seed, index, given=None if given is None else given.block(index * self.rows, rows), keep=rows)
            for index, rows in blocks(n, self.rows)])

    @property
    def clipped(self) -> dict[str, int]:
        """By column, values of the latest sample that were clipped to what its type holds."""
        counts = Counter[str]()
        for name, count in self.preparation.clipped:
            counts[name] += count
        return dict(counts)

    def imitate(self, real: Table, seed: int = 0) -> Table:
        """Draw as many events as a real table has, in its columns, to be judged against it."""
        fake = self.sample(len(real), seed=seed)
        return fake.select(real.names, self.weight) if self.weight else fake.select(real.features)

    def given(self, context: Fixed | None, n: int) -> Given | None:
        """Contexts that the caller fixes for n events, in the units of the training.

        Raises DataError where they do not fit this run.
        """
        if isinstance(context, Table):
            if len(context) != n:
                raise DataError(f"the context table has {len(context)} rows for {n} events")
            units = self.preparation.units
            context = convert_table(context, {name: units.get(name, "") for name in self.context.names})
        fixed = None if context is None else fix(self.context, context)
        return Given(fixed) if fixed is not None and len(fixed) else None

    @property
    def rows(self) -> int:
        """Events of a block: fewer of wide ones, of which many would fill the memory."""
        return max(1, min(BLOCK, WIDE // self.width))

    @property
    def width(self) -> int:
        """Numbers that an event takes while it is drawn: its noise and itself."""
        return self.generator.noise + self.preparation.inverse_noise + self.preparation.layout.size

    def block(self, seed: int, index: int, rows: int | None = None, given: Table | None = None, lane: int = 0,
              keep: int | None = None, count: int = 1) -> Table:
        """Draw `count` blocks from `index` on of the events that a seed and a lane define.

        A pure function of its arguments. `keep` wants the first events of a block only, for which `given` has contexts:
        their noise is that of the whole block.
        """
        rows = rows or self.rows
        return self.events(*join([self.inputs(seed, index + at, rows, own, lane, keep)
                                  for at, own in enumerate(shared(given, rows, count))]))

    def inputs(self, seed: int, index: int, rows: int, given: Table | None = None, lane: int = 0,
               keep: int | None = None) -> Inputs:
        """What `events` makes a block of: normals (keep, …) and contexts."""
        if given is None and self.contexts is not None:
            given = draw_contexts(self.contexts, rows, keep, seed, index, lane)
        stream = torch_stream(seed, "events", index, lane, device=self.device)
        width = self.generator.noise + self.preparation.inverse_noise
        return torch.randn(rows, width, generator=stream, device=self.device)[:keep], given

    @property
    def together(self) -> int:
        """Blocks that are worth drawing at once: a few of a small generator, whose calls cost as much as their work."""
        if self.device.type != "cpu":
            return max(1, min(MANY, WIDE // self.width) // self.rows)
        weights = sum(each.numel() for each in self.generator.parameters())
        return SEVERAL if weights <= SMALL and self.preparation.layout.size <= FEW else 1

    def events(self, noise: Tensor, given: Table | None) -> Table:
        """Turn normals (N, generator's and preparation's noise) and contexts into physical events."""
        encoded = self.context.encode(given) if given is not None else torch.zeros(len(noise), 0)
        with torch.inference_mode():
            packed = self.draw(noise[:, : self.generator.noise], encoded.to(noise.device))
            columns = self.preparation.decode(packed, noise[:, self.generator.noise :], given)
        if given is not None:
            columns |= {c.name: given[c.name].astype(c.dtype) for c in self.context.conditions}
        return Table(columns, self.preparation.units, self.weight, "generated events")

    def draw(self, noise: Tensor, context: Tensor) -> Tensor:
        """Packed events (B, D) from normals and encoded contexts."""
        keep_pages()
        rows = chunk(self.generator) if noise.device.type == "cpu" else max(1, len(noise))
        return torch.cat([self.generator.sample(n, c).float()
                          for n, c in zip(torch.split(noise, rows), torch.split(context, rows), strict=True)])

    def log_prob(self, table: Table) -> NDArray[np.float64]:
        """Log density (N,) in physical units, the preparation's Jacobian included."""
        self.preparation.require_density()
        master = copy.deepcopy(self.preparation).double().cpu()
        packed, jacobian = master.encode(table, numpy_stream(self.config.seed, "dequantise"))
        context = self.context.encode(table)
        with torch.inference_mode():
            parts = [self.generator.log_prob(x.to(self.device), c.to(self.device)).cpu()
                     for x, c in zip(torch.split(packed, BLOCK), torch.split(context, BLOCK), strict=True)]
        return (torch.cat(parts).double() + jacobian).numpy()

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs; the provenance comes last and marks the folder complete."""
        self.save_setup(folder)
        write_bytes(folder / MODEL, save_tensors(contiguous(self.generator.state_dict())))
        write_provenance(folder, {**self.provenance, "rate": self.rate})
        self.folder = folder

    def save_setup(self, folder: Path) -> None:
        """Write what is known before training."""
        write_bytes(folder / CONFIG, to_toml(self.config.model_dump()) + "\n")
        write_bytes(folder / PREPARATION, self.describe_setup())
        if self.part is not None:
            save_arrays(folder / SPLIT, {"part": self.part})
        if self.contexts is not None:
            save_arrays(folder / CONTEXTS, self.contexts.to_dict())

    def describe_setup(self) -> str:
        """How columns are prepared, and the fingerprints of the files they came from, as JSON."""
        return json.dumps({"preparation": self.preparation.to_dict(), "context": self.context.to_dict(),
                           "inputs": self.provenance.get("inputs", []), "rate": self.rate}, indent=1)

    @property
    def reports(self) -> ReportFolder | None:
        """Where a judgement goes."""
        return None if self.folder is None else ReportFolder(self.folder)


def shared(given: Table | None, rows: int, count: int) -> list[Table | None]:
    """The contexts of each of `count` blocks."""
    return [given if given is None or count == 1 else given.rows(slice(at * rows, (at + 1) * rows))
            for at in range(count)]


def join(parts: Sequence[Inputs]) -> Inputs:
    """Blocks' normals and contexts, one after another."""
    noise, given = zip(*parts, strict=True)
    return torch.cat(noise), None if given[0] is None else Table.concatenate(given)


def chunk(generator: Generator) -> int:
    """Rows of which the widest layer's output stays in the cache, unless the generator knows better."""
    if generator.at_once:
        return generator.at_once
    widest = max((len(weights) for weights in generator.parameters() if weights.ndim > 1), default=1)
    return min(BLOCK, max(CHUNK, CACHE // widest))


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Numbers of the blocks of a size that hold the first n events, and how many of each are wanted."""
    if n < 0:
        raise ConfigError(f"n = {n}: a number of events cannot be negative")
    for start in range(0, max(n, 1), size):
        yield start // size, min(size, n - start)


def load_run(folder: Path, weights: Which = "best") -> Run:
    """Open one run; of one whose training has not ended, the best or the latest weights of its checkpoint."""
    if is_unfinished(folder):
        return load_unfinished(folder, weights)
    for name in (PREPARATION, MODEL, PROVENANCE):
        if is_run(folder) and not (folder / name).is_file():
            raise FileError(f"{folder} is half written: no {name} in it; finish it with --resume")
    config, provenance = open_config(folder), read_provenance(folder)
    with opening(folder):
        read = partial(read_checked, folder, provenance)
        run = rebuild(folder, config, read)
        run.generator.load_state_dict(load_tensors(read(MODEL)))
        return replace(run, rate=float(provenance["rate"]), provenance=unsealed(provenance))


def rebuild(folder: Path, config: Config, read: Callable[[str], bytes]) -> Run:
    """A run as it was set up before its training; its generator has no weights yet."""
    described = json.loads(read(PREPARATION))
    preparation = Preparation.from_dict(described["preparation"])
    context = Context.from_dict(described["context"])
    generator = build_generator(config, preparation.layout, context.size)
    contexts = Table.of(load_arrays(read(CONTEXTS)), weight="weight") if context.names else None
    part = load_arrays(read(SPLIT))["part"]
    known = {"inputs": described.get("inputs", [])}
    return Run(config, generator.eval(), preparation.float(), context, contexts,
               float(described.get("rate", len(part))), list(read_history(folder)), known, folder, None, part)


def is_unfinished(folder: Path) -> bool:
    """Whether a training in this folder has begun and not ended, and left a checkpoint."""
    ended = (folder / MODEL).is_file() or (folder / PROVENANCE).is_file()
    return is_run(folder) and not ended and has_checkpoint(folder / CHECKPOINT)


def load_unfinished(folder: Path, weights: Which) -> Run:
    """Open a run from the checkpoint of its training, which may go on meanwhile, and warn of it in one line."""
    config = read_config(folder)
    with opening(folder):
        run = rebuild(folder, config, lambda name: (folder / name).read_bytes())
        counters, tensors = read_newest(folder / CHECKPOINT)
        load_generator(run.generator, tensors, weights)
    step, steps = counters["step"], config.fit.steps
    warnings.warn(f"{folder} is unfinished: at step {step} of {steps}, with the {weights} weights so far; its training "
                  "goes on with --resume", stacklevel=2)
    run.provenance["unfinished"] = {"step": step, "steps": steps, "weights": weights}
    return run


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Tell apart, in one line, what may not be read, what the memory does not hold, and what is damaged."""
    try:
        yield
    except CalqueError:
        raise
    except MemoryError as error:
        raise FileError(f"there is not enough memory to open {folder}") from error
    except PermissionError as error:
        raise FileError(f"cannot read {error.filename or folder}: {first_line(error)}") from error
    except Exception as error:  # whatever a library raises on what is not its own file
        if "not enough memory" in str(error):  # torch has no error of its own for it
            raise FileError(f"there is not enough memory to open {folder}") from error
        raise FileError(f"{folder} is damaged ({type(error).__name__}: {first_line(error)}); train it again") from error


def new_run(config: Config, data: Data, generator: Generator) -> Run:
    """Put a generator and a prepared sample together."""
    preparation = copy.deepcopy(data.preparation).float()
    return Run(config, generator, preparation, data.context, own_contexts(data), data.rate, data=data, part=data.part)
