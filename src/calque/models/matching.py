"""Flow matching: a velocity carries noise to events."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.flows.flow import Flow
from calque.models.generator import beside
from calque.models.network import choose, dense
from calque.table import Layout

Solver = Literal["euler", "heun", "midpoint", "rk4"]
Velocity = Callable[[Tensor, float], Tensor]


class FlowMatching(Flow):
    """Events carried from noise along a velocity v(x, t | c) in time t = 0…1 (Lipman et al. 2022, arXiv:2210.02747).

    A dense network gives what v differs by from the velocity of a standard normal; time enters with its sines and
    cosines of `frequencies` half periods. A draw costs `passes` of the network: as many Euler steps, half as many of
    Heun or midpoint, a quarter of Runge and Kutta's; errors fall with the first, second and fourth power of the step.
    Density and latents are those of the flow itself, found in `fine` steps of the fourth order; few passes only come
    near to it. Trained by likelihood it is a continuous flow (Chen et al. 2018, arXiv:1806.07366), at half as many
    steps: with a quarter it learns velocities whose divergence the steps miss, and its density integrates to five.
    """

    costly_density = True

    def __init__(self, layout: Layout, context: int = 0, *, layers: int = 3, nodes: int = 128, frequencies: int = 3,
                 activation: str = "silu", solver: Solver = "midpoint", passes: int = 8, fine: int = 16) -> None:
        if fine < 2 or fine % 2:
            raise ConfigError(f"fit.model.fine = {fine}: a density is found in an even number of steps, half of them "
                              "in training")
        advance, cost = choose("solver", solver, SOLVERS)
        if passes < cost or passes % cost:
            raise ConfigError(f"fit.model.passes = {passes}: a step of {solver!r} takes {cost}; give a multiple of it")
        super().__init__(layout, context, passes // cost)
        self.advance, self.steps, self.frequencies = advance, passes // cost, frequencies
        self.fine = clock(fine)[::-1]
        self.network = dense(self.size + 1 + 2 * frequencies + context, [nodes] * layers, self.size,
                             activation=activation)
        bend(self.network)

    def velocity(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Events (B, D) on their way at times (B, 1), with context (B, C) → velocities (B, D)."""
        angles = math.pi * time * torch.arange(1, self.frequencies + 1, device=x.device)
        velocity: Tensor = self.network(beside(torch.cat([x, time, angles.sin(), angles.cos()], 1), context))
        return velocity + (2 * time - 1) / (time**2 + (1 - time) ** 2) * x

    def at(self, context: Tensor) -> Velocity:
        """The velocity, given a context, at one time for all events."""
        return lambda x, time: self.velocity(x, torch.full_like(x[:, :1], time), context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, D) and (B, C) → (B, D)."""
        return carry(self.at(context), noise, clock(self.steps), self.advance)

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """All normals (B, D), along the velocity backwards in fine steps; without the density's divergence."""
        return carry(self.at(context), x, self.fine, rk4)

    def normalise(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) and (B, C) → noise (B, D) and log |∂noise/∂x| (B,), the divergence summed on the way back.

        Costs one pass and D gradients for each of 4 · `fine` velocities.
        """
        wanted = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(wanted):
            given = context.clone()  # not as inference mode made it: the divergence is a gradient
            both = nn.functional.pad(x.clone(), (0, 1))
            times = clock(len(self.fine) // 2)[::-1] if self.training else self.fine
            both = carry(lambda both, time: self.spread(both, time, given), both, times, rk4)
        return both[:, :-1], both[:, -1]

    def spread(self, both: Tensor, time: float, context: Tensor) -> Tensor:
        """Velocity and divergence (B, D + 1) of events beside their logarithms of volume; exact, column by column."""
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            x = both[:, :-1] if both.requires_grad else both[:, :-1].detach().requires_grad_()
            velocity = self.at(context)(x, time)
            slopes = [torch.autograd.grad(column.sum(), x, create_graph=wanted, retain_graph=True)[0][:, place]
                      for place, column in enumerate(velocity.unbind(1))]
            found = torch.cat([velocity, torch.stack(slopes).sum(0)[:, None]], 1)
        return found if wanted else found.detach()


def bend(network: nn.Sequential) -> None:
    """Give the hidden layers He's initial weights (He et al. 2015, arXiv:1502.01852).

    With torch's smaller ones a network begins all but linear, and events with the moments of a normal keep it so.
    """
    for layer in list(network)[:-2]:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")


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


def rk4(velocity: Velocity, x: Tensor, time: float, step: float) -> Tensor:
    """Along a mean of velocities at both ends and, twice, half way: fourth order (Runge 1895, Kutta 1901)."""
    half = time + 0.5 * step
    first = velocity(x, time)
    second = velocity(x + 0.5 * step * first, half)
    third = velocity(x + 0.5 * step * second, half)
    fourth = velocity(x + step * third, time + step)
    return x + step / 6 * (first + 2 * second + 2 * third + fourth)


SOLVERS: dict[str, tuple[Advance, int]] = {"euler": (euler, 1), "heun": (heun, 2), "midpoint": (midpoint, 2),
                                           "rk4": (rk4, 4)}


def clock(steps: int) -> list[float]:
    """Times from 0 to 1, ever closer: events take shape towards the end, where velocities change fastest.

    >>> clock(2)
    [0.0, 0.625, 1.0]
    """
    return [(number / steps) * (3 - number / steps) / 2 for number in range(steps + 1)]


def carry(velocity: Velocity, x: Tensor, times: Sequence[float], advance: Advance) -> Tensor:
    """Carry x (B, D) from the first of the times to the last; backwards where they fall."""
    for time, after in pairwise(times):
        x = advance(velocity, x, time, after - time)
    return x
