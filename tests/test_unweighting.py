"""Events of weight one: accepted by the weight that was learnt, the same whatever is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from calque.cli import main
from calque.errors import ConfigError, DataError
from calque.fitting import fit
from calque.models import Generator
from calque.preparing import prepare
from calque.producing import Production, produce, unweighting
from calque.producing.unweighting import LEAST_KEPT, LOST, choose_cap
from calque.reading import read
from calque.run import Run
from calque.table import Table


class Known(Generator):
    """x is normal, and log w = slope · x + spread · a second normal: weights of which everything is known."""

    def __init__(self, inner: Generator, slope: float, spread: float) -> None:
        super().__init__(inner.layout, inner.context)
        self.slope, self.spread = torch.nn.Parameter(torch.tensor(slope)), spread
        self.noise = 2

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        x, other = noise.T
        return torch.stack([x, (self.slope * x + self.spread * other).clamp(max=3.0)], dim=1)


def known(slope: float = 0.5, spread: float = 0.0, steps: tuple[str, ...] = ("log w",)) -> Run:
    """A run that draws known weights."""
    stream = np.random.default_rng(0)
    table = Table.of({"x": stream.normal(size=600), "w": stream.exponential(1, 600) + 0.01}, weight="w")
    data = prepare(table, steps=list(steps), weights="column", seed=0)
    run = fit(data, "flow", steps=0, quiet=True, batch=64, model={"transforms": 1, "hidden": [4]})
    return replace(run, generator=Known(run.generator, slope, spread), rate=1.0)


def unweighted(run: Run | list[Run], n: int, folder: Path, name: str = "u.npz", **wishes: Any) -> tuple[Table, Any]:
    """Events in a file and what is said of them."""
    wishes = {"exact": True, "unweight": True, "quiet": True, "workers": 1, **wishes}
    made = produce(run, n, out=folder / name, **wishes)
    return read(folder / name), made


@pytest.fixture(autouse=True)
def short_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pilot that takes no time."""
    monkeypatch.setattr(unweighting, "PILOT", 20_000)


def test_events_follow_the_weighted_density(tmp_path: Path) -> None:
    """exp(x / 2) times a standard normal is a normal around 1/2; the share kept is the mean weight over the cap."""
    table, made = unweighted(known(), 20_000, tmp_path)
    assert set(table["w"]) == {1.0}
    assert table["x"].mean() == pytest.approx(0.5, abs=0.03)
    assert table["x"].std() == pytest.approx(1.0, abs=0.03)
    assert made.rows / made.tried == pytest.approx(np.exp(0.125) / made.cap, rel=0.05)
    assert made.clipped < 0.001


def test_the_weights_of_categories_count_in_their_shares(tmp_path: Path) -> None:
    """One of twice the weight gets twice the events."""
    one = known(0.0)
    two = replace(known(0.0), generator=Known(one.generator, 0.0, 0.0))
    two.generator.register_buffer("shift", torch.tensor(np.log(2.0)))
    two.generator.sample = lambda noise, context: torch.stack(  # type: ignore[method-assign]
        [noise[:, 0] + 100, torch.full_like(noise[:, 0], float(np.log(2.0)))], dim=1)
    table, made = unweighted([one, two], 9000, tmp_path)
    assert (table["x"] > 50).mean() == pytest.approx(2 / 3, abs=0.02)
    assert made.cap == pytest.approx(2.0)


def test_event_i_is_the_same_however_it_is_asked_for(tmp_path: Path) -> None:
    run = known()
    table, made = unweighted(run, 3000, tmp_path)
    fewer, first = unweighted(run, 1000, tmp_path, "first.npz", workers=3)
    rest, last = unweighted(run, 2000, tmp_path, "rest.npz", first_event=first.next_event)
    assert np.array_equal(np.concatenate([fewer["x"], rest["x"]]), table["x"])
    assert last.next_event == made.next_event
    other, _ = unweighted(run, 1000, tmp_path, "other.npz", seed=1)
    assert not np.array_equal(other["x"], fewer["x"])
    assert len(np.unique(table["x"])) > 0.998 * len(table), "no event twice, but for a chance of single precision"


def test_a_region_of_unweighted_events(tmp_path: Path) -> None:
    """The same events as outside a region, but for those that do not lie in it."""
    run = known()
    table, _ = unweighted(run, 3000, tmp_path)
    inside, _ = unweighted(run, 400, tmp_path, "inside.npz", where="x > 1")
    assert np.array_equal(inside["x"], table["x"][table["x"] > 1][:400])
    with pytest.raises(ConfigError, match="asks for the weight 'w', which unweighting sets to one"):
        unweighted(run, 10, tmp_path, "w.npz", where="w > 1 and x > 0")


def test_a_killed_production_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calque.reading import Sink

    run, write, calls = known(), Sink.write, iter(range(100))
    whole, _ = unweighted(run, 30_000, tmp_path, "whole.csv")

    def killed(self: Sink, table: Any) -> None:
        if next(calls) == 2:
            raise MemoryError
        write(self, table)

    with monkeypatch.context() as patch:
        patch.setattr(Sink, "write", killed)
        with pytest.raises(MemoryError):
            unweighted(run, 30_000, tmp_path, "cut.csv")
    again, made = unweighted(run, 30_000, tmp_path, "cut.csv", resume=True)
    assert made.drawn < made.rows
    assert np.array_equal(again["x"], whole["x"])


def test_the_weight_above_a_lowered_cap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights over so many decades that the largest would leave one event in a thousand."""
    monkeypatch.setattr(Known, "sample", lambda self, noise, context: torch.stack(
        [noise[:, 0], 2.0 * noise[:, 1]], dim=1))
    table, made = unweighted(known(), 2000, tmp_path)
    assert 0 < made.clipped < 20 * LOST
    assert f"accepted by weight up to {made.cap:g}, {made.clipped:.2%} of the weight above" in str(made)
    assert made.rows / made.tried == pytest.approx(np.exp(2) / made.cap, rel=0.1)
    assert table["x"].mean() == pytest.approx(0, abs=0.1), "x tells nothing of the weight"


@pytest.mark.parametrize("seed", range(5))
def test_a_cap_loses_no_more_than_it_may(seed: int) -> None:
    weights = np.random.default_rng(seed).lognormal(0, 0.8 * (1 + seed), 20_000)
    cap = choose_cap(weights)
    assert np.maximum(weights - cap, 0).sum() <= LOST * weights.sum()
    assert cap == weights.max() or weights.mean() / weights.max() < LEAST_KEPT
    assert choose_cap(weights * 1e-200) == pytest.approx(cap * 1e-200)


def test_what_cannot_be_unweighted_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"generated weights 'w' are negative or no numbers.*the step \"log w\""):
        unweighted(known(steps=("standardise w",)), 10, tmp_path)
    plain = known()
    plain.config = plain.config.model_copy(deep=True)
    plain.config.read.weight = None
    with pytest.raises(ConfigError, match="its events have no weight to accept them by; leave unweight out"):
        unweighted(plain, 10, tmp_path)
    with pytest.raises(ConfigError, match="order = sorted needs the runs' shares"):
        unweighted(known(), 10, tmp_path, order="sorted")
    with pytest.raises(ConfigError, match="way = latent accepts by an importance"):
        unweighted(known(), 10, tmp_path, where="x > 1", way="latent")
    assert not list(tmp_path.iterdir())


def test_from_the_command_line_and_from_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = np.random.default_rng(0)
    rows = {"x": stream.normal(size=900), "w": stream.choice([1.0, 5.0], 900)}
    np.savez(tmp_path / "events.npz", **rows)
    toml = tmp_path / "run.toml"
    toml.write_text(f"""
out = "{tmp_path}/run"
[read]
files = "{tmp_path}/events.npz"
weight = "w"
[fit]
weights = "column"
steps = 2
batch = 32
model = {{ transforms = 1, hidden = [4] }}
[judge]
measures = "quick"
plots = false
[produce]
n = 200
out = "own.npz"
exact = true
unweight = true
""")
    assert main(["run", str(toml), "--quiet"]) == 0
    assert main(["produce", str(tmp_path / "run"), "-n", "200", "--exact", "--unweight", "--quiet", "-o",
                 str(tmp_path / "again.npz")]) == 0
    assert "accepted by weight up to 5, 0.00% of the weight above" in capsys.readouterr().out
    assert main(["run", str(toml), "--quiet", "--out", str(tmp_path / "other"), "--set", "fit.weights=draw"]) == 2
    assert "accepts events by their learnt weight, but fit.weights = 'draw'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    own, again = read(tmp_path / "run" / "own.npz"), read(tmp_path / "again.npz")
    assert np.array_equal(own["x"], again["x"])
    assert set(own["w"]) == {1.0}


def test_a_production_tells_its_cap() -> None:
    said = str(Production(Path("u.root"), 100, 100, 1.0, 400, 400, 0.0012, 768.75))
    assert "25.000% of 400 drawn, accepted by weight up to 768.75, 0.12% of the weight above" in said
