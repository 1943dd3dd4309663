"""Judge a run, or two files: the fourth word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calque.config import ReadConfig
from calque.errors import DataError, FileError
from calque.judging.drawing.plots import save_plots
from calque.judging.judge import Report, judge_tables
from calque.preparing import JUDGE, TRAIN, Data
from calque.reading import find, fingerprint, read
from calque.run import Run, load_run
from calque.table import Table


def judge(
    run: Run | str | Path,
    *,
    data: str | Path | None = None,
    plots: bool = True,
    seed: int = 0,
    **settings: Any,
) -> Report:
    """Judge a run on the rows that its training never saw, against as many generated ones.

    A run from a folder rereads its input files, which must be the same (by hash); `data` names them where they
    moved. The report is kept in the run's folder as report.json, with plots. Raises DataError and FileError.
    """
    run = run if isinstance(run, Run) else load_run(Path(run))
    sample = run.data or reread(run, data)
    real, train = sample.judged(JUDGE), sample.judged(TRAIN)
    if not len(real):
        raise DataError("no rows are left to judge: prepare.judging was 0")
    fake = run.imitate(real, seed=seed + 1)
    report = judge_tables(real, fake, train=train, seed=seed, **settings)
    if run.plots is not None and plots:
        save_plots(report, real, fake, run.history, run.plots)
    run.save_report({**report.to_dict(), "settings": {"plots": plots, "seed": seed, **settings}})
    return report


def judged_before(run: Run, **settings: Any) -> str:
    """The verdict that lies in a run's folder, if it was reached with these settings; empty otherwise."""
    kept = run.read_report()
    return str(kept["verdict"]) if kept.get("settings") == settings else ""


def reread(run: Run, data: str | Path | None = None) -> Data:
    """Read a run's sample again and check that it is the one it was trained on."""
    config = run.config.read if data is None else run.config.read.model_copy(update={"files": str(data)})
    if not config.files:
        raise FileError(f"{run.folder} was trained on a table in memory; name the file it came from with --data")
    if not run.config.read.files:
        config = config.model_copy(update={"columns": list(run.names)})
    known = {entry["sha256"] for entry in run.provenance.get("inputs", [])}
    if known and known != {entry["sha256"] for entry in fingerprints(config)}:
        raise FileError(f"{described(config)} is not what {run.folder} was trained on (its contents differ); "
                        "name the original with --data")
    table = read_inputs(config)
    if run.part is None or len(run.part) != len(table):
        raise FileError(f"{table.source} has {len(table)} rows, not those {run.folder} was trained on; use --data")
    return Data(table, run.part, run.preparation, run.context, run.config.fit.weights, run.config.seed)


def read_inputs(config: ReadConfig) -> Table:
    """Read what a configuration names."""
    if not config.files:
        raise DataError("no input: name files under [read], or with --set read.files=…")
    settings = {name: value for name, value in config.model_dump().items() if name != "files" and value is not None}
    return read(resolve(config.files), **settings)


def resolve(files: str | list[str]) -> list[str]:
    """File names; `calque:NAME` is a sample that ships with the package."""
    from calque.data import sample

    names = [files] if isinstance(files, str) else files
    return [str(sample(name.removeprefix("calque:"))) if name.startswith("calque:") else name for name in names]


def described(config: ReadConfig) -> str:
    """The files of a configuration, for a message."""
    return config.files if isinstance(config.files, str) else ", ".join(config.files)


def fingerprints(config: ReadConfig) -> list[dict[str, Any]]:
    """Name, size and hash of every input file."""
    return [fingerprint(path) for path in find(resolve(config.files), config.exclude)]

