"""Flow matching: the solvers' orders, the exact velocity of a normal, known truths with conditions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from calque.errors import ConfigError
from calque.fitting import fit
from calque.fitting.matching import Matching
from calque.fitting.objective import Batch
from calque.judging.watching import watched
from calque.models import DenseGenerator, FlowMatching
from calque.models.matching import SOLVERS, carry
from calque.preparing import prepare
from calque.table import Layout, Table

MEAN, WIDTH = 1.5, 0.4  # of a normal target
ROWS = 8000


def exact(x: Tensor, time: float | Tensor) -> Tensor:
    """Velocity E[x₁ − z | x_t = x] from a standard normal to the normal target: linear in x."""
    variance = (1 - time) ** 2 + (time * WIDTH) ** 2
    return MEAN + (time * WIDTH**2 - (1 - time)) / variance * (x - time * MEAN)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2)])
def test_the_error_falls_with_the_order_of_the_solver(solver: str, order: int) -> None:
    """The velocity 2 t x carries x to e · x."""
    noise = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    ends = [carry(lambda x, time: 2 * time * x, noise, steps, SOLVERS[solver][0]) for steps in (64, 128, 256)]
    errors = [float((end - math.e * noise).abs().max()) for end in ends]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("solver", "steps"), [("euler", 2000), ("heun", 64), ("midpoint", 8)])
def test_the_velocity_of_a_normal_carries_noise_to_it(solver: str, steps: int) -> None:
    noise = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    drawn = carry(exact, noise, steps, SOLVERS[solver][0])
    torch.testing.assert_close(drawn, MEAN + WIDTH * noise, rtol=0, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_passes_are_passes(solver: Any) -> None:
    """A draw calls the network as often as it says, at times within [0, 1]."""
    generator = FlowMatching(Layout.flat(["a", "b"]), solver=solver, passes=6)
    times: list[float] = []
    generator.network.register_forward_pre_hook(lambda _, inputs: times.append(inputs[0][0, 2].item()))
    generator.sample(torch.randn(5, 2), torch.zeros(5, 0))
    assert len(times) == 6
    assert min(times) == 0
    assert max(times) <= 1


def test_the_loss_is_its_formula() -> None:
    """With a velocity of zero it is the mean square of x − z; times are uniform."""
    generator = FlowMatching(Layout.flat(["a", "b"]))
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    objective, seen = Matching(generator), []
    generator.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    x, start, time = torch.randn(20_000, 2) + 3, torch.randn(20_000, 2), torch.randn(20_000, 1)
    loss = objective.loss("generator", Batch(x, x[:, :0], {"start": start, "time": time}), 0)
    torch.testing.assert_close(loss, (x - start).square().mean())
    between, times = seen[0][:, :2], seen[0][:, 2:3]
    torch.testing.assert_close(between, (1 - times) * start + times * x)
    shares = torch.histc(times, 10, 0, 1) / len(times)
    torch.testing.assert_close(shares, torch.full((10,), 0.1), rtol=0, atol=4 * math.sqrt(0.09 / len(times)))


def normals(rows: int, seed: int) -> Table:
    """A normal whose mean follows a number and whose width follows a charge."""
    stream = np.random.default_rng(seed)
    energy, charge = stream.normal(size=rows), stream.choice([-1, 1], rows)
    x, y = stream.normal(size=(2, rows))
    return Table.of({"x": MEAN * energy + (1 + 0.6 * charge) * x, "y": 0.8 * x + 0.6 * y, "energy": energy,
                     "charge": charge.astype("i4")})


def ring(rows: int, seed: int) -> Table:
    """Eight spots on a circle."""
    stream = np.random.default_rng(seed)
    angle = math.pi / 4 * stream.integers(0, 8, rows)
    return Table.of({"x": np.cos(angle) + 0.1 * stream.normal(size=rows),
                     "y": np.sin(angle) + 0.1 * stream.normal(size=rows)})


def test_the_velocity_of_a_normal_is_found() -> None:
    """Root mean squared error below a tenth of the velocity's spread, over the whole way."""
    x = np.random.default_rng(0).normal(MEAN, WIDTH, (ROWS, 1))
    data = prepare(Table.of({"x": x[:, 0]}), steps=[])
    run = fit(data, "flow-matching", steps=800, batch=512, model={"nodes": 32, "layers": 2}, quiet=True, average=0.99,
              watch_every=800, optimiser={"rate": 1e-2})
    torch.manual_seed(1)
    time = torch.rand(20_000, 1)
    between = (1 - time) * torch.randn(20_000, 1) + time * (MEAN + WIDTH * torch.randn(20_000, 1))
    assert isinstance(run.generator, FlowMatching)
    with torch.inference_mode():
        found = run.generator.velocity(between, time, between[:, :0])
    wanted = exact(between, time)
    assert float((found - wanted).square().mean().sqrt()) < 0.1 * float(wanted.std())


@pytest.mark.parametrize(("truth", "context", "steps", "limit"),
                         [(ring, [], 2000, 0.59), (normals, ["energy", "charge"], 1000, 0.53)])
def test_it_learns_a_known_truth(truth: Any, context: list[str], steps: int, limit: float) -> None:
    data = prepare(truth(ROWS, 0), context=context, steps=["standardise *"])
    run = fit(data, "flow-matching", steps=steps, batch=512, model={"nodes": 64, "passes": 16}, quiet=True,
              average=0.99, watch_every=steps, optimiser={"rate": 1e-2})
    judged = truth(6000, 1)
    assert watched(("auc",), judged, run.imitate(judged, seed=3), 6000, 0)["auc"] < limit


@pytest.mark.parametrize(("make", "message"), [
    (lambda: FlowMatching(Layout.flat(["a"]), solver="heun", passes=5), "passes = 5: a step of 'heun' takes 2"),
    (lambda: FlowMatching(Layout.flat(["a"]), solver="hein"), "no solver 'hein'; nearest: heun"),  # type: ignore[arg-type]
    (lambda: Matching(DenseGenerator(Layout.flat(["a"]))), "which a DenseGenerator has not"),
])
def test_a_wrong_setting_is_one_clear_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
