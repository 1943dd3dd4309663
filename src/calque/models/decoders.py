"""Likelihoods: what an event is drawn from, given its latent vector."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from calque.errors import ConfigError
from calque.models.conditionals import Conditionals
from calque.models.network import dense


class Decoder(nn.Module):
    """p(x | z, c) of events (B, D); `inputs` is the latent vector beside the context, (B, L + C).

    `settings` names what a constructor takes beside the sizes, `noise` the normals per event that a draw consumes.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    noise = 0
    reach = (-math.inf, math.inf)

    def log_prob(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Log likelihood (B, D) per column, whose sum is the event's."""
        raise NotImplementedError

    def sample(self, noise: Tensor, inputs: Tensor) -> Tensor:
        """Standard normals (B, noise) → events (B, D); zeros give the middle."""
        raise NotImplementedError

    def normals(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Events (B, D) → the normals (B, noise) that make them; a decoder without noise has none."""
        return x[:, :0]


class Bernoulli(Decoder):
    """The 2018 note's cross-entropy, for columns in [0, 1]; the mean is drawn, without its spread."""

    reach = (0.0, 1.0)

    def __init__(self, size: int, inputs: int, hidden: list[int], **network: Any) -> None:
        super().__init__()
        self.network = dense(inputs, hidden, size, **network)

    def log_prob(self, x: Tensor, inputs: Tensor) -> Tensor:
        """x ln p + (1 − x) ln(1 − p)."""
        return -binary_cross_entropy_with_logits(self.network(inputs), x.clamp(0, 1), reduction="none")

    def sample(self, noise: Tensor, inputs: Tensor) -> Tensor:
        """The means p."""
        means: Tensor = torch.sigmoid(self.network(inputs))
        return means


PACE = 10.0  # of a learnt width: an optimiser's steps are of one size, and a width has to go far in its logarithm


class Gaussian(Decoder):
    """A width per column, learnt or fixed (`width`, in prepared units); draws have it."""

    settings = ("width",)
    fixed: Tensor

    def __init__(self, size: int, inputs: int, hidden: list[int], width: float | None = None, **network: Any) -> None:
        super().__init__()
        if width is not None and width <= 0:
            raise ConfigError(f"fit.model.width = {width:g}: a normal's is above zero; leave it out to have it learnt")
        self.noise = size
        self.network = dense(inputs, hidden, size, **network)
        self.learnt = nn.Parameter(torch.zeros(size)) if width is None else None
        self.register_buffer("fixed", torch.full((size,), math.log(width or 1.0)))

    @property
    def log_width(self) -> Tensor:
        """Log of the widths (D,)."""
        return self.fixed if self.learnt is None else self.fixed + PACE * self.learnt

    def log_prob(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Of normals around the network's means."""
        pull = (x - self.network(inputs)) * torch.exp(-self.log_width)
        densities: Tensor = -0.5 * pull.square() - self.log_width - 0.5 * math.log(2 * math.pi)
        return densities

    def sample(self, noise: Tensor, inputs: Tensor) -> Tensor:
        """Means with the widths' noise."""
        events: Tensor = self.network(inputs) + self.log_width.exp() * noise
        return events

    def normals(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Distances from the means, in widths."""
        normals: Tensor = (x - self.network(inputs)) * torch.exp(-self.log_width)
        return normals


class Autoregressive(Decoder):
    """Each column given the latent vector and the `window` columns before it, all of them if it is not set.

    Short windows leave to the latent vector what is far apart (Chen et al. 2016, arXiv:1611.02731); zero makes
    columns independent, given the latent vector.
    """

    settings = ("window",)

    def __init__(self, size: int, inputs: int, hidden: list[int], window: int | None = None, **network: Any) -> None:
        super().__init__()
        if window is not None and window < 0:
            raise ConfigError(f"fit.model.window = {window}: it counts columns; 0 makes them independent")
        self.noise = size
        self.trunk = dense(inputs, hidden, size, **network)[:-2]
        self.conditionals = Conditionals(size, hidden[-1] if hidden else inputs, window=window)

    def log_prob(self, x: Tensor, inputs: Tensor) -> Tensor:
        """Column by column."""
        return self.conditionals.log_prob(x, self.trunk(inputs))

    def sample(self, noise: Tensor, inputs: Tensor) -> Tensor:
        """One column after the other."""
        return self.conditionals.sample(noise, self.trunk(inputs))

    def normals(self, x: Tensor, inputs: Tensor) -> Tensor:
        """All columns at once."""
        return self.conditionals.normals(x, self.trunk(inputs))[0]


DECODERS: dict[str, type[Decoder]] = {"bernoulli": Bernoulli, "gaussian": Gaussian, "autoregressive": Autoregressive}
