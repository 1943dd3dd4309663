"""Which noise goes to which event: the pairs of least squared distance, with conditions left as they are."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

GROUP = 64  # rows that are paired among themselves; the work grows with the third power
HOLD = 100.0  # what a squared distance of contexts costs, where one of events costs 1


def paired(x: Tensor, noise: Tensor, context: Tensor, hold: float = HOLD) -> Tensor:
    """Noise (B, D) in the order in which it goes to events (B, D) with context (B, C): a permutation of its rows.

    Minimises Σ |x_i − z_j|² + hold |c_i − c_j|² within groups of rows (minibatch transport: Pooladian et al. 2023,
    arXiv:2304.14772; Tong et al. 2023, arXiv:2302.00482), where each noise vector keeps the context of the row that
    it was drawn for (Cheng & Schwing 2025, arXiv:2503.10636). Without the second term, noise of a place would go to
    the contexts whose events lie there, while a draw gives every context all noise. Categories are then never mixed,
    exactly; along a number, noise moves by little, and is standard normal in each context but for that.

    >>> x, noise = torch.tensor([[3.0], [-3.0]]), torch.tensor([[-1.0], [1.0]])
    >>> paired(x, noise, torch.zeros(2, 0)).flatten(), paired(x, noise, torch.eye(2)).flatten()
    (tensor([ 1., -1.]), tensor([-1.,  1.]))
    """
    groups = zip(*(torch.split(part, GROUP) for part in (x, noise, context)), strict=True)
    return torch.cat([z[best(cost(x, z, c, hold))] for x, z, c in groups])


def cost(x: Tensor, noise: Tensor, context: Tensor, hold: float) -> Tensor:
    """(B, B), rows are events; squares of events and of noise alone are the same in every permutation."""
    costs = -2 * x @ noise.T
    return costs + hold * torch.cdist(context, context).square() if context.shape[1] and hold else costs


def best(costs: Tensor) -> Tensor:
    """The column (B,) of each row, in the cheapest permutation."""
    columns = linear_sum_assignment(costs.detach().cpu().numpy())[1]
    return torch.from_numpy(columns).to(costs.device)
