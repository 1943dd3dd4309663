"""What keeps a critic tame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


class Constraint:
    """A term added to the critic's loss, every `every` steps."""

    def penalty(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """Scalar; `score` maps events (B, D) to logits (B,)."""
        return real.new_zeros(())


class ZeroCentred(Constraint):
    """R1 on real and R2 on generated events: γ/2 · E|∇D|² (Mescheder et al. 2018, arXiv:1801.04406)."""

    def __init__(self, real: bool, fake: bool) -> None:
        self.real, self.fake = real, fake

    def penalty(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """Mean squared gradient, halved, on each side that is asked for."""
        sides = [x for x, wanted in ((real, self.real), (fake, self.fake)) if wanted]
        x = torch.cat(sides).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        return gradient.square().sum() / (2 * len(real))


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "none": Constraint,
    "r1": lambda: ZeroCentred(real=True, fake=False),
    "r1r2": lambda: ZeroCentred(real=True, fake=True),
}
