"""Flow matching: a velocity carries noise to events."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.models.generator import Generator, beside
from calque.models.network import choose, dense
from calque.table import Layout

Solver = Literal["euler", "heun", "midpoint"]
Velocity = Callable[[Tensor, float], Tensor]


class FlowMatching(Generator):
    """Events carried from noise along a velocity v(x, t | c) in time t = 0…1 (Lipman et al. 2022, arXiv:2210.02747).

    A dense network gives the velocity; time enters with its sines and cosines of `frequencies` half periods. A draw
    costs `passes` of the network: as many Euler steps, or half as many of Heun or midpoint, whose errors fall with
    the square of the step.
    """

    def __init__(self, layout: Layout, context: int = 0, *, layers: int = 3, nodes: int = 128, frequencies: int = 3,
                 activation: str = "silu", solver: Solver = "midpoint", passes: int = 8) -> None:
        super().__init__(layout, context)
        self.advance, cost = choose("solver", solver, SOLVERS)
        if passes < cost or passes % cost:
            raise ConfigError(f"fit.model.passes = {passes}: a step of {solver!r} takes {cost}; give a multiple of it")
        self.noise, self.steps, self.frequencies = self.size, passes // cost, frequencies
        self.network = dense(self.size + 1 + 2 * frequencies + context, [nodes] * layers, self.size,
                             activation=activation)

    def velocity(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Events (B, D) on their way at times (B, 1), with context (B, C) → velocities (B, D)."""
        angles = math.pi * time * torch.arange(1, self.frequencies + 1, device=x.device)
        velocity: Tensor = self.network(beside(torch.cat([x, time, angles.sin(), angles.cos()], 1), context))
        return velocity

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → (B, D)."""
        def velocity(x: Tensor, time: float) -> Tensor:
            return self.velocity(x, torch.full_like(x[:, :1], time), context)
        return carry(velocity, noise, self.steps, self.advance)

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """All normals (B, D), along the velocity backwards in finer steps; near, not exact."""
        def velocity(x: Tensor, time: float) -> Tensor:
            return -self.velocity(x, torch.full_like(x[:, :1], 1 - time), context)
        return carry(velocity, x, 4 * self.steps, self.advance)


Advance = Callable[[Velocity, Tensor, float, float], Tensor]


def euler(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    """Along the velocity at the beginning: first order."""
    return x + step * velocity(x, time)


def heun(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    """Along the mean of the velocities at both ends: second order."""
    first = velocity(x, time)
    return x + 0.5 * step * (first + velocity(x + step * first, time + step))


def midpoint(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    """Along the velocity half way: second order."""
    return x + step * velocity(x + 0.5 * step * velocity(x, time), time + 0.5 * step)


SOLVERS: dict[str, tuple[Advance, int]] = {"euler": (euler, 1), "heun": (heun, 2), "midpoint": (midpoint, 2)}


def carry(velocity: Velocity, x: Tensor, steps: int, advance: Advance) -> Tensor:
    """Carry x (B, D) from time 0 to 1 in equal steps."""
    for number in range(steps):
        x = advance(velocity, x, number / steps, 1 / steps)
    return x
