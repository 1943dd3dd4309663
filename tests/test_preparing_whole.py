"""Steps that see events whole: exact back, given columns untouched, zeros and sums as they were."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

import calque
from calque.errors import ConfigError, DataError
from calque.preparing import JUDGE, STEPS, TRAIN, Data, Preparation, Step, prepare
from calque.preparing.showers import expanded
from calque.table import Table

ROWS = 3000
LAYERS = ["showers layer_1 layer_0 given=energy"]
CATALOGUE = {
    "layers": ["layers layer_0 layer_1"],
    "ratio": ["ratio layer_0 given=energy", "ratio total given=energy"],
    "shares": ["shares layer_1_energy layer_0_energy total given=energy"],
    "scores": ["scores total signed layer_1_energy given=energy"],
    "scores of voxels": ["scores layer_0 layer_1 given=energy nodes=4 knots=17"],
    "voxels": ["layers layer_0 layer_1", "voxels layer_0 given=layer_0_energy"],
    "whiten": ["whiten total signed"],
    "whitened images": ["scores layer_0 layer_1 given=energy nodes=4 knots=17", "whiten layer_1 layer_0"],
    "a shower": LAYERS,
}


def showers(rows: int = ROWS, seed: int = 0) -> Table:
    """Layers of 2 × 3 and 4 cells, sparse, more of them hit at higher energies; a fifth of layer 1 is empty."""
    rng = np.random.default_rng(seed)
    energy = np.exp(rng.uniform(0, 3, rows))
    layers = {}
    for name, shape in (("layer_0", (2, 3)), ("layer_1", (4,))):
        deposits = rng.gamma(2.0, 1.0, (rows, *shape)) * energy.reshape(-1, *(1,) * len(shape))
        hit = rng.random(deposits.shape) < 1 - np.exp(-0.3 * np.sqrt(energy)).reshape(-1, *(1,) * len(shape))
        layers[name] = deposits * hit
    layers["layer_0"][:, 1, 1] += 0.1 * energy
    layers["layer_1"][rng.random(rows) < 0.2] = 0
    sums = {f"{name}_energy": voxels.reshape(rows, -1).sum(1) for name, voxels in layers.items()}
    total = rng.gamma(5.0, 1.0, rows) * energy
    return Table.of({"energy": energy, **layers, **sums, "total": total, "signed": rng.normal(size=rows) - energy})


def prepared(steps: list[str], rows: int = ROWS) -> Data:
    table = showers(rows)
    words = {word for text in steps for word in text.split()}
    names = [name for name in table.names if name == "energy" or name in words]
    apart = any(text.startswith(("layers", "showers")) for text in steps)
    made = ("layer_0_energy", "layer_1_energy") if apart else ()
    learnt = [name for name in names if name not in made]
    return prepare(table.select(learnt), steps=steps, context=["log energy"])


def back(data: Data, part: int = JUDGE) -> tuple[Table, dict[str, np.ndarray]]:
    """Rows of a part, and what becomes of them forth in double and back in single precision, saved and loaded."""
    rows = data.rows(part)
    packed, _ = data.preparation.encode(rows, np.random.default_rng(0))
    again = Preparation.from_dict(json.loads(json.dumps(data.preparation.to_dict()))).float()
    return rows, again.decode(packed, torch.zeros(len(packed), 0), rows)


def test_the_catalogue_is_complete() -> None:
    kinds = {one.split()[0] for steps in CATALOGUE.values() for text in steps for one in expanded(text)}
    assert kinds == {kind for kind, step in STEPS.items() if step.whole}


@pytest.mark.parametrize("name", CATALOGUE)
def test_inverse_after_forward_gives_events_back(name: str) -> None:
    """Of rows that training saw: beyond, the tails of voxels end where single precision ends."""
    data = prepared(CATALOGUE[name])
    rows, found = back(data, TRAIN)
    for column, values in found.items():
        assert values.shape == rows[column].shape
        assert np.array_equal(values == 0, rows[column] == 0)
        close = np.isclose(values, rows[column], rtol=2e-3, atol=1e-6)
        assert close.mean() > 0.995, column  # beyond 4.5 normal widths at its place a number is held


@pytest.mark.parametrize("name", ["ratio", "shares", "scores", "scores of voxels", "whiten", "whitened images"])
def test_the_jacobian_is_autograd_s(name: str) -> None:
    data = prepared(CATALOGUE[name])
    preparation, columns = data.preparation, data.preparation.columns
    rows = data.rows(TRAIN)
    # rows without a zero: those are atoms, which have no slope
    full = np.flatnonzero(np.all([(rows[c] != 0).reshape(len(rows), -1).all(1) for c in columns], axis=0))[:5]
    shapes = [rows[column].shape[1:] for column in columns]
    noise = torch.zeros(1, preparation.forward_noise, dtype=torch.float64)
    for row in full:
        given = {"energy": torch.from_numpy(rows["energy"][row : row + 1])}
        one = torch.cat([torch.from_numpy(np.atleast_1d(rows[column][row]).reshape(-1)) for column in columns])

        def packed(flat: torch.Tensor, given: dict[str, torch.Tensor] = given) -> tuple[torch.Tensor, torch.Tensor]:
            pieces = torch.split(flat, [int(np.prod(shape)) for shape in shapes])
            values = {column: piece.reshape(1, *shape)
                      for column, piece, shape in zip(columns, pieces, shapes, strict=True)}
            return preparation({**values, **given}, noise)

        matrix = torch.autograd.functional.jacobian(lambda flat: packed(flat)[0][0], one)
        torch.testing.assert_close(packed(one)[1][0], torch.linalg.slogdet(matrix).logabsdet, rtol=1e-6, atol=1e-6)


def test_an_atom_has_its_probability() -> None:
    """Zeros at one value of the given column: averaged over their spread, density and slope give their share."""
    rng = np.random.default_rng(1)
    given = np.exp(rng.normal(size=20_000))
    value = np.where(rng.random(20_000) < 0.3, 0.0, rng.gamma(3.0, 1.0, 20_000))
    data = prepare(Table.of({"given": given, "value": value}), steps=["scores value given=given"], context=["given"])
    rows = 5000
    columns = {"given": torch.ones(rows).double(), "value": torch.zeros(rows).double()}
    y, slope = data.preparation(columns, torch.randn(rows, 1, generator=torch.Generator().manual_seed(0)).double())
    density = torch.distributions.Normal(0.0, 1.0).log_prob(y[:, 0])
    assert abs((density + slope).exp().mean() - 0.3) < 0.03


def test_scores_are_standard_normal_wherever_the_given_column_is() -> None:
    data = prepared(CATALOGUE["scores"], rows=20_000)
    rows = data.rows(JUDGE)
    x, _ = data.preparation.encode(rows, np.random.default_rng(0))
    error = 5 / np.sqrt(len(rows) / 4)
    for quarter in np.array_split(np.argsort(rows["energy"]), 4):
        assert (x[quarter].mean(0).abs() < error).all()
        assert ((x[quarter].std(0) - 1).abs() < error).all()


def test_the_trend_of_few_values_does_not_run_away() -> None:
    """A voxel that four showers of nearly one energy hit, with shares far apart, at all other energies."""
    energy, image = np.linspace(1, 100, 400), np.random.default_rng(0).uniform(1, 2, (400, 1, 3))
    image[:, 0, 2] = 0
    image[200:204, 0, 2] = 1e-9, 1.0, 1e-9, 1.0
    data = prepare(Table.of({"energy": energy, "image": image}), steps=["scores image given=energy"],
                   context=["energy"], judging=0, validation=0)
    step = data.preparation.typed_steps()[0]
    assert 1.13 * np.log(1e-9) < step.grid[:, 2].min() < step.grid[:, 2].max() < -0.13 * np.log(1e-9)
    drawn = data.preparation.inverse(torch.full((400, 3), 6.0, dtype=torch.float64), torch.empty(400, 0),
                                     {"energy": torch.from_numpy(energy)})["image"]
    assert torch.isfinite(drawn).all()


def test_a_dead_pixel_is_whitened_and_a_constant_column_refused() -> None:
    image = np.random.default_rng(0).normal(size=(200, 2, 2))
    image[:, 0, 1] = 4.2
    table = Table.of({"a": image, "b": np.ones(200)})
    with pytest.raises(DataError, match="step 'whiten': column 'b' is constant"):
        prepare(table, steps=["whiten *"], judging=0)
    made = prepare(table.select(["a"]), steps=["whiten a"], judging=0).preparation
    drawn = made.inverse(torch.randn(50, 4, dtype=torch.float64), torch.empty(50, 0))["a"]
    assert (drawn[:, 0, 1] - 4.2).abs().max() < 1e-5
    assert 0.7 < drawn[:, 1, 0].std() < 1.3


def test_whitened_numbers_are_uncorrelated_and_know_only_those_before_them() -> None:
    table = showers().select(["energy", "layer_1", "total", "signed"])
    data = prepare(table, steps=["whiten *"], context=["energy"])
    assert data.preparation.typed_steps()[0].columns == ("total", "signed", "layer_1"), "numbers first"
    x, _, _ = data.encode(TRAIN)
    places = data.preparation.layout.slices
    torch.testing.assert_close(torch.cov(x.T, correction=0), torch.eye(x.shape[1]), rtol=0, atol=2e-3)
    rows = data.rows(TRAIN)
    total = torch.from_numpy(rows["total"])
    torch.testing.assert_close(x[:, places["total"]][:, 0], ((total - total.mean()) / total.std(correction=0)).float(),
                               rtol=1e-4, atol=1e-4)


def test_drawn_showers_have_the_energies_and_hits_that_were_learnt() -> None:
    """Whatever scores are drawn, layers sum to their energies, and as many voxels are hit as was said."""
    data = prepared(LAYERS)
    step = copy.deepcopy(data.preparation).float()
    contexts = showers(500, seed=3)
    noise = torch.randn(500, data.preparation.layout.size, generator=torch.Generator().manual_seed(1))
    drawn = step.decode(noise, torch.zeros(500, 0), contexts)
    for name in ("layer_0", "layer_1"):
        assert (drawn[name] >= 0).all()
        assert np.isfinite(drawn[name]).all()
    every = {**step.layout.unpack(noise), "energy": torch.from_numpy(contexts["energy"]).float()}
    for folding in reversed(step.foldings):
        every |= folding.inverse(every, noise[:, :0])
    for name in ("layer_0", "layer_1"):
        voxels, energy, hits = (drawn[name].reshape(500, -1), every[f"{name}_energy"].numpy(),
                                every[f"{name}_hits"].numpy())
        np.testing.assert_allclose(voxels.sum(1), energy, rtol=1e-4, atol=1e-6)
        full = energy > 0
        assert np.array_equal((voxels[full] > 0).sum(1), np.clip(np.rint(hits[full]), 1, voxels.shape[1]))
        assert not voxels[~full].any()
    empty, truly = ((~table["layer_1"].any(1)).mean() for table in (drawn, contexts))
    assert abs(empty - truly) < 0.08


def test_a_layer_that_is_always_empty_is_named() -> None:
    table = showers(300).select(["energy", "layer_0", "layer_1"])
    table["layer_1"][:] = 0
    with pytest.raises(DataError, match=r"'layer_1_energy' is above 0 in no training row.*leave layer_1 out"):
        prepare(table, steps=LAYERS, context=["energy"])


def test_all_showers_may_have_one_energy() -> None:
    table = showers(600).select(["energy", "layer_0", "layer_1"])
    table["energy"][:] = 10.0
    data = prepare(table, steps=LAYERS, context=["energy"])
    rows, found = back(data, TRAIN)
    assert np.array_equal(found["layer_0"] > 0, rows["layer_0"] > 0)
    np.testing.assert_allclose(found["layer_0"].sum((1, 2)), rows["layer_0"].sum((1, 2)), rtol=1e-2)


def test_many_numbers_of_a_step_are_written_as_bytes_and_stay_exact() -> None:
    data = prepared(["showers layer_1 layer_0 given=energy"])
    step = data.preparation.typed_steps()[1]
    step.number("grid", torch.randn(12, 6, 200, dtype=torch.float64))
    saved = json.loads(json.dumps(step.to_dict()))
    assert set(saved["buffers"]["grid"]) == {"shape", "float64"}
    assert isinstance(saved["buffers"]["axis"], list)
    again = dict(Step.from_dict(saved).named_buffers())
    assert all(torch.equal(again[name], buffer.double()) for name, buffer in step.named_buffers())


def test_few_events_and_voxels_never_hit_are_prepared() -> None:
    table = showers(120)
    table["layer_0"][:, 1, 2] = 0
    table["layer_0"][:, 0, 0] += 0.01
    chosen = table.select(["energy", "layer_0", "layer_1"])
    data = prepare(chosen, steps=LAYERS, context=["energy"])
    x, _, _ = data.encode(TRAIN)
    assert torch.isfinite(x).all()
    rows, found = back(data, TRAIN)
    assert np.array_equal(found["layer_0"] > 0, rows["layer_0"] > 0)


@pytest.mark.parametrize(("steps", "error", "message"), [
    (["scores total"], ConfigError, "step 'scores total' is given nothing; 'scores' needs given=COLUMN"),
    (["log total given=energy"], ConfigError, "'log' needs nothing given"),
    (["scores total given=energi"], DataError, "no column 'energi' for step 'scores'; nearest: energy"),
    (["ratio total given=layer_0"], ConfigError, "'ratio' is given images of 'layer_0'"),
    (["voxels layer_0 layer_1 given=energy"], ConfigError, "'voxels' takes one layer at a time"),
    (["shares layer_0 layer_1 given=energy"], ConfigError, "'shares' takes numbers"),
    (["layers layer_0 signed"], DataError, "column 'signed' is below 0"),
    (["scores total given=energy nodes=1"], ConfigError, "needs 2 nodes and 3 knots at least; it was given 1 and 33"),
    (["showers layer_0"], ConfigError, "needs layers and their incident energy alone: showers LAYER… given=ENERGY"),
    (["floor total"], ConfigError, r"'floor' needs at=… above 0"),
])
def test_what_a_step_cannot_take_is_said(steps: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prepare(showers(300), steps=[*steps, "standardise *"], context=["energy"])


def test_a_condition_in_the_logarithm() -> None:
    table = showers(300).select(["energy", "total"])
    data = prepare(table, context=["log energy"], total="log")
    _, context, _ = data.encode(TRAIN)
    found = np.log(data.rows(TRAIN)["energy"])
    np.testing.assert_allclose(context[:, 0], (found - found.mean()) / found.std(), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match=r"context 'log signed' needs values above 0; \d+ are not, such as -"):
        prepare(showers(300).select(["signed", "total"]), context=["log signed"])


def test_a_run_draws_showers_and_says_that_they_have_no_density(tmp_path: object) -> None:
    data = prepared(LAYERS)
    run = calque.fit(data, "mixture", quiet=True, model={"components": 1}, objective={"starts": 1})
    drawn = run.sample(400, seed=1)
    real = data.rows(JUDGE)
    assert set(drawn.names) == {"energy", "layer_0", "layer_1"}
    for name in ("layer_0", "layer_1"):
        fake, true = ((table[name].reshape(len(table), -1).sum(1) / table["energy"]) for table in (drawn, real))
        assert abs(fake.mean() - true.mean()) < 5 * true.std() / 20
        assert abs((drawn[name] > 0).mean() - (real[name] > 0).mean()) < 0.05
    with pytest.raises(DataError, match="prepared by the step 'layers' have no density in physical units"):
        run.log_prob(real)
