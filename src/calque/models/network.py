"""Dense networks: widths, activations, norms, dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from calque.errors import ConfigError, unknown

Norm = Literal["none", "batch", "layer", "spectral"]
Place = Literal["after", "before"]  # the activation
Shape = Literal["pyramid", "flat"]
ACTIVATIONS = {"leaky-relu": lambda: nn.LeakyReLU(0.2), "relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU,
               "tanh": nn.Tanh, "elu": nn.ELU}
OUTPUTS = {"linear": nn.Identity, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
FEW = 16  # outputs, below which a product of matrices is faster with its sides exchanged
RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "relu": (0.0, math.inf)}


def widths(layers: int, nodes: float, base: int = 256, shape: Shape = "pyramid") -> list[int]:
    """Hidden widths: the 2018 note's inverted pyramid base·2^i·n, or a flat base·n.

    >>> widths(3, 1), widths(2, 6), widths(2, 1, base=64, shape="flat")
    ([256, 512, 1024], [1536, 3072], [64, 64])
    """
    if layers < 0 or nodes <= 0 or base < 1:
        raise ConfigError(f"layers = {layers}, nodes = {nodes:g} and base = {base} make no network")
    return [max(1, round(base * nodes * (2**i if shape == "pyramid" else 1))) for i in range(layers)]


def choose(what: str, name: str, table: dict[str, Any]) -> Any:
    """Look up a named part; raises ConfigError that names the nearest."""
    if name not in table:
        raise ConfigError(unknown(what, name, table))
    return table[name]


def kept(momentum: float | None, norm: Norm) -> float:
    """Share of the old batch statistics that batch norm keeps, 0.9; raises ConfigError where nothing keeps any."""
    if momentum is not None and norm != "batch":
        raise ConfigError(f"momentum = {momentum:g} would be ignored: it is batch norm's, and norm = {norm!r}; "
                          'leave it out, or set norm = "batch"')
    return 0.9 if momentum is None else momentum


class Dropout(nn.Dropout):
    """Dropout that takes sixteen random bits a number on a CPU, seven times faster than PyTorch's one double.

    The rate is kept to 1/65536.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Keep a random share of x, scaled up."""
        if not self.training or x.device.type != "cpu" or not 0 < self.p < 1:
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        keep = torch.lt(bits, round(2**16 * (1 - self.p)) - 2**15, out=torch.empty(x.shape, dtype=x.dtype))
        return x * keep.mul_(1 / (1 - self.p))


class SpectralLinear(nn.Linear):
    """A linear layer whose matrix is divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    Each pass in training goes on with the power iteration of `direction`, the left singular vector, which is kept
    with the weights; where two singular values cross, it takes some tens of steps to follow. A pass in evaluation
    takes the exact norm, so that what is judged and drawn does not depend on how far the iteration came.
    """

    direction: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.register_buffer("direction", normalize(torch.randn(outputs), dim=0))
        for _ in range(50):  # nearly equal singular values are told apart slowly
            self.largest()

    def largest(self) -> Tensor:
        """The largest singular value; differentiable in the weights."""
        if not self.training:
            exact: Tensor = torch.linalg.svdvals(self.weight)[0]
            return exact
        left = self.direction
        with torch.no_grad():
            for _ in range(2):
                right = normalize(self.weight.T @ left, dim=0)
                left = normalize(self.weight @ right, dim=0)
            self.direction.copy_(left)
        return left @ self.weight @ right

    def normed(self) -> Tensor:
        """The matrix that acts, of norm one."""
        with torch.autocast(self.weight.device.type, enabled=False):  # bf16 would leave three digits of the norm
            return self.weight / self.largest()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) → (B, outputs)."""
        return linear(x, self.normed(), self.bias)


def by_column(layer: nn.Module, x: Tensor) -> Tensor:
    """What a linear layer makes of x, (B, outputs); a few outputs each whole in memory, in a third of the time."""
    if few(layer):
        return torch.addmm(layer.bias[:, None], layer.weight, x.T).T
    outputs: Tensor = layer(x)
    return outputs


def added(one: nn.Module, x: Tensor, other: nn.Module, y: Tensor) -> Tensor:
    """What two linear layers make of x and y, (B, outputs), added within the product."""
    if not (few(one) and few(other)):
        return by_column(one, x) + by_column(other, y)
    start = torch.addmm((one.bias + other.bias)[:, None], other.weight, y.T)
    return torch.addmm(start, one.weight, x.T).T


def few(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer is linear with few outputs."""
    return type(layer) is nn.Linear and layer.out_features <= FEW


def place_norm(activation: nn.Module, norms: list[nn.Module], place: Place) -> list[nn.Module]:
    """An activation with the norm, if there is one, after or before it."""
    return [*norms, activation] if place == "before" else [activation, *norms]


def dense(inputs: int, hidden: Sequence[int], outputs: int, *, activation: str = "leaky-relu", norm: Norm = "none",
          norm_place: Place = "after", dropout: float = 0.0, momentum: float = 0.9, output: str = "linear",
          bias: bool = True, bounded: bool = False) -> nn.Sequential:
    """Fully connected layers (B, inputs) → (B, outputs); `momentum` is the share of the old batch statistics kept.

    `bias` is the last layer's. With the norm `spectral` the hidden layers' matrices have norm one; the last one,
    which sets the scale, only if it is to be `bounded` too.
    """
    norms = {"none": None, "batch": lambda width: nn.BatchNorm1d(width, momentum=1 - momentum), "layer": nn.LayerNorm,
             "spectral": None}
    make_norm = choose("norm", norm, norms)
    make_activation = choose("activation", activation, ACTIVATIONS)
    make_layer = SpectralLinear if norm == "spectral" else nn.Linear
    parts: list[nn.Module] = []
    for width in hidden:
        normed = [make_norm(width)] if make_norm else []
        parts += [make_layer(inputs, width), *place_norm(make_activation(), normed, norm_place)]
        parts += [Dropout(dropout)] if dropout else []
        inputs = width
    last = (SpectralLinear if bounded else nn.Linear)(inputs, outputs, bias)
    return nn.Sequential(*parts, last, choose("output", output, OUTPUTS)())
