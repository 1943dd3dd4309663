"""Two files against each other, and runs against runs: from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import make_muons, small_fit

import calque
from calque.cli import main
from calque.errors import ConfigError, DataError
from calque.judging import judge_tables
from calque.judging.compare import compare
from calque.reading import write
from calque.table import Table

FAST = {"rows": 500, "replicas": 20, "threads": 1, "measures": ["trees"]}
COPIES = {**FAST, "measures": ["trees", "copying"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three independent samples: real.root with weights, good.npz and bad.npz without, train.npz."""
    folder = tmp_path_factory.mktemp("files")
    write(make_muons(1500, 1), folder / "real.root")
    for name, seed in (("good", 2), ("train", 3)):
        write(weighted_draw(make_muons(6000, seed)), folder / f"{name}.npz")
    bad = weighted_draw(make_muons(6000, 4))
    write(bad.with_columns({"pz": bad["pz"] * np.float32(1.2)}), folder / "bad.npz")
    return folder


def weighted_draw(table: Table) -> Table:
    """Rows of weight one, drawn by the weights, none twice."""
    kept = np.random.default_rng(0).uniform(size=len(table)) < table.weights / table.weights.max()
    return table.rows(kept | (table.weights == table.weights.max())).without_weight()


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, error = capsys.readouterr()
    return code, out, error


def test_a_file_is_judged_against_another(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("judge", files / "real.root", files / "bad.npz", "--weight", "w", "--quick", "--out", tmp_path / "bad")
    code, out, error = run(capsys, *command)
    assert (code, error) == (0, "")
    assert "The copy can be told from the original" in out
    assert "worst in pz" in out
    kept = json.loads((tmp_path / "bad" / "report.json").read_text())
    assert kept["sizes"]["real"]["rows"] == 1500
    assert kept["sizes"]["real"]["effective"] < 1000
    assert kept["settings"]["reading"] == {"weight": "w"}
    page = (tmp_path / "bad" / "report.html").read_text()
    assert kept["verdict"].split(":")[0] in page
    assert (tmp_path / "bad" / "plots" / "column_pz.pdf").is_file()
    assert not list((tmp_path / "bad" / "plots").glob("pair_*")), "they take most of the time"


def test_the_same_from_python_with_training_rows(files: Path) -> None:
    report = calque.judge(files / "real.root", files / "good.npz", train=files / "train.npz",
                          reading={"weight": "w", "columns": ["px", "py", "pz", "z", "id"]}, **COPIES)
    assert {estimate.measure for estimate in report.estimates} == {"auc", "chi2_output", "overlap_output", "copying"}
    assert report["auc_raw"].excess < 4
    assert report.verdict().startswith("The copy cannot be told")


@pytest.mark.parametrize(("words", "says"), [
    (["{0}/real.root"], "two files are judged, the real one and the generated one; 1 were given"),
    (["{0}/real.root", "{0}/good.npz"], "different columns: w only in"),
    (["{0}/real.root", "{0}/none.npz"], "no file 'none.npz'"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "ww"], "no column 'ww' in tree"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--columns", "px,pyy"], "nearest: py"),
    (["{0}/good.npz", "{0}/good.npz"], "rows of {0}/good.npz lie in {0}/good.npz too"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--measures", "tress"], "no measure 'tress'; nearest: trees"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--context", "idd"], "nearest: id"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--measures", ""], "no measure ''; nearest: "),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--measures", "trees,copying"],
     "'copying' needs the rows of the training"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "--measures", "ranks"], "'ranks' needs the columns that"),
    (["{0}/real.root", "{0}/good.npz", "--weight", "w", "-o", "{0}/good.npz"], "good.npz is a file, not a folder"),
])
def test_what_cannot_be_judged_is_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    code, out, error = run(capsys, "judge", *(word.format(files) for word in words))
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert says.format(files) in error


def test_rows_in_both_samples_are_refused_and_repeated_values_are_not() -> None:
    stream = np.random.default_rng(0)
    rows = stream.normal(size=(600, 2))
    with pytest.raises(DataError, match=r"100 of 400 rows .* lie in .* too, equal in every column"):
        judge_tables(Table.of({"a": rows[:300, 0], "b": rows[:300, 1]}),
                     Table.of({"a": rows[200:, 0], "b": rows[200:, 1]}), **FAST)
    dice = Table.of({"a": stream.integers(1, 7, 500), "b": stream.integers(1, 7, 500)})
    more = Table.of({"a": stream.integers(1, 7, 500), "b": stream.integers(1, 7, 500)})
    assert abs(judge_tables(dice, more, **FAST)["auc_raw"].value - 0.5) < 0.1


def test_views_are_defined_by_expressions(muons: Table) -> None:
    parts = muons.without_weight().rows(slice(0, 1500)), muons.without_weight().rows(slice(1500, None))
    define = {"invariant": {"pT": "hypot(px, py)", "slope": "hypot(px, py) / pz"}}
    report = judge_tables(*parts, define=define, **FAST)
    assert {estimate.of for estimate in report.estimates} == {"raw", "derived", "invariant"}
    report = judge_tables(*parts, define=define, views=["invariant"], **{**FAST, "measures": ["columns"]})
    assert {estimate.of for estimate in report.estimates} == {"pT", "slope"}
    with pytest.raises(ConfigError, match="no view 'invarian'; nearest: invariant"):
        judge_tables(*parts, define=define, views=["invarian"], **FAST)


def test_negative_weights_leave_out_what_cannot_use_them(muons: Table) -> None:
    signs = np.where(np.random.default_rng(0).uniform(size=len(muons)) < 0.1, -1.0, 1.0)
    real = muons.with_columns({"w": signs})
    parts = real.rows(slice(0, 1500)), real.rows(slice(1500, None))
    report = judge_tables(*parts, measures="quick", rows=500, replicas=20)
    assert {"ks", "wasserstein", "chi2"} == {estimate.measure for estimate in report.estimates}
    assert report.notes[0].startswith("trees_raw is left out: a classifier cannot use negative weights")
    with pytest.raises(DataError, match="cannot use negative weights"):
        judge_tables(*parts, measures=["trees"], rows=500)


def test_rows_without_weight_are_no_sample(muons: Table) -> None:
    one = muons.with_columns({"w": np.where(np.arange(len(muons)) == 5, 1.0, 0.0)})
    with pytest.raises(DataError, match="are worth 1 rows of equal weight"):
        judge_tables(one, muons.rows(slice(0, 600)).with_columns({"pz": muons["pz"][:600] * 1.01}), **FAST)


@pytest.fixture(scope="module")
def runs(muons: Table, files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A flow, and one that was hardly trained; both judged."""
    folder = tmp_path_factory.mktemp("ranked")
    for name, steps in (("better", 60), ("worse", 1)):
        calque.judge(small_fit(muons, folder / name, steps=steps, average=0.0), plots=False, **COPIES)
    return folder / "better", folder / "worse"


def test_runs_are_ranked(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    better, worse = runs
    comparison = compare([worse, better])[""]
    assert [entry.folder for entry in comparison.entries] == [str(better), str(worse)]
    code, out, _ = run(capsys, "compare", worse, better)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["run", "kind", "auc_raw", "auc_derived", "worst"]
    assert lines[1].startswith(f"1  {better}")
    assert "±" in lines[2]


def test_runs_on_other_rows_are_not_compared(
    runs: tuple[Path, Path], muons: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = small_fit(muons.rows(slice(0, 2000)), tmp_path / "other", steps=1)
    calque.judge(other, plots=False, **COPIES)
    code, _, error = run(capsys, "compare", runs[0], tmp_path / "other")
    assert code == 2
    assert "different samples or splits" in error


TOML = """
seed = {seed}
out = "{out}"
read = {{ files = "{files}/real.root", columns = ["pz", "z"], weight = "w" }}
prepare = {{ steps = ["log pz", "standardise *"] }}
fit = {{ steps = 40, batch = 64, watch_every = 40, average = 0.0, model = {{ transforms = 1, hidden = [8] }} }}
judge = {{ rows = 500, neighbours = 500, plots = false, measures = ["trees"] }}
"""


def test_runs_are_taken_as_an_ensemble(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2, 3):
        (tmp_path / f"{seed}.toml").write_text(TOML.format(seed=seed, out=tmp_path / str(seed), files=files))
        assert run(capsys, "fit", tmp_path / f"{seed}.toml", "--quiet")[0] == 0
    code, out, _ = run(capsys, "compare", "--ensemble", *(tmp_path / str(seed) for seed in (1, 2, 3)))
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[2:6]] == [
        ["spread", "pz"], ["deviation", "pz"], ["spread", "z"], ["deviation", "z"]]
    code, _, error = run(capsys, "compare", "--ensemble", tmp_path / "1")
    assert (code, "one for each of at least two trainings" in error) == (2, True)
    code, _, error = run(capsys, "compare", tmp_path / "1", tmp_path / "2")
    assert (code, "different samples or splits" in error) == (2, True)


@pytest.mark.parametrize(("words", "says"), [
    (["--weight", "w"], "--weight belongs to judging two files; a run has no use for it"),
    (["--out", "elsewhere"], "--out belongs to judging two files; a run has no use for it"),
])
def test_options_that_would_be_ignored_are_refused(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    code, _, error = run(capsys, "judge", runs[0], *words)
    assert (code, says in error) == (2, True)


def test_data_is_for_runs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "judge", files / "real.root", files / "good.npz", "--data", "x.root")
    assert (code, "--data belongs to judging a run; two files has no use for it" in error) == (2, True)


def test_one_name_means_one_column_in_all_views(muons: Table) -> None:
    parts = muons.without_weight().rows(slice(0, 1500)), muons.without_weight().rows(slice(1500, None))
    with pytest.raises(ConfigError, match=r"judge.define.logs calls 'log\(pz\)' 'pz', which is 'pz' already"):
        judge_tables(*parts, define={"logs": {"pz": "log(pz)"}}, **FAST)


def test_old_plots_and_pages_do_not_pose_as_new(muons: Table, tmp_path: Path) -> None:
    parts = muons.without_weight().rows(slice(0, 1500)), muons.without_weight().rows(slice(1500, None))
    calque.judge(*parts, out=tmp_path, views=["raw"], **FAST)
    assert (tmp_path / "report.html").is_file()
    assert list((tmp_path / "plots").glob("*.pdf"))
    calque.judge(*parts, out=tmp_path, views=["raw"], plots=False, **FAST)
    assert not (tmp_path / "report.html").exists()
    assert not list((tmp_path / "plots").glob("*.p*"))
    assert (tmp_path / "report.json").is_file()


def test_a_run_with_a_rare_flag_is_trained_and_judged(tmp_path: Path) -> None:
    from calque.fitting import fit
    from calque.preparing import JUDGE, prepare

    stream = np.random.default_rng(2)
    rare = np.arange(600) == 5
    sample = Table.of({"x": stream.normal(size=600), "flag": rare, "rare": rare.astype("i4")})
    data = prepare(sample, steps=["discrete rare", "standardise x"], context=["flag"], seed=2)
    assert not data.judged(JUDGE)["rare"].any()
    trained = fit(data, "flow", steps=3, batch=32, quiet=True, watch_every=3, model={"transforms": 1, "hidden": [8]})
    report = calque.judge(trained, **{**FAST, "measures": "all"}, neighbours=200)
    assert {estimate.of for estimate in report.of("ks")} == {"x"}


def test_the_verdict_says_what_was_found() -> None:
    from calque.judging import Estimate, Report

    honest = Estimate("auc", "raw", 0.5, 0.01, 0.5, 0.01, details={"view": "raw"})
    corner = Estimate("region", "raw", 0.3, 0.05, 1.0, 0.0, worse="away", details={"where": "pz > 100 GeV"})
    copies = Estimate("copying", "raw", 0.505, 0.005, 0.5, 0.0, details={"identical": 0.4, "identical_trained": 0.3,
                                                                           "identical_held": 0.0})
    assert Report((honest,), {}, 0).verdict().startswith("The copy cannot be told from the original: AUC 0.5")
    said = Report((honest, corner), {}, 0).verdict()
    assert said.startswith("The copy can be told")
    assert "0.300 ± 0.050 times the events where pz > 100 GeV" in said
    assert "40 % of the generated rows are among them" in Report((honest, copies), {}, 0).verdict()
    assert "energy" in Report((Estimate("energy", "raw", 9, 1, 1, 0.1),), {}, 0).verdict().lower()
