"""Mean responses: the deviance's lowest point, the near field's geometry, and a light map from file to production."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calque.cli import main
from calque.errors import ConfigError, DataError
from calque.fitting import fit
from calque.fitting import loop as loop_module
from calque.fitting.batches import Batch
from calque.fitting.deviance import Deviance
from calque.fitting.fit import StoppedError
from calque.models import DenseGenerator
from calque.models.response import Response
from calque.preparing import Data, prepare
from calque.producing import produce
from calque.reading import read, write
from calque.reading.voxels import Voxels
from calque.run import load_run
from calque.simulating.light import DUNE, LightMap
from calque.simulating.photons import Geometry
from calque.table import Layout, Table

ROOM = Geometry((-100.0, -100.0, -100.0), (100.0, 100.0, 100.0), (-60.0, 60.0), (-50.0, 0.0, 50.0), 30.0, 40.0)
SMALL: dict[str, Any] = {"steps": 30, "batch": 64, "watch_every": 10, "checkpoint_every": 7, "quiet": True,
                         "model": {"nodes": 16, "layers": 1}}


class Constant(Response):
    """A mean that is a parameter."""

    def __init__(self) -> None:
        super().__init__(Layout.flat(["v"]), 1)
        self.mean = torch.nn.Parameter(torch.ones(1))

    def sample(self, noise: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.mean.expand(len(context), -1)


def skewed(rows: int, seed: int = 0) -> torch.Tensor:
    """Estimates of which most are nearly nothing: their median is far below their mean."""
    stream = np.random.default_rng(seed)
    return torch.from_numpy(np.exp(stream.normal(0, 1.5, (rows, 1))) * (stream.random((rows, 1)) < 0.3))


@pytest.mark.parametrize("size", [0.01, 1.0, 300.0])
def test_the_lowest_point_is_the_mean_whatever_the_noise(size: float) -> None:
    v = size * skewed(5000)
    generator = Constant().double()
    objective = Deviance(generator)
    batch = Batch(v, torch.zeros(len(v), 1, dtype=v.dtype), {})
    losses = []
    for factor in (0.8, 1.0, 1.25):
        with torch.no_grad():
            generator.mean.fill_(float(v.mean()) * factor)
        loss = objective.loss("generator", batch, 0)
        (slope,) = torch.autograd.grad(loss, [generator.mean])
        m, losses = generator.mean.item(), [*losses, loss.item()]
        exact = (m - float(v.mean())) * (1 / (m * (m + 0.1)) + 1 / (m * 2.0))
        assert float(slope) == pytest.approx(exact, rel=1e-9, abs=1e-9)
    assert losses[1] < min(losses[0], losses[2])
    assert float(v.median()) < 0.1 * float(v.mean())


def at(geometry: Geometry, context: int = 3) -> Response:
    """A response whose rectangles are a geometry's detectors, in its own units."""
    model = Response(Layout(("image",), (geometry.shape,)), context, facing=0)
    places = torch.tensor([[geometry.plane, y, z] for y in geometry.rows for z in geometry.columns])
    with torch.no_grad():
        model.places.copy_(places[:, :context])
        model.sides.copy_(torch.tensor([geometry.height / 2, geometry.length / 2]).log())
    return model


@pytest.mark.parametrize("geometry", [ROOM, DUNE])
def test_the_near_field_is_the_solid_angle(geometry: Geometry) -> None:
    positions = np.random.default_rng(1).uniform(geometry.low, geometry.high, (300, 3))
    positions[:100, 0] = geometry.plane + np.geomspace(0.01, 20, 100)
    positions[:50, 1:] = geometry.rows[0], geometry.columns[1]
    model = at(geometry)
    offset = torch.from_numpy(positions).float()[:, :, None] - model.places.T
    found = model.solid_angle(offset[:, 0].square() + 1e-12, [offset[:, 1], offset[:, 2]]).detach().numpy()
    np.testing.assert_allclose(found, geometry.solid_angle(positions).reshape(300, -1), rtol=1e-3, atol=3e-6)


def test_in_two_dimensions_it_is_the_angle() -> None:
    model = at(ROOM, 2)
    x, y = torch.tensor([30.0]), torch.tensor([20.0])
    offset = torch.stack([x, y])[:, :, None] - model.places.T[:, None]
    found = model.solid_angle(offset[0].square(), [offset[1]]).detach()[0, 0]
    assert float(found) == pytest.approx(2 * float(np.arctan(95 / 30) - np.arctan(65 / 30)), rel=1e-2)


@pytest.mark.parametrize(("context", "facing"), [(1, None), (3, None), (2, 1), (3, 2), (0, None)])
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_response_is_positive_and_has_no_noise(context: int, facing: int | None) -> None:
    model = Response(Layout(("image", "charge"), ((2, 3), ())), context, facing=facing, nodes=8)
    rows = 5 * torch.randn(200, context)
    drawn = model.sample(torch.zeros(200, model.noise), rows)
    assert drawn.shape == (200, 7)
    assert (drawn > 0).all()
    drawn.log().sum().backward()
    moved = [name for name, parameter in model.named_parameters() if parameter.numel() and parameter.grad is None]
    assert not moved


def bump(x: np.ndarray) -> np.ndarray:
    """Two responses with a known mean that varies over three decades."""
    return np.stack([np.exp(1 - 4 * x**2), 0.05 + np.exp(-8 * (x - 0.5) ** 2)], 1)


def sampled(rows: int, seed: int = 0) -> Table:
    """Skewed estimates of `bump`."""
    stream = np.random.default_rng(seed)
    x = stream.uniform(-1, 1, rows)
    noise = np.exp(stream.normal(-0.5, 1.0, (rows, 2)))  # of mean one, median 0.6
    return Table.of({"x": x.astype("f4"), "v": (bump(x) * noise).astype("f4")})


@pytest.fixture(scope="module")
def data() -> Data:
    return prepare(sampled(20_000), steps=[], context=["x"], judging=0.0, validation=0.05, seed=0)


def test_a_fit_finds_the_mean(data: Data) -> None:
    run = fit(data, "response", steps=1200, batch=256, quiet=True, watch_every=400, model={"nodes": 32, "layers": 2})
    x = np.linspace(-0.95, 0.95, 39)
    found = run.sample(39, context=Table.of({"x": x.astype("f4")}))["v"]
    away = np.abs(found / bump(x) - 1)
    assert np.median(away) < 0.05
    assert away.max() < 0.2
    assert "auc" not in run.history[-1]
    assert run.provenance["best_step"] == 1200
    validated = fit(data, "response", **{**SMALL, "measures": ["ks"]})
    assert "ks" in validated.history[-1], "what is asked for is measured"


def test_what_is_drawn_depends_on_the_context_alone(data: Data, tmp_path: Path) -> None:
    run = fit(data, "response", out=tmp_path / "run", **SMALL)
    given = sampled(500, seed=3).select(["x"])
    first, second = run.sample(500, context=given, seed=1), load_run(tmp_path / "run").sample(500, given, seed=2)
    np.testing.assert_array_equal(first["v"], second["v"])
    np.testing.assert_array_equal(first["x"], given["x"])
    produced = produce(run, context=given, out=tmp_path / "out.h5", quiet=True)
    assert produced.rows == 500
    np.testing.assert_allclose(read(tmp_path / "out.h5")["v"], first["v"], rtol=1e-5)
    assert len(run.sample(10)) == 10, "from the sample's own contexts"


def test_a_stopped_fit_resumes_to_the_same_bits(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = loop_module.Loop.advance

    def interrupted(self: loop_module.Loop) -> None:
        advance(self)
        if self.step == 12:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop_module.Loop, "advance", interrupted)
    with pytest.raises(StoppedError, match="stopped at step 12 of 30"):
        fit(data, "response", out=tmp_path / "run", **SMALL)
    monkeypatch.undo()
    resumed, whole = (fit(data, "response", out=tmp_path / name, resume=True, **SMALL) for name in ("run", "whole"))
    for one, other in zip(resumed.generator.state_dict().values(), whole.generator.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_has_no_mean_above_zero_is_refused() -> None:
    table = sampled(3000)
    for change in ({"v": -table["v"]}, {"v": table["v"] * [1, 0]}):
        other = prepare(table.with_columns(change), steps=[], context=["x"], seed=0)
        with pytest.raises(DataError, match=r"[12] of 2 responses have no mean above zero, the first .*; leave out"):
            fit(other, "response", **SMALL)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Response(Layout.flat(["a"]), 3, facing=3), "facing = 3 with 3 context columns: flat detectors lie in"),
    (lambda: Response(Layout.flat(["a"]), 1, facing=0), "facing = 0 with 1 context columns"),
    (lambda: Deviance(DenseGenerator(Layout.flat(["a"]))), "of a mean response, and a DenseGenerator draws events"),
    (lambda: Deviance(Response(Layout.flat(["a"]), 1), floor=0.0), "floor = 0 and bright = 2, in mean responses"),
])
def test_a_wrong_setting_is_one_clear_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_context_alone_is_nothing_to_learn() -> None:
    with pytest.raises(ConfigError, match=r"every column of a table in memory is a context \(x\): nothing is left"):
        prepare(sampled(100).select(["x"]), steps=[], context=["x"], seed=0)


def test_a_light_map_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Simulated, learnt, and produced on a grid of voxels as a photon library."""
    sample, out = tmp_path / "light.h5", tmp_path / "run"
    assert main(["simulate", "light-map", "-n", "300", "--photons", "4", "-o", str(sample), "--quiet"]) == 0
    settings = (f"read.files={sample}", "fit.steps=12", "fit.batch=64", "fit.watch_every=6", "fit.model.nodes=16")
    assert main(["fit", "light-map", "-o", str(out), "--quiet", *(w for s in settings for w in ("--set", s))]) == 0
    grid = Voxels.of([3, 4, 5], DUNE.low, DUNE.high)
    write(grid.table(), tmp_path / "grid.h5")
    layout = {"name": "photon-library", "voxels": [3, 4, 5], "low": DUNE.low, "high": DUNE.high, "image": [20, 6]}
    run = load_run(out)
    produce(run, context=read(tmp_path / "grid.h5"), out=tmp_path / "lib.root", layout=layout, quiet=True)
    library = read(tmp_path / "lib.root", layout=layout)
    expected = run.sample(60, context=grid.table())["image"]
    np.testing.assert_allclose(library["image"], expected, rtol=1e-5)
    learnt = prepare(library, steps=[], context=["x", "y", "z"], judging=0.0, seed=0)
    assert fit(learnt, "response", **{**SMALL, "batch": 16}).sample(3)["image"].shape == (3, 20, 6)
    assert "trained in" in capsys.readouterr().out


def test_the_light_map_s_columns_are_those_of_the_recipe() -> None:
    table = LightMap(2, photons=2).run()
    assert {"x", "y", "z", "image"} < set(table.names)
