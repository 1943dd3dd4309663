"""Stream generated events to a file: the fifth word."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import torch

from calque.atomic import write_bytes
from calque.errors import ConfigError, FileError
from calque.producing.plan import Piece, count, pieces
from calque.progress import progress
from calque.reading import Sink
from calque.run import BLOCK, Mixture, Run, runs_in
from calque.table import Table

Source = Run | Mixture | str | Path


@dataclass(frozen=True)
class Production:
    """What was written, and how fast."""

    path: Path
    rows: int
    drawn: int
    seconds: float

    def __str__(self) -> str:
        rate = self.drawn / max(self.seconds, 1e-9)
        salvaged = f", {self.rows - self.drawn} of them from the part before" if self.drawn < self.rows else ""
        return f"{self.rows} events in {self.path}{salvaged}; {self.seconds:.1f} s, {rate / 1e6:.2f} M events/s"


def produce(
    runs: Source | Sequence[Source],
    n: float,
    *,
    out: str | Path,
    seed: int = 0,
    first_event: int = 0,
    exact: bool = False,
    order: Literal["shuffled", "sorted"] = "shuffled",
    tree: str | None = "events",
    compression: str = "lz4",
    layout: str | None = None,
    block: int = BLOCK,
    workers: int = 2,
    precision: Literal["float32", "bf16"] = "float32",
    resume: bool = False,
    quiet: bool = False,
) -> Production:
    """Draw about n events (a Poisson number; `exact` fixes it) from runs mixed by their rates into one file.

    Event i of a seed is the same whatever n, workers and interruptions are: `first_event` continues an earlier
    production. Memory is bounded. The file has its name only when it is complete; with `resume` an interrupted
    production goes on from what it left. Raises ConfigError, FileError, DataError.
    """
    rows = int(n)
    if rows < 1 or first_event < 0:
        raise ConfigError(f"n = {n:g} and first event {first_event}: there is nothing to produce")
    mixture, path = mix(runs), Path(out)
    plan: dict[str, object] = {"n": rows, "seed": seed, "first": first_event, "exact": exact, "order": order,
                               "block": block, "precision": precision, "runs": identify(mixture)}
    total = count(rows, exact, seed, first_event)
    started = time.monotonic()
    with Sink(path, tree=tree, compression=compression, layout=layout, resume=resume) as sink:
        keep_plan(path, plan, resume)
        cuts = pieces(mixture, total, first_event, block, seed, order == "sorted")
        with progress(f"produce {path.name}", total, quiet) as bar:
            kept = 0
            for table in sink.salvaged() if resume else ():
                sink.write(table)
                kept += len(table)
            for table in drawn(mixture, skip(cuts, kept), seed, block, workers, precision):
                sink.write(table)
                bar(sink.rows, f"{(sink.rows - kept) / max(time.monotonic() - started, 1e-9) / 1e6:.2f} M/s")
    plan_of(path).unlink(missing_ok=True)
    return Production(path, sink.rows, sink.rows - kept, time.monotonic() - started)


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
        if rows >= size:
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
        digest.update(json.dumps(run.preparation.to_dict(), sort_keys=True).encode())
    return digest.hexdigest()


def plan_of(path: Path) -> Path:
    """Where the settings of an unfinished production lie."""
    return path.with_name(path.name + ".plan")


def keep_plan(path: Path, plan: dict[str, object], resume: bool) -> None:
    """Write down what is produced, or check that a resumed production is the same."""
    place = plan_of(path)
    if resume and place.is_file():
        before = json.loads(place.read_text())
        changed = [name for name, value in plan.items() if before.get(name) != value]
        if changed:
            raise FileError(f"{path} was begun with {changed[0]} = {before.get(changed[0])}, now it is "
                            f"{plan[changed[0]]}; resume with the same, or begin anew without --resume")
    write_bytes(place, json.dumps(plan))


