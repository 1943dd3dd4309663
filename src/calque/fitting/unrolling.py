"""The critic as it would be some gradient steps later: a function of the generator too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

# events, context and how many rows are of one origin → scores and features, as a critic
Judge = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
Hold = Callable[[str, Tensor], Tensor]  # name of a weight, and the weight


def unrolled(critic: nn.Module, loss: Callable[[Judge], Tensor], hold: Hold, steps: int, rate: float) -> Judge:
    """The critic after `steps` of gradient descent on its loss (Metz et al. 2016, arXiv:1611.02163, eq. 7 to 9).

    Its weights themselves stay; those of the steps depend on the generated events that the loss sees, and let
    gradients pass. `hold` is what a constraint does to each weight after a step.
    """
    weights: dict[str, Tensor] = {name: weight.detach().requires_grad_() for name, weight in critic.named_parameters()}
    for _ in range(steps):
        ahead = loss(partial(called, critic, weights))
        slopes = torch.autograd.grad(ahead, list(weights.values()), create_graph=True)
        weights = {name: hold(name, weight - rate * slope)
                   for (name, weight), slope in zip(weights.items(), slopes, strict=True)}
    return partial(called, critic, weights)


def called(
    critic: nn.Module, weights: dict[str, Tensor], x: Tensor, context: Tensor, rows: int
) -> tuple[Tensor, Tensor]:
    """The critic with other weights."""
    scores, features = functional_call(critic, weights, (x, context, rows))
    return scores, features
