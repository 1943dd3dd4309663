"""Events in a region only: by rejection, and through latent space, against what is known of the region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STEPS, small_fit
from productions import BLOCK, TornError, make, same, torn_after
from scipy import stats
from torch import Tensor

import calque.producing.latent as latent
import calque.producing.regions as regions
from calque.errors import CalqueError, FileError
from calque.fitting import fit
from calque.mixture import Mixture
from calque.models import Generator
from calque.preparing import prepare
from calque.producing import Production, produce
from calque.reading import read, write
from calque.run import Run
from calque.table import Table

WAYS = ("rejection", "latent")


class Straight(Generator):
    """Normals times a matrix, moved by the context: events of which everything is known."""

    def __init__(self, inner: Generator, lower: Tensor, move: Tensor) -> None:
        super().__init__(inner.layout, inner.context)
        self.lower, self.move = torch.nn.Parameter(lower), torch.nn.Parameter(move)
        self.noise = inner.size

    def sample(self, noise: Tensor, context: Tensor) -> Tensor:
        return noise @ self.lower.T + context @ self.move

    def latents(self, x: Tensor, context: Tensor, normals: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.lower, (x - context @ self.move).T, upper=False).T


def straight(rows: int = 8000, centre: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> Run:
    """Correlated normals a and b of width one, correlation 0.6; those of kind 1, one in five, one higher in a."""
    stream = np.random.default_rng(seed)
    kind = stream.choice([0, 1], rows, p=[0.8, 0.2])
    a, b = stream.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], rows).T
    table = Table.of({"a": a + kind + centre[0], "b": b + centre[1], "kind": kind.astype("i4")})
    data = prepare(table, steps=["minmax a b"], context=["kind"], seed=0)
    run = fit(data, "flow", steps=0, quiet=True, model={"transforms": 1, "hidden": [4]})
    scale, shift = run.preparation.steps[0].scale, run.preparation.steps[0].shift
    lower = torch.tensor([[1, 0], [0.6, 0.8]]) / scale[:, None]
    move = (torch.tensor([centre, (1 + centre[0], centre[1])]) - shift) / scale
    return replace(run, generator=Straight(run.generator, lower.float(), move.float()), rate=1.0)


@pytest.fixture(autouse=True)
def short_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is right whatever the description; a good one only takes fewer draws."""
    monkeypatch.setattr(latent, "PILOT", 6000)
    monkeypatch.setattr(latent, "ROUNDS", 1)


@pytest.fixture(scope="module")
def known() -> Run:
    """What makes normals."""
    torch.set_num_threads(1)
    return straight()


@pytest.fixture(scope="module")
def run(muons: Table) -> Run:
    """A small flow with the toy sample in memory."""
    torch.set_num_threads(1)
    return small_fit(muons, None)


def fits(values: Any, cdf: Callable[[Any], Any]) -> bool:
    """Kolmogorov and Smirnov see no difference."""
    return bool(stats.kstest(values, cdf).pvalue > 0.003)


@pytest.mark.parametrize("way", WAYS)
def test_a_region_of_known_events_is_as_it_has_to_be(known: Run, tmp_path: Path, way: str) -> None:
    """A tail: truncated normals in a, b given a as everywhere; each kind with its share."""
    table = make(known, 5000, tmp_path / "a.npz", where="a > 2.5", way=way, block=10_000)
    assert table["a"].min() > 2.5
    tails = np.array([0.8 * stats.norm.sf(2.5), 0.2 * stats.norm.sf(1.5)])
    assert table["kind"].mean() == pytest.approx(tails[1] / tails.sum(), abs=4 * 0.5 / np.sqrt(5000))
    for kind in (0, 1):
        a, b = (table[name][table["kind"] == kind] for name in ("a", "b"))
        assert fits(a - kind, stats.truncnorm(2.5 - kind, np.inf).cdf)
        assert fits((b - 0.6 * (a - kind)) / 0.8, stats.norm.cdf)


def test_a_region_in_pieces_keeps_them_all(known: Run, tmp_path: Path) -> None:
    """Far apart and unequal: a Gaussian around both is rough, what is drawn is not."""
    where = "kind == 0 and (a > 2.2 or a < -2.5)"
    table = make(known, 6000, tmp_path / "a.npz", where=where, way="latent", block=10_000)
    share = stats.norm.sf(2.2) / (stats.norm.sf(2.2) + stats.norm.sf(2.5))
    assert (table["a"] > 0).mean() == pytest.approx(share, abs=4 * 0.5 / np.sqrt(6000))
    assert fits(table["a"][table["a"] > 0], stats.truncnorm(2.2, np.inf).cdf)
    assert fits(-table["a"][table["a"] < 0], stats.truncnorm(2.5, np.inf).cdf)


def test_runs_have_their_shares_in_the_region(known: Run, tmp_path: Path) -> None:
    """By their rates and what each makes there; one that never was there makes none."""
    higher, absent = replace(straight(centre=(0.5, 50.0), seed=1), rate=3.0), straight(centre=(-9.0, 0.0))
    both, fixed = Mixture((known, higher)), {"context": {"kind": 0}, "where": "a > 2", "way": "latent"}
    table = make(both, 5000, tmp_path / "a.npz", block=10_000, **fixed)
    tails = stats.norm.sf(2.0), 3 * stats.norm.sf(1.5)
    second = table["b"] > 25
    assert second.mean() == pytest.approx(tails[1] / sum(tails), abs=4 * 0.5 / np.sqrt(5000))
    for lower, a in ((2.0, table["a"][~second]), (1.5, table["a"][second] - 0.5)):
        assert fits(a, stats.truncnorm(lower, np.inf).cdf)
    alone = make(known, 300, tmp_path / "b.npz", **fixed)
    assert same(make(Mixture((known, absent)), 300, tmp_path / "c.npz", **fixed), alone)


def test_latent_takes_fewer_draws_and_tells_what_it_cut_off(
    known: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"out": tmp_path / "a.npz", "where": "kind == 0 and a > 2.7", "exact": True, "quiet": True}
    monkeypatch.setattr(latent, "ROUNDS", 3)
    plain, through = (produce(known, 2000, way=way, **wanted) for way in WAYS)
    assert through.tried < plain.tried / 20
    assert plain.clipped == 0
    assert "clipped" not in str(plain)
    assert 0 <= through.clipped < 0.02
    monkeypatch.setattr(latent, "CLIPPED", 0.2)
    rough = produce(known, 20_000, way="latent", **wanted)
    assert rough.clipped == pytest.approx(0.2, abs=0.03)
    assert f"drawn, {rough.clipped:.2%} of the region clipped; " in str(rough)


@pytest.mark.parametrize("kind", ["flow", "vae", "flow-matching"])
def test_both_ways_lead_to_the_same_region(muons: Table, tmp_path: Path, kind: str) -> None:
    """Whatever the generator: an inverse that is exact, one that is near, an encoder that guesses."""
    models = {"flow": {"transforms": 1, "hidden": [16]}, "vae": {"likelihood": "gaussian"},
              "flow-matching": {"nodes": 32}}
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    run = fit(data, kind, quiet=True, steps=150, batch=128, model=models[kind], watch_every=1000)
    plain, through = (make(run, 3000, tmp_path / "a.npz", where="pz > 90 and abs(px) < 0.6", way=way, block=10_000)
                      for way in WAYS)
    assert through["pz"].min() > 90
    assert np.abs(through["px"]).max() < 0.6
    for name in ("px", "py", "pz", "z"):
        assert stats.ks_2samp(plain[name], through[name]).pvalue > 0.003, name
    assert (through["id"] == 13).mean() == pytest.approx((plain["id"] == 13).mean(), abs=0.05)


def test_rejection_keeps_the_events_of_the_stream(run: Run, tmp_path: Path) -> None:
    every = make(run, 3000, tmp_path / "a.npz")
    inside = every.rows(every["pz"] > 60)
    found = make(run, len(inside) - 1, tmp_path / "b.npz", where="pz > 60")
    assert same(found, inside.rows(slice(len(found))))


@pytest.mark.parametrize("way", WAYS)
def test_neither_workers_nor_cuts_change_a_region(run: Run, tmp_path: Path, way: str) -> None:
    where = {"where": "pz > 60 and id == 13", "way": way}
    whole = make(run, 300, tmp_path / "a.npz", workers=1, **where)
    assert set(whole["id"]) == {13}, "other contexts are not even tried"
    assert same(make(run, 300, tmp_path / "b.npz", workers=4, **where), whole)
    assert same(make(run, 170, tmp_path / "b.npz", **where), whole.rows(slice(170)))
    first = produce(run, 130, out=tmp_path / "c.npz", block=BLOCK, exact=True, quiet=True, **where)
    rest = make(run, 170, tmp_path / "d.npz", first_event=first.next_event, **where)
    assert same(Table.concatenate([read(tmp_path / "c.npz"), rest]), whole)
    assert not np.isin(make(run, 300, tmp_path / "b.npz", seed=1, **where)["px"], whole["px"]).any()


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_production_in_a_region_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    out, where = tmp_path / "a.root", {"where": "pz > 60", "way": way}
    with monkeypatch.context() as patch:
        torn_after(6, TornError, patch)
        with pytest.raises(TornError):
            make(run, 500, out, **where)
    with pytest.raises(FileError, match=r"was begun with way = .*, now it is"):
        make(run, 500, out, where="pz > 60", way=next(other for other in WAYS if other != way), resume=True)
    made = produce(run, 500, out=out, block=BLOCK, exact=True, quiet=True, resume=True, **where)
    assert 0 < made.drawn < made.rows == 500
    assert same(read(out), make(run, 500, tmp_path / "b.root", **where))
    again = produce(run, 500, out=out, block=BLOCK, exact=True, quiet=True, resume=True, **where)
    assert str(again) == f"{out} is complete already"


def test_a_folder_finds_its_training_sample_or_is_told_where_it_is(flow_run: Run, muons: Table, tmp_path: Path) -> None:
    where: dict[str, Any] = {"where": "pz > 60", "way": "latent"}
    with pytest.raises(FileError, match="was trained on a table in memory; name the file it came from with --data"):
        make(flow_run.folder, 100, tmp_path / "a.npz", **where)
    write(muons, tmp_path / "muons.root")
    told = make(flow_run.folder, 100, tmp_path / "a.npz", data=tmp_path / "muons.root", **where)
    assert same(told, make(flow_run, 100, tmp_path / "b.npz", **where))


def test_signed_and_learnt_weights_only_choose_where_to_look(muons: Table, tmp_path: Path) -> None:
    signed = muons.with_columns({"w": np.where(np.arange(len(muons)) % 7, 1.0, -0.5)})
    data = prepare(signed, steps=["standardise *"], weights="column", seed=1)
    run = fit(data, "flow", quiet=True, steps=0, weights="column", model={"transforms": 1, "hidden": [4]})
    table = make(run, 200, tmp_path / "a.npz", where="pz > 60", way="latent")
    assert set(table.names) == set(run.names)
    assert "w" in table.names


@pytest.mark.parametrize(("settings", "message"), [
    ({"context": Table.of({"id": [13] * 50}), "where": "pz > 1"}, "give either where or a table of contexts"),
    ({"where": "pzz > 1"}, "no column 'pzz' for the condition 'pzz > 1' among what is drawn; nearest: pz"),
    ({"where": "pz + 1"}, "not true or false for each row"),
    ({"where": "pz > 1", "order": "sorted"}, "order = sorted needs the runs' shares"),
    ({"where": "id == 12"}, "no context that was trained on satisfies 'id == 12'"),
    ({"where": "pz > 1", "way": "latnt"}, "no way 'latnt'; nearest: latent"),
    ({"way": "latent"}, "way = latent leads into a region; give where, or leave it out"),
    ({"where": "pz > 1", "data": "a.root"}, "data is the training sample, which only way = latent asks for"),
    ({"where": "pz > 1e6", "way": "latent"}, "no training event lies in 'pz > 1e6'; use --way rejection"),
    ({"where": "pz > 190", "way": "latent"}, "only [1-9] training events lie in 'pz > 190', at least 10 are needed"),
])
def test_regions_that_mean_nothing_are_one_clear_line(
    run: Run, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(CalqueError, match=message) as caught:
        produce(run, **{"n": 100, "out": tmp_path / "a.npz", "quiet": True, **settings})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_generator_without_latents_is_refused(muons: Table, tmp_path: Path) -> None:
    run = fit(prepare(muons, steps=STEPS, context=["id"], seed=1), "r3gan", quiet=True, steps=0)
    with pytest.raises(CalqueError, match=r"--way latent: a DenseGenerator does not tell .*; use --way rejection"):
        make(run, 10, tmp_path / "a.npz", where="pz > 60", way="latent")


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_is_ever_drawn_it_stops(
    known: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Training events are there, but the generator makes none."""
    monkeypatch.setattr(regions, "HOPELESS", 20_000)
    assert isinstance(known.generator, Straight)
    narrow = Straight(known.generator, known.generator.lower.detach() * 1e-3, known.generator.move.detach())
    with pytest.raises(CalqueError, match=r"has \(nearly\) nothing there; widen the region, or train on it alone"):
        make(replace(known, generator=narrow), 10, tmp_path / "a.npz", where="b > 1.5", way=way, block=10_000)
    assert not list(tmp_path.glob("a.npz"))


def test_a_production_in_a_region_tells_how_rare_it_is(tmp_path: Path) -> None:
    told = str(Production(tmp_path / "a.root", 1200, 1200, 0.5, 4000, 4000, 0.004))
    assert ", 30.000% of 4000 drawn, 0.40% of the region clipped; " in told
