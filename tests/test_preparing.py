"""Every step: the inverse is exact, the Jacobian is autograd's, saved and loaded it is the same."""

import json
import sys

import numpy as np
import pytest
import torch

from calque.errors import ConfigError, DataError
from calque.preparing import JUDGE, STEPS, TRAIN, Preparation, Step, folding, prepare
from calque.preparing.preparation import parse_step
from calque.preparing.prepare import split
from calque.table import Table

MODULE = sys.modules["calque.preparing.prepare"]  # the function hides it
ROWS = 2000
CATALOGUE = {
    "standardise": "standardise a b",
    "minmax": "minmax a b",
    "minmax to [0, 1]": "minmax a b low=0 high=1",
    "broaden": "broaden a",
    "log": "log p",
    "arcsinh": "arcsinh a b",
    "logit": "logit u low=-1 high=2",
    "quantile": "quantile a p knots=50",
    "polar": "polar a b -> r phi",
    "frame": "frame angle a b",
    "rotation": "rotation angle other",
    "reflection": "reflection a b",
    "discrete": "discrete k",
    "constant": "constant c",
    "spike": "spike s t",
    "spike at a value": "spike s value=-4.2",
    "bounds": "bounds u p low=0 high=1000",
    "bounds on one side": "bounds p low=0",
    "floor": "floor z at=0.1",
    "periodic": "periodic angle",
    "periodic in degrees": "periodic degrees low=0 period=360 knots=40",
    "lattice": "lattice v",
    "lattice of a given step": "lattice v step=0.01",
}
BIJECTIONS = [name for name, text in CATALOGUE.items()
              if text.split()[0] not in ("rotation", "reflection", "discrete", "constant", "spike", "floor", "lattice")]
EXACT = ("discrete", "constant", "spike", "spike at a value", "floor", "lattice", "lattice of a given step")


def columns() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    a, b = torch.randn(ROWS, dtype=torch.float64), 3 + 0.5 * torch.randn(ROWS, dtype=torch.float64)
    return {"a": a, "b": b, "p": torch.exp(a), "u": torch.rand(ROWS, dtype=torch.float64),
            "angle": (torch.rand(ROWS, dtype=torch.float64) - 0.5) * 6.28, "other": 3 * torch.sin(b),
            "k": torch.randint(-1, 3, (ROWS,), dtype=torch.float64), "c": torch.full_like(a, -4.2),
            "degrees": 1 + 358 * torch.rand(ROWS, dtype=torch.float64) ** 3, "v": (100 * b).round() / 100,
            "z": torch.where(a > 0.3, torch.exp(a), 0.0),
            "s": torch.where(a > 1, -4.2, b), "t": torch.where(a > 1, 0.3, a)}


def fitted(text: str) -> tuple[Step, torch.Tensor, torch.Tensor, torch.Tensor]:
    values = columns()
    step = parse_step(text, list(values))
    x = torch.stack([values[name] for name in step.columns], 1)
    step.fit(x, torch.rand(ROWS, dtype=torch.float64) + 0.5)
    forward_noise = torch.randn(ROWS, step.forward_noise, dtype=torch.float64)
    return step, x, step(x, forward_noise), torch.randn(ROWS, step.inverse_noise, dtype=torch.float64)


def test_the_catalogue_is_complete() -> None:
    assert {text.split()[0] for text in CATALOGUE.values()} == {kind for kind, step in STEPS.items() if not step.whole}


@pytest.mark.parametrize("name", CATALOGUE)
def test_forward_after_inverse_is_the_identity(name: str) -> None:
    """Holds for bijections and symmetries alike: what a draw makes is prepared back to what was drawn."""
    step, _, y, noise = fitted(CATALOGUE[name])
    again = step(step.inverse(y, noise), torch.randn(ROWS, step.forward_noise, dtype=torch.float64))
    if name in EXACT:
        again, y = step.inverse(again, noise), step.inverse(y, noise)
    torch.testing.assert_close(again, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*BIJECTIONS, *EXACT])
def test_inverse_after_forward_is_exact_in_float32(name: str) -> None:
    step, x, y, noise = fitted(CATALOGUE[name])
    back = step.float().inverse(y.float(), noise.float())
    torch.testing.assert_close(back, x.float(), rtol=2e-5, atol=2e-5)
    if name in EXACT:
        assert torch.equal(back, x.float())


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_jacobian_is_autograd_s(name: str) -> None:
    step, x, y, _ = fitted(CATALOGUE[name])
    empty = torch.zeros(1, 0, dtype=torch.float64)
    for row in range(0, ROWS, 100):
        matrix = torch.autograd.functional.jacobian(lambda v: step(v[None], empty)[0], x[row])
        expected = torch.linalg.slogdet(matrix).logabsdet
        torch.testing.assert_close(step.log_abs_det_jacobian(x, y)[row], expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", CATALOGUE)
def test_saved_and_loaded_it_is_the_same(name: str) -> None:
    step, _, y, noise = fitted(CATALOGUE[name])
    again = Step.from_dict(json.loads(json.dumps(step.to_dict())))
    assert torch.equal(again.inverse(y, noise), step.inverse(y, noise))


def test_standardise_and_quantile_reach_their_targets_under_weights() -> None:
    values = columns()
    x, w = values["p"][:, None], torch.where(values["p"] > 1, 5.0, 1.0).double()
    for text in ("standardise p", "quantile p"):
        step = parse_step(text, ["p"])
        step.fit(x, w)
        y = step(x, x[:, :0])[:, 0]
        mean = (w * y).sum() / w.sum()
        assert abs(mean) < 0.02, text
        assert abs((w * (y - mean) ** 2).sum() / w.sum() - 1) < 0.03, text


def test_quantile_goes_on_straight_beyond_the_rows_and_survives_ties() -> None:
    step = parse_step("quantile a", ["a"])
    x = torch.cat([torch.zeros(500), torch.linspace(1, 2, 500)]).double()[:, None]
    step.fit(x, torch.ones(1000).double())
    y = torch.tensor([[-6.0], [-3.5], [3.5], [6.0]]).double()
    out = step.inverse(y, y[:, :0])
    assert (out.diff(dim=0) > 0).all()
    torch.testing.assert_close(step(out, y[:, :0]), y)


def test_a_rotation_draws_a_uniform_angle_and_keeps_the_difference() -> None:
    step = parse_step("rotation angle other", ["angle", "other"])
    noise = torch.randn(20_000, 1).double()
    out = step.inverse(torch.full((20_000, 1), 0.7).double(), noise)
    counts = torch.histc(out[:, 0], 20, -torch.pi, torch.pi)
    assert ((counts - 1000).abs() < 5 * 1000**0.5).all()
    torch.testing.assert_close(torch.cos(out[:, 1] - out[:, 0]), torch.full((20_000,), 0.7).double().cos())


def test_the_symmetrised_density_integrates_to_one() -> None:
    """Polar, rotation and reflection together: a two-dimensional normal, integrated over the plane."""
    table = Table.of({"x": np.random.default_rng(0).normal(size=100), "y": np.random.default_rng(1).normal(size=100)})
    preparation = prepare(table, steps=["polar x y -> r phi", "rotation phi", "log r"]).preparation
    side = torch.linspace(-6, 6, 400).double()
    x, y = (grid.flatten() for grid in torch.meshgrid(side, side, indexing="ij"))
    packed, jacobian = preparation({"x": x, "y": y}, torch.zeros(len(x), 0).double())
    radius = packed[:, 0].exp()
    log_density = torch.log(radius**2) - radius**2 / 2  # density of log r for a normal in the plane
    total = (log_density + jacobian).exp().sum() * (side[1] - side[0]) ** 2
    torch.testing.assert_close(total, torch.tensor(1.0).double(), rtol=1e-3, atol=0)


def test_the_density_keeps_a_point_apart() -> None:
    """Of a known density of the outputs: averaged over what is filled in, it is the probability of the point."""
    step, x, _, _ = fitted("spike s t")
    at = step.at(x)[:, 0]
    one = x[at][:1].expand(200_000, -1)
    y = step(one, torch.randn(len(one), step.forward_noise, dtype=torch.float64))
    smooth = [torch.distributions.Normal(mean, 0.2) for mean in (3.0, 0.1)]
    blurs = torch.distributions.Normal(torch.tensor([-1.0, 1.0]), 0.25)
    indicator = (torch.tensor([0.3, 0.7]) * blurs.log_prob(y[:, 2:]).exp()).sum(1)
    density = torch.stack([normal.log_prob(column) for normal, column in zip(smooth, y.T, strict=False)]).sum(0)
    probability = (density + indicator.log() + step.log_abs_det_jacobian(one, y)).exp().mean()
    assert abs(probability - 0.3) < 0.005
    x, y = x[~at][:50], step(x[~at][:50], torch.zeros(50, step.forward_noise, dtype=torch.float64))
    torch.testing.assert_close(step.log_abs_det_jacobian(x, y), -blurs.log_prob(y[:, 2:])[:, 1])


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.7), (-3.0, None), (None, 1e-3), (0.1, 1e30)])
def test_bounds_reflect_as_often_as_needed_and_hold_in_single_precision(low: float | None, high: float | None) -> None:
    least, most = -np.inf if low is None else low, np.inf if high is None else high
    centre = low if low is not None else high
    given = {name: value for name, value in (("low", low), ("high", high)) if value is not None}
    step = parse_step(" ".join(["bounds v", *(f"{name}={value}" for name, value in given.items())]), ["v"])
    inside = torch.linspace(max(least, -5), min(most, 5), 50, dtype=torch.float64)[:, None]
    step.fit(inside, torch.ones(50).double())
    step = step.float()
    far = torch.tensor([-np.inf, -3e38, -1e9, -7.0, *(centre + np.linspace(-3, 3, 1001)), 7.0, 1e9, 3e38, np.inf])
    y = far.float()[:, None]
    x = step.inverse(y, y[:, :0]).double()
    assert ((x >= least) & (x <= most)).all(), "compared in double precision"
    kept = ((y.double() >= least) & (y.double() <= most))[:, 0]
    assert torch.equal(x[kept], y[kept].double()), "inside nothing changes, not even the last bit"
    near = y[~kept & ((y - centre).abs() < 0.3)[:, 0]]
    torch.testing.assert_close(step.inverse(near, near[:, :0]), 2 * centre - near, rtol=0, atol=1e-6)


def test_reflection_leaves_no_heap_at_the_edge() -> None:
    """A normal folded at its mean is a half normal: twice the density, up to the edge."""
    step = parse_step("bounds v low=0", ["v"])
    step.fit(torch.ones(2, 1).double(), torch.ones(2).double())
    y = torch.randn(200_000, 1)
    counts = torch.histc(step.float().inverse(y, y[:, :0]), 20, 0, 0.2)
    expected = 200_000 * 0.01 * 2 * torch.distributions.Normal(0, 1).log_prob(torch.linspace(0.005, 0.195, 20)).exp()
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()
    assert step.log_abs_det_jacobian(torch.tensor([[-0.1], [0.1]]), y[:2]).tolist() == [-np.inf, 0]


def test_bounds_of_whole_and_of_short_numbers_hold_in_their_own_type() -> None:
    stream = np.random.default_rng(0)
    table = Table.of({"k": stream.integers(1, 4, 900), "h": stream.uniform(0.2, 0.3, 900).astype("f2"),
                      "d": stream.uniform(0.2, 0.3, 900)})
    data = prepare(table, steps=["bounds k low=0.4 high=3.7", "bounds h d low=0.1 high=0.3001", "standardise *"])
    drawn = data.preparation.float().decode(torch.randn(20_000, 3) * 40, torch.zeros(20_000, 0))
    assert set(drawn["k"]) == {1, 2, 3}
    for name in ("h", "d"):
        assert drawn[name].dtype == table[name].dtype
        assert drawn[name].astype("f8").min() >= 0.1
        assert drawn[name].astype("f8").max() <= 0.3001


def muons(rows: int = 3000) -> Table:
    stream = np.random.default_rng(3)
    return Table.of({"px": stream.normal(size=rows).astype("f4"), "py": stream.normal(size=rows).astype("f4"),
                     "pz": (10 + stream.exponential(20, rows)).astype("f4"), "id": stream.choice([-13, 13], rows),
                     "w": stream.choice([1.0, 50.0], rows)}, {"px": "GeV"}, "w")


def test_a_preparation_gives_back_the_columns_it_was_fitted_on() -> None:
    data = prepare(muons(), px="arcsinh", pz=["log", "quantile"], weights="column", w="discrete")
    x, _ = data.preparation.encode(data.table, np.random.default_rng(0))
    again = Preparation.from_dict(json.loads(json.dumps(data.preparation.to_dict()))).float()
    back = again.decode(x, torch.zeros(len(x), again.inverse_noise))
    assert {name: str(column.dtype) for name, column in back.items()} == data.preparation.dtypes
    for name, column in back.items():
        np.testing.assert_allclose(column, data.table[name], rtol=2e-5, atol=1e-5)
    assert np.array_equal(back["id"], data.table["id"])


def test_statistics_come_from_training_rows_alone() -> None:
    table = muons()
    data = prepare(table, steps=["standardise *"], context=["id"], seed=5)
    spoilt = table.with_columns({"pz": np.where(data.part == TRAIN, table["pz"], 1e6)})
    again = prepare(spoilt, steps=["standardise *"], context=["id"], seed=5)
    assert data.preparation.to_dict() == again.preparation.to_dict()


def test_many_rows_are_looked_at_by_a_share_that_misses_no_extreme_and_no_category(
        monkeypatch: pytest.MonkeyPatch) -> None:
    table = muons(20_000)
    steps, rare = ["log pz", "minmax pz", "discrete id", "standardise *"], prepare(table).part.argmin()
    table["id"][rare], table["pz"][rare] = 211, 5000
    whole = prepare(table, steps=steps, seed=0).preparation.float()
    monkeypatch.setattr(MODULE, "LOOKED_AT", 2000)
    data = prepare(table, steps=steps, seed=0)
    monkeypatch.undo()
    _, minmax, discrete, standardise = data.preparation.typed_steps()
    assert discrete.levels.tolist() == [-13, 13, 211]
    torch.testing.assert_close(minmax.scale.float(), whole.typed_steps()[1].scale)
    torch.testing.assert_close(standardise.shift.float(), whole.typed_steps()[3].shift, rtol=0, atol=0.1)
    assert data.encode(TRAIN)[0].shape == (12_000, 4)


def test_pieces_are_encoded_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(muons(), steps=["discrete id", "standardise *"], context=["px"], seed=0)
    whole = data.encode(TRAIN)
    monkeypatch.setattr(folding, "ROWS", 170)
    assert all(torch.equal(a, b) for a, b in zip(data.encode(TRAIN), whole, strict=True))


def test_a_row_outside_the_domain_is_named_whoever_it_is_for() -> None:
    table = muons()
    row = int(np.flatnonzero(prepare(table).part == JUDGE)[0])
    table["pz"][row] = -1
    data = prepare(table, steps=["log pz", "standardise *"])
    with pytest.raises(DataError, match=rf"non-finite values of 'pz' in 1 rows of .*first rows \[{row}\]"):
        data.encode(JUDGE)


def test_the_split_has_the_asked_shares_and_follows_the_seed() -> None:
    assert np.bincount(split(3000, 0, 0.5, 0.2)).tolist() == [1200, 300, 1500]
    assert (split(3000, 0) == split(3000, 0)).all()
    assert (split(3000, 0) != split(3000, 1)).any()


def test_rows_of_the_same_parameters_stay_together() -> None:
    stream = np.random.default_rng(0)
    a, b = stream.normal(size=(2, 500)).repeat(3, axis=1)[:, stream.permutation(1500)]
    table = Table.of({"a": a, "b": b, "x": stream.normal(size=1500)})
    data = prepare(table, context=["a", "b"], together=["a", "b"], judging=0.4, validation=0.2)
    for value in np.unique(a):
        assert len(set(data.part[a == value])) == 1
    assert np.bincount(data.part).tolist() == [720, 180, 600]
    alone = prepare(table, together=["x"])
    assert (np.bincount(alone.part) == np.bincount(prepare(table).part)).all()
    with pytest.raises(DataError, match="no column 'c'"):
        prepare(table, together=["c"])


def test_a_context_is_one_hot_for_categories_and_scaled_for_numbers() -> None:
    data = prepare(muons(), context=["id", "pz"])
    encoded = data.context.encode(data.rows(JUDGE))
    assert encoded.shape[1] == 3
    assert encoded[:, :2].sum(1).eq(1).all()
    with pytest.raises(DataError, match=r"id = 11 was not trained on"):
        data.context.encode(muons().with_columns({"id": np.full(3000, 11)}))


@pytest.mark.parametrize(("steps", "message"), [
    (["logg pz"], "no step 'logg'; nearest: log"),
    (["log pzz"], "no column 'pzz' for step 'log pzz'; nearest: pz"),
    (["log px"], r"column 'px' is not above 0 in \d+ of \d+ rows .* use 'arcsinh'"),
    (["log pz ofset=1"], "no setting of step 'log' 'ofset'; nearest: offset"),
    (["log pz offset=ten"], "offset=ten is not a number"),
    (["polar px py pz"], "takes the columns x y"),
    (["polar px py -> r"], "makes 2 columns"),
    (["polar px py -> pz phi"], "which is there already"),
    (["discrete pz"], "more than 256"),
    (["constant pz"], "is not constant"),
    (["quantile pz knots=2"], "at least 4 knots"),
    (["minmax pz low=1 high=0"], "needs low < high"),
    (["spike px"], "no value of px has 1% of the events; name it with value="),
    (["spike px py value=0"], "no row is at px = 0, py = 0; leave the step out"),
    (["spike px", "spike px"], "no value of px has 1%"),
    (["bounds pz"], "needs low=… or high=…"),
    (["bounds pz low=1 high=1"], "needs low < high"),
    (["bounds px pz low=0"], r"column 'px' is outside \[0, inf\] in \d+ of \d+ rows .* mend the bounds"),
])
def test_a_wrong_step_is_one_clear_line(steps: list[str], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(muons(), steps=steps)


def test_a_constant_column_and_bad_weights_are_named() -> None:
    table = muons()
    with pytest.raises(DataError, match="column 'px' is constant"):
        prepare(table.with_columns({"px": np.ones(len(table))}))
    with pytest.raises(DataError, match="sum to 0"):
        prepare(table.with_columns({"w": np.zeros(len(table))}))
    with pytest.raises(DataError, match="sum to -"):
        prepare(table.with_columns({"w": -np.ones(len(table))}))
    with pytest.raises(ConfigError, match="no weights 'drawn'; nearest: draw"):
        prepare(table, weights="drawn")  # type: ignore[arg-type]


def test_constant_of_all_takes_the_columns_of_one_value() -> None:
    table = Table.of({"x": np.linspace(0.0, 1.0, 50), "y": np.full(50, 3.0), "z": np.full(50, -7.0)})
    weights, noise = np.ones(50), np.random.default_rng(0)
    fitted = Preparation.fit(table, ["constant *", "standardise *"], weights, noise)
    assert fitted.layout.names == ("x",)
    plain = Preparation.fit(Table.of({"x": table["x"]}), ["constant *", "standardise *"], weights, noise)
    assert [step.kind for step in plain.typed_steps()] == ["standardise"]
