"""Flow matching's generator: the solvers' orders, the exact velocity of a normal, density, latents and draws agree."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models import FlowMatching
from calque.models.matching import SOLVERS, Solver, carry, clock
from calque.table import Layout

MEAN, WIDTH = 1.5, 0.4  # of a normal target


def exact(x: Tensor, time: float | Tensor) -> Tensor:
    """Velocity E[x₁ − z | x_t = x] from a standard normal to the normal target: linear in x."""
    variance = (1 - time) ** 2 + (time * WIDTH) ** 2
    return MEAN + (time * WIDTH**2 - (1 - time)) / variance * (x - time * MEAN)


class Exact(FlowMatching):
    """A generator with that velocity."""

    def velocity(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        return exact(x, time)


def bent(size: int, context: int = 0, **settings: Any) -> FlowMatching:
    """A generator with a velocity far from a normal's, in double precision."""
    torch.manual_seed(3)
    generator = FlowMatching(Layout.flat(list("abcd")[:size]), context, nodes=16, **settings).double()
    with torch.no_grad():
        for parameter in generator.network[-2].parameters():
            parameter.mul_(3)
    return generator.eval()


def even(steps: int) -> list[float]:
    return [number / steps for number in range(steps + 1)]


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2), ("rk4", 4)])
@pytest.mark.parametrize("times", [even, clock])
def test_the_error_falls_with_the_order_of_the_solver(solver: str, order: int, times: Any) -> None:
    """The velocity 2 t x carries x to e · x."""
    noise = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    ends = [carry(lambda x, time: 2 * time * x, noise, times(steps), SOLVERS[solver][0]) for steps in (32, 64, 128)]
    errors = [float((end - math.e * noise).abs().max()) for end in ends]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("solver", "passes"), [("euler", 2000), ("heun", 64), ("midpoint", 32), ("rk4", 32)])
def test_the_velocity_of_a_normal_carries_noise_to_it(solver: Solver, passes: int) -> None:
    noise = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    drawn = Exact(Layout.flat(["a"]), solver=solver, passes=passes).sample(noise, noise[:, :0])
    torch.testing.assert_close(drawn, MEAN + WIDTH * noise, rtol=0, atol=2e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_passes_are_passes(solver: Solver) -> None:
    """A draw calls the network as often as it says, at times within [0, 1]."""
    generator = FlowMatching(Layout.flat(["a", "b"]), solver=solver, passes=8)
    times: list[float] = []
    generator.network.register_forward_pre_hook(lambda _, inputs: times.append(inputs[0][0, 2].item()))
    generator.sample(torch.randn(5, 2), torch.zeros(5, 0))
    assert len(times) == 8
    assert min(times) == 0
    assert max(times) <= 1


def test_an_empty_network_draws_standard_normals() -> None:
    """Noise comes back as it went in, with the noise's density."""
    generator = FlowMatching(Layout.flat(["a", "b"]), passes=64).double()
    for parameter in generator.parameters():
        nn.init.zeros_(parameter)
    noise = torch.randn(100, 2, dtype=torch.float64)
    torch.testing.assert_close(generator.sample(noise, noise[:, :0]), noise, rtol=1e-3, atol=1e-3)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(1)
    torch.testing.assert_close(generator.log_prob(noise, noise[:, :0]), normal, rtol=0, atol=1e-4)


def test_the_density_of_a_normal_is_its_formula() -> None:
    x = torch.linspace(0, 3, 40, dtype=torch.float64)[:, None]
    found = Exact(Layout.flat(["a"])).log_prob(x, x[:, :0])
    torch.testing.assert_close(found, torch.distributions.Normal(MEAN, WIDTH).log_prob(x[:, 0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("size", "points"), [(1, 2000), (2, 120)])
def test_a_density_integrates_to_one_under_each_context(size: int, points: int) -> None:
    generator = bent(size, 1)
    side = torch.linspace(-9, 9, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[side] * size).view(-1, size)
    for value in (-1.0, 2.0):
        with torch.inference_mode():
            density = generator.log_prob(grid, torch.full_like(grid[:, :1], value)).exp()
        assert float(density.sum() * (side[1] - side[0]) ** size) == pytest.approx(1, abs=1e-3)


def test_the_density_is_the_noise_s_times_the_jacobian_by_autograd() -> None:
    generator = bent(3, 2)
    x, context = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)

    def back(x: Tensor) -> Tensor:
        return generator.latents(x, context, x)

    slopes = torch.autograd.functional.jacobian(lambda x: back(x).sum(0), x).transpose(0, 1)  # type: ignore[no-untyped-call]
    noise = torch.distributions.Normal(0.0, 1.0).log_prob(back(x)).sum(1)
    wanted = noise + torch.linalg.slogdet(slopes)[1]
    assert (wanted - noise).abs().max() > 0.3, "volumes change"
    torch.testing.assert_close(generator.log_prob(x, context), wanted, rtol=0, atol=1e-4)


def test_a_density_is_the_same_with_and_without_gradients_which_are_right() -> None:
    generator, context = bent(2, 1), torch.randn(5, 1, dtype=torch.float64)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    wanted = generator.log_prob(x, context)
    with torch.inference_mode():
        there = generator.log_prob(x.detach().clone(), context.clone())
    with torch.no_grad():
        torch.testing.assert_close(generator.log_prob(x, context), wanted.detach())
    torch.testing.assert_close(there, wanted.detach())
    assert torch.autograd.gradcheck(lambda x: generator.log_prob(x, context), (x,))
    bias = generator.network[0].bias
    (slope,) = torch.autograd.grad(wanted.sum(), bias)
    ends = []
    for shift in (1e-5, -1e-5):
        with torch.no_grad():
            bias[0] += shift
            ends.append(float(generator.log_prob(x, context).sum()))
            bias[0] -= shift
    assert float(slope[0]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize(("solver", "passes", "away"), [("rk4", 64, 1e-3), ("midpoint", 64, 0.02)])
def test_latents_are_the_noise_of_a_draw(solver: Solver, passes: int, away: float) -> None:
    generator = bent(2, 1, solver=solver, passes=passes)
    noise, context = torch.randn(500, 2, dtype=torch.float64), torch.randn(500, 1, dtype=torch.float64)
    with torch.inference_mode():
        drawn = generator.sample(noise, context)
        torch.testing.assert_close(generator.latents(drawn, context, noise), noise, rtol=0, atol=away)
    assert (drawn - noise).abs().mean() > 0.3


def test_draws_rank_evenly_among_the_density() -> None:
    """Of a one-dimensional draw the distribution function, integrated from the density, is uniform."""
    generator = bent(1, passes=64)
    noise = torch.randn(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    side = torch.linspace(-9, 9, 4000, dtype=torch.float64)
    with torch.inference_mode():
        drawn = generator.sample(noise, noise[:, :0])[:, 0]
        density = generator.log_prob(side[:, None], side[:, None][:, :0]).exp()
    reached = density.cumsum(0) * (side[1] - side[0])
    shares = torch.histc(reached[torch.searchsorted(side, drawn).clamp(max=3999)], 20, 0, 1) / len(drawn)
    assert float(((shares - 0.05).square() / (0.05 / len(drawn))).sum()) < 45, "χ² of 19 degrees of freedom"
    assert float((drawn.std() - 1).abs()) > 0.1, "it is no standard normal"


@pytest.mark.parametrize(("settings", "message"), [
    ({"solver": "heun", "passes": 5}, "passes = 5: a step of 'heun' takes 2"),
    ({"solver": "rk4", "passes": 6}, "passes = 6: a step of 'rk4' takes 4"),
    ({"fine": 5}, "fine = 5: a density is found in an even number of steps"),
    ({"solver": "hein"}, "no solver 'hein'; nearest: heun"),
])
def test_a_wrong_setting_is_one_clear_line(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FlowMatching(Layout.flat(["a"]), **settings)
