"""Every step on numbers of every size: what goes in comes out, and the Jacobian is autograd's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.preparing import STEPS, TRAIN, Step, prepare
from calque.preparing.empirical import rising
from calque.preparing.preparation import parse_step
from calque.table import Array, Table

ROWS = 300
SHAPES = ["normal", "outlier", "decades", "ties", "two"]
LINES = {
    "standardise": "standardise a b", "minmax": "minmax a b", "broaden": "broaden a", "arcsinh": "arcsinh a b",
    "quantile": "quantile a b", "log": "log p", "logit": "logit u", "bounds": "bounds p low=0", "polar": "polar a b",
    "frame": "frame phi a b", "periodic": "periodic phi", "rotation": "rotation phi b", "reflection": "reflection a b",
    "discrete": "discrete k", "constant": "constant c", "spike": "spike s", "floor": "floor p at=1e-9",
    "lattice": "lattice d",
}
SYMMETRIES = {"rotation", "reflection"}  # inverse draws what forward dropped
NOISY = {"discrete", "constant", "spike", "floor", "lattice"}
CASES = st.tuples(st.sampled_from(SHAPES), st.floats(-6, 6), st.sampled_from([0.0, 1.0, 1e3, 1e6]), st.integers(0, 99))


def shaped(shape: str, stream: np.random.Generator) -> Array:
    """Numbers of width one, or as far from it as files hold them."""
    normal = stream.normal(size=ROWS)
    if shape == "outlier":
        normal[3] = 1e6
    if shape == "decades":
        normal = 10 ** stream.uniform(-5, 5, ROWS) * np.sign(normal)
    if shape == "ties":
        normal = np.where(stream.uniform(size=ROWS) < 0.3, 0.5, normal)
    if shape == "two":
        normal = np.where(normal > 0, 1.0, -1.0) + 1e-7 * normal
    return normal


def columns(shape: str, scale: float, offset: float, seed: int) -> dict[str, torch.Tensor]:
    stream = np.random.default_rng(seed)
    a, b = (10.0**scale * (offset + shaped(shape, stream)) for _ in range(2))
    made = {"a": a, "b": b, "p": np.abs(a - a[0]) + 1e-3 * 10.0**scale, "u": stream.uniform(1e-3, 1 - 1e-3, ROWS),
            "phi": stream.uniform(-3.14, 3.14, ROWS), "k": stream.integers(0, 5, ROWS) * 1.0, "c": np.full(ROWS, a[0]),
            "s": np.where(stream.uniform(size=ROWS) < 0.3, a[0], b),
            "d": 10.0 ** round(scale) * (round(offset) + stream.integers(0, 50, ROWS))}
    return {name: torch.from_numpy(column) for name, column in made.items()}


def fitted(kind: str, case: tuple[str, float, float, int]) -> tuple[Step, torch.Tensor]:
    """A step in double precision, and what it was fitted on."""
    values = columns(*case)
    step = parse_step(LINES[kind], list(values))
    step.precise = True
    x = torch.stack([values[name] for name in step.columns], 1)
    step.fit(x, torch.ones(ROWS, dtype=torch.float64))
    return step, x


def test_every_step_of_single_columns_has_a_line() -> None:
    assert set(LINES) == {kind for kind, step in STEPS.items() if not step.whole}


@pytest.mark.parametrize("kind", sorted(set(LINES) - SYMMETRIES))
@settings(max_examples=12, deadline=None, derandomize=True)
@given(case=CASES)
def test_what_goes_in_comes_out(kind: str, case: tuple[str, float, float, int]) -> None:
    step, x = fitted(kind, case)
    y = step(x, torch.randn(ROWS, step.forward_noise, dtype=torch.float64))
    assert torch.isfinite(y).all()
    assert torch.isfinite(step.log_abs_det_jacobian(x, y)).all() or kind in ("broaden", "polar")
    back = step.inverse(y, torch.zeros(ROWS, step.inverse_noise, dtype=torch.float64))
    allowed = 1e-9 * float(x.abs().max()) + 1e-9 * x.abs()
    assert ((back - x).abs() <= allowed).all()


@pytest.mark.parametrize("kind", sorted(set(LINES) - SYMMETRIES - NOISY))
@settings(max_examples=6, deadline=None, derandomize=True)
@given(case=CASES)
def test_the_jacobian_is_autograd_s_at_every_size(kind: str, case: tuple[str, float, float, int]) -> None:
    step, x = fitted(kind, case)
    empty = torch.zeros(1, 0, dtype=torch.float64)
    found = step.log_abs_det_jacobian(x, step(x, empty.expand(ROWS, 0)))
    _, which, counts = torch.unique(x[:, 0], return_inverse=True, return_counts=True)
    for row in range(0, ROWS, 40):
        if counts[which[row]] > 1 or row == 0:  # a value that is repeated has no density
            continue
        matrix = torch.autograd.functional.jacobian(lambda v: step(v[None], empty)[0], x[row])
        expected = torch.linalg.slogdet(matrix).logabsdet
        if torch.isfinite(expected):
            near = min(abs(float(found[row] - expected)), 1e9)
            assert near < 1e-5 or on_a_knot(step, x[row])


def on_a_knot(step: Step, x: torch.Tensor) -> bool:
    """Where two straight lines meet there are two slopes."""
    grids = [buffer for name, buffer in step.named_buffers() if name == "grid"]
    turned = x - dict(step.named_buffers()).get("cut", torch.zeros(1).double())
    return any(bool(((grid - place).abs() < 1e-9 * (1 + place.abs())).any())
               for grid in grids for place in (x[None], turned[None].remainder(2 * torch.pi)))


def test_quantile_keeps_the_layers_of_a_target() -> None:
    """Plates with gaps between: perfect normals fall into few gaps."""
    stream = np.random.default_rng(0)
    plate = stream.integers(0, 30, 40_000)
    table = Table.of({"z": plate + stream.uniform(0.0, 0.8, 40_000), "b": stream.normal(size=40_000)})
    normal = torch.randn(60_000, 2, generator=torch.Generator().manual_seed(0))
    gaps = {}
    for line in ("quantile z", "quantile z knots=400"):
        preparation = prepare(table, steps=[line, "standardise b"], seed=1).preparation
        drawn = preparation.float().decode(normal, torch.zeros(60_000, 0))["z"]
        gaps[line] = float(np.mean(np.remainder(drawn, 1) > 0.81))
    assert gaps["quantile z"] < 0.05
    assert gaps["quantile z knots=400"] > 0.08


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_scores_are_standard_normals_whatever_the_outlier(shape: str) -> None:
    stream = np.random.default_rng(0)
    columns = {"a": np.concatenate([shaped(shape, stream) for _ in range(10)]), "g": stream.uniform(1, 2, 10 * ROWS)}
    data = prepare(Table.of(columns), steps=["scores a given=g"], context=["g"])
    packed = data.encode(TRAIN)[0][:, 0]
    assert abs(packed.mean()) < 0.05
    assert abs(packed.std() - 1) < 0.05
    normal = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))
    given_ = Table.of({"g": stream.uniform(1, 2, 5000)})
    drawn = data.preparation.float().decode(normal, torch.zeros(5000, 0), given_)["a"]
    for share in (0.1, 0.5, 0.9):
        assert abs(np.mean(columns["a"] < np.quantile(drawn, share)) - share) < 0.03


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=60))
def test_knots_are_made_to_rise_by_what_single_precision_resolves(values: list[float]) -> None:
    grid = torch.tensor(sorted(values), dtype=torch.float64)
    made = rising(grid)
    assert (made.diff() > 0).all()
    gaps = 60 * 4e-7 * grid.abs().cummax(0).values + 60e-30
    assert ((made - grid).abs() <= 1.01 * gaps).all()
