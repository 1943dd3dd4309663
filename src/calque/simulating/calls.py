"""Calls of a function that simulates: in this process or in several, every answer checked."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calque.errors import DataError
from calque.threads import ahead

Array = NDArray[np.float64]
Images = NDArray[np.float32]
Function = Callable[[Array, int], Any]


class Chunk(NamedTuple):
    """Parameters (N, P) that are simulated in one call, and its seed."""

    parameters: Array
    seed: int


class Fault(NamedTuple):
    """What is wrong with an answer, and the row of the chunk where; −1 for all of them."""

    what: str
    row: int


def answers(function: Function, chunks: Sequence[Chunk], workers: int) -> Iterator[Images | Fault]:
    """What the function makes of each chunk, in their order, whatever the number of processes."""
    work = partial(answer, function)
    if workers <= 1 or len(chunks) <= 1:
        yield from map(work, chunks)
        return
    try:
        with processes(workers) as pool:
            yield from ahead(pool, work, iter(chunks), 3 * workers)
    except BrokenProcessPool as error:
        raise DataError("a process of the pool ended by itself: killed, out of memory, or the program that started it "
                        "has no `if __name__ == \"__main__\":`; workers = 1 simulates without a pool") from error


@contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool that ends at once if what it is for does; Ctrl-C is for the process that waits for it.

    Spawned: a process that was forked holds locks of threads that it has not got.
    """
    others = set(active_children())
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which processes inherit
        for _ in range(workers):
            pool.submit(int)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            time.sleep(0.1)  # for the pool to forget them: it prints a traceback for what was cancelled, else
            for process in set(active_children()) - others:
                process.terminate()
            raise


def answer(function: Function, chunk: Chunk) -> Images | Fault:
    """One call: images (N, …) float32, or what is wrong."""
    try:
        made = function(*chunk)
    except (Exception, SystemExit) as error:  # whatever somebody's function raises
        return Fault(worded(error), first_that_raises(function, chunk))
    return checked(made, len(chunk.parameters))


def checked(made: Any, rows: int) -> Images | Fault:
    """An answer as float32, or what is wrong with it."""
    try:
        images = np.asarray(made)
    except (ValueError, TypeError, RuntimeError) as error:
        return Fault(f"returned what is no array ({worded(error)})", -1)
    if images.dtype.kind not in "biuf" or images.ndim == 0:
        return Fault(f"returned {type(made).__name__} of {images.dtype}, not an array of numbers (N, …)", -1)
    if len(images) != rows:
        return Fault(f"returned {len(images)} images for {rows} parameter vectors", -1)
    with np.errstate(over="ignore"):
        images = np.ascontiguousarray(images, np.float32)
    bad = ~np.isfinite(images.reshape(rows, -1)).all(axis=1)
    if bad.any():
        return Fault("returned NaN or infinite numbers", int(bad.argmax()))
    return images


def first_that_raises(function: Function, chunk: Chunk) -> int:
    """The first row that raises by itself; −1 where none does."""
    for row in range(len(chunk.parameters)):
        try:
            function(chunk.parameters[row : row + 1], chunk.seed)
        except (Exception, SystemExit):  # the same as above, row by row
            return row
    return -1


def worded(error: BaseException) -> str:
    """An exception on one line."""
    return f"raised {type(error).__name__}: {' '.join(str(error).split())}"
