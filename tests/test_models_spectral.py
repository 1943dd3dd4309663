"""Spectral norm of every critic and generator of games, and that of an older run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gallery import image, loop_of, objective_of
from torch import Tensor, nn

from calque.config import build
from calque.fitting.fit import build_objective
from calque.models import CRITICS
from calque.models.layered import LocallyConnected
from calque.models.network import SpectralLinear
from calque.models.spectral import Spectral, add_spectral_norm
from calque.run import build_generator

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, LocallyConnected)


def norms(network: nn.Module) -> dict[str, Tensor]:
    """The largest singular values of the weights that act, of all layers that have a spectral norm."""
    found = {}
    for name, part in network.named_modules():
        if isinstance(part, SpectralLinear):
            found[name] = torch.linalg.svdvals(part.normed().detach())[:1]
        elif isinstance(part, LAYERS) and any(isinstance(one, Spectral) for one in part.modules()):
            weight = part.get_submodule("parametrizations.weight")().detach()  # type: ignore[operator]
            matrix = weight
            if not isinstance(part, LocallyConnected):
                axis = 1 if isinstance(part, nn.ConvTranspose2d) else 0
                matrix = weight.movedim(axis, 0).flatten(1)
            found[name] = torch.linalg.svdvals(matrix)[..., 0].flatten()
    return found


def unnormed(network: nn.Module) -> list[str]:
    """Layers without one."""
    return [
        name
        for name, part in network.named_modules()
        if isinstance(part, LAYERS)
        and not isinstance(part, SpectralLinear)
        and not any(isinstance(one, Spectral) for one in part.modules())
    ]


def check_norms(network: nn.Module) -> None:
    """One in evaluation; in training the power iteration follows the steps."""
    for is_training, tolerance in ((True, 0.05), (False, 1e-4)):
        for name, found in norms(network.train(is_training)).items():
            torch.testing.assert_close(
                found, torch.ones_like(found), rtol=0, atol=tolerance, msg=f"{name} {found}"
            )
    network.train()


@pytest.mark.parametrize("critic", CRITICS)
def test_every_layer_of_a_critic_has_norm_one_after_steps(critic: str) -> None:
    grown = {"hold": 0, "fade": 0}
    objective = objective_of(
        "progressive-gan", image(8, 8), critic=critic, norm="spectral", **grown
    )
    loop = loop_of(objective)
    before = {name: weight.detach().clone() for name, weight in objective.critic.named_parameters()}
    for _ in range(4):
        loop.advance()
    assert not unnormed(objective.critic)
    assert len(norms(objective.critic)) >= 3
    check_norms(objective.critic)
    after = dict(objective.critic.named_parameters())
    still = [name for name, weight in before.items() if torch.equal(weight, after[name])]
    assert all(name.startswith("from_images.0") for name in still), "but what is out of play"


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("dcgan", ["body.2"]),
        ("progressive-gan", ["to_images."]),
        ("stylegan", ["to_images.", ".style"]),
        ("calogan", ["head", ".last", ".gate"]),
    ],
)
def test_a_generator_has_norm_one_but_where_the_scale_is_set(kind: str, without: list[str]) -> None:
    objective = objective_of(kind, image(16, 16), model={"norm": "spectral"})
    loop = loop_of(objective)
    for _ in range(4):
        loop.advance()
    check_norms(objective.generator)
    assert len(norms(objective.generator)) >= 2
    rest = unnormed(objective.generator)
    assert [name for name in rest if not any(part in name for part in without)] == []
    plain = objective_of(kind, image(8, 8), model={"norm": "none"})
    assert not norms(plain.generator)


def test_steps_ahead_see_the_norm_too() -> None:
    """A critic with other weights has norm one as well: its scores do not grow with them."""
    objective = objective_of("progressive-gan", image(4, 4), norm="spectral")
    critic, context = objective.critic.eval(), torch.zeros(8, 1)
    x = torch.randn(8, 16)
    larger = {
        name: 7 * weight if weight.ndim > 1 else weight
        for name, weight in critic.named_parameters()
    }
    scores = torch.func.functional_call(critic, larger, (x, context, 8))[0]
    torch.testing.assert_close(scores, critic(x, context, 8)[0], rtol=1e-4, atol=1e-5)


def test_the_norm_of_several_matrices_is_that_of_each() -> None:
    """Pixel by pixel, and for a transposed kernel over its inputs and pixels."""
    torch.manual_seed(0)
    local = add_spectral_norm(LocallyConnected(2, 3, (4, 5))).eval()
    exact = torch.linalg.svdvals(local.weight.detach())[:, 0]  # type: ignore[operator, union-attr]
    torch.testing.assert_close(exact, torch.ones(20))
    turned = add_spectral_norm(nn.ConvTranspose2d(3, 5, 4)).eval()
    matrix = turned.weight.detach().movedim(1, 0).flatten(1)  # type: ignore[operator, union-attr]
    assert matrix.shape == (5, 48)
    assert float(torch.linalg.svdvals(matrix)[0]) == pytest.approx(1)


def test_a_generator_with_pytorch_s_own_norm_is_loaded() -> None:
    """As runs were saved before: its vectors go on, and the image is the same."""
    settings: dict[str, Any] = {"base": 4, "norm": "spectral"}
    torch.manual_seed(0)
    config = build({"fit": {"kind": "dcgan", "preset": "fast", "model": settings}}, "a test")
    new, old = (build_generator(config, image(8, 8), 1) for _ in range(2))
    for part in old.modules():
        if isinstance(part, nn.Linear | nn.ConvTranspose2d) and hasattr(part, "parametrizations"):
            weight = part.parametrizations.weight.original.detach()
            nn.utils.parametrize.remove_parametrizations(part, "weight", leave_parametrized=False)
            part.weight = nn.Parameter(weight)
            nn.utils.parametrizations.spectral_norm(part)
    assert any(name.endswith("_u") for name in old.state_dict())
    new.load_state_dict(old.state_dict())
    noise, context = torch.randn(5, new.noise), torch.randn(5, 1)
    drawn = old.eval().sample(noise, context)
    torch.testing.assert_close(new.eval().sample(noise, context), drawn)
    again = build_generator(config, image(8, 8), 1)
    again.load_state_dict(new.state_dict())
    torch.testing.assert_close(again.eval().sample(noise, context), drawn)
    assert bool(build_objective(config, new).turns)
