"""Normalizing flows: inverses, Jacobians, splines against zuko's, known truth."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from truths import learnt, moving, ring, separation, shares
from zuko.transforms import MonotonicRQSTransform

from calque.errors import ConfigError
from calque.models import GENERATORS, Flow
from calque.models.flows import spline
from calque.table import Layout

FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "spline couplings": ("coupling", {}),
    "spline couplings, permuted": ("coupling", {"mixing": "permutation", "bins": 4, "bound": 3.0}),
    "spline couplings, mixed": ("coupling", {"mixing": "lu", "activation": "relu"}),
    "affine couplings": ("coupling", {"univariate": "affine", "transforms": 3}),
    "splines": ("autoregressive", {}),
    "masked couplings": ("autoregressive", {"passes": 2}),
    "affine, mixed": ("autoregressive", {"univariate": "affine", "mixing": "lu"}),
    "inverse": ("autoregressive", {"univariate": "affine", "inverse": True}),
}
SIZES = [(1, 0), (1, 2), (2, 0), (5, 2)]


def flow_of(name: str, size: int, context: int) -> Flow:
    """A small flow that bends."""
    generator, settings = FLOWS[name]
    return bent_flow(generator, Layout.flat([str(column) for column in range(size)]), context, settings)


def bent_flow(generator: str, layout: Layout, context: int, settings: dict[str, Any]) -> Flow:
    """One of a layout."""
    torch.manual_seed(3)
    flow = GENERATORS[generator](layout, context, **{"hidden": (16,), **settings})
    assert isinstance(flow, Flow)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return flow


@pytest.mark.parametrize(("size", "context"), SIZES)
@pytest.mark.parametrize("name", FLOWS)
def test_both_ways_are_inverse_and_the_jacobian_is_autograd_s(name: str, size: int, context: int) -> None:
    check_both_ways(flow_of(name, size, context))


def check_both_ways(flow: Flow) -> None:
    """Against itself and against autograd."""
    noise, given = 1.5 * torch.randn(200, flow.size), torch.randn(200, flow.context)
    with torch.inference_mode():
        x = flow.sample(noise, given)
        again, slope = flow.normalise(x, given)
    scale = 1 + x.abs().max().item()
    torch.testing.assert_close(again, noise, rtol=1e-5, atol=1e-5 * scale)
    flow.double()
    for row in range(3):
        one, own = x[row : row + 1].double(), given[row : row + 1].double()
        jacobian = torch.autograd.functional.jacobian(lambda x, own=own: flow.normalise(x, own)[0], one)[0, :, 0]
        with torch.inference_mode():
            found = flow.normalise(one, own)[1]
        torch.testing.assert_close(found, torch.linalg.slogdet(jacobian)[1][None], rtol=1e-7, atol=1e-7)
        assert float(slope[row]) == pytest.approx(found.item(), abs=1e-3)


@pytest.mark.parametrize("name", FLOWS)
def test_every_column_depends_on_every_normal(name: str) -> None:
    """Two columns or more of a flow with enough transformations are no product of marginals."""
    flow = flow_of(name, 4, 1)
    noise, given = torch.randn(50, 4), torch.randn(50, 1)
    jacobian = torch.func.vmap(torch.func.jacfwd(lambda z, c: flow.sample(z[None], c[None])[0]))(noise, given)
    assert (jacobian.abs().amax(0) > 1e-4).all()


def test_two_steps_draw_images_given_numbers_and_never_the_other_way() -> None:
    """Numbers lie around the image, on purpose."""
    layout = Layout(("energy", "image", "hits"), ((), (2, 3), ()))
    flow = bent_flow("two-step", layout, 1, {"transforms": 4, "numbers_hidden": (16,)})
    check_both_ways(flow)
    noise, given = torch.randn(50, 8), torch.randn(50, 1)
    noise, given = noise.double(), given.double()
    slopes = torch.func.vmap(torch.func.jacfwd(lambda z, c: flow.sample(z[None], c[None])[0]))(noise, given)
    numbers, images = slopes[:, [0, 7]].abs().amax(0), slopes[:, 1:7].abs().amax(0)
    assert (images > 1e-5).all()
    assert (numbers[:, :2] > 1e-5).all()
    assert not numbers[:, 2:].any()
    for names, shapes in ((("a", "b"), ((), ())), (("image",), ((2, 3),))):
        with pytest.raises(ConfigError, match=r"two steps need numbers and images; .* alone: take kind 'nsf'"):
            GENERATORS["two-step"](Layout(names, shapes), 0)


def bent(rows: int, bins: int) -> tuple[Tensor, Tensor]:
    """Parameters and values for two columns, some beyond the bound."""
    torch.manual_seed(1)
    return torch.randn(3 * bins - 1, 2, rows, dtype=torch.float64), 3 * torch.randn(2, rows, dtype=torch.float64)


def test_a_spline_s_derivatives_are_those_of_differences() -> None:
    parameters, x = (part.requires_grad_() for part in bent(40, 4))
    assert torch.autograd.gradcheck(lambda p, x: spline.forward(p, x, 2.0), (parameters, x))


def test_a_spline_is_zuko_s_with_the_same_knots() -> None:
    """Whose soft limits of sizes and slopes are undone here."""
    parameters, x = bent(500, 8)
    free, slopes = parameters[:16].sigmoid().view(2, 8, *x.shape) + spline.FLOOR, parameters[16:]
    sizes, least = free.log() - free.log().mean(1, keepdim=True), -math.log(1e-3)
    widths, heights = (sizes / (1 - 2 * sizes.abs() / least)).movedim(1, -1)
    reference = MonotonicRQSTransform(widths, heights, (slopes / (1 - slopes.abs() / least)).movedim(0, -1), bound=5.0)
    y, slope = spline.forward(parameters, x, 5.0)
    torch.testing.assert_close((y, slope), reference.call_and_ladj(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(spline.inverse(parameters, y, 5.0), x, rtol=1e-10, atol=1e-10)


def test_a_spline_rises_and_goes_over_into_the_identity() -> None:
    parameters, _ = bent(1, 5)
    x = torch.linspace(-3, 3, 6001, dtype=torch.float64).expand(2, -1)
    y, slope = spline.forward(parameters.expand(-1, -1, 6001).contiguous(), x, 2.0)
    assert (y.diff() > 0).all()
    outside = x.abs() >= 2
    assert torch.equal(y[outside], x[outside])
    assert not slope[outside].any()
    assert slope[~outside].abs().max() > 0.5
    assert (y.diff().abs().max() / 0.001).log() < slope.max() + 0.01, "no jump anywhere, the bound included"
    edge = (x.abs() > 1.999) & ~outside
    torch.testing.assert_close(slope[edge], torch.zeros_like(slope[edge]), rtol=0, atol=0.05)


@pytest.mark.parametrize(("generator", "settings", "message"), [
    ("coupling", {"univariate": "affine", "bins": 8}, "bins and bound would be ignored"),
    ("autoregressive", {"univariate": "affine", "bound": 3.0}, "bins and bound would be ignored"),
    ("coupling", {"bins": 1}, "two bins or more"),
    ("autoregressive", {"bound": -1.0}, "two bins or more"),
    ("coupling", {"transforms": 0}, "transforms = 0"),
    ("autoregressive", {"transforms": 0}, "transforms = 0"),
])
def test_a_setting_that_makes_no_flow_is_refused(generator: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GENERATORS[generator](Layout.flat(["x"]), 0, **settings)


# kind: steps and AUC with contexts, and on the ring, whose gaps few affine maps make
TRUTHS = {"flow": (100, 0.55, 300, 0.62), "nsf": (150, 0.55, 400, 0.56), "realnvp": (150, 0.55, 600, 0.78),
          "maf": (150, 0.56, 600, 0.82), "iaf": (150, 0.56, 300, 0.93), "cnf": (60, 0.56, 90, 0.88)}
QUICK = {"batch": 256, "optimiser": {"rate": 5e-3, "schedule": "cosine"}, "average": 0.95}


@pytest.mark.parametrize("kind", TRUTHS)
def test_a_gaussian_that_moves_with_its_context_is_learnt(kind: str) -> None:
    steps, reached = TRUTHS[kind][:2]
    run = learnt(moving(6000, 0), kind, steps, QUICK, ["charge", "energy"])
    assert separation(moving(4000, 9), run) < reached


@pytest.mark.parametrize("kind", TRUTHS)
def test_a_ring_of_gaussians_is_learnt(kind: str) -> None:
    steps, reached = TRUTHS[kind][2:]
    run = learnt(ring(6000, 0), kind, steps, QUICK, [])
    assert separation(ring(4000, 9), run) < reached
    assert shares(run.sample(4000, seed=3)).min() > 0.01, "of 1/8"
    side = torch.linspace(-4, 4, 121)
    grid = torch.cartesian_prod(side, side)
    with torch.inference_mode():
        density = run.generator.log_prob(grid, grid[:, :0]).double().exp()
    assert float(density.sum()) / 15**2 == pytest.approx(1, abs=5e-3), "what training maximised is a density"
