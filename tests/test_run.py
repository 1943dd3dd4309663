"""A run: drawn in physical units, saved and loaded whole, judged on its own files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STEPS, make_muons, small_fit

import calque
from calque.config import Config, build, load_config
from calque.errors import CalqueError, ConfigError, DataError, FileError
from calque.fitting import fit
from calque.judging.verdict import judge, judged_before, reread
from calque.mixture import Mixture, load, runs_in
from calque.models import DenseGenerator
from calque.preparing import TRAIN, prepare
from calque.provenance import hash_of, is_finished, save_categories, unsealed, write_sealed
from calque.reading import fingerprint, write
from calque.run import BLOCK, Run, chunk, load_run
from calque.table import Layout, Table

KINDS: dict[str, dict[str, Any]] = {
    "gan": {"model": {"layers": 1, "base": 8}, "objective": {"layers": 1, "base": 8}},
    "vae": {"model": {"likelihood": "gaussian", "encoder_nodes": 8, "decoder_nodes": 8}},
    "flow": {"model": {"transforms": 1, "hidden": [8]}},
}


def same(one: Table, other: Table) -> bool:
    """Bit for bit."""
    return one.names == other.names and all(np.array_equal(one[name], other[name]) for name in one.names)


def close(one: Table, other: Table) -> None:
    """As equal as products of other batches are."""
    assert one.names == other.names
    for name in one.names:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def untrained(muons: Table) -> Run:
    """A generator as it was initialised."""
    return small_fit(muons, None, steps=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_what_its_folder_holds(muons: Table, tmp_path: Path, kind: str) -> None:
    data = prepare(muons, steps=STEPS, context=["id"], seed=1)
    run = fit(data, kind, out=tmp_path / kind, quiet=True, steps=3, batch=64, **KINDS[kind])
    again = load(tmp_path / kind)
    assert isinstance(again, Run)
    drawn = again.sample(300, seed=5)
    assert same(drawn, run.sample(300, seed=5))
    assert set(drawn.names) == {"px", "py", "pz", "z", "id"}
    assert drawn.weight is None
    assert drawn.units == {name: unit for name, unit in muons.units.items() if name in drawn.names}
    assert all(drawn[name].dtype == muons[name].dtype == again.dtypes[name] for name in drawn.names)
    assert again.rate == pytest.approx(muons.weights.sum())
    assert again.history == run.history
    if kind == "flow":
        np.testing.assert_allclose(again.log_prob(muons), run.log_prob(muons), rtol=1e-5, atol=1e-4)
    else:
        with pytest.raises(CalqueError, match="draws events but has no density; kind 'flow' has one"):
            again.log_prob(muons)


def test_what_is_drawn_is_the_beginning_of_one_stream(untrained: Run) -> None:
    """Whatever the number; a second seed is another stream."""
    long = untrained.sample(BLOCK + 2500, seed=3)
    assert len(long) == BLOCK + 2500
    for rows in (0, 1, 2000, BLOCK, BLOCK + 100):
        close(untrained.sample(rows, seed=3), long.rows(slice(rows)))
    assert same(untrained.sample(BLOCK, seed=3), long.rows(slice(BLOCK)))
    other = untrained.sample(1000, seed=4)
    assert not np.isin(other["px"], long["px"]).any()
    assert len(np.unique(long["pz"])) > 0.99 * len(long), "no block repeats another"
    with pytest.raises(ConfigError, match="n = -1"):
        untrained.sample(-1)


def test_a_mixture_is_one_stream_too(untrained: Run) -> None:
    mixture = Mixture((replace(untrained, rate=1.0), replace(untrained, rate=3.0)))
    long = mixture.sample(BLOCK + 50, seed=3)
    for rows in (0, 1, 700, BLOCK + 1):
        close(mixture.sample(rows, seed=3), long.rows(slice(rows)))


def test_wide_events_come_in_shorter_blocks(untrained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory is bounded whatever the events are; a stream is cut the same way every time."""
    assert untrained.rows == BLOCK
    monkeypatch.setattr("calque.run.WIDE", 50 * untrained.width + 1)
    assert untrained.rows == 50
    long = untrained.sample(120, seed=3)
    assert same(untrained.block(3, 1), long.rows(slice(50, 100)))
    assert len(np.unique(long["pz"])) > 110, "no block repeats another"


def test_contexts_are_fixed_by_value(flow_run: Run) -> None:
    drawn = flow_run.sample(200, context={"id": 13}, seed=1)
    assert set(drawn["id"]) == {13}
    assert drawn["id"].dtype == np.int32
    other = flow_run.sample(200, context={"id": -13}, seed=1)
    assert not np.allclose(drawn["pz"], other["pz"]), "the generator sees it"


def test_contexts_are_given_row_by_row(flow_run: Run) -> None:
    wanted = Table.of({"id": np.where(np.arange(BLOCK + 7) % 3 == 0, 13, -13)})
    drawn = flow_run.sample(BLOCK + 7, context=wanted, seed=1)
    assert np.array_equal(drawn["id"], wanted["id"])
    fixed = flow_run.sample(BLOCK + 7, context={"id": 13}, seed=1)
    mine = wanted["id"] == 13
    np.testing.assert_allclose(drawn["pz"][mine], fixed["pz"][mine], rtol=1e-4, err_msg="the noise is the same")


@pytest.mark.parametrize(("context", "message"), [
    ({"charge": 1}, "no context 'id' given; nearest: charge"),
    ({"id": 13, "charge": 1}, "no context 'charge' that this run was trained with; nearest: id"),
    ({"id": 11}, r"context id = 11 was not trained on; there are \[-13, 13\]"),
    (Table.of({"id": [13, 13]}), "the context table has 2 rows for 5 events"),
])
def test_contexts_that_cannot_be_given_are_named(flow_run: Run, context: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        flow_run.sample(5, context=context)


def test_contexts_follow_the_weights_of_the_training_rows() -> None:
    """A charge of few but heavy rows; another that training never saw is never drawn."""
    stream = np.random.default_rng(0)
    charge = np.where(np.arange(4000) < 400, 13, -13).astype("i4")
    table = Table.of({"x": stream.normal(size=4000), "id": charge, "w": np.where(charge == 13, 27.0, 1.0)}, weight="w")
    data = prepare(table, context=["id"], seed=1)
    rare = int(np.flatnonzero(data.part != TRAIN)[0])
    table["id"][rare] = 99
    run = fit(data, "flow", quiet=True, steps=0, **KINDS["flow"])
    kept = data.rows(TRAIN)
    share = kept.weights[kept["id"] == 13].sum() / kept.weights.sum()
    assert share == pytest.approx(0.75, abs=0.02)
    drawn = run.sample(20_000, seed=2)["id"]
    assert set(drawn) == {-13, 13}
    assert (drawn == 13).mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 20_000))
    plain = fit(prepare(table, context=["id"], weights="none", seed=1), "flow", quiet=True, steps=0, **KINDS["flow"])
    assert (plain.sample(20_000)["id"] == 13).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("steps", [
    ["log r", "standardise *"],
    ["quantile r", "arcsinh y", "standardise *"],
    ["minmax *"],
])
def test_a_density_in_physical_units_integrates_to_one(steps: list[str]) -> None:
    """On a grid in r [cm] and y, the Jacobian of the preparation included; its moments are those of the draws."""
    stream = np.random.default_rng(0)
    table = Table.of({"r": 50 * stream.gamma(4, size=3000), "y": stream.normal(3, 0.2, 3000)}, {"r": "cm"})
    run = fit(prepare(table, steps=steps, seed=0), "flow", quiet=True, steps=60, batch=128,
              optimiser={"rate": 1e-2, "schedule": "constant"}, average=0.9, model={"transforms": 1, "hidden": [16]})
    low, high = {"quantile r": (table["r"].min(), table["r"].max())}.get(steps[0], (0.5, 2500))
    r, y = np.linspace(low, high, 801), np.linspace(0.5, 5.5, 401)
    r, y = (r[1:] + r[:-1]) / 2, (y[1:] + y[:-1]) / 2
    grid = Table.of({"r": np.repeat(r, len(y)), "y": np.tile(y, len(r))})
    density = np.exp(run.log_prob(grid)) * (r[1] - r[0]) * (y[1] - y[0])
    drawn = run.sample(20_000, seed=1)
    inside = (drawn["r"] > low) & (drawn["r"] < high) & (drawn["y"] > 0.5) & (drawn["y"] < 5.5)
    assert density.sum() == pytest.approx(inside.mean(), abs=0.02)
    assert inside.mean() > 0.9
    for name in ("r", "y"):
        wanted = (density * grid[name]).sum() / density.sum()
        assert drawn[name][inside].mean() == pytest.approx(wanted, abs=0.05 * table[name].std())


LATTICE = [7.69, 76.875, 768.75]


def weighted() -> Table:
    """Heavy rows lie elsewhere: the mean that counts the weights is not the plain one."""
    stream = np.random.default_rng(5)
    w = stream.choice(LATTICE, 6000, p=[0.8, 0.15, 0.05])
    columns = {"x": stream.normal(np.log(w), 0.5), "y": stream.normal(size=6000), "w": w.astype("f4")}
    return Table.of(columns, weight="w")


@pytest.mark.parametrize("mode", ["draw", "column", "none"])
def test_weights_do_what_they_are_told(mode: Any) -> None:
    table = weighted()
    steps = ["discrete w", "standardise *"] if mode == "column" else ["standardise *"]
    data = prepare(table, steps=steps, weights=mode, seed=0)
    run = fit(data, "flow", quiet=True, steps=250, batch=256, average=0.9, model={"transforms": 2, "hidden": [32]},
              optimiser={"rate": 1e-2, "schedule": "cosine"})
    drawn = run.sample(20_000, seed=1)
    weighs = table.weights if mode != "none" else np.ones(len(table))
    wanted = np.average(table["x"], weights=weighs)
    assert np.average(drawn["x"], weights=drawn.weights) == pytest.approx(wanted, abs=0.25)
    assert abs(np.average(table["x"], weights=table.weights) - table["x"].mean()) > 1
    if mode == "column":
        assert drawn.weight == "w"
        assert set(drawn["w"]) == set(table["w"]), "exact values, and all of them"
        assert drawn["w"].dtype == np.float32
        for value in set(table["w"]):
            assert (drawn["w"] == value).mean() == pytest.approx((table["w"] == value).mean(), abs=0.05)
    else:
        assert drawn.names == ("x", "y")
    assert run.rate == pytest.approx(table.weights.sum() if mode == "draw" else len(table)), "what a mixture is made of"
    assert run.imitate(data.judged(TRAIN)).names == drawn.names


@pytest.fixture
def folder(flow_run: Run, tmp_path: Path) -> Path:
    """A run folder that may be damaged."""
    assert flow_run.folder is not None
    return Path(shutil.copytree(flow_run.folder, tmp_path / "run"))


NEEDED = ["preparation.json", "model.safetensors", "provenance.json"]


@pytest.mark.parametrize("name", NEEDED)
def test_a_half_written_folder_says_so(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileError, match=f"run is half written: no {name} in it; finish it with --resume"):
        load(folder)


@pytest.mark.parametrize("name", [*NEEDED, "split.npz", "contexts.npz"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"PK\x03\x04 torn", None])
def test_a_damaged_folder_is_one_line(folder: Path, name: str, content: bytes | None) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(FileError, match=r"is not what was trained|provenance.json is damaged") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_fit_is_one_line(folder: Path) -> None:
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("hidden = [16]", "hidden = [17]"))
    with pytest.raises(FileError, match=r"config.toml is not what was trained \(its hash differs\)"):
        load(folder)
    unseal(folder)
    with pytest.raises(FileError, match="damaged") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def unseal(folder: Path) -> None:
    """Make a folder one from before there were hashes."""
    kept = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(unsealed(kept)))


def test_a_folder_without_hashes_still_loads(folder: Path) -> None:
    before = load_run(folder)
    unseal(folder)
    assert same(load_run(folder).sample(50), before.sample(50))


@pytest.mark.parametrize("name", [*NEEDED, "config.toml", "split.npz", "contexts.npz"])
def test_every_flipped_bit_is_found(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 12):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        (folder / name).write_bytes(flipped)
        with pytest.raises(FileError) as caught:
            load(folder)
        assert "\n" not in str(caught.value)
        assert not is_finished(folder), "so that --resume makes it anew"
    (folder / name).write_bytes(whole)
    assert is_finished(folder)


def test_what_may_not_be_read_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Any:
        def failing(*_: Any) -> None:
            raise error
        return failing

    refusals = {"Permission denied": PermissionError(13, "Permission denied", str(folder)),
                "not enough memory to open": MemoryError(),
                "is not enough memory to": RuntimeError("DefaultCPUAllocator: not enough memory: you tried")}
    for message, error in refusals.items():
        monkeypatch.setattr("calque.run.load_tensors", fail(error))
        with pytest.raises(FileError, match=message) as caught:
            load(folder)
        assert "damaged" not in str(caught.value)


def test_a_torn_history_is_read_up_to_the_tear(folder: Path) -> None:
    history = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(history[:-5])
    assert [entry["step"] for entry in load_run(folder).history] == [10, 20]


def test_what_is_no_run_folder_names_the_nearest(folder: Path) -> None:
    with pytest.raises(FileError, match=r"runn is no run folder \(no config.toml in it\); nearest: .*/run"):
        load(folder.parent / "runn")
    with pytest.raises(FileError, match=r"it has no config.toml, but run in it have; finish it with --resume"):
        load(folder.parent)


def test_a_folder_of_categories_is_a_mixture(flow_run: Run, tmp_path: Path) -> None:
    config = Config.model_validate({"out": str(tmp_path), "categories": {"light": {}, "heavy": {"where": "w > 10"}}})
    assert flow_run.folder is not None
    for name in config.categories:
        shutil.copytree(flow_run.folder, tmp_path / name)
    save_categories(config)
    assert load_config(tmp_path / "config.toml") == config
    mixture = load(tmp_path)
    assert isinstance(mixture, Mixture)
    assert [run.folder for run in mixture.runs] == [tmp_path / "light", tmp_path / "heavy"]
    assert len(runs_in(tmp_path / "light")) == 1
    shutil.rmtree(tmp_path / "heavy")
    with pytest.raises(FileError, match=r"heavy is no run folder"):
        load(tmp_path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was trained on a file, and the file."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("judged")
    source = place / "muons.npz"
    write(make_muons(), source)
    config = Config.model_validate({"seed": 1, "read": {"files": str(source), "weight": "w"},
                                    "fit": {"steps": 10, "batch": 64, **KINDS["flow"]}})
    data = prepare(calque.read(source, weight="w"), steps=STEPS, context=["id"], seed=1)
    fit(data, config=config, out=place / "run", quiet=True, inputs=[fingerprint(source)])
    return place / "run", source


def test_judging_rereads_what_training_never_saw(judged: tuple[Path, Path]) -> None:
    folder, source = judged
    again = reread(load_run(folder))
    data = prepare(calque.read(source, weight="w"), steps=STEPS, context=["id"], seed=1)
    assert np.array_equal(again.part, data.part)
    settings = {"rows": 500, "repeats": 1, "seed": 7, "plots": False}
    report = judge(folder, **settings)
    run = load_run(folder)
    assert run.reports.read()["verdict"] == report.verdict()
    assert judged_before(run, **settings) == report.verdict()
    assert judged_before(run, **{**settings, "rows": 501}) == ""
    assert same(run.data.table if run.data else again.table, data.table)


def test_an_input_that_moved_is_named_and_another_is_refused(judged: tuple[Path, Path], tmp_path: Path) -> None:
    folder, source = judged
    copied = Path(shutil.copytree(folder, tmp_path / "run"))
    config = copied / "config.toml"
    config.write_text(config.read_text().replace(str(source), str(tmp_path / "muons.npz")))
    written = json.loads((copied / "provenance.json").read_text())
    hashes = {**written.pop("files"), "config.toml": hash_of(config.read_bytes())}
    written.pop("sha256")
    write_sealed(copied, {**written, "files": hashes})
    with pytest.raises(FileError, match=r"no file 'muons.npz'"):
        judge(copied)
    shutil.copy(source, tmp_path / "moved.npz")
    assert len(reread(load_run(copied), tmp_path / "moved.npz").table) == 3000
    write(make_muons(seed=4), tmp_path / "muons.npz")
    with pytest.raises(FileError, match=r"muons.npz is not what .*run was trained on \(its contents differ\); "
                                        "name the original with --data"):
        judge(copied)


def test_a_run_on_a_table_in_memory_is_judged_there_or_on_its_file(muons: Table, tmp_path: Path) -> None:
    run = small_fit(muons, tmp_path / "run", steps=2)
    report = judge(run, rows=200, repeats=1, plots=False)
    assert 0.3 < report["auc_raw"].value <= 1
    with pytest.raises(FileError, match="was trained on a table in memory; name the file it came from with --data"):
        judge(tmp_path / "run")
    extra = muons.with_columns({"unused": np.arange(len(muons))})
    write(extra, tmp_path / "muons.npz")
    assert set(reread(load_run(tmp_path / "run"), tmp_path / "muons.npz").table.names) == set(muons.names)
    write(muons.rows(slice(100)), tmp_path / "short.npz")
    with pytest.raises(FileError, match=r"has 100 rows, not those .*run was trained on"):
        judge(tmp_path / "run", data=tmp_path / "short.npz")


def test_a_category_of_another_kind_leaves_the_presets_of_the_common_one_behind() -> None:
    """What the user set stays, what only the kind brought along goes."""
    raw = {"fit": {"kind": "wgan-gp", "objective": {"base": 32}},
           "categories": {"same": {"fit": {"steps": 5}}, "other": {"fit": {"kind": "wgan"}}}}
    config = build(raw, "a test")
    assert config.category("same").fit.objective == config.fit.objective
    other = config.category("other").fit
    assert (other.optimiser.name, other.optimiser.rate) == ("rmsprop", 5e-5)
    assert (other.objective["constraint"], other.objective["base"]) == ("clip", 32)


def test_a_category_keeps_what_was_written_even_where_it_equals_a_preset(tmp_path: Path) -> None:
    """The default kind, a flow, brings the same rate and schedule: no accident may decide what a GAN gets."""
    raw = {"fit": {"optimiser": {"rate": 3e-3, "schedule": "cosine"}, "steps": 7},
           "categories": {"written": {"fit": {"kind": "wgan-gp"}}, "plain": {}}}
    config = build(raw, "a test")
    assert config.category("plain").fit.optimiser == config.fit.optimiser
    chosen = config.category("written").fit.optimiser
    assert (chosen.rate, chosen.schedule, chosen.beta2) == (3e-3, "cosine", 0.9)
    unset = build({**raw, "fit": {"steps": 7}}, "a test")
    assert unset.fit == config.fit
    assert unset != config, "they mean something else for a category"
    for one in (config, unset):
        save_categories(one.model_copy(update={"out": str(tmp_path)}))
        again = load_config(tmp_path / "config.toml")
        assert all(again.category(name).fit == one.category(name).fit for name in one.categories)
    assert unset.category("written").fit.optimiser.rate == 1e-4
    assert unset.category("written").fit.batch == 64, "and its batch"


def test_wide_networks_draw_fewer_rows_at_once() -> None:
    """Their activations fill the cache sooner; nobody draws less than two thousand, or more than a block."""
    widths = {8: 10_000, 32: 5000, 64: 2500, 1024: 2000}
    made = {width: DenseGenerator(Layout.flat(["a"]), base=width, layers=2, shape="flat") for width in widths}
    assert {width: chunk(generator) for width, generator in made.items()} == widths


@pytest.mark.parametrize(("columns", "output"), [(2, "linear"), (20, "linear"), (2, "tanh")])
def test_a_skip_is_added_to_what_the_layers_make(columns: int, output: str) -> None:
    """Whether both are one product or two."""
    layout = Layout.flat([f"c{place}" for place in range(columns)])
    generator = DenseGenerator(layout, latent=3, base=8, norm="none", dropout=0.0, skip=True, output=output)
    noise = torch.randn(50, 3)
    assert generator.skip is not None
    wanted = generator.head(generator.body(noise)) + generator.skip(noise)
    torch.testing.assert_close(generator.sample(noise, noise[:, :0]), wanted)
