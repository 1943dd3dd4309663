"""Stream generated events to a file: the fifth word."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import torch

from calque.atomic import write_bytes
from calque.errors import ConfigError, FileError, unknown
from calque.fitting.fit import StoppedError
from calque.mixture import Mixture, runs_in
from calque.producing.plan import Piece, count, pieces
from calque.progress import progress
from calque.reading import Sink
from calque.run import BLOCK, Run
from calque.table import Table

Source = Run | Mixture | str | Path
CHOICES = {"order": ("shuffled", "sorted"), "precision": ("float32", "bf16")}
MOST = 10**15


@dataclass(frozen=True)
class Production:
    """What was written, and how fast; `next_event` is the first of a production that goes on after it."""

    path: Path
    rows: int
    drawn: int
    seconds: float
    next_event: int

    def __str__(self) -> str:
        if self.rows and not self.drawn:
            return f"{self.path} is complete already"
        rate = self.drawn / max(self.seconds, 1e-9)
        salvaged = f", {self.rows - self.drawn} of them from the part before" if self.drawn < self.rows else ""
        return (f"{self.rows} events in {self.path}{salvaged}; {self.seconds:.1f} s, {rate / 1e6:.2f} M events/s; "
                f"more with --first-event {self.next_event}")


def produce(
    runs: Source | Sequence[Source],
    n: float,
    *,
    out: str | Path,
    seed: int = 0,
    first_event: int = 0,
    exact: bool = False,
    order: Literal["shuffled", "sorted"] = "shuffled",
    tree: str | None = None,
    compression: str = "lz4",
    layout: str | None = None,
    block: int = BLOCK,
    workers: int = 2,
    precision: Literal["float32", "bf16"] = "float32",
    resume: bool = False,
    quiet: bool = False,
) -> Production:
    """Draw about n events (a Poisson number; `exact` fixes it) from runs mixed by their rates into one file.

    Event i of a seed is the same whatever n, workers and interruptions are; a `first_event` of the earlier
    production's `next_event` goes on after it. Memory is bounded. The file has its name only when it is complete;
    with `resume` an interrupted production goes on from what it left, and a complete one stays.
    Raises ConfigError, FileError, DataError, StoppedError.
    """
    check(n, first_event, block, workers, order=order, precision=precision)
    mixture, path, rows = mix(runs), Path(out).expanduser(), int(n)
    plan: dict[str, object] = {"n": rows, "seed": seed, "first": first_event, "exact": exact, "order": order,
                               "block": block, "precision": precision, "runs": identify(mixture)}
    total, begun = count(rows, exact, seed, first_event), plan_of(path).is_file()
    if resume and path.is_file() and not begun:
        return Production(path, total, 0, 0.0, first_event + total)
    if resume and begun:
        check_plan(path, plan)
    started = time.monotonic()
    with Sink(path, tree=tree, units=mixture.units, compression=compression, layout=layout,
              resume=resume and begun) as sink, stoppable(sink):
        write_bytes(plan_of(path), json.dumps(plan))
        kept = salvage(sink, mixture) if layout is None else 0  # a layout keeps other columns than are drawn
        cuts = skip(pieces(mixture, total, first_event, block, seed, order == "sorted"), kept)
        with progress(f"produce {path.name}", total, quiet) as bar:
            for table in drawn(mixture, cuts, seed, block, workers, precision):
                sink.write(table)
                bar(sink.rows, f"{(sink.rows - kept) / max(time.monotonic() - started, 1e-9) / 1e6:.2f} M/s")
    plan_of(path).unlink(missing_ok=True)
    return Production(path, sink.rows, sink.rows - kept, time.monotonic() - started, first_event + sink.rows)


def check(n: float, first_event: int, block: int, workers: int, **chosen: str) -> None:
    """Raise ConfigError for numbers and choices that mean nothing."""
    if not 1 <= n <= MOST:
        raise ConfigError(f"n = {n:g}: the number of events to produce is between 1 and {MOST:g}")
    for name, value, least in (("first_event", first_event, 0), ("block", block, 1), ("workers", workers, 1)):
        if value < least:
            raise ConfigError(f"{name} = {value}: at least {least} is needed")
    for name, word in chosen.items():
        if word not in CHOICES[name]:
            raise ConfigError(unknown(name, word, CHOICES[name]))


@contextmanager
def stoppable(sink: Sink) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"stopped after {sink.rows} events of {sink.path}; go on with --resume") from None


def salvage(sink: Sink, mixture: Mixture) -> int:
    """Write again what a killed production left, in the types in which it was drawn; returns the number of rows."""
    types = mixture.runs[0].dtypes
    for table in sink.salvaged():
        sink.write({name: table[name].astype(types[name]) for name in types})
    return sink.rows


def mix(runs: Source | Sequence[Source]) -> Mixture:
    """One mixture of all runs named, in memory or in folders."""
    sources = [runs] if isinstance(runs, Run | Mixture | str | Path) else list(runs)
    found: list[Run] = []
    for source in sources:
        if isinstance(source, Run):
            found.append(source)
        else:
            found.extend(source.runs if isinstance(source, Mixture) else runs_in(source))
    if not found:
        raise ConfigError("no run to produce from")
    for run in found[1:]:
        if set(run.names) != set(found[0].names):
            raise ConfigError(f"the runs make different columns: {', '.join(found[0].names)} and "
                              f"{', '.join(run.names)}; a 'constant' step keeps a column that one of them lacks")
    return Mixture(tuple(found))


def drawn(mixture: Mixture, cuts: Iterator[Piece], seed: int, block: int, workers: int,
          precision: str) -> Iterator[Table]:
    """Tables in order, drawn ahead by worker threads while the caller writes."""
    def work(piece: Piece) -> Table:
        torch.set_num_threads(1)  # small products run faster side by side than split
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return piece.draw(mixture, seed, block)

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Table]] = deque(pool.submit(work, piece) for piece in islice(cuts, 3 * workers))
        try:
            while waiting:
                table = waiting.popleft().result()
                waiting.extend(pool.submit(work, piece) for piece in islice(cuts, 1))
                yield table
        finally:
            for future in waiting:
                future.cancel()


def skip(cuts: Iterator[Piece], rows: int) -> Iterator[Piece]:
    """Leave out the first rows: whole pieces, and the beginning of one."""
    for piece in cuts:
        size = piece.stop - piece.start
        if rows >= size > 0:
            rows -= size
            continue
        yield Piece(piece.lane, piece.index, piece.start + rows, piece.stop)
        rows = 0


def identify(mixture: Mixture) -> str:
    """A hash of all weights: what was interrupted can only go on with the same runs."""
    digest = hashlib.sha256()
    for run in mixture.runs:
        for tensor in run.generator.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        digest.update(json.dumps([run.preparation.to_dict(), run.rate], sort_keys=True).encode())
        for column in run.contexts.columns.values() if run.contexts is not None else ():
            digest.update(column.tobytes())
    return digest.hexdigest()


def plan_of(path: Path) -> Path:
    """Where the settings of an unfinished production lie."""
    return path.with_name(path.name + ".plan")


def check_plan(path: Path, plan: dict[str, object]) -> None:
    """Raise FileError unless what was begun is what is asked for now."""
    before = json.loads(plan_of(path).read_text())
    for name, value in plan.items():
        if before.get(name) != value:
            raise FileError(f"{path} was begun with {name} = {before.get(name)}, now it is {value}; "
                            "resume with the same, or begin anew without --resume")


