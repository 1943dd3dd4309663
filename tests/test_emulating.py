"""Images drawn from coordinates, pairs and twins, and what an emulator learns of a simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import calque
from calque.errors import ConfigError, DataError
from calque.fitting.batches import Batches, find_twins
from calque.fitting.emulation import Emulation
from calque.models import Convolutional, Drawing, Regressor, Siamese
from calque.models.drawing import polynomials
from calque.preparing import Data, prepare
from calque.table import Array, Layout, Table

SMALL: dict[str, Any] = {"features": 8, "nodes": 32}
FIT: dict[str, Any] = {"quiet": True, "watch": "latest", "batch": 64, "threads": 1, "average": 0.99}


def image(*shape: int) -> Layout:
    return Layout(("image",), (shape,))


def prepared(parameters: Array, images: Array) -> Data:
    table = Table.of({"a": parameters, "image": images.astype(np.float32)})
    return prepare(table, steps=[], context=["a"], judging=0.2, validation=0)


def test_polynomials_are_products_of_coordinates() -> None:
    drawn = polynomials((2, 3))
    y, x = torch.tensor([-1.0, -1, -1, 1, 1, 1]), torch.tensor([-1.0, 0, 1, -1, 0, 1])
    torch.testing.assert_close(drawn, torch.stack([torch.ones(6), y, x, y * y, y * x, x * x]))
    assert polynomials((2, 2, 2)).shape == (10, 8)


def test_a_grainy_density_is_that_of_independent_normals() -> None:
    """Against the draws' own normals, and integrated over one pixel."""
    torch.manual_seed(0)
    drawing = Drawing(image(3), 2, grain=True, **SMALL)
    noise, context = torch.randn(5, 3), torch.randn(5, 2)
    mean, log_width = drawing.draw(noise[:, :0], context).unbind(2)
    x = drawing.sample(noise, context)
    expected = torch.distributions.Normal(mean, log_width.exp()).log_prob(x).sum(1)
    torch.testing.assert_close(drawing.log_prob(x, context), expected)
    one = Drawing(image(1), 1, grain=True, **SMALL)
    grid = torch.linspace(-30, 30, 6001)[:, None]
    with torch.inference_mode():
        assert float(one.log_prob(grid, torch.ones_like(grid)).exp().sum() * 0.01) == pytest.approx(1, abs=1e-3)


def test_noise_of_an_image_is_what_its_settings_say() -> None:
    still, whole = Drawing(image(4, 4), 1, **SMALL), Drawing(image(4, 4), 1, latent=2, grain=True, **SMALL)
    assert (still.noise, still.has_density) == (0, False)
    assert (whole.noise, whole.has_density) == (18, False)
    with pytest.raises(calque.errors.CalqueError, match="has no density"):
        whole.log_prob(torch.zeros(1, 16), torch.zeros(1, 1))


@pytest.mark.parametrize("shape", [(5,), (6, 7), (4, 5, 3)])
def test_convolutions_take_images_of_one_to_three_axes(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    assert Convolutional(shape, 8)(torch.zeros(2, size)).shape == (2, 8)
    network = Regressor(Layout.flat(["a", "b"]), size, shape=shape)
    assert network.sample(torch.zeros(2, 0), torch.zeros(2, size)).shape == (2, 2)


def test_a_pair_is_the_same_either_way_round() -> None:
    torch.manual_seed(0)
    critic = Siamese((6, 6), 3)
    one, other, context = torch.randn(4, 36), torch.randn(4, 36), torch.randn(4, 3)
    score = critic(torch.cat([one, other], 1), context)
    torch.testing.assert_close(score, critic(torch.cat([other, one], 1), context))
    assert not torch.allclose(score, critic(torch.cat([one, one], 1), context))


def test_twins_share_their_context_and_are_others() -> None:
    torch.manual_seed(0)
    context = torch.randint(0, 20, (200, 2)).float()
    twins = find_twins(context)
    assert torch.equal(context[twins], context)
    counts = torch.unique(context, dim=0, return_inverse=True, return_counts=True)
    lonely = counts[2][counts[1]] == 1
    assert torch.equal(twins == torch.arange(200), lonely)
    assert torch.equal(twins.sort().values, torch.arange(200)), "everybody is somebody's twin"


def test_batches_of_pairs_leave_out_who_has_no_twin() -> None:
    x, context = torch.arange(5.0)[:, None], torch.tensor([[1.0], [2], [1], [3], [1]])
    batch = Batches(x, context, torch.ones(5), 5, torch.device("cpu"), paired=True).draw({})
    assert batch.twin is not None
    assert set(batch.x.flatten().tolist()) <= {0.0, 2.0, 4.0}
    assert (batch.twin != batch.x).all()
    alone = Batches(x, x, torch.ones(5), 5, torch.device("cpu"), paired=True)
    assert alone.draw({}).twin is None


def test_an_emulator_learns_what_moves_across_pixels() -> None:
    """A spot that moves: a hundredth of the pixels' variance is left, at parameters never trained on."""
    stream = np.random.default_rng(0)
    place = stream.uniform(2, 9, 4000)
    data = prepared(place, np.maximum(0, 1 - np.abs(np.arange(12) - place[:, None])))
    run = calque.fit(data, "emulator", steps=400, model=SMALL, **FIT)
    rows = data.rows(2)
    left = (run.sample(len(rows), context=rows.select(["a"]))["image"] - rows["image"]).var()
    assert left < 0.01 * rows["image"].var()


def test_a_grainy_emulator_learns_the_noise_of_each_pixel() -> None:
    stream = np.random.default_rng(0)
    width = stream.uniform(0.1, 0.5, 4000)
    data = prepared(width, 1 + width[:, None] * stream.normal(size=(4000, 8)) * np.linspace(1, 2, 8))
    run = calque.fit(data, "emulator", steps=400, model={**SMALL, "grain": True}, **FIT)
    drawn = run.sample(4000, context={"a": 0.3})["image"]
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.05)
    np.testing.assert_allclose(drawn.std(0), np.linspace(0.3, 0.6, 8), rtol=0.1)


def test_a_siamese_network_teaches_what_pixels_cannot() -> None:
    """Images as a whole are shifted by chance: their mean is flat, two of the same parameter tell how much."""
    stream = np.random.default_rng(0)
    parameter = np.repeat(stream.uniform(-1, 1, 2000), 2)
    data = prepared(parameter, parameter[:, None] + stream.normal(size=4000)[:, None] * np.ones(8))
    alone = {"pixel": 0.0, "adversary": 1.0}
    run = calque.fit(data, "siamese-emulator", steps=400, model=SMALL, objective=alone, **FIT)
    drawn = run.sample(2000, context={"a": 0.5})["image"]
    assert abs(drawn.mean() - 0.5) < 0.4
    assert drawn.mean(1).std() == pytest.approx(1, abs=0.3)
    assert drawn.std(1).mean() < 0.3


def test_what_cannot_teach_is_refused() -> None:
    stream = np.random.default_rng(0)
    data = prepared(stream.uniform(size=300), stream.normal(size=(300, 8)))
    with pytest.raises(DataError, match=r"no parameters were simulated twice.*simulate.repeat = 2"):
        calque.fit(data, "siamese-emulator", steps=1, **FIT)
    with pytest.raises(ConfigError, match=r"blur = 0.2 would be ignored: adversary = 0 leaves nobody to object"):
        calque.fit(data, "emulator", steps=1, objective={"blur": 0.2}, **FIT)
    with pytest.raises(ConfigError, match="one of them has to teach"):
        calque.fit(data, "emulator", steps=1, objective={"pixel": 0.0}, **FIT)
    flat = prepare(Table.of({"x": stream.normal(size=300), "a": stream.normal(size=300)}), context=["a"])
    with pytest.raises(ConfigError, match=r"draws one image, but the events are x[;,]"):
        calque.fit(flat, "emulator", steps=1, **FIT)
    with pytest.raises(ConfigError, match="an image of shape \\(3,\\) has 3 pixels; 4 were given"):
        Regressor(Layout.flat(["a"]), 4, shape=(3,))


def test_regression_is_emulation_the_other_way_round() -> None:
    """The objective's distance of a regressor is the mean squared error of its parameters."""
    torch.manual_seed(0)
    network = Regressor(Layout.flat(["a", "b"]), 9, shape=(3, 3))
    batches = Batches(torch.randn(50, 2), torch.randn(50, 9), torch.ones(50), 50, torch.device("cpu"))
    batch = batches.draw({"latent": 0})
    expected = (network.sample(batch.noise["latent"], batch.context) - batch.x).square().mean()
    torch.testing.assert_close(Emulation(network).loss("generator", batch, 0), expected)
