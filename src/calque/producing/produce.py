"""Stream generated events to a file: the fifth word."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from calque.atomic import write_bytes
from calque.errors import CalqueError, ConfigError, unknown
from calque.locks import lock_output
from calque.mixture import Mixture
from calque.producing.latent import aim_latents
from calque.producing.plan import Piece, Stream, count, skip
from calque.producing.record import check_record, write_record
from calque.producing.regions import Region
from calque.producing.sources import Contexts, Source, described, fix_contexts, identify, mix
from calque.producing.unfinished import DrawingError, check_plan, plan_of, salvage, stoppable
from calque.producing.unweighting import EVERYWHERE, accept_by_weight, check_weight
from calque.progress import progress
from calque.reading import Sink
from calque.reading.formats import Chosen, first_line
from calque.reading.sink import check_output
from calque.reading.where import Where
from calque.run import Run
from calque.table import Table
from calque.threads import ahead, choose_device

T = TypeVar("T")
CHOICES = {"order": ("shuffled", "sorted"), "precision": ("float32", "bf16"), "way": ("rejection", "latent")}
MOST = 10**15


@dataclass(frozen=True)
class Production:
    """What was written, and how fast; `next_event` is the first of a production that goes on after it.

    For a region `tried` counts the events that were drawn to find these, else it is 0; `clipped` is the share of its
    probability that the latent way lost, or of the weight above the `cap` that unweighted events are accepted by;
    `next_event` is −1 where a region was complete already.
    """

    path: Path
    rows: int
    drawn: int
    seconds: float
    next_event: int
    tried: int = 0
    clipped: float = 0.0
    cap: float = 0.0

    def __str__(self) -> str:
        if self.rows and not self.drawn:
            return f"{self.path} is complete already"
        rate = self.drawn / max(self.seconds, 1e-9)
        salvaged = f", {self.rows - self.drawn} of them from the part before" if self.drawn < self.rows else ""
        region = f", {self.rows / self.tried:.3%} of {self.tried} drawn" if self.tried else ""
        if self.cap:
            region += f", accepted by weight up to {self.cap:g}, {self.clipped:.2%} of the weight above"
        elif self.clipped:
            region += f", {self.clipped:.2%} of the region clipped"
        return (f"{self.rows} events in {self.path}{salvaged}{region}; {self.seconds:.1f} s, "
                f"{in_words(rate)} events/s; more with --first-event {self.next_event}")


def in_words(rate: float) -> str:
    """A rate with three digits, in the unit that suits it.

    >>> in_words(4_812_345), in_words(7_174), in_words(999.7), in_words(0.25)
    ('4.81 M', '7.17 k', '1 k', '0.25')
    """
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if rate >= 0.9995 * size:
            return f"{rate / size:.3g}{unit}"
    return f"{rate:.3g}"


def produce(
    runs: Source | Sequence[Source],
    n: float | None = None,
    *,
    out: str | Path,
    context: Contexts | None = None,
    where: str | None = None,
    way: Literal["rejection", "latent"] = "rejection",
    unweight: bool = False,
    data: str | Path | None = None,
    seed: int = 0,
    first_event: int = 0,
    exact: bool = False,
    order: Literal["shuffled", "sorted"] = "shuffled",
    tree: str | None = None,
    compression: str = "lz4",
    layout: Chosen | None = None,
    block: int | None = None,
    workers: int = 2,
    precision: Literal["float32", "bf16"] = "float32",
    device: str | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Production:
    """Draw about n events (a Poisson number; `exact` fixes it) from runs mixed by their rates into one file.

    Event i of a seed is the same whatever n, workers and interruptions are; a `first_event` of the earlier
    production's `next_event` goes on after it. Memory is bounded. The file has its name only when it is complete;
    with `resume` an interrupted production goes on from what it left, and a complete one stays.

    `context` fixes what the runs are given: a mapping of values, or a table (or a file of one) with n / rows events
    for each row, in its order; n left out is one for each. `where`, such as "pz > 100 and abs(px) < 2", keeps only
    events for which it holds, and draws until there are n of them; `way = "latent"` draws near what the training sample
    (`data` where it moved to) has there in latent space, and accepts by importance. `unweight` accepts events of runs
    that learnt a weight as a column by that weight, so that each counts one.
    `device` draws there ("cuda", "auto"), with random numbers of its own: the same events on every one of its kind.
    Raises ConfigError, FileError, DataError, StoppedError.
    """
    by_rows = not (context is None or isinstance(context, Mapping))
    check(n, by_rows, first_event, block, workers, order=order, precision=precision, way=way)
    check_region(where, by_rows, order, way, data)
    check_unweight(unweight, by_rows, order, way)
    path = check_output(out, layout, compression)
    mixture = place(mix(runs), device, way)
    given = fix_contexts(mixture, context, n, first_event)
    rows = int(n or (len(given.table) if given else 0))
    stream = Stream(mixture, seed, block or mixture.rows, given, mixture.together)
    if unweight:
        check_weight(mixture, where)
    region = Region.of(stream, where or EVERYWHERE, first_event) if where or unweight else None
    total = count(rows, exact or by_rows, seed, first_event)
    plan: dict[str, object] = {"n": rows, "seed": seed, "first": first_event, "exact": exact, "order": order,
                               "block": stream.block, "precision": precision, "context": described(given),
                               "where": where, "way": way, "unweight": unweight,
                               "device": mixture.device.type, "tree": tree, "layout": layout,
                               "compression": compression, "columns": list(mixture.runs[0].names),
                               "runs": identify(region.stream.mixture if region else mixture)}
    with lock_output(path):
        begun = plan_of(path).is_file()
        if resume and path.is_file() and not begun:
            check_record(path, plan)
            return Production(path, total, 0, 0.0, -1 if region else first_event + total)
        if resume and begun:
            check_plan(path, plan)
        if region is not None and way == "latent":
            region = aim_latents(region, data)
        if region is not None and unweight:
            region = accept_by_weight(region)
        return write_events(Work(path, plan, stream, region, total, resume and begun, workers, quiet))


@dataclass(frozen=True)
class Work:
    """What is to be written: `total` events of a stream, or of a region of it, as the plan says."""

    path: Path
    plan: Mapping[str, Any]
    stream: Stream
    region: Region | None
    total: int
    is_begun: bool
    workers: int
    quiet: bool

    def tables(self, kept: int) -> Iterator[Table]:
        """The events as they are drawn, but for the first `kept`."""
        how = (self.workers, self.plan["precision"], self.stream.mixture.device.type)
        if self.region is not None:
            picked = drawn(self.region.draw, self.region.pieces(self.total), *how)
            return self.region.choose(picked, self.total, kept)
        pieces = self.stream.pieces(self.total, self.plan["first"], self.plan["order"] == "sorted")
        return drawn(self.stream.draw, skip(pieces, kept), *how)

    def sink(self) -> Sink:
        """The file, as it was left."""
        return Sink(self.path, tree=self.plan["tree"], units=self.stream.mixture.units, resume=self.is_begun,
                    compression=self.plan["compression"], layout=self.plan["layout"])


def write_events(work: Work) -> Production:
    """Draw and write; the plan lies beside the file until it is complete, the record of it from then on."""
    path, region = work.path, work.region
    runs = work.stream.mixture.runs
    started = time.monotonic()
    take_clipped(runs)
    with work.sink() as sink, stoppable(sink):
        write_bytes(plan_of(path), json.dumps(work.plan))
        # a layout keeps other columns than are drawn
        kept = salvage(sink, work.stream.mixture) if work.plan["layout"] is None else 0
        with progress(f"produce {path.name}", work.total, work.quiet) as bar:
            for table in work.tables(kept):
                sink.write(table)
                bar(sink.rows, f"{in_words((sink.rows - kept) / max(time.monotonic() - started, 1e-9))}/s")
    warn_clipped(runs)
    write_record(path, work.plan)
    plan_of(path).unlink(missing_ok=True)
    after = (region.next_event, region.tried, region.clipped, region.cap) if region else (
        work.plan["first"] + sink.rows,)
    return Production(path, sink.rows, sink.rows - kept, time.monotonic() - started, *after)


def take_clipped(runs: Sequence[Run]) -> tuple[int, dict[str, int]]:
    """Draws of all runs, and how many values of each column were clipped; counted anew from here on."""
    draws, counts = 0, Counter[str]()
    for run in runs:
        drawn_events, clipped = run.preparation.take_clipped()
        draws += drawn_events
        counts.update(clipped)
    return draws, dict(counts)


def warn_clipped(runs: Sequence[Run]) -> None:
    """Warn in one line of values that the types of their columns do not hold."""
    draws, counts = take_clipped(runs)
    if not counts:
        return
    types = runs[0].dtypes
    clipped = [name for name in types if name in counts]
    told = ", ".join(f"{name} ({types[name]}) {counts[name]}" for name in clipped)
    warnings.warn(f"values clipped to what their type holds, in {draws} draws: {told}", stacklevel=4)


def place(mixture: Mixture, device: str | None, way: str) -> Mixture:
    """The runs where they are, or on a device; raises ConfigError for one that is not here."""
    mixture = mixture if device is None else mixture.to(choose_device(device))
    if way == "latent" and mixture.device.type != "cpu":
        raise ConfigError(f"way = latent draws on a cpu; with device = {mixture.device.type} take --way rejection")
    return mixture


def check(n: float | None, by_rows: bool, first_event: int, block: int | None, workers: int, **chosen: str) -> None:
    """Raise ConfigError for numbers and choices that mean nothing."""
    if n is None and not by_rows:
        raise ConfigError("how many events? give n (-n)")
    if n is not None and not 1 <= n <= MOST:
        raise ConfigError(f"n = {n:g}: the number of events to produce is between 1 and {MOST:g}")
    bounds = (("first_event", first_event, 0, 10 * MOST), ("block", block, 1, MOST), ("workers", workers, 1, 1024))
    for name, value, least, most in bounds:
        if value is not None and value < least:
            raise ConfigError(f"{name} = {value}: at least {least} is needed")
        if value is not None and value > most:
            raise ConfigError(f"{name} = {value}: at most {most} can be taken")
    for name, word in chosen.items():
        if word not in CHOICES[name]:
            raise ConfigError(unknown(name, word, CHOICES[name]))


def check_region(where: str | None, by_rows: bool, order: str, way: str, data: str | Path | None) -> None:
    """Raise ConfigError for what is no condition, and for what a region leaves undefined."""
    if where is not None:
        Where(where)
    if where is not None and by_rows:
        raise ConfigError("rows of contexts cannot each have their events where most events are rejected; give either "
                          "where or a table of contexts")
    if where is None and way != "rejection":
        raise ConfigError(f"way = {way} leads into a region; give where, or leave it out")
    if data is not None and way != "latent":
        raise ConfigError("data is the training sample, which only way = latent asks for; leave it out")
    if where is not None and order == "sorted":
        raise ConfigError("order = sorted needs the runs' shares, which are not known in a region; leave one out")


def check_unweight(unweight: bool, by_rows: bool, order: str, way: str) -> None:
    """Raise ConfigError for what cannot go with events that are accepted by their weight."""
    if unweight and by_rows:
        raise ConfigError("rows of contexts cannot each have their events where most events are rejected; give either "
                          "unweight or a table of contexts")
    if unweight and way != "rejection":
        raise ConfigError(f"way = {way} accepts by an importance, unweight by the weight; give one of them")
    if unweight and order == "sorted":
        raise ConfigError("order = sorted needs the runs' shares, which are not known where events are accepted by "
                          "their weight; leave one out")


def drawn(draw: Callable[[Piece], T], cuts: Iterator[Piece], workers: int, precision: str,
          device: str = "cpu") -> Generator[T, None, None]:
    """What `draw` makes of pieces, in their order, made ahead by worker threads while the caller writes."""
    def work(piece: Piece) -> T:
        torch.set_num_threads(1)  # small products run faster side by side than split
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return draw(piece)

    def guarded(piece: Piece) -> T:
        try:
            return work(piece)
        except CalqueError:
            raise
        except Exception as error:  # whatever a network or the memory does
            raise DrawingError(f"drawing failed ({type(error).__name__}: {first_line(error)})") from error

    with ThreadPoolExecutor(workers) as pool:
        yield from ahead(pool, guarded, cuts, 3 * workers)
