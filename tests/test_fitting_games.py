"""Games, constraints and tricks: each against its formula, and all combinations against the contract."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from calque.config import build
from calque.errors import ConfigError, DataError, DivergedError
from calque.fitting.adversarial import Adversarial
from calque.fitting.batches import Batches
from calque.fitting.constraints import CONSTRAINTS, AdversarialLipschitz, GradientPenalty
from calque.fitting.fit import build_objective
from calque.fitting.games import GAMES
from calque.fitting.loop import Loop
from calque.fitting.objective import Batch
from calque.kinds import KINDS
from calque.models import DenseGenerator
from calque.models.codes import Codes
from calque.models.network import SpectralLinear
from calque.run import build_generator
from calque.table import Layout

SMALL: dict[str, Any] = {"layers": 2, "base": 12, "shape": "flat", "norm": "none", "dropout": 0.0}


def objective_of(model: dict[str, Any] | None = None, **settings: Any) -> Adversarial:
    """A small game for events of two columns with one context."""
    torch.manual_seed(0)
    config = build({"fit": {"kind": "gan", "model": {**SMALL, "latent": 3, **(model or {})},
                            "objective": {**SMALL, **settings}}}, "here")
    objective = build_objective(config, build_generator(config, Layout.flat(["a", "b"]), 1))
    assert isinstance(objective, Adversarial)
    return objective.train()


def batches(rows: int = 32, weights: Tensor | None = None) -> Batches:
    """Correlated events (N, 2) whose mean follows the context (N, 1)."""
    stream = torch.Generator().manual_seed(1)
    context = torch.randn(4 * rows, 1, generator=stream)
    x = context + torch.randn(4 * rows, 2, generator=stream) @ torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    weights = torch.ones(len(x)) if weights is None else weights
    return Batches(x, context, weights, rows, torch.device("cpu"))


def draw(objective: Adversarial, player: str, weights: Tensor | None = None) -> Batch:
    torch.manual_seed(3)
    return batches(weights=weights).draw(objective.noise(player))


def gradients(loss: Tensor, parameters: Any) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(parameters), allow_unused=True, materialize_grads=True))


CHOICES = [*({"game": game, "constraint": constraint} for game, constraint in itertools.product(GAMES, CONSTRAINTS)),
           *({"game": game, "norm": "spectral"} for game in GAMES),
           *({"norm": "spectral", "constraint": constraint} for constraint in CONSTRAINTS
             if constraint not in ("none", "clip")),
           *({"game": game, "constraint": constraint, "unroll": 2, "unroll_rate": 0.05}
             for game, constraint in itertools.product(GAMES, ["none", "clip", "gradient-penalty", "r1r2",
                                                               "adversarial-lipschitz"])),
           *({"game": game, "feature_matching": True, "constraint": "r1"} for game in GAMES),
           {"feature_matching": True, "norm": "batch", "unroll": 1}, {"unroll": 1, "norm": "spectral"},
           {"norm": "layer", "constraint": "r1r2", "unroll": 1}]


@pytest.mark.parametrize("settings", CHOICES, ids=lambda settings: " ".join(map(str, settings.values())))
def test_each_player_moves_what_is_its_own(settings: dict[str, Any]) -> None:
    """All of it gets a gradient, and moves; the other's stays, to the bit."""
    for codes in ({}, {"categorical": [3], "continuous": 1}):
        objective = objective_of(codes, **settings)
        config = build({"fit": {"kind": "gan", "batch": 32}}, "here").fit
        loop = Loop(objective, batches(), config, 0)
        for player in ("critic", "generator"):
            before = {name: value.detach().clone() for name, value in objective.named_parameters()}
            loop.turn(player)
            own = {id(parameter) for parameter in objective.players[player]}
            for name, parameter in objective.named_parameters():
                assert torch.equal(before[name], parameter) != (id(parameter) in own), f"{name} in the {player}'s turn"
                assert parameter.grad is None
                assert parameter.isfinite().all()
        if settings.get("constraint") == "clip":
            assert all((weight.abs() <= 0.01).all() for weight in objective.critic.parameters())
        told = objective.diagnose(draw(objective, "critic"))
        assert all(np.isfinite(value).all() for value in told.values())


REAL, FAKE = torch.tensor([1.5, -0.5]), torch.tensor([0.25, 2.0])


@pytest.mark.parametrize(("game", "critic", "generator"), [
    ("non-saturating", [(math.log1p(math.exp(-1.5)) + math.log1p(math.exp(0.25))) / 2,
                        (math.log1p(math.exp(0.5)) + math.log1p(math.exp(2.0))) / 2],
     [math.log1p(math.exp(-0.25)), math.log1p(math.exp(-2.0))]),
    ("minimax", [(math.log1p(math.exp(-1.5)) + math.log1p(math.exp(0.25))) / 2,
                 (math.log1p(math.exp(0.5)) + math.log1p(math.exp(2.0))) / 2],
     [-math.log1p(math.exp(0.25)), -math.log1p(math.exp(2.0))]),
    ("least-squares", [(0.5**2 + 0.25**2) / 2, (1.5**2 + 2.0**2) / 2], [0.75**2 / 2, 1.0 / 2]),
    ("wasserstein", [0.25 - 1.5, 2.0 + 0.5], [-0.25, -2.0]),
    ("relativistic", [math.log1p(math.exp(-1.25)), math.log1p(math.exp(2.5))],
     [math.log1p(math.exp(1.25)), math.log1p(math.exp(-2.5))]),
])
def test_games_are_their_formulas(game: str, critic: list[float], generator: list[float]) -> None:
    """Row by row, of two scores each."""
    rules, ones, zeros = GAMES[game](), torch.ones(2), torch.zeros(2)
    torch.testing.assert_close(rules.critic(REAL, FAKE, ones, zeros), torch.tensor(critic))
    torch.testing.assert_close(rules.generator(REAL, FAKE, FAKE), torch.tensor(generator))
    shifted = rules.critic(REAL + 1, FAKE + 1, ones, zeros)
    assert torch.allclose(shifted, torch.tensor(critic)) == rules.relative
    assert torch.equal(rules.score(REAL, FAKE), REAL)


def test_blurred_labels_beyond_one_are_well_defined() -> None:
    blurred = GAMES["minimax"]().critic(REAL, FAKE, torch.tensor([1.5, 1.2]), torch.tensor([-0.5, -0.1]))
    assert torch.isfinite(blurred).all()


def test_cramer_s_loss_is_the_energy_distance() -> None:
    """With the identity for h; in one dimension that is 2 ∫ (F − G)², in closed form for two shifted normals."""
    stream, shift, rows = torch.Generator().manual_seed(0), 1.3, 400_000
    x, also, y, other = torch.randn(4, rows, 1, generator=stream, dtype=torch.float64)
    y, other = y + shift, other + shift
    loss = GAMES["cramer"]().generator(x, y, other) - (x - also).abs()[:, 0]
    root = math.sqrt(math.pi)
    truth = 4 / root * (math.exp(-shift**2 / 4) - 1) + 2 * shift * math.erf(shift / 2)
    assert float(loss.mean()) == pytest.approx(truth, abs=4 * float(loss.std()) / math.sqrt(rows))
    some = slice(0, 300)
    pairs = (2 * torch.cdist(x[some], y[some]).mean() - torch.cdist(x[some], also[some]).mean()
             - torch.cdist(y[some], other[some]).mean())
    assert float(pairs) == pytest.approx(truth, abs=0.25), "and of all pairs of some"


def test_cramer_s_critic_raises_the_surrogate() -> None:
    """f(x) = |h(x) − h(G')| − |h(x)|, by hand, with vectors of length 5 and 13."""
    game, real, fake = GAMES["cramer"](), torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 12.0]])
    other = torch.zeros(1, 2)
    torch.testing.assert_close(game.score(real, other), torch.zeros(1))
    torch.testing.assert_close(game.score(real, 2 * real), torch.zeros(1))
    torch.testing.assert_close(game.score(real, real), torch.tensor([-5.0]))
    loss = game.critic(game.score(real, real), game.score(fake, real), torch.ones(1), torch.zeros(1))
    torch.testing.assert_close(loss, torch.tensor([math.hypot(2, 8) - 13 + 5]))


def test_cramer_s_generated_events_are_independent() -> None:
    """Two of a row share the context and nothing else."""
    objective = objective_of(game="cramer")
    batch = draw(objective, "generator")
    first, second = objective.generated(batch).chunk(2)
    latent = batch.noise["latent"]
    torch.testing.assert_close(first, objective.generator.sample(latent[:, :3], batch.context))
    torch.testing.assert_close(second, objective.generator.sample(latent[:, 3:], batch.context))


SLOPE = torch.tensor([3.0, 4.0])


def linear(x: Tensor) -> Tensor:
    return x @ SLOPE


@pytest.mark.parametrize(("name", "penalty"), [
    ("r1", 12.5), ("r1r2", 25.0), ("gradient-penalty", 16.0), ("adversarial-lipschitz", 16.0),
    ("none", 0.0), ("clip", 0.0)])
def test_the_penalty_of_a_linear_critic_is_exact(name: str, penalty: float) -> None:
    """Its slope has the length 5 everywhere, or 1/2, which the Lipschitz one leaves alone."""
    constraint, x = CONSTRAINTS[name](), torch.randn(10, 2)
    noise = {key: torch.randn(10, width) for key, width in constraint.noise(2).items()}
    torch.testing.assert_close(constraint.penalty(linear, x, -x, noise), torch.tensor(penalty))
    flat = {"r1": 0.125, "r1r2": 0.25, "gradient-penalty": 0.25}.get(name, 0.0)
    torch.testing.assert_close(constraint.penalty(lambda x: linear(x) / 10, x, -x, noise), torch.tensor(flat))


def test_the_gradient_penalty_is_taken_between_the_two_halves() -> None:
    """D = |x|²/2 has the gradient x, so that the penalty says where it was taken: at ε x + (1 − ε) x~."""
    real, fake, normal = torch.full((9, 1), 3.0), torch.full((9, 1), -1.0), torch.linspace(-2, 2, 9)[:, None]
    penalty = GradientPenalty().penalty(lambda x: x.square().sum(1) / 2, real, fake, {"mix": normal})
    share = 0.5 * (1 + torch.erf(normal / np.sqrt(2)))
    torch.testing.assert_close(penalty, ((share * real + (1 - share) * fake).abs() - 1).square().mean())


def test_the_adversarial_direction_is_the_steepest() -> None:
    """Of a quadratic, from many beginnings: steeper after one iteration, at the distance that was probed."""
    matrix, x = torch.tensor([[3.0, 0.4], [0.4, 0.2]]), torch.tensor([[0.5, -0.2]])

    def score(x: Tensor) -> Tensor:
        return ((x @ matrix) * x).sum(1)

    constraint, angle = AdversarialLipschitz(), torch.linspace(0, 2 * math.pi, 720)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    change = (score(x + constraint.probe * circle) - score(x)).abs()
    found = constraint.steepest(score, x.expand(720, 2), score(x), circle.clone())
    reached = (score(x + constraint.probe * torch.nn.functional.normalize(found)) - score(x)).abs()
    assert float((reached >= change - 1e-6).float().mean()) > 0.9
    assert float(reached.mean()) > 1.5 * float(change.mean())


@pytest.mark.parametrize("name", ["r1", "r1r2", "gradient-penalty"])
def test_penalties_agree_with_derivatives_by_hand(name: str) -> None:
    """Of a critic tanh(x·a), gradient of the penalty in a included; in double precision."""
    a = torch.tensor([0.7, -1.1], dtype=torch.float64, requires_grad=True)
    real, fake = torch.randn(2, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mix = torch.zeros(6, 1, dtype=torch.float64)  # half way

    def length(x: Tensor) -> Tensor:
        return (1 - torch.tanh(x @ a).square()) * a.norm()

    by_hand = {"r1": length(real).square().mean() / 2,
               "r1r2": (length(real).square() + length(fake).square()).mean() / 2,
               "gradient-penalty": (length((real + fake) / 2) - 1).square().mean()}[name]
    penalty = CONSTRAINTS[name]().penalty(lambda x: torch.tanh(x @ a), real, fake, {"mix": mix})
    torch.testing.assert_close(penalty, by_hand)
    torch.testing.assert_close(gradients(penalty, [a]), gradients(by_hand, [a]))


@pytest.mark.parametrize("game", GAMES)
def test_a_penalty_sees_each_event_with_its_own_context(game: str) -> None:
    """As one by one."""
    objective = objective_of(game=game, constraint="r1r2", input_blur=0.0, strength=2.0)
    batch = draw(objective, "critic")
    fake = objective.still(batch)
    whole = objective.critic_loss(objective.critic, batch, fake)
    rows, total = len(batch.x), 0.0
    for row in range(rows):
        noise = {name: value[row : row + 1] for name, value in batch.noise.items()}
        one = Batch(batch.x[row : row + 1], batch.context[row : row + 1], noise)
        total += float(objective.critic_loss(objective.critic, one, fake[row::rows]).detach())
    assert total / rows == pytest.approx(float(whole.detach()), rel=1e-5)


@pytest.mark.parametrize("settings", [{"game": "minimax"}, {"game": "cramer", "constraint": "gradient-penalty"},
                                      {"game": "wasserstein", "constraint": "clip"}], ids=str)
def test_no_steps_ahead_is_the_plain_loss(settings: dict[str, Any]) -> None:
    objective = objective_of(**settings, unroll=1)
    batch = draw(objective, "generator")
    plain, fake = objective_of(**settings).loss("generator", batch, 0), objective.generated(batch)
    objective.unroll = 0
    torch.testing.assert_close(objective.generator_loss(objective.ahead(batch, fake), batch, fake), plain)


@pytest.mark.parametrize("constraint", ["none", "r1r2", "clip"])
def test_one_step_ahead_is_two_steps_by_hand(constraint: str) -> None:
    """A critic σ(a x + b) of one column and a generator z + m: all derivatives in m, the step's included."""
    x, z = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    m = torch.tensor(0.4, requires_grad=True)
    a, b, rate, limit = torch.tensor(0.6, requires_grad=True), torch.tensor(-0.2, requires_grad=True), 0.7, 0.5
    loss = (softplus(-(a * x + b)) + softplus(a * (z + m) + b)).mean() / 2
    loss = loss + (a**2 if constraint == "r1r2" else 0)
    slopes = torch.autograd.grad(loss, (a, b), create_graph=True)
    later = [weight - rate * slope for weight, slope in zip((a, b), slopes, strict=True)]
    if constraint == "clip":
        later = [weight.clamp(-limit, limit) for weight in later]
    truth = softplus(-(later[0] * (z + m) + later[1])).mean()

    strength = {} if constraint == "none" else {"strength": limit if constraint == "clip" else 1.0}
    objective = Adversarial(Shift(), unroll=1, unroll_rate=rate, constraint=constraint, label_blur=0.0, layers=0,
                            norm="none", input_blur=0.0, **strength)
    with torch.no_grad():
        objective.critic.head.weight.fill_(0.6)
        objective.critic.head.bias.fill_(-0.2)
    noise = {"latent": z[:, None], "input": torch.zeros(40, 1), "labels": torch.zeros(40, 2)}
    found = objective.loss("generator", Batch(x[:, None], torch.zeros(40, 0), noise), 0)
    torch.testing.assert_close(found, truth)
    (slope,) = gradients(found, objective.generator.parameters())
    torch.testing.assert_close(slope.squeeze(), gradients(truth, [m])[0])
    assert objective.critic.head.weight.item() == pytest.approx(0.6), "the critic itself stays where it is"


class Shift(DenseGenerator):
    """z + m."""

    def __init__(self) -> None:
        super().__init__(Layout.flat(["a"]), latent=1, layers=0, norm="none")
        torch.nn.init.constant_(self.head[0].bias, 0.4)  # type: ignore[arg-type]
        self.head[0].weight.requires_grad_(False).fill_(1.0)  # type: ignore[operator, union-attr]

    def parameters(self, recurse: bool = True) -> Any:
        return iter([self.head[0].bias])


def test_feature_matching_is_the_distance_of_means() -> None:
    """Whatever the game, and zero where the generated events are the real ones."""
    for game in GAMES:
        objective = objective_of(game=game, feature_matching=True)
        batch = draw(objective, "generator")
        fake = objective.generated(batch)
        real_mean, fake_mean = (objective.critic(x, batch.context)[1].mean(0) for x in (batch.x, fake[: len(batch.x)]))
        expected = (real_mean - fake_mean).square().sum()
        torch.testing.assert_close(objective.loss("generator", batch, 0), expected)
        same = batch.x.repeat(objective.game.draws, 1)
        assert float(objective.generator_loss(objective.critic, batch, same).detach()) < 1e-9


def test_codes_are_what_their_normals_say() -> None:
    """Levels equally frequent, continuous codes uniform, both a function of the noise."""
    codes = Codes([2, 5], 1)
    normals = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    encoded = codes.encode(normals)
    assert encoded.shape == (100_000, codes.size) == (100_000, 8)
    expected = torch.tensor([0.5] * 2 + [0.2] * 5 + [0.0])
    torch.testing.assert_close(encoded.mean(0), expected, rtol=0, atol=0.01)
    assert torch.equal(encoded[:, :2].sum(1), torch.ones(100_000))
    assert float(encoded[:, 7].var()) == pytest.approx(1 / 3, abs=0.005)
    assert torch.equal(encoded[:50], codes.encode(normals[:50]))
    certain = codes.log_prob(1e4 * encoded, encoded)[encoded[:, 7].abs() < 1e-5]
    guess = codes.log_prob(torch.zeros(1, 8), encoded[:1])
    width = math.log(2 * math.pi) / 2
    assert float(guess) == pytest.approx(-math.log(10) - width - 0.5 * float(encoded[0, 7]) ** 2, rel=1e-5)
    assert certain.numel() == 0 or float(certain.max()) == pytest.approx(-width, abs=0.01)
    assert codes.entropy == pytest.approx(math.log(2) + math.log(5) + math.log(2))


def test_both_players_raise_what_codes_tell() -> None:
    """The losses differ from those without by λ (⟨log Q⟩ + H); a reader that knows nothing is told at most nothing."""
    one = objective_of({"categorical": [4]}, information=0.5, game="wasserstein")
    none = objective_of({"categorical": [4]}, information=0.0, game="wasserstein")
    none.load_state_dict({name: value for name, value in one.state_dict().items() if not name.startswith("reader")})
    assert one.reader is not None
    for player in ("critic", "generator"):
        batch = draw(one, player)
        fake = one.still(batch) if player == "critic" else one.generated(batch)
        features = one.critic(fake, batch.context)[1]
        level = (torch.special.ndtr(batch.noise["latent"][:, -1]) * 4).long()
        told = math.log(4) - torch.nn.functional.cross_entropy(one.reader(features), level)
        torch.testing.assert_close(none.loss(player, batch, 0) - one.loss(player, batch, 0), 0.5 * told)
    torch.nn.init.zeros_(one.reader.weight)
    torch.nn.init.zeros_(one.reader.bias)
    assert one.diagnose(draw(one, "critic"))["codes/nats"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("game", [game for game in GAMES if game != "least-squares"])
def test_signed_weights_are_linear_in_every_term(game: str) -> None:
    """A row of weight −1 takes an equal row of weight 1 away, real and generated event alike."""
    settings = {"game": game, "constraint": "gradient-penalty", "label_blur": None, "input_blur": 0.0}
    objective = objective_of(**settings)
    assert objective.signed
    objective.label_blur = 0.0
    for player in ("critic", "generator"):
        batch = draw(objective, player)
        noise = {name: torch.cat([value, value[:8]]) for name, value in batch.noise.items()}
        weight = torch.cat([-torch.ones(8), torch.ones(24), torch.ones(8)]) * 40 / 24
        doubled = Batch(torch.cat([batch.x, batch.x[:8]]), torch.cat([batch.context, batch.context[:8]]), noise, weight)
        rest = Batch(batch.x[8:], batch.context[8:], {name: value[8:] for name, value in batch.noise.items()})
        objective.strength = 0.0  # a penalty takes rows as they are drawn
        torch.testing.assert_close(objective.loss(player, doubled, 0), objective.loss(player, rest, 0))
    matched = objective_of(**settings, feature_matching=True)
    torch.testing.assert_close(matched.loss("generator", doubled, 0), matched.loss("generator", rest, 0))


@pytest.mark.parametrize(("settings", "message"), [
    ({"norm": "batch"}, "batch norm in the critic mixes events of both signs"),
    ({"game": "least-squares", "constraint": "r1"}, "the game 'least-squares' has no lower bound"),
    ({"game": "wasserstein"}, "nothing bounds the critic's loss with them; set fit.objective.constraint"),
])
def test_unsound_signs_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    objective = objective_of(**settings)
    assert not objective.signed
    weights = torch.ones(128)
    weights[:5] = -1
    with pytest.raises(DataError, match=f"^the sample has negative weights: .*{message}"):
        objective.loss("critic", draw(objective, "critic", weights), 0)


def test_a_normalised_layer_has_norm_one_in_both_players() -> None:
    """By its singular values, after a training, hidden layers of the generator and all of the critic."""
    objective = objective_of({"norm": "spectral"}, norm="spectral", game="wasserstein")
    loop = Loop(objective, batches(), build({"fit": {"kind": "gan", "batch": 32}}, "here").fit, 0)
    for _ in range(20):
        loop.advance()
    layers = {name: layer for name, layer in objective.eval().named_modules() if isinstance(layer, SpectralLinear)}
    assert set(layers) == {"generator.body.0", "generator.body.2", "critic.body.0", "critic.body.2", "critic.head"}
    for name, layer in layers.items():
        assert float(torch.linalg.svdvals(layer.normed())[0]) == pytest.approx(1, abs=1e-3), name
        before = layer.normed().detach().clone()
        layer.weight.data.mul_(3)
        torch.testing.assert_close(layer.normed(), before, msg="whatever the size of what is learnt")


def test_diagnoses_see_what_goes_wrong() -> None:
    """A generator that draws one column at a tenth of its spread; weights at the clip; scores far apart."""
    objective = objective_of(game="wasserstein", constraint="clip", strength=0.02)
    batch = draw(objective, "critic")

    def narrow(noise: Tensor, context: Tensor) -> Tensor:
        return batch.x * torch.tensor([1.0, 0.1])

    objective.generator.sample = narrow  # type: ignore[method-assign]
    objective.after("critic", 0)
    told = objective.diagnose(batch)
    assert told["spread/narrowest"] == pytest.approx(0.1)
    assert told["weights/median"] <= told["weights/largest"] == pytest.approx(0.02)
    sizes = torch.cat([weight.detach().flatten().abs() for weight in objective.critic.parameters()])
    assert told["clip/share"] == pytest.approx(float((sizes == 0.02).float().mean()), abs=1e-6)
    assert 0.5 < told["clip/share"] < 1
    shares = told["weights/shares"]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert shares[0] + shares[-1] == pytest.approx(float((sizes > 0.019).float().mean()), abs=1e-3), "5 % at either end"
    with torch.no_grad():
        scores = [objective.critic(x, batch.context)[0] for x in (batch.x, narrow(batch.x, batch.context))]
    assert told["scores/real"] == pytest.approx(float(scores[0].mean()))
    assert told["scores/generated"] == pytest.approx(float(scores[1].mean()))
    assert told["scores/spread"] == pytest.approx(float(torch.cat(scores).std()))
    events = batch.x.clone().requires_grad_(), narrow(batch.noise["latent"], batch.context).requires_grad_()
    slopes = [gradients(objective.critic(x, batch.context)[0].sum(), [x])[0].norm(dim=1).mean() for x in events]
    assert told["slope/mean"] == pytest.approx(float(torch.stack(slopes).mean()))
    assert objective.training


@pytest.mark.parametrize("name", KINDS)
def test_the_table_says_what_a_kind_can_do(name: str) -> None:
    """Density and signed weights, as its generator and its objective have them; conditions are taken by all."""
    config = build({"fit": {"kind": name}}, "here")
    image = Layout(("image",), ((4, 4),)) if name != "two-step" else Layout(("number", "image"), ((), (4, 4)))
    generator = build_generator(config, image if KINDS[name].image else Layout.flat(["a", "b"]), 2)
    assert generator.context == 2
    assert KINDS[name].density == generator.has_density
    assert KINDS[name].signed == build_objective(config, generator).signed


def test_a_dead_critic_stops_the_training() -> None:
    objective = objective_of(activation="relu")
    objective.diagnose(draw(objective, "critic"))
    torch.nn.init.constant_(objective.critic.body[2].bias, -1e4)  # type: ignore[arg-type]
    with pytest.raises(DivergedError, match=r"the critic has collapsed: every event scores .*; lower fit.opt"):
        objective.diagnose(draw(objective, "critic"))


@pytest.mark.parametrize(("settings", "message"), [
    ({"game": "kramer"}, "no game 'kramer'; nearest: cramer"),
    ({"constraint": "adversarial-lipshitz"}, "no constraint 'adversarial-lipshitz'; nearest: adversarial-lipschitz"),
    ({"unrol": 2}, "no setting of kind 'gan' .* 'unrol'; nearest: unroll"),
    ({"constraint": "adversarial-lipschitz", "norm": "batch"}, "batch norm mixes them"),
    ({"unroll_rate": 0.1}, "unroll_rate = 0.1 would be ignored: unroll = 0 takes no steps"),
    ({"information": 1.0}, "information = 1.0 would be ignored: the generator has no codes; give it fit.model.categor"),
    ({"game": "cramer", "label_blur": 0.1}, "'cramer' has no labels to blur"),
    ({"label_blur": 0.0, "blur_labels": "real"}, "blur_labels = 'real' would be ignored: label_blur = 0"),
    ({"momentum": 0.5}, "momentum = 0.5 would be ignored: it is batch norm's, and norm = 'none'"),
    ({"critic_turns": 0}, "each player takes one turn or more"),
    ({"unroll": -1}, "looks no steps or more ahead"),
    ({"constraint": "none", "strength": 1.0}, "the constraint 'none' has no strength"),
])
def test_a_setting_that_does_nothing_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective_of(**settings)


@pytest.mark.parametrize("model", [{"categorical": [1]}, {"continuous": -1}])
def test_codes_that_tell_nothing_are_an_error(model: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="make no codes; a categorical code has two levels or more"):
        objective_of(model)
