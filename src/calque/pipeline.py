"""All five words in a row: what `calque run` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from calque.checks import check_early, check_late
from calque.config import Config
from calque.errors import ConfigError, DataError, EmptyError, FileError
from calque.fitting import fit
from calque.fitting.claims import check_inputs, check_settings
from calque.folder import SIMULATIONS, ReportFolder, is_run, lock_training
from calque.judging.report import Report
from calque.judging.samples import LEAST_ROWS
from calque.judging.verdict import fingerprints, judge, judged_before, read_inputs, resolve, settings_of
from calque.kinds import find_kind
from calque.mixture import runs_in
from calque.preparing import JUDGE, Data, prepare
from calque.producing import Production, produce
from calque.progress import progress
from calque.provenance import is_finished, save_categories, save_config
from calque.reading import find
from calque.run import Run, load_run
from calque.simulating.kept import keep, made_by
from calque.simulating.opening import open_simulator
from calque.simulating.sample import Sample

Say = Callable[[str], None]


def parts(config: Config) -> dict[str, Config]:
    """The configurations to train: one, or one per category."""
    return {name: config.category(name) for name in config.categories} or {"": config}


def load_data(config: Config) -> Data:
    """Read the inputs, split them, fit the steps."""
    wanted = config.prepare
    columns = {} if wanted.steps is not None else wanted.columns
    return prepare(read_inputs(config.read), steps=wanted.steps, context=wanted.context, together=wanted.together,
                   judging=wanted.judging, validation=wanted.validation, weights=config.fit.weights, seed=config.seed,
                   **columns)


def simulated(config: Config, quiet: bool = False, say: Say = print) -> Config:
    """The configuration whose input is a file: simulations, kept beside the run, where it names no files.

    The parameters are the context unless another is asked for, and images of the same ones stay together in the split.
    What was simulated before is not simulated again.
    """
    wanted = config.simulate
    if wanted is None or config.read.files:
        return config
    find_kind(config.fit.kind)  # to simulate may take long
    opened, path = open_simulator(wanted), Path(config.out) / SIMULATIONS
    sample = Sample(opened, wanted.n, config.seed, repeat=wanted.repeat)
    with progress(f"simulate {opened.name}", sample.total, quiet) as bar:
        new = keep(opened, sample.vectors, config.seed, path, bar)
    say(f"{path}: {sample.total} images of {opened.name}{'' if new else ', simulated before'}")
    read = config.read.model_copy(update={"files": str(path)})
    names, wishes = list(opened.names), config.prepare
    given = {"context": wishes.context or names, "together": wishes.together or (names if wanted.repeat > 1 else [])}
    return config.model_copy(update={"read": read, "prepare": wishes.model_copy(update=given)})


def train(config: Config, resume: bool = False, quiet: bool = False, say: Say = print) -> list[Run]:
    """Read, prepare and fit every part; with `resume`, what is finished stays.

    All parts are read before the first is trained: what is wrong with the last shows at once.
    """
    folder = Path(config.out)
    with lock_training(folder if folder.is_dir() else None):  # a new one is locked by its first fit
        return train_parts(config, folder, resume, quiet, say)


def train_parts(config: Config, folder: Path, resume: bool, quiet: bool, say: Say) -> list[Run]:
    """What `train` does in a folder that no other process trains in."""
    if is_run(folder) and not resume:
        raise FileError(f"{folder} holds a run already; go on with --resume, or choose another folder with --out")
    check_early(config)
    config = simulated(config, quiet, say)
    samples = read_parts(config, resume, say)
    for part, data in samples.values():
        if data is not None:
            check_late(part, data)
    runs = [recall(part, say) if data is None else train_part(part, data, resume, quiet, say)
            for part, data in samples.values()]
    if config.categories:
        kept = {name: category for name, category in config.categories.items() if name in samples}
        save_categories(config.model_copy(update={"categories": kept}))
    return runs


def read_parts(config: Config, resume: bool, say: Say) -> dict[str, tuple[Config, Data | None]]:
    """Read the data of every part, none for those that are finished; categories without rows are left out.

    Raises DataError where no category has a row.
    """
    samples: dict[str, tuple[Config, Data | None]] = {}
    reasons: list[str] = []
    for name, part in parts(config).items():
        finished = resume and is_finished(Path(part.out))
        try:
            samples[name] = (part, None if finished else load_data(part))
        except EmptyError as error:
            if not config.categories:
                raise
            say(f"{part.out}: category left out, {error}")
            reasons.append(str(error))
    if not samples:
        raise DataError(f"no category has a row ({', '.join(config.categories)}); {reasons[0]}")
    return samples


def recall(config: Config, say: Say) -> Run:
    """A run that was finished before; it takes the settings of what comes after training."""
    folder = Path(config.out)
    run = load_run(folder)
    if config.read.weight is None:  # a layout may have named it
        config = config.model_copy(update={"read": config.read.model_copy(update={"weight": run.config.read.weight})})
    check_settings(config, folder)
    with suppress(FileError):  # a finished training does not need its input any more
        check_inputs(run.provenance.get("inputs", []), inputs_of(config), config, folder)
    save_config(folder, config)
    say(f"{folder}: trained already")
    return replace(run, config=config)


def train_part(config: Config, data: Data, resume: bool, quiet: bool, say: Say) -> Run:
    """One generator."""
    folder = Path(config.out)
    solved = find_kind(config.fit.kind).solved
    say(f"{folder}: {len(data.table)} events, effective {data.table.effective_size:.0f}; {config.fit.kind}, "
        + ("solved" if solved else f"up to {config.fit.steps} steps"))
    run = fit(data, config=config, out=folder, resume=resume, quiet=quiet, inputs=inputs_of(config))
    best = "" if solved else f", best at step {run.provenance['best_step']}"
    say(f"{folder}: trained in {run.provenance['fit_seconds']:.0f} s{best}")
    return run


def inputs_of(config: Config) -> list[dict[str, Any]]:
    """Fingerprints of the input files, for the provenance; simulations tell their simulator."""
    origins = [made_by(path) for path in find(resolve(config.read.files), config.read.exclude)]
    return [{**entry, **({"simulation": origin} if origin else {})}
            for entry, origin in zip(fingerprints(config.read), origins, strict=True)]


def judge_folders(
    folders: Sequence[str], data: str | None, measures: str | None, views: str | None, full: bool
) -> Iterator[str]:
    """Judge runs, or folders of categories, one after another."""
    given = {"measures": measures, "views": views}
    settings = {name: value for name, value in given.items() if value is not None}
    for folder in folders:
        for run in runs_in(folder):
            yield tell(run.folder, judge(run, data=data, **{**settings_of(run.config), **settings}), full)


def judge_files(
    files: Sequence[str], train: str | None, reading: Mapping[str, Any], context: Sequence[str],
    measures: str | None, views: str | None, out: str, full: bool,
) -> str:
    """Judge a file of generated events against a file of real ones."""
    if len(files) != 2:
        raise ConfigError(f"two files are judged, the real one and the generated one; {len(files)} were given")
    real, fake = files
    report = judge(real, fake, train=train, reading=reading, context=tuple(context), out=out,
                   measures="all" if measures is None else measures, views=views)
    return tell(out, report, full)


def run_all(config: Config, resume: bool = False, quiet: bool = False, say: Say = print) -> None:
    """Read, prepare, fit, judge, produce; with `resume`, what is done stays. Raises CalqueError in one line."""
    folder = Path(config.out)
    with lock_training(folder if folder.is_dir() else None):  # a new one is locked by its first fit
        run_locked(config, resume, quiet, say)


def run_locked(config: Config, resume: bool, quiet: bool, say: Say) -> None:
    """What `run_all` does in a folder that no other process runs in."""
    runs = train(config, resume, quiet, say)
    for run in runs:
        rows = count_judging_rows(run)
        verdict = judged_before(run, **settings_of(run.config)) if resume else ""
        if rows < LEAST_ROWS:
            say(f"{run.folder}: not judged: {rows} rows are left for it, at least {LEAST_ROWS} are needed; give more "
                "rows, or raise prepare.judging")
        elif verdict:
            say(f"{run.folder}: judged already. {verdict}")
        else:
            say(tell(run.folder, judge(run, **settings_of(run.config))))
    if config.produce.n:
        say(str(produce_run(config, runs, resume, quiet)))


def count_judging_rows(run: Run) -> int:
    """Rows that a judgement of a run would have."""
    return int((run.part == JUDGE).sum()) if run.part is not None else 0


def tell(folder: Path | str | None, report: Report, full: bool = False) -> str:
    """A report, for a terminal."""
    page = ReportFolder(Path(folder)).page if folder is not None else None
    seen = f"\nto look at: {page}" if page is not None and page.is_file() else ""
    return f"\n{folder}\n{report.table(full)}\n{report.verdict()}{seen}\n"


def produce_run(config: Config, runs: list[Run], resume: bool, quiet: bool) -> Production:
    """Produce what the configuration asks for, into its folder unless `out` is a path of its own."""
    wanted = config.produce.model_dump()
    out = Path(config.out) / wanted.pop("out")
    return produce(runs, wanted.pop("n"), out=out, seed=config.seed, resume=resume, quiet=quiet, **wanted)
