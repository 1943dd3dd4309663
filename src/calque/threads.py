"""Where torch works, on how many threads for a while, and work that is done ahead by others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from calque.errors import ConfigError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use this many threads within; 0 leaves it as it is.

    One is best for small work: threads that wait for each other on a busy machine cost more than they bring, and
    bits must not depend on the number of cores.
    """
    import torch  # late: it takes long

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ahead(pool: Executor, work: Callable[[Item], Result], items: Iterator[Item],
          most: int) -> Generator[Result, None, None]:
    """What `work` makes of items, in their order, made ahead in a pool, at most so many waiting."""
    waiting: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(items, most))
    try:
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))
            yield made
    finally:
        for future in waiting:
            future.cancel()


def choose_device(name: str) -> torch.device:
    """A device by name; `auto` takes a GPU where there is one. Raises ConfigError for one that is not here."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"no device {name!r} here ({str(error).splitlines()[0]}); use cpu or auto") from error
    return device


@cache
def keep_pages() -> None:
    """Have the C library keep freed memory rather than fault it in again, a tenth of the time of a step or a draw.

    glibc gives back what is larger than the largest block freed so far, up to 32 MB: so one such block is freed.
    """
    bytearray(30 * 2**20)
