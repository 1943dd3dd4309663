"""A network that reads the context from an event, by which generated events are held to theirs."""

from __future__ import annotations

from torch import Tensor, nn

from calque.fitting.objective import Batch
from calque.models import CRITICS
from calque.table import Layout


class Constrainer(nn.Module):
    """Reads numbers and categories of the context from events, by least squares (arXiv:1802.03325; 1807.01954).

    Of a one-hot category that is Brier's score, least at the probabilities. It learns from real events only. It is no
    better at generated ones where they follow their context as closely as the real ones do, and no more closely.
    """

    def __init__(self, layout: Layout, context: int) -> None:
        super().__init__()
        flat = {"layers": 2, "norm": "none", "dropout": 0.0, "shape": "flat", "outputs": context}
        images = any(layout.shapes)
        make, own = (CRITICS["layers"], {"base": 4, "within": False}) if images else (CRITICS["dense"], {"base": 64})
        self.network = make(layout, 0, **flat, **own)
        self.context = context

    def errors(self, x: Tensor, context: Tensor) -> Tensor:
        """Squared errors (B, C) of what events (B, D) tell of their contexts (B, C)."""
        told: Tensor = self.network(x, context[:, :0])[0].view(len(x), self.context)
        return (told - context).square()

    def loss(self, batch: Batch) -> Tensor:
        """Of real events."""
        return batch.mean(self.errors(batch.x, batch.context))

    def mismatch(self, batch: Batch, fake: Tensor) -> Tensor:
        """How far the mean errors of real and of generated events (draws · B, D) are apart, over all of the context."""
        real = self.errors(batch.x, batch.context).mean(0)
        drawn = self.errors(fake, batch.context.repeat(len(fake) // len(batch.x), 1)).mean(0)
        return (drawn - real).abs().mean()
