"""How many threads torch uses for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
