"""Columns of images: every step treats the pixels alike, the density is that of all of them, memory is bounded."""

from __future__ import annotations

import json
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from test_preparing import BIJECTIONS, CATALOGUE, EXACT, fitted
from test_preparing import columns as flat_columns

from calque.errors import ConfigError, DataError
from calque.preparing import JUDGE, TRAIN, Preparation, folding, prepare
from calque.preparing.preparation import parse_step
from calque.table import Table

MODULE = sys.modules["calque.preparing.prepare"]  # the function hides it
SHAPE = (2, 5)
PIXELS = 10
NONE = np.random.default_rng(0)


def images(dtype: str = "f8") -> Table:
    """The columns of the catalogue, ten rows an image."""
    return Table.of({name: column.reshape(-1, *SHAPE).numpy().astype(dtype)
                     for name, column in flat_columns().items()})


def prepared(text: str) -> tuple[Preparation, Table]:
    table = images()
    step = parse_step(text, table.names)
    # a sample of constants alone has nothing to learn
    learnt = table.select([*step.columns, "other"] if step.kind == "constant" else step.columns)
    torch.manual_seed(0)
    return Preparation.fit(learnt, [text], np.random.default_rng(1).random(len(table)) + 0.5, NONE), learnt


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_step_on_images_is_the_step_on_their_pixels(name: str) -> None:
    """The same rows, once flat and once as images of ten: the same fit, outputs and Jacobian."""
    step, x, _, _ = fitted(CATALOGUE[name])
    weights = np.random.default_rng(1).random(len(x) // PIXELS) + 0.5
    step.fit(x, torch.as_tensor(weights).repeat_interleave(PIXELS))
    preparation, table = prepared(CATALOGUE[name])
    (inner,) = preparation.typed_steps()
    for mine, theirs in zip(inner.buffers(), step.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)
    noise = numbers(len(table), preparation.forward_noise)
    packed, jacobian = preparation({column: torch.from_numpy(table[column]) for column in table.names}, noise)
    y = step(x, noise.reshape(len(x), -1))
    wanted = y.reshape(len(table), PIXELS, -1).movedim(2, 1).reshape(len(table), -1)
    torch.testing.assert_close(packed[:, : wanted.shape[1]], wanted)
    torch.testing.assert_close(jacobian, step.log_abs_det_jacobian(x, y).reshape(-1, PIXELS).sum(1))
    assert set(preparation.layout.shapes) <= {SHAPE}
    assert preparation.forward_noise == PIXELS * step.forward_noise
    assert preparation.inverse_noise == PIXELS * step.inverse_noise


@pytest.mark.parametrize("name", [*BIJECTIONS, *EXACT])
def test_inverse_after_forward_gives_the_images_back(name: str) -> None:
    preparation, table = prepared(CATALOGUE[name])
    packed, _ = preparation.encode(table, NONE)
    again = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict()))).float()
    back = again.decode(packed, torch.randn(len(packed), again.inverse_noise))
    for column in table.names:
        assert back[column].shape == (len(table), *SHAPE)
        np.testing.assert_allclose(back[column], table[column], rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_jacobian_of_an_image_is_autograd_s(name: str) -> None:
    preparation, table = prepared(CATALOGUE[name])
    one = torch.stack([torch.from_numpy(table[column][7]) for column in table.names])

    def packed(pixels: torch.Tensor) -> torch.Tensor:
        return preparation(dict(zip(table.names, pixels[:, None], strict=True)), numbers(1, 0))[0][0]

    matrix = torch.autograd.functional.jacobian(packed, one).reshape(one.numel(), one.numel())
    _, found = preparation(dict(zip(table.names, one[:, None], strict=True)), numbers(1, 0))
    torch.testing.assert_close(found[0], torch.linalg.slogdet(matrix).logabsdet, rtol=1e-7, atol=1e-7)


def test_a_star_is_a_step_for_every_shape() -> None:
    table = images().select(["a", "b"]).with_columns({"e": np.random.default_rng(0).normal(5, 2, len(images()))})
    data = prepare(table)
    assert [(step.kind, step.columns) for step in data.preparation.typed_steps()] == [
        ("standardise", ("a", "b")), ("standardise", ("e",))]
    assert dict(zip(data.preparation.layout.names, data.preparation.layout.shapes, strict=True)) == {
        "a": SHAPE, "b": SHAPE, "e": ()}
    x, _, _ = data.encode(TRAIN)
    for place in data.preparation.layout.slices.values():
        assert abs(x[:, place].mean()) < 1e-5
        assert abs(x[:, place].std(correction=0) - 1) < 1e-5


def test_steps_of_several_shapes_are_refused() -> None:
    table = images().select(["a", "b"]).with_columns({"e": np.arange(200.0)})
    with pytest.raises(ConfigError, match=r"'standardise' takes columns of one shape: a \(2, 5\), e a number; "):
        prepare(table, steps=["standardise a e"])
    with pytest.raises(DataError, match=r"context 'a' of .* has events of shape \(2, 5\); a condition is one number"):
        prepare(table, context=["a"])


def test_a_bad_pixel_is_named_by_its_event() -> None:
    table = images().select(["p"])
    rows = np.flatnonzero(prepare(table).part == TRAIN)
    table["p"][rows[17], 1, 2] = -1
    with pytest.raises(DataError, match=r"column 'p' is not above 0 in 1 of 1200 pixels \(training rows \[17\]…\)"):
        prepare(table, steps=["log p"])
    table["p"][rows[17], 1, 2] = 1
    judged = int(np.flatnonzero(prepare(table).part == JUDGE)[0])
    table["p"][judged, 0, 0] = -1
    with pytest.raises(DataError, match=rf"non-finite values of 'p' in 1 rows of .*first rows \[{judged}\]"):
        prepare(table, steps=["log p"]).encode(JUDGE)


def test_statistics_count_numbers_and_miss_no_extreme(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.random.default_rng(0)
    table = Table.of({"image": stream.normal(3, 2, (3000, 4, 4)).astype("f4"), "e": stream.normal(3, 2, 3000),
                      "k": stream.integers(0, 3, (3000, 4, 4))})
    rare = np.flatnonzero(prepare(table).part == TRAIN)[[5, 70, 900]]
    table["image"][rare[0], 2, 3], table["image"][rare[1], 0, 1], table["k"][rare[2], 3, 3] = 99, -99, 200
    monkeypatch.setattr(MODULE, "LOOKED_AT", 1600)
    looked = MODULE.looked_at(table, np.flatnonzero(prepare(table).part == TRAIN), 0)
    assert len(looked[()]) <= 1600 + 2
    assert 100 <= len(looked[4, 4]) <= 100 + 8, "a bounded count of numbers"
    assert set(rare) <= set(looked[4, 4])
    steps = prepare(table, steps=["minmax image", "discrete k", "standardise e"]).preparation.typed_steps()
    torch.testing.assert_close(steps[0].scale, torch.tensor([99.0]).double())
    assert steps[1].levels.tolist() == [0, 1, 2, 200]
    assert steps[2].shift.item() == pytest.approx(3, abs=0.3)


def test_many_images_are_encoded_in_bounded_memory() -> None:
    stream = np.random.default_rng(0)
    table = Table.of({"image": stream.random((20_000, 28, 28), dtype=np.float32)})
    data = prepare(table, steps=["bounds image low=0", "arcsinh image", "standardise *"], judging=0)
    tracemalloc.start()
    x, _, _ = data.encode(TRAIN)
    _, most = tracemalloc.get_traced_memory()  # NumPy's; blocks hold the same in torch
    tracemalloc.stop()
    assert x.shape == (18_000, 784)
    assert most < 60e6, "the whole sample in double precision is 125 MB"
    assert folding.at_once(784) * 784 <= folding.NUMBERS
    whole, _ = data.preparation.encode(data.rows(TRAIN).rows(slice(500)), NONE)
    assert torch.equal(x[:500], whole)
