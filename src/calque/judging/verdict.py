"""Judge a run, or two samples: the fourth word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calque.atomic import check_folder
from calque.config import Config, ReadConfig
from calque.errors import ConfigError, DataError, FileError
from calque.folder import ReportFolder, lock_judging
from calque.geometry import Geometry
from calque.judging.drawing.plots import draw_plots, write_plots
from calque.judging.judge import judge_tables
from calque.judging.page import save_page
from calque.judging.repeats import merge_repeats
from calque.judging.report import Report
from calque.judging.samples import match_units
from calque.preparing import JUDGE, TRAIN, Data
from calque.reading import find, fingerprint, read
from calque.reading.deposits import geometry_in
from calque.reading.source import Source
from calque.run import Run, load_run
from calque.seeds import derive
from calque.table import Table


def judge(
    run: Run | Table | str | Path,
    fake: Table | str | Path | None = None,
    *,
    data: str | Path | None = None,
    train: Table | str | Path | None = None,
    out: str | Path | None = None,
    plots: bool = True,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
    geometry: Geometry | None = None,
    **settings: Any,
) -> Report:
    """Judge a run on rows that its training never saw, or a sample `fake` against a real one.

    A run from a folder rereads its input files, which must be the same (by hash); `data` names them where they
    moved. Its report is kept in its folder: report.json, report.html and plots/. Two samples are tables or
    files (read with the settings `reading`; `train` are the rows of the training, where they are known), and
    their report goes to `out`. Showers are known by their layout, or their `geometry`. Other settings are those of
    `judge_tables`. Raises CalqueError in one line.
    """
    if out is not None:
        check_folder(Path(out))
    if fake is not None:
        place = Path(out) if out is not None else None
        with lock_judging(place):
            return judge_samples(run, fake, train, ReportFolder(place) if place else None, plots, seed,
                                 reading or {}, geometry, settings)
    if isinstance(run, Table) or train is not None or out is not None or reading:
        raise ConfigError("a real sample is judged against a generated one: name both")
    opened = run if isinstance(run, Run) else load_run(Path(run))
    with lock_judging(opened.folder):
        return judge_run(opened, data, plots, seed, geometry, settings)


def judge_run(
    run: Run, data: str | Path | None, plots: bool, seed: int, geometry: Geometry | None, settings: Mapping[str, Any]
) -> Report:
    """Judge a run on rows that its training never saw."""
    sample = run.data or reread(run, data)
    real, training = sample.judged(JUDGE), sample.judged(TRAIN)
    if not len(real):
        raise DataError("no rows are left to judge: prepare.judging was 0")
    fake = run.imitate(real, seed=derive(seed, "judging/events"))
    kept = real.varying  # a rare flag may not vary in the judging rows, and tells nothing there
    real, fake, training = (table.keep(kept) for table in (real, fake, training))

    def draw(contexts: Table, seed: int) -> Table:
        return run.sample(len(contexts), context=contexts, seed=seed)

    context = tuple(name for name in run.context.names if name in kept)
    report = judge_tables(real, fake, train=training, seed=seed, context=context, draw=draw,
                          geometry=geometry or geometry_of_run(run, data), **settings)
    if run.reports is not None:
        said = {"plots": plots, "seed": seed, **settings}
        if "unfinished" in run.provenance:  # so that it is judged again once its training has ended
            said["unfinished"] = run.provenance["unfinished"]
        keep(report, real, fake, run.reports, plots, said, str(run.folder), run.history, run.provenance)
    return report


def geometry_of_run(run: Run, data: str | Path | None = None) -> Geometry | None:
    """Where the voxels of a run's showers lie; None where it draws none."""
    files = run.config.read.files if data is None else str(data)
    return geometry_in(run.config.read.layout, resolve(files))


def judge_samples(
    real: Any, fake: Any, train: Any, out: ReportFolder | None, plots: bool, seed: int, reading: Mapping[str, Any],
    geometry: Geometry | None, settings: Mapping[str, Any],
) -> Report:
    """Judge one sample against another."""
    if geometry is None:
        files = [] if isinstance(real, Table) else resolve(str(real))
        geometry = geometry_in(reading.get("layout"), files)
    real, fake = as_table(real, reading), as_table(fake, reading, lenient=True)
    known = None if train is None else as_table(train, reading, lenient=True)
    fake = match_units(fake, real)
    report = judge_tables(real, fake, train=known, seed=seed, geometry=geometry, **settings)
    if out is not None:
        said = {"plots": plots, "seed": seed, "reading": dict(reading), **settings}
        keep(report, real, fake, out, plots, said, f"{fake.source} against {real.source}")
    return report


def as_table(sample: Table | str | Path, reading: Mapping[str, Any], lenient: bool = False) -> Table:
    """Read a file; with `lenient` it may do without the weight column and the lists of the real one."""
    if isinstance(sample, Table):
        return sample
    settings = dict(reading)
    if lenient and "per" in settings and not has_lists(str(sample), settings):
        del settings["per"]
    if lenient and "weight" in settings and not has_column(str(sample), settings):
        del settings["weight"]
    return read(resolve(str(sample)), **settings)


def has_lists(path: str, reading: Mapping[str, Any]) -> bool:
    """Whether a file has lists of numbers, as generated events have not."""
    sources = Source.all(resolve(path), reading.get("tree"), reading.get("layout"), ())
    return any(field.item is not None for source in sources for field in source.fields)


def has_column(path: str, reading: Mapping[str, Any]) -> bool:
    """Whether the weight column that reading asks for is in a file."""
    try:
        read(resolve(path), **{**reading, "columns": [], "limit": 1})
    except DataError:
        return False
    return True


def keep(
    report: Report, real: Table, fake: Table, out: ReportFolder, plots: bool, settings: Mapping[str, Any],
    title: str, history: Sequence[Mapping[str, Any]] = (), provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the report, its plots and its page in place of an earlier one, once all of them are there."""
    with out.renew() as new:
        if plots:
            shown = merge_repeats(real, fake)[0]  # errors of repeated events count them once
            drawn = draw_plots(report, shown, fake, history, pairs=settings.get("measures") != "quick")
            write_plots(drawn, new.plots)
            save_page(new.page, report, drawn, real=real, fake=fake, title=title, provenance=provenance)
        new.save({**report.to_dict(), "settings": settings})


def settings_of(config: Config) -> dict[str, Any]:
    """What a configuration asks of the judge."""
    wanted = config.judge
    return {"plots": wanted.plots, "measures": wanted.measures, "kind": wanted.classifier, "network": wanted.network,
            "rows": wanted.rows, "neighbours": wanted.neighbours, "repeats": wanted.seeds, "folds": wanted.folds,
            "views": wanted.views, "define": wanted.define, "seed": config.seed}


def judged_before(run: Run, **settings: Any) -> str:
    """The verdict that lies in a run's folder, if it was reached with these settings; empty otherwise."""
    kept = run.reports.read() if run.reports is not None else {}
    return str(kept["verdict"]) if kept.get("settings") == json.loads(json.dumps(settings)) else ""


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

