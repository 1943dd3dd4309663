"""What the summaries of emulated images lack near the data, fitted to simulated images there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 4.0  # standard deviations of the fitted parameters, beyond which a correction stays as it is
ROWS_PER_TERM = 10  # rows for each coefficient of a quadratic fit; with fewer the fit is linear
PRIOR_WIDTH = 0.5  # of the slopes of the logarithmic scales


@dataclass(frozen=True)
class Correction:
    """A mean difference and normal noise, both functions of the parameters.

    With u = (t − centre) / width for encoded parameters t, limited to ±REACH, a summary s becomes

        s + f(u) · shift + (ε · exp(u · log_scale)) · spread,    f(u) = (1, u, u uᵀ) or (1, u)

    where ε are P standard normals.

    Attributes
    ----------
    centre, width : Tensor (P,)
        Mean and standard deviation of the parameters that it was fitted to.
    shift : Tensor (F, P)
        Coefficients of the mean difference.
    log_scale : Tensor (P, P)
        Slopes of the logarithm of the noise's scale.
    spread : Tensor (P, P)
        Square root of the noise's covariance at the centre.
    """

    centre: Tensor
    width: Tensor
    shift: Tensor
    log_scale: Tensor
    spread: Tensor

    @property
    def noise(self) -> int:
        """Standard normals per event."""
        return len(self.spread)

    def apply(self, summaries: Tensor, parameters: Tensor, normals: Tensor) -> Tensor:
        """Correct summaries (N, P) of encoded parameters (N, P) with normals (N, noise)."""
        u = standardise(parameters, self.centre, self.width)
        shift = terms(u, len(self.shift)) @ self.shift
        noise = (normals * torch.exp(u @ self.log_scale)) @ self.spread
        return summaries + shift + noise


def fit_correction(
    parameters: Tensor, simulated: Tensor, emulated: Tensor, *, is_deterministic: bool
) -> Correction:
    """Fit a correction to summaries of images that no network has learnt from.

    Parameters
    ----------
    parameters : Tensor (N, P)
        Encoded parameters of the images.
    simulated, emulated : Tensor (N, P)
        Summaries of the simulated and of the emulated images.
    is_deterministic : bool
        Whether the emulated summaries have no noise of their own. Only then does the noise that is
        added depend on the parameters; else it has the difference of the two covariances.

    Returns
    -------
    Correction
        In single precision.
    """
    centre, width = parameters.mean(0), parameters.std(0).clamp(min=1e-12)
    u = standardise(parameters, centre, width).double()
    shift_of_simulated, rest = regress(simulated, u)
    shift_of_emulated, rest_of_emulated = regress(emulated, u)
    shift = shift_of_simulated - shift_of_emulated
    log_scale = torch.zeros(u.shape[1], u.shape[1], dtype=torch.double)
    spread = square_root(covariance_of(rest) - covariance_of(rest_of_emulated))
    if is_deterministic:
        _, rest = regress(simulated.double() - emulated.double(), u)
        log_scale, spread = fit_scales(rest, u)
    found = (centre, width, shift, log_scale, spread)
    return Correction(*(tensor.float() for tensor in found))


def fit_scales(rest: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (P, P) of the logarithmic scales of residuals (N, P), and their spread (P, P) at u = 0.

    Maximum likelihood of normals whose widths, in the directions of the covariance, are
    exp(a + u · b); b has a normal prior.
    """
    root = square_root(covariance_of(rest))
    pulls = rest @ torch.linalg.pinv(root)
    inputs = torch.nn.functional.pad(u, (0, 1), value=1.0)
    slopes = torch.zeros(inputs.shape[1], pulls.shape[1], dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([slopes], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        scales = (inputs @ slopes).clamp(-5, 5)
        likelihood = (0.5 * (pulls * torch.exp(-scales)).square() + scales).sum(1).mean()
        prior = slopes[:-1].square().sum() / (2 * PRIOR_WIDTH**2 * len(u))
        total: Tensor = likelihood + prior
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = slopes.detach()
    return found[:-1], torch.exp(found[-1])[:, None] * root


def regress(summaries: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Regression of summaries (N, P) on the terms of u (N, Q): coefficients (F, P) and residuals (N, P)."""
    quadratic = 1 + u.shape[1] + u.shape[1] * (u.shape[1] + 1) // 2
    enough = len(u) >= ROWS_PER_TERM * quadratic
    inputs = terms(u, quadratic if enough else 1 + u.shape[1])
    coefficients = torch.linalg.lstsq(inputs, summaries.double()).solution
    return coefficients, summaries - inputs @ coefficients


def terms(u: Tensor, count: int) -> Tensor:
    """The first `count` of the terms (1, u, u uᵀ) of u (N, Q)."""
    linear = torch.nn.functional.pad(u, (1, 0), value=1.0)
    if count == linear.shape[1]:
        return linear
    first, second = torch.triu_indices(u.shape[1], u.shape[1])
    return torch.cat([linear, u[:, first] * u[:, second]], 1)


def standardise(parameters: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """Parameters (N, P) in widths from the centre, limited to ±REACH."""
    return ((parameters - centre) / width).clamp(-REACH, REACH)


def covariance_of(rows: Tensor) -> Tensor:
    """Covariance (P, P) of rows (N, P), also of a single column."""
    covariance: Tensor = torch.cov(rows.T).reshape(rows.shape[1], -1)
    return covariance


def square_root(covariance: Tensor) -> Tensor:
    """Symmetric square root of a covariance, its negative eigenvalues taken as zero."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
