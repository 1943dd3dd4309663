"""Networks of images: their layers against loops and closed forms, growth, styles, refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from gallery import SHAPES, SHOWER, SMALL, image
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.models import CRITICS, GENERATORS, Layered, Progressive, Style, Upsampling
from calque.models.critics import spread_within
from calque.models.growing import GrowingCritic, Normed, equalised
from calque.models.images import Resolutions, coarser, finer, ladder, upwards
from calque.models.layered import LocallyConnected, log_mean_exp
from calque.models.styled import Styled
from calque.table import Layout


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SMALL)
def test_a_generator_draws_any_shape_under_its_conditions(name: str, shape: tuple[int, ...]) -> None:
    """The events follow both noise and context, whatever the batch."""
    torch.manual_seed(0)
    generator = GENERATORS[name](image(*shape), 2, **SMALL[name]).eval()
    noise, context = torch.randn(6, generator.noise), torch.randn(6, 2)
    drawn = generator.sample(noise, context)
    assert drawn.shape == (6, math.prod(shape))
    parts = torch.cat([generator.sample(noise[rows], context[rows]) for rows in (slice(0, 4), slice(4, 6))])
    torch.testing.assert_close(drawn, parts, rtol=1e-5, atol=5e-5)
    for other in (generator.sample(noise, context + 3), generator.sample(-noise, context)):
        assert float((other - drawn).detach().abs().mean()) > 1e-3
    assert float(drawn.detach().std(0).min()) > 0, "every pixel varies"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_looks_at_every_pixel_of_any_shape(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    critic = CRITICS[name](image(*shape), 2, layers=2, base=4, norm="none", dropout=0.0, outputs=3)
    x, context = torch.randn(4, math.prod(shape), requires_grad=True), torch.randn(4, 2, requires_grad=True)
    answers, features = critic(x, context)
    assert (answers.shape, features.shape) == ((4, 3), (4, critic.width))
    slopes = torch.autograd.grad(answers.square().sum(), [x, context])
    assert all((slope != 0).any(0).all() for slope in slopes)


@pytest.mark.parametrize("name", ["convolutional", "layers", "dense"])
def test_critics_see_images_beside_numbers(name: str) -> None:
    torch.manual_seed(0)
    critic = CRITICS[name](SHOWER, 1, layers=1, base=4, norm="none", dropout=0.0)
    x = torch.randn(4, SHOWER.size, requires_grad=True)
    scores, _ = critic(x, torch.zeros(4, 1))
    (slope,) = torch.autograd.grad(scores.square().sum(), x)
    assert (slope != 0).any(0).all()


def test_layers_and_numbers_lie_where_the_layout_says() -> None:
    """A bias of its own for each column comes out in its place."""
    generator = Layered(SHOWER, 1, channels=2, nodes=8).eval()
    for parameter in generator.parameters():
        nn.init.zeros_(parameter)
    assert generator.head is not None
    nn.init.constant_(generator.head.bias, 5.0)
    for place, part in enumerate(generator.images.values()):
        nn.init.constant_(part.last.bias, 1.0 + place)  # type: ignore[union-attr, arg-type]
    columns = SHOWER.unpack(generator.sample(torch.randn(3, generator.noise), torch.randn(3, 1)))
    assert {name: set(column.flatten().tolist()) for name, column in columns.items()} == {
        "layer_0": {1.0}, "e": {5.0}, "layer_1": {2.0}}


def test_an_image_looks_at_the_one_before_and_no_further_ahead() -> None:
    """What is changed in the first image's own weights reaches the second through its gate, not the other way."""
    torch.manual_seed(0)
    generator = Layered(SHOWER, 1, channels=2, nodes=8).eval()
    noise, context = torch.randn(3, generator.noise), torch.randn(3, 1)
    before = SHOWER.unpack(generator.sample(noise, context))
    with torch.no_grad():
        first, second = generator.images.values()
        first.start.weight.add_(1.0)  # type: ignore[union-attr, operator]
    after = SHOWER.unpack(generator.sample(noise, context))
    assert all(not torch.equal(before[name], after[name]) for name in ("layer_0", "layer_1"))
    assert torch.equal(before["e"], after["e"])
    with torch.no_grad():
        second.start.weight.add_(1.0)  # type: ignore[union-attr, operator]
    assert torch.equal(SHOWER.unpack(generator.sample(noise, context))["layer_0"], after["layer_0"])


def test_images_of_one_shape_are_drawn_together() -> None:
    """Channels of one network; each comes out under its own name."""
    layout = Layout(("a", "b"), ((6, 6), (6, 6)))
    for name in ("upsampling", "progressive", "style"):
        generator = GENERATORS[name](layout, 1, **SMALL[name]).eval()
        columns = layout.unpack(generator.sample(torch.randn(3, generator.noise), torch.randn(3, 1)))
        assert {key: tuple(column.shape) for key, column in columns.items()} == {"a": (3, 6, 6), "b": (3, 6, 6)}
        assert not torch.allclose(columns["a"], columns["b"])


@pytest.mark.parametrize(("output", "low", "high"), [("relu", 0.0, math.inf), ("tanh", -1.0, 1.0)])
@pytest.mark.parametrize("name", SMALL)
def test_an_output_keeps_its_range(name: str, output: str, low: float, high: float) -> None:
    generator = GENERATORS[name](image(6, 6), output=output, **SMALL[name]).eval()
    drawn: Tensor = generator.sample(torch.randn(50, generator.noise), torch.zeros(50, 0)).detach()
    assert generator.reach == (low, high)
    assert low <= float(drawn.min()) <= float(drawn.max()) <= high
    assert output != "relu" or (drawn == 0).any(), "exact zeros"


@pytest.mark.parametrize(("kind", "layout"), [("upsampling", image(6, 6)), ("layered", SHOWER)])
def test_a_linear_path_leads_from_all_noise_and_the_context_to_every_number(kind: str, layout: Layout) -> None:
    """With everything else at zero the events are linear; an output cuts images off, and no numbers."""
    torch.manual_seed(0)
    generator = GENERATORS[kind](layout, 2, **SMALL[kind], skip=True, output="relu").eval()
    for name, parameter in generator.named_parameters():
        if not name.startswith("skip."):
            nn.init.zeros_(parameter)
    noise, context = torch.randn(5, generator.noise), torch.randn(5, 2)
    columns = layout.unpack(generator.skip(torch.cat([noise, context], 1)))  # type: ignore[operator]
    for name, drawn in layout.unpack(generator.sample(noise, context)).items():
        torch.testing.assert_close(drawn, columns[name].relu() if drawn.ndim > 1 else columns[name])


@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 2)])
def test_a_locally_connected_layer_is_its_loop(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = LocallyConnected(2, 3, shape).double(), torch.randn(2, 2, *shape, dtype=torch.float64)
    made = layer(x)
    for place, pixel in enumerate(itertools.product(*map(range, shape))):
        expected = layer.bias[place, :, 0].expand(2, 3).clone()
        around = itertools.product(*[range(-1, 2)] * len(shape))
        for (offset, channel), weight in zip(itertools.product(list(around), range(2)), layer.weight[place].T,
                                             strict=True):
            seen = tuple(p + o for p, o in zip(pixel, offset, strict=True))
            if all(0 <= p < length for p, length in zip(seen, shape, strict=True)):
                expected = expected + x[(slice(None), channel, *seen)][:, None] * weight
        torch.testing.assert_close(made[(slice(None), slice(None), *pixel)], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_resolutions_double_up_to_the_shape(shape: tuple[int, ...]) -> None:
    """No axis falls below three pixels by halving, and the layers between have just the right strides."""
    shapes = ladder(shape, 9)
    assert shapes[-1] == shape
    for coarse, fine in itertools.pairwise(shapes):
        assert all(fine_length in (coarse_length, 2 * coarse_length, 2 * coarse_length - 1)
                   for coarse_length, fine_length in zip(coarse, fine, strict=True))
        assert all(n == m or n >= 3 for n, m in zip(coarse, fine, strict=True))
        assert upwards(2, 3, coarse, fine)(torch.zeros(1, 2, *coarse)).shape == (1, 3, *fine)
    assert ladder(shape, 1) == [shape]


def test_sharpness_goes_from_the_mean_to_the_largest() -> None:
    x = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    soft, one, hard = (float(log_mean_exp(x, torch.tensor([beta], dtype=torch.float64))) for beta in (1e-6, 1.0, 1e4))
    assert soft == pytest.approx(4 / 3, abs=1e-5)
    assert one == pytest.approx(math.log((1 + math.e + math.e**3) / 3))
    assert hard == pytest.approx(3, abs=1e-3)


def test_the_spread_within_few_events_is_its_formula() -> None:
    """Mean over features of the standard deviation of four rows; of all rows where there are too few for two groups."""
    x = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(0))
    found = spread_within(x)
    for group in (slice(0, 4), slice(4, 8)):
        expected = x[group].std(0, correction=0).mean()
        torch.testing.assert_close(found[group, 0], expected.expand(4))
    torch.testing.assert_close(spread_within(x[:6])[:, 0], x[:6].std(0, correction=0).mean().expand(6))
    assert float(spread_within(x[:1].expand(4, 3, 5)).max()) < 2e-4, "of equal events"


def test_equalised_layers_keep_sizes_and_share_one_rate() -> None:
    """Outputs of unit size from inputs of unit size, and steps relative to the size of the weights, at any width."""
    torch.manual_seed(0)
    for layer, shape in ((nn.Linear(400, 300), (400,)), (nn.Conv2d(16, 300, 3, padding=1), (16, 5, 5)),
                         (nn.Linear(20, 300), (20,))):
        scaled = equalised(layer, gain=1.0)
        inputs = math.prod(shape[:1]) * (9 if len(shape) > 1 else 1)
        assert float(scaled.weight.std()) == pytest.approx(1 / math.sqrt(inputs), rel=0.05)
        assert torch.equal(scaled.bias, torch.zeros(300))
        if len(shape) == 1:
            assert float(scaled(torch.randn(2000, *shape)).std()) == pytest.approx(1, rel=0.05)
        before = scaled.weight.detach().clone()
        optimiser = torch.optim.Adam(scaled.parameters(), lr=1e-3)
        scaled(torch.randn(64, *shape)).sum().backward()
        optimiser.step()
        moved = (scaled.weight - before).abs() * math.sqrt(inputs)
        torch.testing.assert_close(moved, torch.full_like(moved, 1e-3), rtol=1e-2, atol=1e-5)


def test_normed_pixels_have_mean_square_one() -> None:
    x = Normed()(7 * torch.randn(3, 5, 4, 4))
    torch.testing.assert_close(x.square().mean(1), torch.ones(3, 4, 4))


@pytest.mark.parametrize("shape", [(28, 28), (12, 6), (4, 6, 5)])
def test_averages_of_repeated_pixels_are_the_pixels(shape: tuple[int, ...]) -> None:
    for coarse in ladder(shape, 3):
        if all(length % short == 0 for short, length in zip(coarse, shape, strict=True)):
            x = torch.randn(2, 3, *coarse)
            torch.testing.assert_close(coarser(finer(x, shape), coarse), x)


@pytest.mark.parametrize("kind", ["progressive", "style"])
def test_a_fade_goes_from_the_old_path_to_the_new(kind: str) -> None:
    """At 0 the old resolution enlarged, at 1 the new path, between a mixture of the two; for both players."""
    torch.manual_seed(0)
    generator = GENERATORS[kind](image(8, 12), 1, layers=2, **SMALL[kind]).eval()
    critic = GrowingCritic(image(8, 12), 1, layers=2, base=4).eval()
    noise, context = torch.randn(4, generator.noise), torch.randn(4, 1)
    sizes, players = {}, (generator, critic)
    for share in (0, 1 / 65536, 0.25, 65535 / 65536, 1):
        for player in players:
            player.resolutions.grow(share)
        drawn = generator.sample(noise, context)
        sizes[share] = drawn, critic(generator.sample(noise, context), context)[0]
        blocks = drawn.view(4, 4, 2, 6, 2)
        flat = torch.allclose(blocks, blocks[:, :, :1, :, :1].expand_as(blocks), atol=1e-3)
        assert flat == (share < 0.1), "repeated pixels are the old resolution"
    for before, after in ((0, 1 / 65536), (65535 / 65536, 1)):
        for one, other in zip(sizes[before], sizes[after], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(sizes[0.25][0], torch.lerp(sizes[0][0], sizes[1][0], 0.25))


def test_a_critic_that_has_not_grown_knows_no_more_than_averages() -> None:
    torch.manual_seed(0)
    critic, x = GrowingCritic(image(8, 8), layers=2, base=4), torch.randn(4, 64)
    averaged = finer(coarser(x.view(4, 1, 8, 8), (4, 4)), (8, 8)).flatten(1)
    nothing = torch.zeros(4, 0)
    assert not torch.allclose(critic(x, nothing)[0], critic(averaged, nothing)[0])
    critic.resolutions.grow(0)
    torch.testing.assert_close(critic(x, nothing)[0], critic(averaged, nothing)[0])


def test_real_images_are_as_coarse_as_what_is_drawn() -> None:
    x = torch.randn(3, 2 * 64)
    resolutions = Resolutions((8, 8), 2)
    assert torch.equal(resolutions.resampled(x), x)
    resolutions.grow(0)
    pooled = nn.functional.avg_pool2d(x.view(3, 2, 8, 8), 2)
    coarse = pooled.repeat_interleave(2, 2).repeat_interleave(2, 3).flatten(1)
    torch.testing.assert_close(resolutions.resampled(x), coarse)
    resolutions.grow(0.25)
    torch.testing.assert_close(resolutions.resampled(x), 0.75 * coarse + 0.25 * x)


def test_a_style_gives_every_channel_its_mean_and_spread() -> None:
    torch.manual_seed(0)
    layer, x, style = Styled(3, 5, 7, (6, 6)), torch.randn(4, 3, 6, 6), torch.randn(4, 7)
    made = layer(x, style, torch.randn(4, 1, 6, 6)).flatten(2)
    spread, mean = layer.style(style).chunk(2, 1)
    torch.testing.assert_close(made.mean(2), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.std(2, correction=0), spread.abs(), rtol=1e-4, atol=1e-5)


def test_noise_enters_at_every_resolution() -> None:
    """Each level's normals change the image; those of the finest one only pixel by pixel nearby."""
    torch.manual_seed(0)
    generator = Style(image(8, 8), layers=2, base=4, latent=3).eval()
    assert generator.noise == 3 + 16 + 64
    for layer in [*generator.first, *generator.second]:
        nn.init.ones_(layer.grain)  # type: ignore[arg-type]
    noise, nothing = torch.randn(1, generator.noise), torch.zeros(1, 0)
    whole = generator.sample(noise, nothing)
    for part in (slice(0, 3), slice(3, 19), slice(19, 83)):
        other = noise.clone()
        other[:, part] *= -1
        assert not torch.allclose(generator.sample(other, nothing), whole)


def test_truncation_pulls_styles_to_their_mean_at_the_same_context() -> None:
    torch.manual_seed(0)
    generator = Style(image(4, 4), 1, layers=1, base=4, latent=3).eval()
    latent, context = torch.randn(5, 3), torch.randn(5, 1)
    free = generator.styles(latent, context)
    mean = torch.stack([generator.mapped(generator.centres, one.expand(64, 1)).mean(0) for one in context])
    generator.truncation = 0.3
    torch.testing.assert_close(generator.styles(latent, context), mean + 0.3 * (free - mean))
    assert torch.equal(generator.train().styles(latent, context), free), "not in training"
    generator.truncation = 0.0
    drawn = generator.eval().sample(torch.cat([latent, torch.zeros(5, 16)], 1), torch.ones(5, 1))
    torch.testing.assert_close(drawn, drawn[:1].expand_as(drawn))


@pytest.mark.parametrize(("critic", "norms"), [("convolutional", ["none", "batch", "layer", "spectral"]),
                                               ("layers", ["none", "batch", "layer"])])
def test_critics_take_the_norms_they_name(critic: str, norms: list[str]) -> None:
    torch.manual_seed(0)
    x, nothing = 5 * torch.randn(8, SHOWER.size), torch.zeros(8, 0)
    for norm in norms:
        network = CRITICS[critic](SHOWER, layers=1, base=4, norm=norm, dropout=0.0)
        assert network(x, nothing)[0].shape == (8,)
        if norm == "spectral":
            for layer in (part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)):
                for _ in range(30):
                    weight = layer.weight
                assert float(torch.linalg.svdvals(weight.detach().flatten(1))[0]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Upsampling(image(4, 4), layers=0), "layers = 0 make no network of images"),
    (lambda: Layered(image(4, 4), channels=0), "channels = 0 make no network"),
    (lambda: Style(image(4, 4), truncation=1.5), r"truncation = 1.5: .* lies between 0 and 1"),
    (lambda: Upsampling(image(4, 4), momentum=0.5, norm="none"), "momentum = 0.5 would be ignored"),
    (lambda: Progressive(image(4, 4), output="relux"), "no output 'relux'"),
])
def test_settings_that_make_no_network_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
