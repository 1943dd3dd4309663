"""What is drawn on another device is made there: the meta device, which has no numbers, stands for a GPU."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from productions import make, same
from test_fitting import CATALOGUE, objective_of
from test_preparing import CATALOGUE as STEPS
from test_preparing import fitted

from calque.data import sample
from calque.errors import ConfigError
from calque.preparing import Data, prepare
from calque.producing import produce
from calque.reading import read
from calque.run import MANY, Run
from calque.table import Table

CHOOSES = {"mixture", "progressive-gan", "stylegan"}  # do what numbers say, and this device has none


@pytest.fixture(scope="module")
def learnt(muons: Table) -> Data:
    return prepare(muons, steps=["standardise *"], context=["id"], seed=1)


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry["kind"] not in CHOOSES])
def test_a_generator_draws_where_its_noise_is(learnt: Data, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # of which this device has none
    generator = objective_of(learnt, name)[0].generator.eval().to("meta")
    noise, context = (torch.empty(7, width, device="meta") for width in (generator.noise, generator.context))
    with torch.inference_mode():
        events = generator.sample(noise, context)
    assert (events.device.type, events.shape) == ("meta", (7, generator.size))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_undone_where_its_columns_are(name: str) -> None:
    step, x, y, _ = fitted(STEPS[name])
    made = step.to("meta").inverse(y.to("meta"), torch.empty(len(y), step.inverse_noise, device="meta"))
    assert (made.device.type, made.shape) == ("meta", x.shape)


def test_showers_are_put_together_where_they_are() -> None:
    photons = read(sample("photons.h5"), layout="calogan").rows(slice(300))
    steps = ["layers layer_0 layer_2 layer_1", "shares layer_0_energy layer_2_energy layer_1_energy given=energy",
             "whiten *"]
    made = prepare(photons, steps=steps, context=["energy"], seed=1).preparation
    packed, noise, energy = (torch.empty(5, *size, device="meta") for size in
                             ((made.layout.size,), (made.inverse_noise,), ()))
    columns = made.float().to("meta").inverse(packed, noise, {"energy": energy})
    assert {name: (column.device.type, column.shape[1:]) for name, column in columns.items()} == {
        name: ("meta", photons[name].shape[1:]) for name in photons.names if name != "energy"}


def test_a_run_on_a_device_is_the_same_run(flow_run: Run, tmp_path: Path) -> None:
    assert same(flow_run.to("cpu").sample(100, seed=1), flow_run.sample(100, seed=1))
    there = flow_run.to("meta")
    assert (there.device.type, flow_run.device.type) == ("meta", "cpu")
    assert {buffer.device.type for buffer in there.preparation.buffers()} == {"meta"}
    assert there.together * there.rows == MANY
    assert same(make(flow_run, 300, tmp_path / "a.npz", device="cpu"), make(flow_run, 300, tmp_path / "b.npz"))


def test_a_device_that_is_not_here_is_one_clear_line(flow_run: Run, tmp_path: Path) -> None:
    for name in ("gpu", "meta"):
        with pytest.raises(ConfigError, match=f"no device {name!r} here .*; use cpu or auto"):
            produce(flow_run, 10, out=tmp_path / "a.npz", device=name, quiet=True)
    with pytest.raises(ConfigError, match="way = latent draws on a cpu; with device = meta take --way rejection"):
        produce(replace(flow_run, generator=flow_run.to("meta").generator), 10, out=tmp_path / "a.npz", where="pz > 1",
                way="latent", quiet=True)
