"""Regression of a velocity: its formula, known truths with conditions, transport that leaves conditions alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from test_models_matching import MEAN, WIDTH, exact
from torch import Tensor, nn

from calque.errors import ConfigError, DataError
from calque.fitting import fit
from calque.fitting import matching as fitting_matching
from calque.fitting.matching import Matching
from calque.fitting.objective import Batch
from calque.fitting.transport import GROUP, paired
from calque.judging.watching import watched
from calque.models import DenseGenerator, FlowMatching
from calque.preparing import prepare
from calque.run import Run
from calque.table import Layout, Table

ROWS = 8000


def test_the_loss_is_its_formula() -> None:
    """With an empty network the velocity is a standard normal's; times are uniform."""
    generator = FlowMatching(Layout.flat(["a", "b"]))
    for parameter in generator.parameters():
        nn.init.zeros_(parameter)
    objective, seen = Matching(generator), []
    generator.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    x, start, time = torch.randn(20_000, 2) + 3, torch.randn(20_000, 2), torch.randn(20_000, 1)
    loss = objective.loss("generator", Batch(x, x[:, :0], {"start": start, "time": time}), 0)
    between, times = seen[0][:, :2], seen[0][:, 2:3]
    torch.testing.assert_close(between, (1 - times) * start + times * x)
    normal = (2 * times - 1) / (times**2 + (1 - times) ** 2) * between
    torch.testing.assert_close(loss, (normal - (x - start)).square().mean())
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


def learnt(truth: Any, context: list[str], steps: int, kind: str = "flow-matching", **settings: Any) -> Run:
    data = prepare(truth(ROWS, 0), context=context, steps=["standardise *"])
    return fit(data, kind, steps=steps, batch=512, quiet=True, average=0.99, watch_every=steps,
               optimiser={"rate": 1e-2}, **{"model": {"nodes": 64}, **settings})


def auc(truth: Any, run: Run) -> float:
    judged = truth(6000, 5)
    return watched(("auc",), judged, run.imitate(judged, seed=3), 6000, 0)["auc"]


@pytest.mark.parametrize(("truth", "context", "kind", "steps", "limit"), [
    (ring, [], "flow-matching", 2000, 0.59), (ring, [], "ot-flow-matching", 700, 0.66),
    (normals, ["energy", "charge"], "flow-matching", 600, 0.53),
    (normals, ["energy", "charge"], "ot-flow-matching", 600, 0.53)])
def test_it_learns_a_known_truth(truth: Any, context: list[str], kind: str, steps: int, limit: float) -> None:
    assert auc(truth, learnt(truth, context, steps, kind)) < limit


def test_pairs_are_the_nearest_and_noise_is_only_reordered() -> None:
    """On a line the cheapest pairs are those in order, in each group."""
    torch.manual_seed(0)
    x, noise = torch.randn(GROUP + 9, 1), torch.randn(GROUP + 9, 1)
    found = paired(x, noise, x[:, :0])
    for part in (slice(GROUP), slice(GROUP, None)):
        assert torch.equal(found[part][x[part, 0].argsort()], noise[part].sort(0).values)


def contexts(rows: int) -> Tensor:
    """A category of two levels beside a number."""
    hot = nn.functional.one_hot(torch.randint(0, 2, (rows,)), 2).float()
    return torch.cat([hot, torch.randn(rows, 1)], 1)


def test_categories_are_never_mixed_and_noise_stays_normal_in_each() -> None:
    """Without the price on contexts, noise is far from a standard normal given the category."""
    torch.manual_seed(1)
    rows = 200 * GROUP
    noise, context = torch.randn(rows, 2), contexts(rows)[:, :2]
    x = torch.randn(rows, 2) + 3 * context[:, :1]
    marked = torch.cat([noise, context[:, :1]], 1)  # a third column that remembers its row, and costs nothing
    found = paired(nn.functional.pad(x, (0, 1)), marked, context)
    assert torch.equal(found[:, 2], context[:, 0])
    assert (found[:, :2] - x).square().mean() < 0.8 * (noise - x).square().mean()
    plain = paired(x, noise, context, hold=0)
    for level in (0, 1):
        own = context[:, 0] == level
        assert kstest(found[own, 0].numpy(), "norm").pvalue > 0.01
        assert kstest(plain[own, 0].numpy(), "norm").pvalue < 1e-9


def test_along_a_number_noise_hardly_moves() -> None:
    """The correlation of noise and condition, which has to be zero; plain transport's is 0.8."""
    torch.manual_seed(2)
    rows = 400 * GROUP
    noise, number = torch.randn(rows, 1), torch.randn(rows, 1)
    x = (1.5 * number + torch.randn(rows, 1)) / math.sqrt(3.25)

    def correlation(found: Tensor) -> float:
        return float(torch.corrcoef(torch.cat([found, number], 1).T)[0, 1])

    assert abs(correlation(paired(x, noise, number))) < 0.025
    assert correlation(paired(x, noise, number, hold=0)) > 0.7
    assert (paired(x, noise, number) - x).square().mean() < 0.8 * (noise - x).square().mean()


def test_plain_transport_spoils_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same training with pairs that ignore the context draws a wrong mean and width in each."""
    good = learnt(normals, ["energy", "charge"], 400, "ot-flow-matching")
    monkeypatch.setattr(fitting_matching, "paired", lambda x, noise, context: paired(x, noise, context, hold=0))
    plain = learnt(normals, ["energy", "charge"], 400, "ot-flow-matching")
    assert auc(normals, good) < 0.54
    assert auc(normals, plain) > 0.7
    for charge in (-1, 1):
        given = {"energy": 1.0, "charge": charge}
        one, other = (run.sample(5000, context=given)["x"] for run in (good, plain))
        assert one.mean() == pytest.approx(MEAN, abs=0.15)
        assert one.std() == pytest.approx(1 + 0.6 * charge, rel=0.2)
        assert abs(other.mean() - MEAN) > 0.3 or abs(other.std() / (1 + 0.6 * charge) - 1) > 0.3


def test_transport_needs_fewer_passes() -> None:
    """Two passes: lines that cross less can be followed in longer steps."""
    settings = {"model": {"nodes": 64, "solver": "heun", "passes": 2}}
    near, independent = (learnt(ring, [], 350, **settings, objective={"coupling": coupling})
                         for coupling in ("transport", "independent"))
    assert auc(ring, near) < auc(ring, independent) - 0.1


def test_transport_cannot_subtract() -> None:
    weighted = ring(1000, 0).with_columns({"w": np.where(np.arange(1000) % 5, 1.0, -1.0)})
    data = prepare(Table.of(weighted.to_dict(), weight="w"))
    with pytest.raises(DataError, match=r"find other noise than the rest; set fit.objective.coupling = "):
        fit(data, "ot-flow-matching", quiet=True)
    fit(data, "flow-matching", steps=1, quiet=True)
    objective = Matching(FlowMatching(Layout.flat(["a"])), coupling="transport")
    ones = torch.ones(3, 1)
    batch = Batch(ones, ones[:, :0], {"start": ones, "time": ones}, ones[:, 0])
    with pytest.raises(DataError, match="the sample has negative weights"):
        objective.loss("generator", batch, 0)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Matching(DenseGenerator(Layout.flat(["a"]))), "which a DenseGenerator has not"),
    (lambda: fit(prepare(ring(1000, 0)), "flow-matching", objective={"coupling": "trasport"}), "coupling = 'trasport'"),
])
def test_a_wrong_setting_is_one_clear_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
