"""Steps that know the physics: polar coordinates, the frame of the position, symmetries of the beam line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.step import Step, register, side_by_side


def wrap(angle: Tensor) -> Tensor:
    """Bring angles into [−π, π)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def need_columns(step: str, columns: Sequence[str], names: str) -> None:
    """Raise ConfigError unless there is one column for every name."""
    if len(columns) != len(names.split()):
        raise ConfigError(f"step '{step}' takes the columns {names}; it was given {' '.join(columns) or 'none'}")


@register("polar")
class Polar(Step):
    """(x, y) → (r, φ) with φ in [−π, π); for momenta (pT, φ)."""

    def default_outputs(self) -> tuple[str, ...]:
        """Named after the columns."""
        need_columns(self.kind, self.columns, "x y")
        a, b = self.columns
        return f"r_{a}_{b}", f"phi_{a}_{b}"

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Radius and angle."""
        return side_by_side([torch.hypot(x[:, 0], x[:, 1]), torch.atan2(x[:, 1], x[:, 0])])

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Back to Cartesian."""
        return side_by_side([y[:, 0] * torch.cos(y[:, 1]), y[:, 0] * torch.sin(y[:, 1])])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """dx dy = r dr dφ."""
        return -torch.log(y[:, 0].abs())


@register("frame")
class Frame(Step):
    """Momentum in the frame of the position: (φ, px, py) → (φ, p_radial, p_tangential)."""

    def default_outputs(self) -> tuple[str, ...]:
        """The angle stays."""
        need_columns(self.kind, self.columns, "phi px py")
        return self.columns[0], "p_radial", "p_tangential"

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Turn by −φ."""
        return turn(x, -1.0)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Turn by φ."""
        return turn(y, 1.0)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """A rotation changes no volume."""
        return x.new_zeros(len(x))


def turn(x: Tensor, sign: float) -> Tensor:
    """Rotate (φ, a, b) by sign · φ in the plane of a and b."""
    angle, a, b = x.unbind(1)
    cos, sin = torch.cos(angle), sign * torch.sin(angle)
    return side_by_side([angle, cos * a - sin * b, sin * a + cos * b])


@register("rotation")
class Rotation(Step):
    """The physics knows no φ: k angles become k − 1 differences to the first; a common one is drawn at output.

    The density is that of the symmetrised sample: the differences' own, over 2π.
    """

    inverse_noise = 1

    def default_outputs(self) -> tuple[str, ...]:
        """Differences to the first angle."""
        return tuple(f"{name}_minus_{self.columns[0]}" for name in self.columns[1:])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Subtract the first angle."""
        return wrap(x[:, 1:] - x[:, :1])

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Draw the first angle from a uniform, made of a normal."""
        first = (2 * torch.special.ndtr(noise) - 1) * math.pi
        return torch.cat([first.T, wrap(y + first).T]).T

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """A uniform over the circle."""
        return x.new_full((len(x),), -math.log(2 * math.pi))


@register("reflection")
class Reflection(Step):
    """The physics knows no left or right: columns that change sign together; the first becomes its absolute value.

    A common sign is drawn at output. The density is that of the symmetrised sample: half the reduced one's.
    """

    inverse_noise = 1

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Flip so that the first is not negative."""
        return torch.where(x[:, :1] < 0, -x, x)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Draw the sign from that of a normal."""
        return torch.where(noise < 0, -y, y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Two signs, one value."""
        return x.new_full((len(x),), -math.log(2))
