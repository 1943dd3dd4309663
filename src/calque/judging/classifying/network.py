"""A dense network that tells real rows from generated ones."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calque.judging.classifying.inputs import AsTheyAre, Inputs, Ranked, Standardised
from calque.seeds import numpy_stream, torch_stream
from calque.threads import threads

if TYPE_CHECKING:
    import torch

Numbers = NDArray[np.float64]

VALIDATION = 10  # one row in so many decides when to stop
BATCH, LEAST_STEPS = 1000, 20  # small samples take smaller batches, so many an epoch


@dataclass(frozen=True)
class Design:
    """Size and training of a network; it stops after `patience` epochs without a better validation loss."""

    hidden: tuple[int, ...]
    inputs: type[Inputs]
    rate: float
    epochs: int
    patience: int


QUICK = Design((128, 128, 128), Ranked, rate=1e-3, epochs=30, patience=4)
WIDE = Design((512, 512), Ranked, rate=2e-4, epochs=60, patience=6)  # in place of the quick one for images
MANY = 100  # columns from which it is
CALOCHALLENGE = Design((512, 512), Standardised, rate=2e-4, epochs=50, patience=50)
EVALUATE = Design((512, 512, 512), AsTheyAre, rate=2e-4, epochs=50, patience=50)
DESIGNS = {"network": QUICK, "calochallenge": CALOCHALLENGE, "evaluate": EVALUATE}


@dataclass
class Network:
    """Dense network with LeakyReLU, trained by Adam; the weights that are best on the validation part are kept.

    `CALOCHALLENGE` is the classifier of the CaloChallenge (arXiv:2410.21611), `EVALUATE` that of its public program,
    which takes columns as they are; `QUICK` sees ranks and stops early, and is `WIDE` for more than a hundred columns.
    Its output keeps the order of rows for the AUC; `divergence` calibrates it.
    """

    seed: int
    design: Design = QUICK

    def fit(self, values: Numbers, labels: NDArray[np.int64], sample_weight: Numbers) -> Network:
        """Train on rows (N, D) with labels and weights (N,)."""
        import torch

        held = validation(labels, self.seed)
        design = WIDE if self.design is QUICK and values.shape[1] > MANY else self.design
        self.map = design.inputs.of(values[~held], sample_weight[~held])
        # a caller that draws may have turned gradients off
        with threads(1), torch.inference_mode(False), torch.enable_grad():
            rows = Rows.of(self.map(values), labels, sample_weight)
            self.net = layers([rows.inputs.shape[1], *design.hidden, 1], self.seed)
            optimise(self.net, rows.part(~held), rows.part(held), design, self.seed)
        return self

    def predict_proba(self, values: Numbers) -> Numbers:
        """Give probabilities (N, 2) of being generated and real."""
        import torch

        inputs = torch.from_numpy(self.map(values)).float()
        with threads(1), torch.no_grad():
            logits = torch.cat([self.net(part)[:, 0] for part in torch.split(inputs, 10 * BATCH)])
        real = np.asarray(torch.sigmoid(logits.double()).numpy())
        return np.stack([1 - real, real], axis=1)


@dataclass(frozen=True)
class Rows:
    """Inputs (N, C), labels and weights (N,) in single precision."""

    inputs: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, *arrays: NDArray[Any]) -> Rows:
        """Turn arrays into tensors."""
        import torch

        return cls(*(torch.as_tensor(array, dtype=torch.float32) for array in arrays))

    def part(self, index: Any) -> Rows:
        """Keep rows by index or mask."""
        return Rows(self.inputs[index], self.labels[index], self.weights[index])

    def loss(self, net: torch.nn.Module) -> torch.Tensor:
        """Binary cross entropy, averaged over the weights."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(net(self.inputs)[:, 0], self.labels, self.weights)


def validation(labels: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Mark one row in ten of each class."""
    held = np.zeros(len(labels), dtype=bool)
    for label in (0, 1):
        rows = numpy_stream(seed, "judging/validation", label).permutation(np.flatnonzero(labels == label))
        held[rows[: max(1, len(rows) // VALIDATION)]] = True
    return held


def layers(widths: list[int], seed: int) -> torch.nn.Sequential:
    """Build dense layers with LeakyReLU between; their weights come from a stream of their own."""
    from torch import float32, nn

    stream, parts = torch_stream(seed, "judging/layers"), []
    for into, out in pairwise(widths):
        dense: nn.Linear = nn.utils.skip_init(nn.Linear, into, out, dtype=float32)  # type: ignore[no-untyped-call]
        nn.init.kaiming_uniform_(dense.weight, a=0.01, generator=stream)
        nn.init.zeros_(dense.bias)
        parts += [dense, nn.LeakyReLU()]
    return nn.Sequential(*parts[:-1])


def optimise(net: torch.nn.Module, rows: Rows, held: Rows, design: Design, seed: int) -> None:
    """Train in place until the validation loss no longer falls; the best weights stay."""
    import torch

    optimiser = torch.optim.Adam(net.parameters(), lr=design.rate, fused=True)
    stream, batch = torch_stream(seed, "judging/batches"), max(1, min(BATCH, len(rows.labels) // LEAST_STEPS))
    best, state, since = float("inf"), copy.deepcopy(net.state_dict()), 0
    for _ in range(design.epochs):
        epoch(net, rows, torch.split(torch.randperm(len(rows.labels), generator=stream), batch), optimiser)
        with torch.no_grad():
            loss = float(held.loss(net))
        since = since + 1 if loss >= best else 0
        if since == 0:
            best, state = loss, copy.deepcopy(net.state_dict())
        if since == design.patience:
            break
    net.load_state_dict(state)


def epoch(net: torch.nn.Module, rows: Rows, batches: Any, optimiser: torch.optim.Optimizer) -> None:
    """Take one step for every batch."""
    for batch in batches:
        optimiser.zero_grad()
        rows.part(batch).loss(net).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
