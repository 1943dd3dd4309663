"""Autoencoders: bounds against closed forms, priors, discrete codes, signs of collapse, known truths."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from truths import conditional

from calque.config import build
from calque.errors import DataError
from calque.fitting import fit
from calque.fitting.fit import build_objective
from calque.fitting.informative import Informative, mismatch
from calque.fitting.objective import Batch
from calque.fitting.quantising import Quantising, perplexity, straight_through
from calque.fitting.variational import Variational
from calque.models import Autoencoder
from calque.models.conditionals import Conditionals
from calque.models.priors import Chain, correlation, least_rate
from calque.preparing import prepare
from calque.run import build_generator
from calque.table import Layout, Table

FLAT = Layout.flat(["a", "b", "c"])


def batch_of(x: Tensor, latent: Tensor, context: Tensor | None = None, weight: Tensor | None = None) -> Batch:
    """Events with latent normals."""
    return Batch(x, x[:, :0] if context is None else context, {"latent": latent}, weight)


def kind(name: str, context: int = 0, **model: Any) -> Any:
    """The untrained objective of a kind, in evaluation."""
    torch.manual_seed(0)
    preset = "fast" if name == "vae" else "default"
    config = build({"fit": {"kind": name, "preset": preset, "model": model}}, "a test")
    return build_objective(config, build_generator(config, FLAT, context)).eval()


# --- bounds whose truth is known


def linear(width: float) -> tuple[Autoencoder, MultivariateNormal]:
    """A linear autoencoder with its exact posterior, and the exact evidence: N(b, W Wᵀ + σ²)."""
    vae = Autoencoder(FLAT, latent=2, encoder_layers=0, decoder_layers=0, width=width).double()
    maps = torch.tensor([[1.2, 0.0], [0.5, 0.6], [0.0, -1.0]], dtype=torch.float64)
    maps[:, 1] -= maps[:, 0] * (maps[:, 0] @ maps[:, 1]) / maps[:, 0].square().sum()  # or the posterior is correlated
    shift = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    precision = maps.T @ maps / width**2 + torch.eye(2)
    inverse = torch.linalg.inv(precision) @ maps.T / width**2
    variance = torch.linalg.inv(precision).diagonal()
    encoder, decoder = vae.encoder[0], vae.decoder.network[0]
    with torch.no_grad():
        encoder.weight.copy_(torch.cat([inverse, torch.zeros(2, 3)]))
        encoder.bias.copy_(torch.cat([-inverse @ shift, variance.log()]))
        decoder.weight.copy_(maps)
        decoder.bias.copy_(shift)
    return vae, MultivariateNormal(shift, maps @ maps.T + width**2 * torch.eye(3))


def bound(vae: Autoencoder, x: Tensor) -> float:
    """The evidence bound; points ±√L along each latent axis integrate what is quadratic in z exactly."""
    points = math.sqrt(vae.latent) * torch.cat([torch.eye(vae.latent), -torch.eye(vae.latent)]).double()
    objective = Variational(vae)
    losses = [objective.loss("generator", batch_of(x, point.expand(len(x), -1)), 0) for point in points]
    return -float(torch.stack(losses).mean())


def test_the_bound_is_the_evidence_at_the_exact_posterior_and_below_it_elsewhere() -> None:
    vae, evidence = linear(0.4)
    torch.manual_seed(0)
    x = evidence.sample((500,))
    exact = float(evidence.log_prob(x).mean())
    assert bound(vae, x) == pytest.approx(exact, rel=1e-6)
    for part, distance in (("bias", 0.2), ("weight", 0.1)):
        worse, _ = linear(0.4)
        with torch.no_grad():
            getattr(worse.encoder[0], part).add_(distance)
        assert bound(worse, x) < exact - 0.01, part


@pytest.mark.parametrize("prior", ["normal", "flow", "chain"])
def test_the_bound_is_below_the_evidence_by_the_posterior_s_divergence(prior: str) -> None:
    """log p(x) − bound = KL(q(z | x) ‖ p(z | x)) for every prior; integrals over a grid of two latent dimensions."""
    torch.manual_seed(0)
    vae = Autoencoder(FLAT, latent=2, encoder_layers=1, decoder_layers=1, prior=prior, likelihood="autoregressive")
    vae, side = vae.double(), torch.linspace(-6, 6, 241, dtype=torch.float64)
    z, x = torch.cartesian_prod(side, side), torch.tensor([[0.5, -1.0, 0.3]], dtype=torch.float64)
    none, cell = x[:, :0], float(side[1] - side[0]) ** 2
    with torch.no_grad():
        mean, log_variance = (part.expand(len(z), 2) for part in vae.encode(x, none))
        posterior = Normal(mean, (0.5 * log_variance).exp()).log_prob(z)
        if prior == "chain":
            alpha = vae.prior.alpha
            before = MultivariateNormal(torch.zeros(2).double(), torch.tensor([[1, alpha], [alpha, 1]]).double())
            log_prior = before.log_prob(z)
        else:
            log_prior = (posterior - vae.prior.divergence(mean, log_variance, z, none)).sum(1)
            log_prior = Normal(0, 1).log_prob(z).sum(1) if prior == "normal" else log_prior
        likelihood = vae.decoder.log_prob(x.expand(len(z), 3), z).sum(1)
        q = posterior.sum(1).exp() * cell
        evidence = torch.logsumexp(likelihood + log_prior, 0) + math.log(cell)
        gap = (q * (posterior.sum(1) - likelihood - log_prior + evidence)).sum()
        kl = (q[:, None] * vae.prior.divergence(mean, log_variance, z, none)).sum()
        exact = (q * likelihood).sum() - kl
    assert float(log_prior.exp().sum()) * cell == pytest.approx(1, abs=1e-3)
    assert float(evidence - exact) == pytest.approx(float(gap), abs=1e-4)
    assert float(gap) > 0


def test_divergences_are_their_closed_forms() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.randn(2, 20, 5, dtype=torch.float64)
    normal = kind("vae", latent=5).generator.prior
    exact = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(normal.divergence(mean, log_variance, mean, mean[:, :0]), exact)
    chain = Chain(5, 0, rate=1.5)
    distance = (torch.arange(5)[:, None] - torch.arange(5)).abs()
    joint = MultivariateNormal(torch.zeros(5).double(), torch.as_tensor(chain.alpha).double() ** distance)
    posterior = MultivariateNormal(mean, torch.diag_embed(log_variance.exp()))
    found = chain.divergence(mean, log_variance, mean, mean[:, :0])
    torch.testing.assert_close(found.sum(1), kl_divergence(posterior, joint))


@pytest.mark.parametrize(("rate", "latent"), [(0.2, 2), (1.0, 4), (3.0, 10)])
def test_no_posterior_is_nearer_to_a_chain_than_its_rate(rate: float, latent: int) -> None:
    """The least KL by descent is the formula's, and α is the one that it belongs to."""
    chain = Chain(latent, 0, rate=rate)
    assert least_rate(correlation(rate, latent), latent) == pytest.approx(rate, abs=1e-9)
    torch.manual_seed(0)
    posterior = torch.randn(2, 1, latent, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([posterior], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def divergence() -> Tensor:
        descent.zero_grad()
        value = chain.divergence(posterior[0], posterior[1], posterior[0], posterior[0][:, :0]).sum()
        value.backward()
        return value

    descent.step(divergence)
    assert divergence().item() == pytest.approx(rate, abs=1e-6)


def test_conditionals_are_densities_with_a_limited_view() -> None:
    """They integrate to one, draws follow them, and a column sees only its window."""
    torch.manual_seed(0)
    model = Conditionals(2, 1, nodes=16)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    side = torch.linspace(-12, 12, 400)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        share = model.log_prob(grid, torch.ones(len(grid), 1)).sum(1).exp() * float(side[1] - side[0]) ** 2
        drawn = model.sample(torch.randn(100_000, 2), torch.ones(100_000, 1))
    assert float(share.sum()) == pytest.approx(1, abs=2e-3)
    mean = (share[:, None] * grid).sum(0)
    covariance = (share[:, None] * (grid - mean)).T @ (grid - mean)
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(drawn.T), covariance, rtol=0.03, atol=0.03)
    for window in (0, 1, 2, 9):
        model = Conditionals(5, 2, window=window)
        x, context = torch.randn(1, 5), torch.randn(1, 2)
        seen = torch.autograd.functional.jacobian(lambda x: model.log_prob(x, context)[0], x)[:, 0] != 0  # noqa: B023
        distance = torch.arange(5)[:, None] - torch.arange(5)
        assert torch.equal(seen, (distance >= 0) & (distance <= window)), window


@pytest.mark.parametrize("likelihood", ["gaussian", "autoregressive"])
def test_draws_are_the_likelihood_s(likelihood: str) -> None:
    """Mean and width of many draws from one latent vector, against the density on a grid."""
    torch.manual_seed(0)
    decoder = Autoencoder(Layout.flat(["a"]), latent=2, likelihood=likelihood).decoder
    inputs, x = torch.randn(1, 2), torch.linspace(-9, 9, 2001)[:, None]
    with torch.no_grad():
        share = decoder.log_prob(x, inputs.expand(len(x), 2)).softmax(0)
        drawn = decoder.sample(torch.randn(50_000, 1), inputs.expand(50_000, 2))
    mean = (share * x).sum()
    assert drawn.mean().item() == pytest.approx(float(mean), abs=0.02)
    assert drawn.std().item() == pytest.approx(float((share * (x - mean).square()).sum().sqrt()), rel=0.02)


# --- the terms of the objectives


def test_a_capacity_holds_the_divergence_and_a_warmup_lets_it_grow() -> None:
    x, latent = torch.zeros(8, 3), torch.zeros(8, 4)
    vae = kind("vae").generator
    batch = batch_of(x, latent)
    mean, log_variance = vae.encode(x, batch.context)
    nats = vae.prior.divergence(mean, log_variance, latent, batch.context).mean(0)
    free = Variational(vae).loss("generator", batch, 0) - nats.sum()
    for step, share in ((0, 0.01), (49, 0.5), (99, 1), (900, 1)):
        grown = Variational(vae, beta=3, warmup=100).loss("generator", batch, step) - free
        torch.testing.assert_close(grown, 3 * share * nats.sum())
        held = Variational(vae, beta=7, capacity=5, warmup=100).loss("generator", batch, step) - free
        torch.testing.assert_close(held, 7 * (nats.sum() - 5 * share).abs(), rtol=1e-4, atol=1e-5)
    spared = Variational(vae, free=float(nats.median())).loss("generator", batch, 0) - free
    torch.testing.assert_close(spared, nats.clamp(min=float(nats.median())).sum())
    assert spared > nats.sum()


def test_the_mismatch_of_normals_is_its_closed_form() -> None:
    """MMD² between N(m, s²) and N(0, 1) per dimension; the estimate's mean over many batches is it."""
    size, m, s = 3, 0.7, 0.5
    stream = torch.Generator().manual_seed(0)

    def overlap(variance: float, distance: float) -> float:
        """E exp(−|a − b|²/2L) for a − b normal with this variance and mean."""
        return ((size / (size + variance)) ** 0.5 * math.exp(-(distance**2) / (2 * (size + variance)))) ** size

    exact = overlap(2 * s**2, 0) - 2 * overlap(1 + s**2, m) + overlap(2, 0)
    estimates = []
    for _ in range(300):
        latent = m + s * torch.randn(100, size, generator=stream)
        estimates.append(float(mismatch(latent, batch_of(latent, latent))))
    error = float(np.std(estimates)) / math.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * error)
    assert error < 0.02 * exact
    null = [float(mismatch(z, batch_of(z, z))) for z in torch.randn(300, 100, size, generator=stream)]
    assert abs(np.mean(null)) < 4 * np.std(null) / math.sqrt(300)


def test_a_latent_vector_that_knows_its_context_is_a_mismatch() -> None:
    """z = c is normal, and yet no z can be drawn apart from c."""
    z = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    assert abs(float(mismatch(z, batch_of(z, z)))) < 0.003
    assert float(mismatch(z, batch_of(z, z, context=z))) > 0.02
    assert abs(float(mismatch(z, batch_of(z, z, context=z.flip(0))))) < 0.003


def test_an_infovae_is_the_bound_and_the_mismatch() -> None:
    torch.manual_seed(0)
    vae = kind("vae", context=1).generator
    batch = batch_of(torch.randn(30, 3), torch.randn(30, 4), torch.randn(30, 1))
    plain = Variational(vae).loss("generator", batch, 0)
    torch.testing.assert_close(Informative(vae, alpha=0, strength=1).loss("generator", batch, 0), plain)
    mean, log_variance = vae.encode(batch.x, batch.context)
    latent = mean + (0.5 * log_variance).exp() * batch.noise["latent"]
    kl = vae.prior.divergence(mean, log_variance, latent, batch.context).sum(1).mean()
    expected = plain - 0.7 * kl + 4.7 * mismatch(latent, batch)
    torch.testing.assert_close(Informative(vae, alpha=0.7, strength=5).loss("generator", batch, 0), expected)


@pytest.mark.parametrize("name", ["vae", "vlae", "delta-vae"])
def test_a_negative_weight_takes_back_an_event(name: str) -> None:
    """Rows that come with +1 and −1 beside the others leave the loss of the others, whatever they are."""
    objective = kind(name, context=1)
    assert objective.signed
    torch.manual_seed(1)
    events = [(torch.randn(30, width), torch.randn(10, width)) for width in (3, objective.generator.latent, 1)]
    plain = batch_of(*(rows for rows, _ in events))
    more = [torch.cat([rows, extra, extra]) for rows, extra in events]
    signed = batch_of(*more, weight=50 / 30 * torch.cat([torch.ones(40), -torch.ones(10)]))
    for player in objective.turns:
        losses = [objective.loss(player, batch, 10_000) for batch in (plain, signed)]
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-4)


def test_a_mismatch_honours_signs() -> None:
    """Half of the rows are too much, and half of those take the others back: what is left is normal."""
    stream = torch.Generator().manual_seed(0)

    def drawn() -> tuple[Tensor, Tensor]:
        kind = torch.randint(4, (200,), generator=stream)
        rows = torch.randn(200, 2, generator=stream) + 2 * (kind < 2)[:, None]
        return rows, torch.where(kind == 0, -2.0, 2.0)

    batches = [drawn() for _ in range(400)]
    signed = [float(mismatch(z, batch_of(z, z, weight=w))) for z, w in batches]
    unsigned = [float(mismatch(z, batch_of(z, z))) for z, _ in batches]
    assert abs(np.mean(signed)) < 4 * np.std(signed) / math.sqrt(len(signed))
    assert np.mean(unsigned) > 10 * np.std(signed) / math.sqrt(len(signed))


def test_codes_refuse_negative_weights() -> None:
    rows = conditional(500, 0).with_columns({"w": np.where(np.arange(500) % 9, 1.0, -1.0)})
    data = prepare(Table.of(dict(rows.columns), weight="w"), steps=["standardise x y"], context=["charge"])
    with pytest.raises(DataError, match=r"kind .vq-vae. cannot subtract \(a code would flee .*can: .*, vae, beta-vae"):
        fit(data, "vq-vae", steps=1, batch=64, quiet=True)


# --- discrete codes


def quantised(**model: Any) -> tuple[Quantising, Batch]:
    """A VQ-VAE with some events."""
    objective = kind("vq-vae", context=1, **{"slots": 2, "codes": 8, **model})
    torch.manual_seed(1)
    return objective, Batch(torch.randn(200, 3), torch.randn(200, 1), {})


def test_the_gradient_goes_straight_through_the_codes() -> None:
    encoded, vectors = torch.randn(2, 5, 3, requires_grad=True)
    through = straight_through(encoded, vectors)
    torch.testing.assert_close(through, vectors)
    pull = torch.randn(5, 3)
    along, past = torch.autograd.grad((pull * through).sum(), [encoded, vectors], allow_unused=True)
    assert torch.equal(along, pull)
    assert past is None


def test_the_loss_of_codes_is_its_formula() -> None:
    objective, batch = quantised()
    model = objective.generator
    encoded = model.encode(batch.x, batch.context)
    away = (encoded[:, :, None] - model.codebook[None]).square().sum(3)
    assert torch.equal(model.nearest(encoded), away.argmin(2))
    vectors = model.codebook[torch.arange(2), away.argmin(2)]
    likelihood = model.decoder.log_prob(batch.x, torch.cat([vectors.flatten(1), batch.context], 1))
    expected = 0.25 * away.min(2).values.sum(1).mean() - likelihood.sum(1).mean()
    torch.testing.assert_close(objective.loss("generator", batch, 0), expected)


def test_codes_follow_the_vectors_that_they_stand_for() -> None:
    """With nothing kept a code is the mean of its vectors; with most kept it goes a share of the way."""
    for keep in (0.0, 0.9):
        objective, batch = quantised()
        objective.keep, model = keep, objective.generator
        objective.after("prior", 0)
        assert not objective.chosen.any(), "the prior's turn moves no code"
        encoded = model.encode(batch.x, batch.context).detach()
        model.codebook.copy_(encoded[:8].transpose(0, 1))
        objective.chosen.fill_(20.0)
        objective.total.copy_(20.0 * model.codebook)
        codes = model.nearest(encoded)
        objective.loss("generator", batch, 0)
        objective.after("generator", 0)
        before, own = encoded[:8, 0], codes[:, 0]
        for code in range(8):
            there = encoded[own == code, 0]
            wanted = (keep * 20 * before[code] + (1 - keep) * there.sum(0)) / (keep * 20 + (1 - keep) * len(there))
            torch.testing.assert_close(model.codebook[0, code], wanted)


def test_dead_codes_are_put_on_vectors_of_the_batch() -> None:
    for _ in range(2):
        objective, batch = quantised(codes=64)
        model = objective.generator
        model.codebook[:] = 1e3 + torch.arange(64.0)[:, None]  # one of them is the nearest to all
        before = perplexity(model.nearest(model.encode(batch.x, batch.context)), 64)
        assert before.tolist() == [1, 1]
        objective.loss("generator", batch, 0)
        objective.after("generator", 0)
        encoded = model.encode(batch.x, batch.context).detach()
        torch.testing.assert_close(model.codebook[:, 1:21], encoded[:20].transpose(0, 1))
        assert (perplexity(model.nearest(encoded), 64) > 20).all()


def test_the_prior_of_codes_sums_to_one_and_its_draws_follow_it() -> None:
    model = quantised(slots=2, codes=3)[0].generator
    for parameter in model.prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    with torch.no_grad():
        shares = model.prior.log_prob(every, torch.full((9, 1), 0.4)).sum(1).exp()
        noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
        drawn = model.prior.sample(noise, torch.full((len(noise), 1), 0.4))
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    found = torch.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=9) / len(drawn)
    error = (shares * (1 - shares) / len(drawn)).sqrt()
    assert ((found - shares).abs() < 4 * error).all()
    assert shares.max() / shares.min() > 2, "or it would be no test"


# --- what the history tells


def told(run: Any) -> dict[str, float]:
    return dict(run.history[-1])


def test_collapse_and_blur_are_visible() -> None:
    """A huge price empties the latent vector, and then a mean without its width is narrow; a fair one fills it."""
    data = prepare(conditional(3000, 0), steps=["standardise x y"], context=["charge"], seed=1)
    settings: dict[str, Any] = {"steps": 300, "batch": 256, "watch_every": 300, "quiet": True}
    fast = {"preset": "fast", **settings}
    collapsed = told(fit(data, "vae", objective={"beta": 1000.0}, **fast))
    assert collapsed["latent/active"] == 0
    assert collapsed["bound/kl"] == pytest.approx(sum(collapsed[f"latent/kl_{k}"] for k in range(4)), rel=1e-4)
    assert collapsed["bound/kl"] < 0.01
    free = told(fit(data, "vae", objective={"beta": 0.01}, model={"width": 0.1}, **fast))
    assert free["latent/active"] >= 2
    assert free["bound/kl"] > 2
    assert free["blur/residual"] < 0.3 < collapsed["blur/residual"]
    many = told(fit(data, "vae", model={"latent": 9}, **fast))
    assert {"latent/kl_least", "latent/kl_mean", "latent/kl_most"} < set(many)
    assert many["latent/kl_least"] <= many["latent/kl_mean"] <= many["latent/kl_most"]
    codes = told(fit(data, "vq-vae", model={"slots": 2, "codes": 16}, **settings))
    assert 4 < codes["codes/perplexity"] <= 16


def test_a_decoder_that_draws_means_is_told_to_be_narrow() -> None:
    """With the latent vector empty, the note's decoder puts out one value per context."""
    data = prepare(conditional(3000, 0), steps=["minmax * low=0 high=1"], context=[], seed=1)
    run = fit(data, "vae", objective={"reconstruction": 1.0, "beta": 1000.0}, steps=200, batch=256, watch_every=200,
              quiet=True)
    assert told(run)["blur/spread"] < 0.1
    assert told(run)["latent/active"] == 0


def test_no_dimension_of_a_chain_can_be_lost() -> None:
    """Even where the price is huge, the rate stays: that is what the family is for."""
    data = prepare(conditional(3000, 0), steps=["standardise x y"], context=["charge"], seed=1)
    run = fit(data, "delta-vae", model={"rate": 2.0}, objective={"beta": 100.0}, steps=300, batch=256, watch_every=300,
              optimiser={"rate": 1e-2}, quiet=True)
    assert 2.0 <= told(run)["bound/kl"] < 2.5


# --- known truths

# kind, steps and AUC for the conditional Gaussian and for the ring, and what differs from the presets
TRUTHS: dict[str, tuple[int, float, float, dict[str, Any]]] = {
    "vae": (700, 0.56, 0.62, {"preset": "fast"}),
    "beta-vae": (700, 0.56, 0.62, {}),
    "infovae": (700, 0.56, 0.62, {}),
    "vlae": (500, 0.56, 0.62, {}),
    "vq-vae": (700, 0.56, 0.62, {}),
    "delta-vae": (500, 0.56, 0.62, {}),
}


def ring(rows: int, seed: int) -> Table:
    """Eight spots on a circle."""
    stream = np.random.default_rng(seed)
    angle = math.pi / 4 * stream.integers(0, 8, rows)
    return Table.of({"x": np.cos(angle) + 0.1 * stream.normal(size=rows),
                     "y": np.sin(angle) + 0.1 * stream.normal(size=rows)})


def learnt(truth: Any, name: str, steps: int, settings: dict[str, Any], out: Path | None = None) -> Any:
    """A short training on the first seed's rows."""
    context = ["charge"] if truth is conditional else []
    data = prepare(truth(8000, 0), steps=["standardise x y"], context=context, seed=1)
    return fit(data, name, out=out, steps=steps, batch=256, watch_every=steps, average=0.99, quiet=True, **settings)
