"""The evidence lower bound, in the note's weighting and in its own right."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from calque.errors import ConfigError
from calque.fitting.objective import Batch, Objective
from calque.models import Autoencoder, Generator


class Variational(Objective):
    """reconstruction · dim · (reconstruction loss) + beta · KL (Kingma & Welling 2013, arXiv:1312.6114; Marshall 2018).

    With the `bernoulli` likelihood the loss is the mean cross-entropy over columns and `reconstruction` the
    note's factor x (1000); with `gaussian` it is the exact negative log likelihood per column.
    """

    generator: Autoencoder

    def __init__(self, generator: Generator, *, reconstruction: float = 1.0, beta: float = 1.0) -> None:
        super().__init__(generator)
        if not isinstance(generator, Autoencoder):
            raise ConfigError(f"a variational objective trains an autoencoder, not a {type(generator).__name__}")
        self.reconstruction, self.beta = reconstruction, beta

    def noise(self, player: str) -> dict[str, int]:
        """The reparameterisation's normals."""
        return {"latent": self.generator.latent}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """Mean over events."""
        mean, log_variance = self.generator.encode(batch.x, batch.context)
        latent = mean + torch.exp(0.5 * log_variance) * batch.noise["latent"]
        decoded = self.generator.decode(latent, batch.context)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        return self.reconstruction * self.generator.size * self.mismatch(decoded, batch.x) + self.beta * divergence

    def mismatch(self, decoded: Tensor, x: Tensor) -> Tensor:
        """Reconstruction loss per column."""
        if self.generator.log_width is None:
            return binary_cross_entropy_with_logits(decoded, x.clamp(0, 1))
        pull = (x - decoded) / self.generator.log_width.exp()
        return (0.5 * pull**2 + self.generator.log_width + 0.5 * math.log(2 * math.pi)).mean()
