"""Codes: the part of a generator's noise that a critic's head is to read from its events."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from calque.errors import ConfigError


class Codes:
    """Categorical codes of `levels` each, one-hot, and `continuous` ones, uniform in [−1, 1] (arXiv:1606.03657).

    Each is made of one standard normal. `size` is the width C of the encoded codes, `answers` that of a guess:
    logits for each categorical code, a mean for each continuous one. Raises ConfigError where there is nothing to tell.

    >>> codes = Codes([3], 1)
    >>> codes.encode(torch.tensor([[-9.0, 0.0], [9.0, 9.0]]))
    tensor([[1., 0., 0., 0.],
            [0., 0., 1., 1.]])
    """

    def __init__(self, levels: Sequence[int] = (), continuous: int = 0) -> None:
        if any(count < 2 for count in levels) or continuous < 0:
            raise ConfigError(f"fit.model.categorical = {list(levels)}, continuous = {continuous} make no codes; a "
                              "categorical code has two levels or more")
        self.levels, self.continuous = tuple(levels), continuous
        self.normals = len(self.levels) + continuous
        self.size = self.answers = sum(self.levels) + continuous
        self.entropy = sum(map(math.log, self.levels)) + continuous * math.log(2)

    def encode(self, normals: Tensor) -> Tensor:
        """(B, normals) → (B, C)."""
        uniform = torch.special.ndtr(normals)
        parts = [one_hot((uniform[:, place] * count).long().clamp(max=count - 1), count).to(normals.dtype)
                 for place, count in enumerate(self.levels)]
        return torch.cat([*parts, 2 * uniform[:, len(self.levels) :] - 1], 1)

    def log_prob(self, answers: Tensor, codes: Tensor) -> Tensor:
        """Log probability (B,) of encoded codes (B, C) by a guess (B, C); normals of width one for continuous ones.

        The fixed width keeps it bounded where a code can be read exactly.
        """
        widths = [*self.levels, self.continuous]
        *guesses, mean = torch.split(answers, widths, 1)
        *given, value = torch.split(codes, widths, 1)
        total = -0.5 * ((value - mean).square() + math.log(2 * math.pi)).sum(1)
        for guess, code in zip(guesses, given, strict=True):
            total = total + (code * guess.log_softmax(1)).sum(1)
        return total
