"""A slow generator's draws taught to a fast one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.fitting.objective import Batch, Objective
from calque.models import Generator
from calque.models.generator import beside

Pair = tuple[Tensor, Tensor, Tensor]  # noise (B, noise), context (B, C), event (B, D)
LINE = 16_384  # pairs that settle a linear path


class Distillation(Objective):
    """E |s(z | c) − T(z | c)|²: the student s learns which event the teacher T makes of each noise z.

    Once before training `pairs` of noise and event are drawn from the teacher, with contexts of the training rows
    (Luhman & Luhman 2021, arXiv:2101.02388). A teacher that is a smooth map of its noise, as flows and flow matching
    are, leaves a smooth map to learn; one that chooses, as a mixture does, leaves jumps. No real event enters, so
    signs of weights do not matter.
    """

    signed = True
    taught = True

    def __init__(self, generator: Generator, *, pairs: int = 262_144) -> None:
        super().__init__(generator)
        if pairs < 1:
            raise ConfigError(f"fit.objective.pairs = {pairs} teaches nothing; it needs one or more")
        self.pairs = pairs
        self.pool: list[Pair] = []
        self.teacher: Callable[[Tensor, Tensor], Tensor] | None = None

    def learn_from(self, teacher: Generator, device: torch.device) -> None:
        """Take a teacher with the same noise and the same events; it is neither trained nor saved."""
        if teacher.noise != self.generator.noise:
            raise ConfigError(f"the teacher makes an event of {teacher.noise} normals, the student of "
                              f"{self.generator.noise}; leave fit.model.latent out")
        self.teacher = copy.deepcopy(teacher).to(device).eval().sample

    def begin(self, draw: Callable[[dict[str, int]], Batch]) -> None:
        """Draw the pairs, batch by batch; a linear path begins at the line through the first of them."""
        size = 0
        while size < self.pairs:
            batch = draw(self.noise("generator"))
            self.pool.append((batch.noise["latent"], batch.context, self.answer(batch)))
            size += len(batch.x)
        path = getattr(self.generator, "skip", None)
        if isinstance(path, nn.Linear):
            lay_through(path, self.pool[: -(-LINE // len(batch.x))])

    @torch.no_grad()
    def answer(self, batch: Batch) -> Tensor:
        """The teacher's events (B, D) for the noise of a batch."""
        if self.teacher is None:
            raise ConfigError("a student without a teacher; calque.fit finds it one through fit.teacher")
        return self.teacher(batch.noise["latent"], batch.context).float()

    def noise(self, player: str) -> dict[str, int]:
        """What both make an event of."""
        return {"latent": self.generator.noise}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean squared distance over events and columns, of one batch of the pairs after another."""
        latent, context, event = self.pool[step % len(self.pool)]
        return (self.generator.sample(latent, context) - event).square().mean()

    @torch.no_grad()
    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Root mean squared distance for noise that the student never saw: above that of the loss it overfits."""
        away = self.generator.sample(batch.noise["latent"], batch.context) - self.answer(batch)
        return {"distance/fresh noise": float(away.square().mean().sqrt())}


@torch.no_grad()
def lay_through(path: nn.Linear, pairs: Sequence[Pair]) -> None:
    """Set a linear layer to the least squares of events on noise and context; categories need the shortest solution."""
    inputs = torch.cat([beside(noise, context) for noise, context, _ in pairs]).double()
    events = torch.cat([event for _, _, event in pairs]).double()
    solution = torch.linalg.pinv(nn.functional.pad(inputs, (0, 1), value=1.0)) @ events
    path.weight.copy_(solution[:-1].T)
    path.bias.copy_(solution[-1])
