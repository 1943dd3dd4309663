"""Steps that act on each column alone and are smooth: scalings, logarithms, roots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.step import Step, register, weighted_mean

CONSTANT = "use the step 'constant', or leave the column out"
FAR = 1e6  # standard deviations from zero


class Elementwise(Step):
    """A map of each column alone: subclasses give the slope, the Jacobian follows."""

    separable: ClassVar[bool] = True

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy/dx| for each element (N, k)."""
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum of the slopes' logarithms (N,)."""
        return self.log_slope(x, y).sum(1)


class Affine(Elementwise):
    """y = (x − shift) / scale with fitted shift and scale."""

    shift: Tensor
    scale: Tensor

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Scale."""
        return (x - self.shift) / self.scale

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Scale back."""
        return y * self.scale + self.shift

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the logarithm of the scale."""
        return -torch.log(self.scale).expand_as(x)

    def place(self, shift: Tensor, scale: Tensor) -> None:
        """Keep the fitted numbers."""
        self.refuse_columns(scale <= 0, "is constant", CONSTANT)
        self.number("shift", shift)
        self.number("scale", scale)


@register("standardise")
class Standardise(Affine):
    """To weighted mean 0 and standard deviation 1."""

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take mean and standard deviation."""
        mean = weighted_mean(x, weights)
        spread = weighted_mean((x - mean) ** 2, weights).sqrt()
        centre = mean + weighted_mean(x - mean, weights)  # where the offset is large, the sum was rounded
        far = mean.abs() > FAR * spread
        spread = torch.where(far, weighted_mean((x - centre) ** 2, weights).sqrt(), spread)
        self.place(torch.where(far, centre, mean), torch.where(x.amax(0) == x.amin(0), 0.0, spread))


@register("minmax")
class MinMax(Affine):
    """To [low, high]: [−1, 1] as the 2018 note's GAN wants it, [0, 1] for its VAE."""

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None,
                 low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(columns, outputs)
        if not low < high:
            raise ConfigError(f"step 'minmax' needs low < high; low is {low}, high is {high}")
        self.low, self.high = low, high

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take minimum and maximum."""
        least, most = x.amin(0), x.amax(0)
        scale = (most - least) / (self.high - self.low)
        self.place(least - self.low * scale, scale)


@register("broaden")
class Broaden(Elementwise):
    """The note's broadening of a sharp peak: y = μ + sign(x − μ) √|x − μ|.

    Its slope is infinite at the peak itself, where a density has no meaning; everywhere else it is exact.
    """

    centre: Tensor

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the mean."""
        self.number("centre", weighted_mean(x, weights))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Signed square root."""
        return self.centre + (x - self.centre).sign() * (x - self.centre).abs().sqrt()

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Signed square."""
        return self.centre + (y - self.centre) * (y - self.centre).abs()

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx = 1 / (2 |y − μ|)."""
        return -torch.log(2 * (y - self.centre).abs())


@register("log")
class Log(Elementwise):
    """y = log(x − offset), for columns above the offset."""

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, offset: float = 0.0) -> None:
        super().__init__(columns, outputs)
        self.offset = offset

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse what has no logarithm."""
        self.refuse(x <= self.offset, f"is not above {self.offset:g}", "use 'arcsinh', or lower the offset")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Logarithm."""
        return torch.log(x - self.offset)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Exponential."""
        return torch.exp(y) + self.offset

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx = exp(−y)."""
        return -y


@register("arcsinh")
class Arcsinh(Elementwise):
    """y = arcsinh(x / scale): a logarithm for both signs; the scale is the weighted mean of |x|."""

    scale: Tensor

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take the scale."""
        scale = weighted_mean(x.abs(), weights)
        self.number("scale", torch.where(scale > 0, scale, 1.0))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Compress."""
        return torch.asinh(x / self.scale)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Expand."""
        return self.scale * torch.sinh(y)

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx = 1 / √(x² + s²)."""
        return -0.5 * torch.log(x**2 + self.scale**2)


@register("logit")
class Logit(Elementwise):
    """The open interval (low, high) to the real line: y = log((x − low) / (high − x)); never leaves it again."""

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None,
                 low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(columns, outputs)
        self.low, self.high = low, high

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse what lies outside."""
        self.refuse((x <= self.low) | (x >= self.high), f"is outside ({self.low:g}, {self.high:g})",
                    "widen low and high, or use 'quantile'")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Logit."""
        return torch.log(x - self.low) - torch.log(self.high - x)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Sigmoid."""
        return self.low + (self.high - self.low) * torch.sigmoid(y)

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx = (high − low) / ((x − low)(high − x))."""
        return torch.log((self.high - self.low) / ((x - self.low) * (self.high - x)))
