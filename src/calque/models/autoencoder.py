"""The 2018 note's variational autoencoder."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from calque.models.generator import Generator, beside
from calque.models.network import Norm, dense
from calque.table import Layout

Likelihood = Literal["bernoulli", "gaussian"]


class Autoencoder(Generator):
    """Encoder to a normal latent vector and decoder back (Kingma & Welling 2013, arXiv:1312.6114; Marshall 2018).

    With the note's `bernoulli` likelihood the decoder's mean is drawn, for columns in [0, 1]; with `gaussian`
    the decoder has a learnt width per column, and drawing adds that noise, for columns on the real line.
    """

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 4, encoder_layers: int = 3,
                 encoder_nodes: int = 100, decoder_layers: int = 3, decoder_nodes: int = 100,
                 likelihood: Likelihood = "gaussian", activation: str = "relu", norm: Norm = "none",
                 dropout: float = 0.0, momentum: float = 0.9) -> None:
        super().__init__(layout, context)
        self.latent, self.likelihood = latent, likelihood
        self.noise = latent + (self.size if likelihood == "gaussian" else 0)
        self.reach = (0.0, 1.0) if likelihood == "bernoulli" else self.reach
        self.encoder = dense(self.size + context, [encoder_nodes] * encoder_layers, 2 * latent,
                             activation=activation, norm=norm, dropout=dropout, momentum=momentum)
        self.decoder = dense(latent + context, [decoder_nodes] * decoder_layers, self.size,
                             activation=activation, norm=norm, dropout=dropout, momentum=momentum)
        self.log_width = nn.Parameter(torch.zeros(self.size)) if likelihood == "gaussian" else None

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Events → mean and log variance of the latent normal, each (B, latent)."""
        mean, log_variance = self.encoder(beside(x, context)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latent: Tensor, context: Tensor) -> Tensor:
        """Latent → logits (bernoulli) or means (gaussian), (B, D)."""
        decoded: Tensor = self.decoder(beside(latent, context))
        return decoded

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        decoded = self.decode(noise[:, : self.latent], context)
        if self.log_width is None:
            return torch.sigmoid(decoded)
        return decoded + self.log_width.exp() * noise[:, self.latent :]
