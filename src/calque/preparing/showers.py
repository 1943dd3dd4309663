"""Steps for deposits of energy: what is in a layer, how it is shared, what lies below a floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.preparing.elementwise import Elementwise
from calque.preparing.step import SHORTHANDS, Shape, Step, register
from calque.table import Array


def expanded(text: str, images: Mapping[str, Array] | None = None) -> list[str]:
    """Steps that `showers LAYER… given=ENERGY` stands for; any other step stands for itself.

    Layers become their energies, as response and shares; how many voxels are hit; and normal scores of all. Name the
    layer that is never empty last; `*` stands for all `images`, and puts the one that is most rarely empty there.

    >>> expanded("showers layer_1 layer_0 given=energy")[-1]
    'scores response layer_1_energy_share layer_1_hits layer_0_hits given=energy'
    """
    kind, *words = text.split() or [""]
    if kind not in SHORTHANDS:
        return [text]
    layers, rest = [word for word in words if "=" not in word], [word for word in words if "=" in word]
    given = next((word for word in rest if word.startswith("given=")), "")
    if not layers or not given.removeprefix("given=") or len(rest) > 1:
        raise ConfigError(f"step {text!r} needs layers and their incident energy alone: showers LAYER… given=ENERGY")
    layers = all_layers(images or {}) if layers == ["*"] else layers
    energies, hits = [f"{name}_energy" for name in layers], [f"{name}_hits" for name in layers]
    return [" ".join(["layers", *layers]), *(f"voxels {name} given={name}_energy" for name in layers),
            " ".join(["shares", *energies, given]),
            " ".join(["scores response", *(f"{name}_share" for name in energies[:-1]), *hits, given])]


def all_layers(images: Mapping[str, Array]) -> list[str]:
    """Names of images (N, …), the most rarely empty last.

    >>> import numpy as np
    >>> all_layers({"a": np.ones((2, 3)), "b": np.eye(2)[:, :1], "c": np.zeros((2, 4))})
    ['b', 'c', 'a']
    """
    if not images:
        raise ConfigError("step 'showers *' stands for all images, and there are none; name the layers")
    hit = {name: (image.reshape(len(image), -1) > 0).any(1).mean() for name, image in images.items()}
    last = max(hit, key=lambda name: hit[name])
    return [*(name for name in images if name != last), last]


@register("layers")
class Layers(Step):
    """Each layer becomes its energy and its voxels' shares of it: images of any shapes, which sum to one.

    On output the voxels are scaled to the layer's energy: the sum is what was learnt, and zeros stay zeros. Energies
    are named after the layers (`layer_0_energy`). The new columns are one more for each layer than the voxels are, so
    events have no density.
    """

    whole: ClassVar[bool] = True
    density: ClassVar[bool] = False

    def default_outputs(self) -> tuple[str, ...]:
        """Energies, then images."""
        return (*(f"{name}_energy" for name in self.columns), *self.columns)

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Keep the layers' sizes."""
        self.sizes = [math.prod(shape) for shape in taken]
        return (*((),) * len(taken), *taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse negative energies."""
        layers = torch.split(x, self.sizes, 1)
        self.refuse(torch.stack([(layer < 0).any(1) for layer in layers], 1), "is below 0", "leave such rows out")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Voxels (N, V) → energies and shares (N, L + V); an empty layer has shares of zero."""
        layers = torch.split(x, self.sizes, 1)
        energies = [layer.sum(1, keepdim=True) for layer in layers]
        return torch.cat([*energies, *(share(layer, sum_) for layer, sum_ in zip(layers, energies, strict=True))], 1)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Energies and shares → voxels that sum to the energies."""
        count = len(self.sizes)
        layers = [layer.clamp(min=0) for layer in torch.split(y[:, count:], self.sizes, 1)]
        energies = torch.split(y[:, :count].clamp(min=0), 1, 1)
        return torch.cat([energy * share(layer, layer.sum(1, keepdim=True))
                          for energy, layer in zip(energies, layers, strict=True)], 1)


@register("shares")
class Shares(Step):
    """Energies E_1 … E_L become the response Σ E / E_given and shares E_i / (E_i + … + E_L) of what is left.

    The order of the columns is that of the shares; the last layer has the rest: let it be the one that is never empty.
    The response is in the units of both columns. Units of a particle's energy: arXiv:2106.05285.
    """

    whole: ClassVar[bool] = True
    gifts: ClassVar[int] = 1

    def default_outputs(self) -> tuple[str, ...]:
        """The response, and the share of all but the last."""
        return ("response", *(f"{name}_share" for name in self.columns[:-1]))

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Numbers only; raises ConfigError for images."""
        if any(taken):
            raise ConfigError(f"step 'shares' takes numbers; {' '.join(self.columns)} are images: use 'layers' first")
        return tuple(taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse negative energies."""
        self.refuse(x[:, 1:] < 0, "is below 0", "leave such rows out")

    def left(self, energies: Tensor) -> Tensor:
        """Energy of each layer and of those behind it (N, L)."""
        return energies.flip(1).cumsum(1).flip(1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Energies → response and shares; of nothing the share is zero."""
        left = self.left(x[:, 1:])
        return torch.cat([left[:, :1] / x[:, :1], share(x[:, 1:], left)[:, :-1]], 1)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Response and shares → energies."""
        shares = y[:, 2:].clamp(0, 1)
        total = y[:, :1] * y[:, 1:2].clamp(min=0)
        left = torch.cat([total, total * (1 - shares).cumprod(1)], 1)
        return torch.cat([left[:, :-1] * shares, left[:, -1:]], 1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """One over what is left at each layer but the last, and over the given energy."""
        return -self.left(x[:, 1:])[:, :-1].log().sum(1) - x[:, 0].log()


@register("ratio")
class Ratio(Step):
    """Columns over a given one, such as voxels over the incident energy."""

    whole: ClassVar[bool] = True
    gifts: ClassVar[int] = 1

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes stay."""
        return tuple(taken)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Refuse to divide by zero."""
        if (x[:, 0] <= 0).any():
            raise ConfigError(f"step 'ratio': {self.given[0]!r} is not above 0 in {int((x[:, 0] <= 0).sum())} rows")

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Divide."""
        return x[:, 1:] / x[:, :1]

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Multiply."""
        return y[:, 1:] * y[:, :1]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Minus the logarithm of the given column, for each number."""
        return -y.shape[1] * x[:, 0].log()


@register("floor")
class Floor(Elementwise):
    """Numbers below `at` are zero on output; forward, they get a uniform value below it, so that a log can follow.

    `log_prob` takes what is below as one atom, whose probability it estimates from one draw (arXiv:2106.05285).
    """

    forward_noise = 1

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None, at: float = 0.0) -> None:
        super().__init__(columns, outputs)
        if not at > 0:
            raise ConfigError(f"step 'floor' needs at=… above 0; it was given {at:g}")
        self.at = at
        self.forward_noise = len(self.columns)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Fill below the floor."""
        return torch.where(x < self.at, self.at * torch.special.ndtr(noise), x)

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Nothing below the floor."""
        return torch.where(y < self.at, 0.0, y)

    def log_slope(self, x: Tensor, y: Tensor) -> Tensor:
        """Width of the atom below, nothing above."""
        return torch.where(x < self.at, math.log(self.at), 0.0).to(x.dtype)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Part over whole; of nothing the share is zero."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)
