"""Spectral norm of layers of any kind: what acts has the largest singular value one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import register_parametrization

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
START = 50  # iterations before the first step: nearly equal singular values are told apart slowly


class Spectral(nn.Module):
    """Divide a weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    A kernel is one matrix, of outputs by inputs times pixels; a layer with a kernel for every pixel
    has a matrix for each, and each gets norm one. A pass in training goes on with the power
    iteration of `direction`, the left singular vectors. A pass in evaluation takes the exact norm,
    so that what is judged and drawn does not depend on how far the iteration came.

    Parameters
    ----------
    weight : Tensor
        The weight as it acts without a norm, (outputs, inputs, …), or (pixels, outputs, inputs).
    axis : int
        The axis of the outputs.
    per_pixel : bool
        Whether the first axis counts matrices.
    """

    direction: Tensor
    right: Tensor | None  # of an older run, whose draws took the iteration's norm: they stay

    def __init__(self, weight: Tensor, axis: int, per_pixel: bool) -> None:
        super().__init__()
        self.axis, self.per_pixel = axis, per_pixel
        matrix = self.matrix(weight.detach())
        self.register_buffer("right", None)
        self.register_buffer("direction", normalize(torch.randn(matrix.shape[:-1]), dim=-1))
        for _ in range(START):
            self.largest(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as matrices (…, outputs, inputs)."""
        return weight if self.per_pixel else weight.movedim(self.axis, 0).flatten(1)

    def largest(self, matrix: Tensor) -> Tensor:
        """The largest singular values (…); differentiable in the matrices."""
        if not self.training and self.right is not None:
            return (self.direction[..., None, :] @ matrix @ self.right[..., None])[..., 0, 0]
        if not self.training:
            exact: Tensor = torch.linalg.svdvals(matrix)[..., 0]
            return exact
        left, self.right = self.direction, None
        with torch.no_grad():
            for _ in range(2):
                right = normalize((left[..., None, :] @ matrix)[..., 0, :], dim=-1)
                left = normalize((matrix @ right[..., None])[..., 0], dim=-1)
            self.direction.copy_(left)
        return (left[..., None, :] @ matrix @ right[..., None])[..., 0, 0]

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that acts."""
        with torch.autocast(weight.device.type, enabled=False):  # bf16 would leave three digits
            norm = self.largest(self.matrix(weight))
            return weight / (norm[:, None, None] if self.per_pixel else norm)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *given: Any) -> None:
        """Take what PyTorch's own spectral norm saved in an older run, too."""
        if f"{prefix}_u" in state:
            state[f"{prefix}direction"] = state.pop(f"{prefix}_u")
            state[f"{prefix}right"] = state.pop(f"{prefix}_v")
        if f"{prefix}right" in state:
            self.right = torch.empty_like(state[f"{prefix}right"])
        super()._load_from_state_dict(state, prefix, *given)


def add_spectral_norm(layer: nn.Module) -> nn.Module:
    """Give a layer's weight the norm one.

    Parameters
    ----------
    layer : Module
        A linear, convolutional, transposed or locally connected layer; equalised ones too.

    Returns
    -------
    Module
        The same layer.

    References
    ----------
    Miyato et al. 2018, arXiv:1802.05957

    Examples
    --------
    >>> layer = add_spectral_norm(nn.Conv2d(2, 3, 4)).eval()
    >>> round(float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]), 3)
    1.0
    """
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    weight = getattr(layer, "weight")  # noqa: B009 - a parametrised weight is no parameter
    return register_parametrization(
        layer, "weight", Spectral(weight, axis, getattr(layer, "per_pixel", False))
    )


def apply_norm(layer: nn.Module, norm: str) -> nn.Module:
    """A layer with a spectral norm, where that is the norm."""
    return add_spectral_norm(layer) if norm == "spectral" else layer
