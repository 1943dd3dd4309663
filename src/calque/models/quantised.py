"""Autoencoder with discrete codes (VQ-VAE) and a prior over them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from zuko.nn import MaskedMLP

from calque.errors import ConfigError
from calque.models.autoencoder import make_part
from calque.models.decoders import DECODERS
from calque.models.generator import Generator, beside
from calque.models.network import Norm, dense, kept
from calque.table import Layout


class QuantisedAutoencoder(Generator):
    """An event as `slots` codes out of `codes` each (van den Oord et al. 2017, arXiv:1711.00937).

    The encoder's vector of `depth` numbers for each slot is replaced by the nearest of the slot's codebook, from which
    the decoder draws the event; likelihoods as in `Autoencoder`. To generate, codes come from a learnt
    autoregressive prior, slot by slot, given the context.
    """

    codebook: Tensor

    def __init__(self, layout: Layout, context: int = 0, *, slots: int = 4, codes: int = 32, depth: int = 4,
                 encoder_layers: int = 3, encoder_nodes: int = 100, decoder_layers: int = 3, decoder_nodes: int = 100,
                 prior_nodes: int = 128, likelihood: str = "gaussian", width: float | None = None,
                 window: int | None = None, activation: str = "relu", norm: Norm = "none", dropout: float = 0.0,
                 momentum: float | None = None) -> None:
        super().__init__(layout, context)
        if slots < 1 or codes < 2 or depth < 1:
            raise ConfigError(f"slots = {slots}, codes = {codes} and depth = {depth} make no codebook; it takes one "
                              "slot, two codes and one number each, or more")
        network: dict[str, Any] = {"activation": activation, "norm": norm, "dropout": dropout,
                                   "momentum": kept(momentum, norm)}
        self.slots, self.codes, self.depth = slots, codes, depth
        self.encoder = dense(self.size + context, [encoder_nodes] * encoder_layers, slots * depth, **network)
        self.register_buffer("codebook", torch.randn(slots, codes, depth))
        self.prior = Codes(slots, codes, context, prior_nodes)
        self.decoder = make_part("likelihood", likelihood, DECODERS, {"width": width, "window": window}, self.size,
                                 slots * depth + context, [decoder_nodes] * decoder_layers, **network)
        self.noise, self.reach = slots + self.decoder.noise, self.decoder.reach

    def encode(self, x: Tensor, context: Tensor) -> Tensor:
        """Events → vectors (B, slots, depth), not yet replaced."""
        encoded: Tensor = self.encoder(beside(x, context))
        return encoded.view(-1, self.slots, self.depth)

    def nearest(self, encoded: Tensor) -> Tensor:
        """Numbers (B, slots) of the nearest codes to vectors (B, slots, depth)."""
        with torch.no_grad():
            distances = torch.cdist(encoded.transpose(0, 1), self.codebook)
        return distances.argmin(2).T

    def vectors(self, codes: Tensor) -> Tensor:
        """The codebook's vectors (B, slots, depth) of codes (B, slots)."""
        return self.codebook[torch.arange(self.slots, device=codes.device), codes]

    def inputs(self, vectors: Tensor, context: Tensor) -> Tensor:
        """What the decoder sees of vectors (B, slots, depth)."""
        return beside(vectors.flatten(1), context)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) and (B, C) → (B, D)."""
        codes = self.prior.sample(noise[:, : self.slots], context)
        events: Tensor = self.decoder.sample(noise[:, self.slots :], self.inputs(self.vectors(codes), context))
        return events


class Codes(nn.Module):
    """p(k | c) = Π p(k_s | k_1 … k_{s−1}, c) of codes, by one masked network over one-hot vectors."""

    def __init__(self, slots: int, codes: int, context: int, nodes: int) -> None:
        super().__init__()
        self.slots, self.codes = slots, codes
        earlier = torch.ones(slots, slots, dtype=torch.bool).tril(-1)
        sees = torch.cat([torch.ones(slots, 1 + context, dtype=torch.bool), earlier.repeat_interleave(codes, 1)], 1)
        self.network = MaskedMLP(sees.repeat_interleave(codes, 0), [nodes, nodes], nn.SiLU)

    def log_shares(self, codes: Tensor, context: Tensor) -> Tensor:
        """Log probability (B, slots, codes) of every code, given those (B, slots) of the slots before."""
        seen = one_hot(codes, self.codes).flatten(1).to(context.dtype)
        logits = self.network(torch.cat([torch.ones_like(seen[:, :1]), context, seen], 1))
        shares: Tensor = logits.view(-1, self.slots, self.codes).log_softmax(2)
        return shares

    def log_prob(self, codes: Tensor, context: Tensor) -> Tensor:
        """Log probability (B, slots) of codes."""
        return self.log_shares(codes, context).gather(2, codes[..., None]).squeeze(2)

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """Standard normals (B, slots) → codes, each the one that a uniform falls on."""
        uniform = torch.special.ndtr(noise)
        codes = torch.zeros_like(noise, dtype=torch.int64)
        for slot in range(self.slots):
            reached = self.log_shares(codes, context)[:, slot].exp().cumsum(1)
            drawn = (reached < uniform[:, slot, None]).sum(1).clamp(max=self.codes - 1)  # the sum may end below one
            codes = torch.cat([codes[:, :slot], drawn[:, None], codes[:, slot + 1 :]], dim=1)
        return codes
