"""One seed, many named streams: a random number is a function of (seed, name, counter), never of what ran before."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive(seed: int, name: str, *counters: int) -> int:
    """Hash a seed, a stream's name and counters into 63 bits.

    >>> derive(0, "split") == derive(0, "split") != derive(0, "split", 1)
    True
    """
    text = "/".join([str(int(seed)), name, *(str(int(c)) for c in counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_stream(seed: int, name: str, *counters: int) -> np.random.Generator:
    """Open a named NumPy stream."""
    return np.random.default_rng(derive(seed, name, *counters))


def torch_stream(
    seed: int, name: str, *counters: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Open a named torch stream on a device."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, name, *counters))
    return generator
