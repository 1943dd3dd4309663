"""Negative weights: rows that subtract, in the loss where that is sound, refused elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calque.config import build
from calque.errors import ConfigError, DataError
from calque.fitting import OBJECTIVES, Objective, fit
from calque.fitting.batches import Batches
from calque.fitting.fit import build_objective
from calque.judging.watching import watched
from calque.kinds import KINDS, find_kind
from calque.preparing import TRAIN, VALIDATE, prepare
from calque.run import Run, build_generator
from calque.table import Layout, Table

SHARE = 0.3  # a: of the events are subtracted again
ROWS = 20_000
LEARNERS: dict[str, dict[str, Any]] = {
    "flow": {"steps": 300, "model": {"transforms": 2, "hidden": [32, 32]}, "optimiser": {"rate": 3e-3}},
    "flow-matching": {"steps": 600, "model": {"nodes": 64}},
}
REACHED = {"flow": 0.545, "flow-matching": 0.565}


def signed(rows: int = ROWS, seed: int = 0) -> Table:
    """(1 + a) p1 − a p2: a wide normal minus a narrow one, as a simulation with counter-events gives it."""
    stream = np.random.default_rng(seed)
    minus = stream.random(rows) < SHARE / (1 + 2 * SHARE)
    x, y = stream.normal(0, np.where(minus, 0.5, 1), (2, rows))
    return Table.of({"x": x, "y": y, "w": np.where(minus, -1.0, 1.0)}, weight="w")


def truth(rows: int, seed: int) -> Table:
    """The same density without signs, by rejection: there is a hole in the middle."""
    stream = np.random.default_rng(seed)
    x, y = stream.normal(size=(2, 4 * rows))
    narrow = 4 * np.exp(-1.5 * (x**2 + y**2))  # p2 / p1
    kept = np.flatnonzero(stream.random(4 * rows) < 1 - SHARE / (1 + SHARE) * narrow)[:rows]
    return Table.of({"x": x[kept], "y": y[kept]})


def learnt(table: Table, kind: str, **settings: Any) -> Run:
    data = prepare(table, steps=["standardise *"], seed=1)
    return fit(data, kind, batch=512, watch_every=100, average=0.98, quiet=True, **{**LEARNERS[kind], **settings})


def auc(run: Run) -> float:
    return watched(("auc",), truth(10_000, 5), run.sample(10_000, seed=3), 10_000, 0)["auc"]


@pytest.mark.parametrize("kind", LEARNERS)
def test_rows_of_negative_weight_are_subtracted(kind: str) -> None:
    run = learnt(signed(), kind)
    blind = learnt(Table.of({name: signed()[name] for name in ("x", "y")}), kind)
    assert auc(run) < REACHED[kind]
    assert auc(blind) > 0.6, "the same training without the signs fills the hole"
    assert run.history[-1].keys() >= {"energy"}, "a classifier knows no negative weights"
    assert middle(run) < 0.75 * middle(blind), "of the truth 0.8 % are there, of all rows 6.7 %"


def middle(run: Run) -> float:
    """Share of events in the hole."""
    drawn = run.sample(10_000, seed=4)
    return float((np.hypot(drawn["x"], drawn["y"]) < 0.3).mean())


def small(weights: np.ndarray | None = None, rows: int = 600) -> Table:
    table = signed(rows)
    return table if weights is None else table.with_columns({"w": weights})


TINY = {"batch": 32, "steps": 2, "quiet": True}


def objective_of(kind: str) -> Objective:
    config = build({"fit": {"kind": kind}}, "a test")
    return build_objective(config, build_generator(config, Layout.flat(["x", "y"]), 0))


COLUMNS = [name for name, kind in KINDS.items() if not (kind.image or OBJECTIVES[kind.objective].taught)]


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_kind_subtracts_or_refuses(kind: str, tmp_path: Path) -> None:
    data = prepare(small(), steps=["standardise *"], seed=1)
    if objective_of(kind).signed:
        run = fit(data, kind, **TINY, preset=find_kind(kind).presets[-1])
        assert np.isfinite(run.sample(100)["x"]).all()
        return
    with pytest.raises(DataError, match=rf"training weights are negative, which kind '{kind}' cannot subtract.*; "
                                        r"these can: .*flow.*; fit.weights = \"column\" learns"):
        fit(data, kind, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_mixture_does_not_subtract() -> None:
    """Responsibilities of negative rows may leave a component with less than no events."""
    assert not objective_of("mixture").signed
    assert all(objective_of(kind).signed for kind in ("flow", "flow-matching", "r3gan"))


def test_the_mean_over_signed_batches_is_that_of_the_weighted_rows() -> None:
    data = prepare(small(), steps=["standardise *"], seed=1)
    x, context, weights = data.encode(TRAIN)
    torch.manual_seed(0)
    batches = Batches(x, context, weights, len(x), torch.device("cpu"))
    drawn = [batches.draw({}) for _ in range(400)]
    means = torch.stack([torch.stack([batch.mean(batch.x**2), batch.mean(batch.x[:, 0] + 1)]) for batch in drawn])
    values = torch.stack([x.square().mean(1), x[:, 0] + 1]).double()
    assert ((means.double().mean(0) - values @ weights / weights.sum()).abs() < 4 * means.std(0) / 20).all()


def test_coordinates_come_from_the_sizes_of_the_weights() -> None:
    table = small()
    plus = table.with_columns({"w": np.abs(table["w"])})
    one, other = (prepare(each, x="quantile", y="arcsinh", seed=1) for each in (table, plus))
    assert one.preparation.to_dict() == other.preparation.to_dict()
    assert (one.encode(TRAIN)[2] < 0).any()


def test_contexts_are_drawn_with_what_is_left_of_them() -> None:
    """Of a class with as many negative rows as half its positive ones, half is left."""
    table = small(rows=4000)
    charge = np.where(table["w"] < 0, 1, np.random.default_rng(0).choice([-1, 1], 4000))
    data = prepare(table.with_columns({"charge": charge}), context=["charge"], seed=1)
    run = fit(data, "flow", **TINY)
    kept = data.rows(TRAIN)
    share = kept.weights[kept["charge"] == 1].sum() / kept.weights.sum()
    assert share < 0.4, "0.6 of the rows"
    assert (run.sample(20_000)["charge"] == 1).mean() == pytest.approx(share, abs=0.02)


def test_what_negative_weights_leave_nothing_of_is_refused() -> None:
    table = small()
    with pytest.raises(DataError, match=r"training rows sum to -.*no sample to draw"):
        prepare(table.with_columns({"w": np.where(np.arange(600) % 3, -1.0, 1.0)}))
    data = prepare(table.with_columns({"c": (table["w"] < 0).astype(int)}), context=["c"])
    with pytest.raises(DataError, match=r"1 of 2 contexts sum to less .*\(first c = 1\).* learn c like other"):
        fit(data, "flow", **TINY)
    with pytest.raises(ConfigError, match=r"'auc' cannot be taken with negative weights; these can: ks, .*energy"):
        fit(prepare(table), "flow", watch="auc", **TINY)
    data = prepare(table, validation=0.3, seed=1)
    data.table["w"][data.part == VALIDATE] = -0.1
    with pytest.raises(DataError, match=r"the 120 validation rows sum to -12, .* raise prepare.validation"):
        fit(data, "flow", **TINY)


def test_weights_as_columns_or_ignored_need_no_signs() -> None:
    for mode in ("column", "none"):
        data = prepare(small(), weights=mode, seed=1, **({"w": "discrete"} if mode == "column" else {}))
        run = fit(data, "mixture", model={"components": 3}, quiet=True)
        drawn = run.sample(500)
        assert drawn.weight == ("w" if mode == "column" else None)
        assert mode == "none" or set(drawn["w"]) == {-1, 1}
