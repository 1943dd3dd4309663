"""The network and its calibrated divergence: closed forms, dependences, weights, pulls, what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from calque.judging.classifying.classifier import Classifier
from calque.judging.classifying.divergence import calibrated, divergence
from calque.judging.classifying.inputs import Inputs, Ranked, Standardised
from calque.judging.classifying.network import Network, layers
from calque.judging.classifying.scores import Scores
from calque.judging.classifying.trees import KINDS, Kind
from calque.judging.measure import Estimate
from calque.judging.theory.gaussians import Gaussian, js
from calque.table import Table

Numbers = NDArray[np.float64]


def gaussian(rows: int, seed: int, shift: float = 0.0, columns: int = 2) -> Table:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    values[:, 0] += shift
    return Table.of({f"c{i}": values[:, i] for i in range(columns)})


def correlated(rows: int, seed: int, sign: bool) -> Table:
    """Two Gaussian columns; with a sign both agree in it (XOR), though each is the same Gaussian."""
    table = gaussian(rows, seed)
    return table.with_columns({"c1": np.abs(table["c1"]) * np.sign(table["c0"])}) if sign else table


def measured(kind: Kind, real: Table, fake: Table, **settings: int) -> dict[str, Estimate]:
    classifier = Classifier(kind, replicas=30, threads=1, **settings)
    return {estimate.measure: estimate for estimate in classifier(real, fake)}


def labelled(rows: int, seed: int, shift: float) -> tuple[Numbers, NDArray[np.int64]]:
    """Rows of two shifted Gaussians, a label each."""
    labels = np.random.default_rng(seed).integers(0, 2, rows)
    return gaussian(rows, seed + 1).columns["c0"][:, None] + shift * labels[:, None], labels


def drawn_scores(seed: int, rows: int, shift: float, rising: Callable[[Numbers], Numbers] = lambda x: x) -> Scores:
    """Scores by the likelihood ratio of two shifted Gaussians, or a rising map of it."""
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=rows), rng.normal(shift, size=rows)
    return Scores(*(rising(1 / (1 + np.exp(x))) for x in (real, fake)), np.ones(rows), np.ones(rows))


# --- closed forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "shift", "rows"), [
    ("network", 0.0, 6000), ("network", 0.5, 6000), ("network", 2.0, 6000), ("calochallenge", 0.5, 1500),
    ("evaluate", 0.5, 1500),
    ("fast", 0.5, 6000), ("note", 0.5, 6000)])
def test_shifted_gaussians_have_the_ideal_auc_by_every_kind(kind: Kind, shift: float, rows: int) -> None:
    classifier = Classifier(kind, threads=1)
    (scores,) = classifier.scores(gaussian(rows, 1, columns=1), gaussian(rows, 2, shift, columns=1), 0)
    assert scores.auc() == pytest.approx(NormalDist().cdf(shift / math.sqrt(2)), abs=4 * scores.auc_error())


def test_every_kind_was_tried() -> None:
    assert KINDS == ("fast", "note", "network", "calochallenge", "evaluate")


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_the_divergence_of_shifted_gaussians_is_found(shift: float) -> None:
    js_network = measured("network", gaussian(8000, 1, columns=1), gaussian(8000, 2, shift, columns=1))["js_network"]
    ideal = js(Gaussian.of(0, 1), Gaussian.of(shift, 1))
    assert js_network.value == pytest.approx(ideal, abs=4 * js_network.error + 0.006)
    assert js_network.value < ideal + 4 * js_network.error, "a bound from below"


def test_separated_samples_diverge_by_log_two() -> None:
    js_network = measured("network", gaussian(2000, 1), gaussian(2000, 2, 40.0))["js_network"]
    assert js_network.value == pytest.approx(math.log(2), abs=0.01)


def test_an_output_that_says_nothing_has_no_divergence() -> None:
    scores = Scores(np.full(400, 0.5), np.full(600, 0.5), np.ones(400), np.ones(600))
    assert divergence(scores, 0, np.random.default_rng(0))[0] == pytest.approx(0, abs=1e-12)


def test_any_rising_map_of_the_output_has_the_same_divergence() -> None:
    one, other = drawn_scores(1, 500, 1.0), drawn_scores(1, 500, 1.0, lambda x: x**3)
    values = [divergence(scores, 0, np.random.default_rng(0))[0] for scores in (one, other)]
    assert values[0] == pytest.approx(values[1], abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_error_of_the_divergence_is_its_spread(shift: float) -> None:
    found = [divergence(drawn_scores(seed, 1000, shift), 30, np.random.default_rng(seed)) for seed in range(100)]
    values, errors = np.transpose([one[:2] for one in found])
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.3)
    assert values.mean() == pytest.approx(js(Gaussian.of(0, 1), Gaussian.of(shift, 1)), abs=0.01)


def test_calibration_finds_the_share_of_real_rows() -> None:
    rng = np.random.default_rng(0)
    truth = np.linspace(0.05, 0.95, 40)
    share = calibrated(rng.poisson(4000 * truth).astype(float), rng.poisson(4000 * (1 - truth)).astype(float))
    np.testing.assert_allclose(share, truth, atol=0.03)
    assert np.all(np.diff(calibrated(truth[::-1], truth)) >= 0)


@pytest.mark.parametrize("kind", ["network", "fast"])
def test_a_sign_that_only_pairs_of_columns_betray_is_seen(kind: Kind) -> None:
    found = measured(kind, correlated(4000, 1, sign=False), correlated(4000, 2, sign=True))
    assert next(iter(found.values())).value > 0.72, "0.75 is ideal: half of the real rows have the other sign"


def test_values_that_rows_share_are_seen() -> None:
    def spiky(seed: int, width: float) -> Table:
        rng = np.random.default_rng(seed)
        column = rng.standard_cauchy(4000)
        spike = rng.random(4000) < 0.3
        return Table.of({"c": np.where(spike, 1 + width * rng.normal(size=4000), column)})

    assert measured("network", spiky(1, 0.0), spiky(2, 1e-3))["auc_network"].value > 0.63, "0.645 is ideal"


# --- calibration, weights ---------------------------------------------------------------------------------


def test_a_calibrated_output_is_the_share_of_real_rows() -> None:
    network = Network(1).fit(*labelled(10_000, 1, 1.0), np.ones(10_000))
    learnt, held = (binned(network, *labelled(20_000, seed, 1.0)) for seed in (3, 5))
    share = calibrated(*learnt)
    for cells in np.array_split(np.arange(len(share)), 8):
        real, fake = held[0][cells].sum(), held[1][cells].sum()
        expected = np.average(share[cells], weights=held[0][cells] + held[1][cells])
        assert expected == pytest.approx(real / (real + fake), abs=4 * math.sqrt(0.5 / (real + fake)))


def binned(network: Network, values: Numbers, labels: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Histogram the output of real and generated rows."""
    output = network.predict_proba(values)[:, 1]
    real, fake = (np.histogram(output[labels == label], 40, (0, 1))[0].astype(float) for label in (1, 0))
    return real, fake


def test_weights_act_as_repeated_rows() -> None:
    real, fake = gaussian(3000, 1), gaussian(3000, 2, 1.0)
    counts = 1 + 3 * (fake["c0"] < 0.5)
    weighted = measured("network", real, heavy(fake, counts))
    repeated = fake.rows(np.repeat(np.arange(3000), counts))
    many = measured("network", gaussian(len(repeated), 5), repeated)
    for name, estimate in weighted.items():
        assert estimate.value == pytest.approx(many[name].value, abs=3 * math.hypot(estimate.error, many[name].error))


def heavy(table: Table, weights: NDArray[np.int64]) -> Table:
    return Table.of({**table.columns, "w": weights}, weight="w")


def test_weights_that_match_bring_the_network_to_a_half() -> None:
    real, fake = gaussian(6000, 1), gaussian(6000, 2, 1.0)
    matched = heavy(fake, np.exp(-fake["c0"] + 0.5))
    auc = measured("network", real, matched)["auc_network"]
    assert auc.value == pytest.approx(0.5, abs=4 * auc.error)


@pytest.mark.parametrize("inputs", [Ranked, Standardised])
def test_inputs_of_weights_are_those_of_repeated_rows(inputs: type[Inputs]) -> None:
    rng = np.random.default_rng(0)
    values, counts = np.round(rng.normal(size=(200, 3)), 1), rng.integers(1, 4, 200)
    one = inputs.of(values, counts.astype(float))
    many = inputs.of(np.repeat(values, counts, axis=0), np.ones(counts.sum()))
    np.testing.assert_allclose(one(values), many(values), atol=0.25 if inputs is Ranked else 1e-9)


def test_ranks_make_any_column_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.standard_cauchy(5000), rng.exponential(size=5000) ** 4, rng.integers(0, 2, 5000)], axis=1)
    ranked = Ranked.of(values, np.ones(5000))(values)
    np.testing.assert_allclose(ranked[:, :2].std(axis=0), 1, atol=0.01)
    assert np.abs(ranked[:, :3]).max() < 4
    assert len(np.unique(ranked[:, 2])) == 2


# --- pulls, and what is left alone ------------------------------------------------------------------------


def test_the_excess_has_unit_width_where_samples_agree() -> None:
    classifier = Classifier("network", replicas=30, threads=1)
    tables = ([gaussian(250, 3 * turn + which) for which in range(3)] for turn in range(40))
    excess = np.array([[estimate.excess for estimate in classifier(*three, seed)]
                       for seed, three in enumerate(tables)])
    assert np.all(np.abs(excess.mean(axis=0)) < 4 / math.sqrt(len(excess)))
    np.testing.assert_allclose(excess.std(axis=0), 1, atol=0.35)


def test_the_seed_decides_and_the_world_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        first = measured("network", gaussian(400, 1), gaussian(400, 2, 0.3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again = measured("network", gaussian(400, 1), gaussian(400, 2, 0.3))
    assert {name: one.value for name, one in first.items()} == {name: one.value for name, one in again.items()}
    other = Classifier("network", replicas=0, threads=1)(gaussian(400, 1), gaussian(400, 2, 0.3), seed=1)
    assert other[0].value != first["auc_network"].value
    assert torch.get_num_threads() == threads


def test_layers_are_drawn_to_keep_the_size_of_signals() -> None:
    net = layers([64, 64, 64, 1], 3)
    out = net[:4](torch.randn(2000, 64, generator=torch.Generator().manual_seed(1))).detach()
    assert float((out**2).mean()) == pytest.approx(1, rel=0.5)
    assert not torch.equal(net[0].weight, layers([64, 64, 64, 1], 4)[0].weight)
