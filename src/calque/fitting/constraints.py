"""What keeps a critic tame."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

Score = Callable[[Tensor], Tensor]


class Constraint:
    """A term in the critic's loss (`penalises`), or a grip on its weights after each of its moves (`holds`).

    `strength` is its default size, what a user's `fit.objective.strength` replaces; None where there is none.
    """

    penalises = False
    holds = False
    strength: float | None = None

    def noise(self, size: int) -> dict[str, int]:
        """Standard normals per event of width `size` that the penalty consumes, by name."""
        return {}

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Scalar at strength one; `score` maps events (B, D), or both halves (2B, D), to as many scores."""
        return real.new_zeros(())

    def hold(self, weight: Tensor, strength: float) -> Tensor:
        """A parameter of the critic as it may be."""
        return weight


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

    def noise(self, size: int) -> dict[str, int]:
        """Where between."""
        return {"mix": 1}

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Both shorter and longer gradients than one cost."""
        between = torch.lerp(fake.to(real.dtype), real, torch.special.ndtr(noise["mix"]))
        lengths: Tensor = torch.linalg.vector_norm(slope(score, between), dim=1)
        return (lengths - 1).square().mean()


class AdversarialLipschitz(Constraint):
    """λ · E max(0, |D(x) − D(x + r)|/|r| − 1)², r where D changes most (Terjék 2020, arXiv:1907.05681).

    For each real and generated event one power iteration, begun in a random direction at the distance `probe`, finds
    the direction; the length of r is uniform between `least` and `most`. Lengths are for columns of unit width.
    """

    penalises = True
    strength = 10.0
    probe, least, most = 0.5, 0.05, 1.0

    def noise(self, size: int) -> dict[str, int]:
        """Directions and lengths for both halves."""
        return {"direction": 2 * size, "length": 2}

    def penalty(self, score: Score, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Only steeper slopes than one cost."""
        x, start, place = torch.cat([real, fake]), halves(noise["direction"]), halves(noise["length"])
        length = self.least + (self.most - self.least) * torch.special.ndtr(place)
        here = score(x)
        direction = normalize(self.steepest(score, x.detach(), here.detach(), normalize(start)))
        steepness = (score(x + length * direction) - here).abs() / length[:, 0]
        excess: Tensor = (steepness - 1).relu().square().mean()
        return excess

    def steepest(self, score: Score, x: Tensor, here: Tensor, direction: Tensor) -> Tensor:
        """Directions (B, D) in which the change at distance `probe` grows; constants, as in the paper."""
        direction = direction.requires_grad_()
        change = (score(x + self.probe * direction) - here).abs().sum()
        (gradient,) = torch.autograd.grad(change, direction)
        return gradient


class Clipping(Constraint):
    """Every weight of the critic stays in [−c, c], c = 0.01 (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)."""

    holds = True
    strength = 0.01

    def hold(self, weight: Tensor, strength: float) -> Tensor:
        """Cut off."""
        return weight.clamp(-strength, strength)


def slope(score: Score, x: Tensor) -> Tensor:
    """∇score at events x (B, D), itself differentiable, in x too where x depends on the generator."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return gradient


def halves(noise: Tensor) -> Tensor:
    """Normals (B, 2W) for both halves of a batch, (2B, W)."""
    return torch.cat(noise.chunk(2, 1))


CONSTRAINTS: dict[str, Callable[[], Constraint]] = {
    "none": Constraint,
    "clip": Clipping,
    "gradient-penalty": GradientPenalty,
    "adversarial-lipschitz": AdversarialLipschitz,
    "r1": lambda: ZeroCentred(real=True, fake=False),
    "r1r2": lambda: ZeroCentred(real=True, fake=True),
}
