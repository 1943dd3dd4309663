"""What keeps a critic tame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]


class Constraint:
    """A term in the critic's loss (`penalises`), or a grip on its weights after each of its moves.

    `strength` is its default size, what a user's `fit.objective.strength` replaces; None where there is none.
    `noise` names the standard normals per event that the penalty consumes.
    """

    penalises = False
    strength: float | None = None
    noise: ClassVar[Mapping[str, int]] = {}

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Scalar at strength one; `score` maps events (B, D) to scores (B,)."""
        return real.new_zeros(())

    def after(self, critic: nn.Module, strength: float) -> None:
        """Change the critic's weights in place."""


class ZeroCentred(Constraint):
    """R1 on real and R2 on generated events: γ/2 · E|∇D|² (Mescheder et al. 2018, arXiv:1801.04406)."""

    penalises = True
    strength = 1.0

    def __init__(self, real: bool, fake: bool) -> None:
        self.real, self.fake = real, fake

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Mean squared gradient, halved, on each side that is asked for."""
        sides = [x for x, wanted in ((real, self.real), (fake, self.fake)) if wanted]
        return slope(score, torch.cat(sides)).square().sum() / (2 * len(real))


class GradientPenalty(Constraint):
    """λ · E(|∇D(u)| − 1)² between real and generated events (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).

    u = ε x + (1 − ε) x̃, with one uniform ε per event, made of a normal; λ = 10.
    """

    penalises = True
    strength = 10.0
    noise: ClassVar[Mapping[str, int]] = {"mix": 1}

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Both shorter and longer gradients than one cost."""
        between = torch.lerp(fake.to(real.dtype), real, torch.special.ndtr(noise["mix"]))
        lengths: Tensor = torch.linalg.vector_norm(slope(score, between), dim=1)
        return (lengths - 1).square().mean()


class Clipping(Constraint):
    """Every weight of the critic stays in [−c, c], c = 0.01 (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)."""

    strength = 0.01

    def after(self, critic: nn.Module, strength: float) -> None:
        """Clamp in place."""
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.clamp_(-strength, strength)


def slope(score: Score, x: Tensor) -> Tensor:
    """∇score at events x (B, D), itself differentiable in the critic's weights."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return gradient


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "none": Constraint,
    "clip": Clipping,
    "gradient-penalty": GradientPenalty,
    "r1": lambda: ZeroCentred(real=True, fake=False),
    "r1r2": lambda: ZeroCentred(real=True, fake=True),
}
