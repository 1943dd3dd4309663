"""All five words in a row: what `calque run` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from calque.atomic import write_bytes
from calque.config import Config, to_toml
from calque.errors import FileError
from calque.fitting import fit
from calque.fitting.fit import is_finished
from calque.judging.judge import Report
from calque.judging.verdict import fingerprints, judge, read_inputs
from calque.preparing import Data, prepare
from calque.producing import Production, produce
from calque.run import CONFIG, Run, load_run

Say = Callable[[str], None]


def parts(config: Config) -> dict[str, Config]:
    """The configurations to train: one, or one per category."""
    return {name: config.category(name) for name in config.categories} or {"": config}


def load_data(config: Config) -> Data:
    """Read the inputs, split them, fit the steps."""
    wanted = config.prepare
    columns = {} if wanted.steps is not None else wanted.columns
    return prepare(read_inputs(config.read), steps=wanted.steps, context=wanted.context, judging=wanted.judging,
                   validation=wanted.validation, weights=config.fit.weights, seed=config.seed, **columns)


def train(config: Config, resume: bool = False, quiet: bool = False, say: Say = print) -> list[Run]:
    """Read, prepare and fit every part; with `resume`, what is finished stays."""
    folder = Path(config.out)
    if config.categories:
        if (folder / CONFIG).exists() and not resume:
            raise FileError(f"{folder} holds a run already; go on with --resume, or choose another folder with --out")
        write_bytes(folder / CONFIG, to_toml(config.model_dump()) + "\n")
    return [train_part(part, resume, quiet, say) for part in parts(config).values()]


def train_part(config: Config, resume: bool, quiet: bool, say: Say) -> Run:
    """One generator."""
    folder = Path(config.out)
    if resume and is_finished(folder):
        say(f"{folder}: trained already")
        return load_run(folder)
    data = load_data(config)
    say(f"{folder}: {len(data.table)} events, effective {data.table.effective_size:.0f}; "
        f"{config.fit.kind}, up to {config.fit.steps} steps")
    run = fit(data, config=config, out=folder, resume=resume, quiet=quiet, inputs=fingerprints(config.read))
    say(f"{folder}: trained in {run.provenance['fit_seconds']:.0f} s, best at step {run.provenance['best_step']}")
    return run


def judge_run(run: Run, config: Config, data: str | None = None) -> Report:
    """Judge with a configuration's settings."""
    wanted = config.judge
    return judge(run, data=data, plots=wanted.plots, kind=wanted.classifier, rows=wanted.rows, repeats=wanted.seeds,
                 seed=config.seed)


def run_all(config: Config, resume: bool = False, quiet: bool = False, say: Say = print) -> list[Report]:
    """Read, prepare, fit, judge, produce; raises CalqueError in one line."""
    runs = train(config, resume, quiet, say)
    reports = []
    for run in runs:
        report = judge_run(run, run.config)
        say(f"\n{run.folder}\n{report.table()}\n{report.verdict()}\n")
        reports.append(report)
    if config.produce.n:
        say(str(produce_run(config, runs, resume, quiet)))
    return reports


def produce_run(config: Config, runs: list[Run], resume: bool, quiet: bool) -> Production:
    """Produce what the configuration asks for, into its folder unless `out` is a path of its own."""
    wanted = config.produce.model_dump()
    out = Path(config.out) / wanted.pop("out")
    return produce(runs, wanted.pop("n"), out=out, seed=config.seed, resume=resume and not out.exists(), quiet=quiet,
                   **wanted)
