"""Variational autoencoders: an encoder, a prior and a likelihood, chosen independently."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.models.decoders import DECODERS
from calque.models.generator import Generator, beside
from calque.models.network import Norm, choose, dense, kept
from calque.models.priors import PRIORS
from calque.table import Layout


class Autoencoder(Generator):
    """Encoder to a normal latent vector and decoder back (Kingma & Welling 2013, arXiv:1312.6114; Marshall 2018).

    `prior`: `normal`, a learnt `flow`, or a `chain` with its least `rate` in nats. `likelihood`: the note's
    `bernoulli` for columns in [0, 1], whose mean is drawn; `gaussian` with a `width` for all columns or a learnt one
    for each; `autoregressive` with a `window` of earlier columns. Raises ConfigError for a setting that the choice
    does not have.
    """

    def __init__(self, layout: Layout, context: int = 0, *, latent: int = 4, encoder_layers: int = 3,
                 encoder_nodes: int = 100, decoder_layers: int = 3, decoder_nodes: int = 100, prior: str = "normal",
                 rate: float | None = None, likelihood: str = "gaussian", width: float | None = None,
                 window: int | None = None, activation: str = "relu", norm: Norm = "none", dropout: float = 0.0,
                 momentum: float | None = None) -> None:
        super().__init__(layout, context)
        network: dict[str, Any] = {"activation": activation, "norm": norm, "dropout": dropout,
                                   "momentum": kept(momentum, norm)}
        self.latent = latent
        self.encoder = dense(self.size + context, [encoder_nodes] * encoder_layers, 2 * latent, **network)
        self.prior = make_part("prior", prior, PRIORS, {"rate": rate}, latent, context)
        self.decoder = make_part("likelihood", likelihood, DECODERS, {"width": width, "window": window}, self.size,
                                 latent + context, [decoder_nodes] * decoder_layers, **network)
        self.noise, self.reach = latent + self.decoder.noise, self.decoder.reach

    def encode(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Events → mean and log variance of the latent normal, each (B, latent)."""
        mean, log_variance = self.encoder(beside(x, context)).chunk(2, dim=1)
        return mean, log_variance

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        """A draw from the posterior, as the prior's normals, and what the decoder adds to it (B, noise)."""
        mean, log_variance = self.encode(x, context)
        latent = mean + torch.exp(0.5 * log_variance) * normals[:, : self.latent]
        return torch.cat([self.prior.normals(latent, context), self.decoder.normals(x, beside(latent, context))], 1)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        latent = self.prior.sample(noise[:, : self.latent], context)
        events: Tensor = self.decoder.sample(noise[:, self.latent :], beside(latent, context))
        return events


def make_part(what: str, name: str, table: dict[str, Any], settings: dict[str, Any], *sizes: Any,
              **network: Any) -> Any:
    """A part by its name, with the settings that are given; raises ConfigError for one that it would ignore."""
    part = choose(what, name, table)
    given = {key: value for key, value in settings.items() if value is not None}
    for key, value in given.items():
        if key not in part.settings:
            able = ", ".join(repr(other) for other in table if key in table[other].settings)
            raise ConfigError(f"fit.model.{key} = {value!r} would be ignored: the {what} {name!r} has none, {able} has "
                              f"one; leave it out")
    return part(*sizes, **given, **network)
