"""What a history tells of an autoencoder: whether its latent vector is used, and whether its draws are blurred."""

from __future__ import annotations

import torch
from torch import Tensor

from calque.fitting.collapse import narrowest, spread
from calque.fitting.objective import Batch
from calque.models import Generator
from calque.seeds import torch_stream

MANY = 8  # latent dimensions beyond which they are summed up
ACTIVE = 0.01  # variance of a posterior's mean that makes a latent dimension active


def usage(mean: Tensor, divergence: Tensor, batch: Batch) -> dict[str, float]:
    """KL in nats per latent dimension, and how many dimensions are active, from posteriors' means and KL (B, L).

    A dimension is active where its posterior's mean has a variance above 0.01 over events (Burda et al. 2015,
    arXiv:1509.00519, appendix C). A collapsed posterior has none.
    """
    nats = column_means(divergence, batch)
    told = {f"latent/kl_{number}": float(value) for number, value in enumerate(nats)}
    if len(nats) > MANY:
        told = {"latent/kl_least": float(nats.min()), "latent/kl_mean": float(nats.mean()),
                "latent/kl_most": float(nats.max())}
    return {**told, "latent/active": float((spread(batch, mean).square() > ACTIVE).sum())}


def blur(generator: Generator, middle: Tensor, batch: Batch) -> dict[str, float]:
    """How wide the prior's draws are, and how far reconstructions (B, D) are off, over the real spread.

    `spread` is that of the narrowest column, near one for a faithful generator; `residual` the root mean square of the
    worst.
    """
    stream = torch_stream(0, "diagnose", device=batch.x.device)
    noise = torch.randn(len(batch.x), generator.noise, generator=stream, device=batch.x.device)
    missed = column_means((batch.x - middle).square(), batch).clamp(min=0).sqrt()
    residual = float((missed / spread(batch, batch.x).clamp(min=1e-9)).max())
    return {"blur/spread": narrowest(batch, generator.sample(noise, batch.context)), "blur/residual": residual}


def column_means(values: Tensor, batch: Batch) -> Tensor:
    """Means (D,) over events of values (B, D), signs honoured."""
    return torch.stack([batch.mean(column) for column in values.T])

