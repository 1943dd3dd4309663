"""How parameters look from the data's side: drawn by a frozen emulator, summed up by a frozen network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from calque.errors import DataError
from calque.models import Generator
from calque.table import Layout
from calque.tuning.correction import Correction, fit_correction

FLAT = 1e-12  # variance of a summary that says nothing
ROWS = 500  # images in one pass: memory stays small


@dataclass(frozen=True)
class Sight:
    """Encoded parameters (N, P) → what a summary network sees in their images, (N, P), in the data's own scale.

    `summary` estimates the parameters of an image. Summaries are shifted by `mean` and turned by `whiten`, so that
    those of the data have mean zero, width one and no correlations. A `shortcut` is a small network that has learnt the
    mean summary of the emulator's images: a tuner's steps take a hundredth of the time. The `correction` adds what
    images near the data show to be lacking.
    """

    emulator: Generator
    summary: Generator
    mean: Tensor
    whiten: Tensor
    shortcut: Generator | None = None
    correction: Correction | None = None

    @property
    def noise(self) -> int:
        """Normals per parameter vector: those of its image, and of what is lacking."""
        return self.of_image + (self.correction.noise if self.correction else 0)

    @property
    def of_image(self) -> int:
        """Normals that an image is made of."""
        return 0 if self.shortcut else self.emulator.noise

    def of_images(self, images: Tensor) -> Tensor:
        """Summaries (N, P) of encoded images (N, D)."""
        return (self.summary.sample(images[:, :0], images) - self.mean) @ self.whiten

    def all_of(self, images: Tensor) -> Tensor:
        """Summaries (N, P) of many encoded images."""
        return in_parts(self.of_images, images)

    def emulated(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Summaries (N, P) of the emulator's images, as they are."""
        if self.shortcut:
            return self.shortcut.sample(noise, parameters)
        return self.of_images(self.emulator.sample(noise, parameters))

    def of_parameters(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """Summaries (N, P) of parameters, corrected."""
        seen = self.emulated(parameters, noise[:, : self.of_image])
        if self.correction is None:
            return seen
        return self.correction.apply(seen, parameters, noise[:, self.of_image :])


@torch.no_grad()
def in_parts(see: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Apply a function of rows to some of them at a time."""
    return torch.cat([see(*part) for part in zip(*[torch.split(tensor, ROWS) for tensor in tensors], strict=True)])


def look_at(emulator: Generator, summary: Generator, data: Tensor) -> Sight:
    """A sight in which encoded images (N, D) of the data have mean zero, width one and no correlations."""
    plain = Sight(emulator, summary, torch.zeros(summary.size), torch.eye(summary.size))
    seen = plain.all_of(data).double()
    spread = torch.cov(seen.T).reshape(len(seen.T), -1)
    if not spread.diagonal().min() > FLAT:
        raise DataError("the data's images are all alike: there is no distribution of parameters to find")
    factor = torch.linalg.cholesky(spread)
    whiten = torch.linalg.inv(factor).T
    return replace(plain, mean=seen.mean(0).float(), whiten=whiten.float())


def correct_sight(sight: Sight, parameters: Tensor, images: Tensor, noise: Tensor) -> Sight:
    """The same sight with what it lacks of images (N, D) of encoded parameters (N, P), which nothing has learnt from.

    `noise` (N, of_image) draws the emulated images that they are compared with.
    """
    simulated = sight.all_of(images)
    emulated = in_parts(sight.emulated, parameters, noise)
    correction = fit_correction(parameters, simulated, emulated, is_deterministic=not sight.of_image)
    return replace(sight, correction=correction)


class BoundedParameters(Generator):
    """A generator of parameters within bounds, whose draws a critic sees as something else.

    Only the generator of parameters is its own; the emulator and the summary network of `sight` are
    frozen and are not saved with it.

    Parameters
    ----------
    layout
        What the critic sees: summaries or images.
    parameters
        Generator of unbounded parameters (B, P).
    sight
        The emulator, and the network that summarises an image.
    low, high
        Encoded bounds (P,).
    """

    def __init__(self, layout: Layout, parameters: Generator, sight: Sight, low: Tensor, high: Tensor) -> None:
        super().__init__(layout)
        self.parameters_of, self.sight, self.low, self.high = parameters, sight, low, high

    def chosen(self, noise: Tensor) -> Tensor:
        """Encoded parameters (B, P) within their bounds."""
        unbounded = self.parameters_of.sample(noise[:, : self.parameters_of.noise], noise[:, :0])
        return self.low + (self.high - self.low) * torch.sigmoid(unbounded)


class Seen(BoundedParameters):
    """A generator of parameters of which a critic sees the summaries of their images."""

    def __init__(self, parameters: Generator, sight: Sight, low: Tensor, high: Tensor) -> None:
        names = [f"summary {name}" for name in parameters.layout.names]
        super().__init__(Layout.flat(names), parameters, sight, low, high)
        self.noise = parameters.noise + sight.noise

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) → summaries (B, P)."""
        return self.sight.of_parameters(self.chosen(noise), noise[:, self.parameters_of.noise :])


class EmulatedImages(BoundedParameters):
    """A generator of parameters of which a critic sees the emulated images.

    This is the second stage of the model-assisted GAN as its authors describe it.

    References
    ----------
    Alonso-Monsalve & Whitehead 2018, arXiv:1812.00879.
    """

    def __init__(self, parameters: Generator, sight: Sight, low: Tensor, high: Tensor) -> None:
        super().__init__(sight.emulator.layout, parameters, sight, low, high)
        self.noise = parameters.noise + sight.emulator.noise

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        """(B, noise) → images (B, D)."""
        return self.sight.emulator.sample(noise[:, self.parameters_of.noise :], self.chosen(noise))
