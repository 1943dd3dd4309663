"""Judge a run, or two files: the fourth word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calque.atomic import write_bytes
from calque.config import ReadConfig
from calque.errors import DataError, FileError
from calque.judging.judge import Report, judge_tables
from calque.judging.plots import save_plots
from calque.preparing import JUDGE, TRAIN, Data
from calque.reading import find, fingerprint, read
from calque.run import PLOTS, REPORT, Run, load_run
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
    if run.folder is not None:
        write_bytes(run.folder / REPORT, report.to_json())
        if plots:
            save_plots(report, real, fake, run.history, run.folder / PLOTS)
    return report


def reread(run: Run, data: str | Path | None = None) -> Data:
    """Read a run's sample again and check that it is the one it was trained on."""
    config = run.config.read if data is None else run.config.read.model_copy(update={"files": str(data)})
    table = read_inputs(config)
    known = {entry["sha256"] for entry in run.provenance.get("inputs", [])}
    found = {entry["sha256"] for entry in fingerprints(config)}
    if known and known != found:
        raise FileError(f"{table.source} is not what {run.folder} was trained on (its contents differ); "
                        "name the original with --data")
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


def fingerprints(config: ReadConfig) -> list[dict[str, Any]]:
    """Name, size and hash of every input file."""
    return [fingerprint(path) for path in find(resolve(config.files), config.exclude)]

