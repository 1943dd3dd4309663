"""The mean of a non-negative response, such as a light map: a smooth function of its parameters, without noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models.generator import Generator
from calque.models.network import dense
from calque.table import Layout

INNER = 1e-4  # from a rectangle's plane, where its solid angle would jump
OUTER = 1e3  # for a side that is not there
CLOSELY = 20.0  # how much finer than the context a network looks at the detectors' plane


class Response(Generator):
    """Context (B, C) → the mean of D non-negative responses, e.g. of detectors, positive by construction; no noise.

    Response k is scale_k exp(h_k), h of a dense network. Where detectors are flat and face along the context's column
    number `facing`, it is scale_k (exp(h_k − κ δ_k) + a (Ω_k + b Ω'_k) exp(g_k − μ δ_k)): of the context as a position,
    δ_k is the distance from a rectangle at a place of its own and Ω_k its solid angle (in two dimensions the angle of a
    line); Ω'_k is the same from √(x² + s²) instead of x off its plane, as light sees it that turned once nearby.
    Places, the rectangle's sides, which all have in common, the metric's lengths and all numbers are learnt. The first
    part comes roundabout and falls exponentially, like what diffuses; the second holds the near field, which varies
    within a detector's size, where a network of few nodes could not follow. Raises ConfigError for a `facing` that is
    no column.

    >>> light = Response(Layout(("image",), ((20, 6),)), context=3, facing=0)
    >>> light.noise, light.sample(torch.zeros(5, 0), torch.zeros(5, 3)).shape
    (0, torch.Size([5, 120]))
    """

    noise = 0
    averages = True
    scale: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, layers: int = 3, nodes: int = 128,
                 activation: str = "silu", facing: int | None = None) -> None:
        super().__init__(layout, context)
        if facing is not None and not (0 <= facing < context and context in (2, 3)):
            raise ConfigError(f"facing = {facing} with {context} context columns: flat detectors lie in two or three "
                              "dimensions, and face along one of them, counted from 0; leave it out for others")
        self.facing, flat = facing, int(facing is not None)
        self.body = dense(context + flat, [nodes] * layers, self.size * (1 + flat), activation=activation)
        self.register_buffer("scale", torch.ones(self.size))
        if flat:
            self.places = nn.Parameter(torch.zeros(self.size, context))
            self.lengths = nn.Parameter(torch.zeros(context))  # logarithms, as all below
            self.sides, self.rounding = nn.Parameter(torch.full((2,), -2.5)), nn.Parameter(torch.full((1,), -2.5))
            self.slopes, self.strength = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    @torch.no_grad()
    def begin_at(self, places: Tensor, mean: Tensor, largest: Tensor) -> None:
        """Begin at places (D, C), with these mean (D,) and largest responses (D,): close to them Ω is near 2π."""
        self.scale.copy_(mean)
        if self.facing is not None:
            self.places.copy_(places)
            self.strength[0] = (largest / mean).log().mean() - math.log(2 * math.pi)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, 0) and (B, C) → (B, D)."""
        if self.facing is None:
            return self.scale * torch.exp(self.body(context).float())
        stretch, rounding, (a, b), (roundabout, straight) = (
            parameter.exp() for parameter in (self.lengths, self.rounding, self.strength, self.slopes))
        away = list((context * stretch).T[:, :, None] - (self.places * stretch).T[:, None])
        body = self.body(self.looked_at(context, away[self.facing])).float()
        x, *beside = away[self.facing], *(part for i, part in enumerate(away) if i != self.facing)
        gaps = [(part.abs() - half).clamp(min=0).square() for part, half in zip(beside, self.sides.exp(), strict=False)]
        across = x.square() + INNER**2
        distance = torch.sqrt(sum(gaps, across))
        # the geometry is left to the near field, which needs the true one
        first = torch.exp(body[:, : self.size] - roundabout * distance.detach())
        angles = self.solid_angle(across, beside) + b * self.solid_angle(across + rounding**2, beside)
        second: Tensor = a * angles * torch.exp(body[:, self.size :] - straight * distance)
        return self.scale * (first + second)

    @staticmethod
    def looked_at(context: Tensor, beyond: Tensor) -> Tensor:
        """The context and, more closely, how far it is (B, D) beyond the detectors' plane: (B, C + 1)."""
        return torch.cat([context, torch.asinh(CLOSELY * beyond.detach().mean(1, keepdim=True))], 1)

    def solid_angle(self, squared: Tensor, beside: list[Tensor]) -> Tensor:
        """Solid angles (B, D) of rectangles, from the squared distance of their plane and those of centres in it."""
        x, half = torch.sqrt(squared), self.sides.exp()
        y = beside[0] - half[0], beside[0] + half[0]
        z = (beside[1] - half[1], beside[1] + half[1]) if len(beside) > 1 else (-OUTER * half[1], OUTER * half[1])
        across, along = [squared + part.square() for part in y], [part.square() for part in z]

        def corner(i: int, j: int) -> Tensor:
            return torch.atan2(y[i] * z[j], x * torch.sqrt(across[i] + along[j]))  # faster than atan on a CPU

        return (corner(1, 1) - corner(1, 0) - corner(0, 1) + corner(0, 0)).clamp(min=0)
