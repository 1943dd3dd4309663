"""Commands that make runs and judge them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from calque.cli.options import Layout, Original, Out, Per, Quiet, Resume, Settings, Toml, app, parse_per


def load_settings(toml: str, settings: list[str], out: str | None) -> Any:
    """The configuration a command was given."""
    from calque.config import load_config
    from calque.recipes import find_recipe

    return load_config(find_recipe(toml), settings, out)


@app.command()
def run(toml: Toml, settings: Settings = [], out: Out = None, resume: Resume = False, quiet: Quiet = False,  # noqa: B006
        dry_run: Annotated[bool, typer.Option("--dry-run", help="print the settings and stop")] = False) -> None:
    """Read, prepare, fit, judge and produce what a TOML file says."""
    from calque.config import to_toml

    config = load_settings(toml, settings, out)
    if dry_run:
        typer.echo(to_toml(config.tables()))
        return
    if config.leaderboard is not None:
        from calque.leaderboard import run_leaderboard

        run_leaderboard(config, resume, quiet, typer.echo)
        return
    from calque.pipeline import run_all

    run_all(config, resume, quiet, typer.echo)


@app.command()
def fit(toml: Toml, settings: Settings = [], out: Out = None, resume: Resume = False, quiet: Quiet = False) -> None:  # noqa: B006
    """Read, prepare and fit."""
    from calque.pipeline import train

    train(load_settings(toml, settings, out), resume, quiet, typer.echo)


@app.command()
def judge(
    samples: Annotated[list[str], typer.Argument(help="run folders; or two files: real and generated events")],
    quick: Annotated[bool, typer.Option("--quick", help="boosted trees, columns and slices only")] = False,
    measures: Annotated[str | None, typer.Option(help="all, quick, none, or some: trees,columns,fpd")] = None,
    views: Annotated[str | None, typer.Option(help="all, or some: raw,derived")] = None,
    full: Annotated[bool, typer.Option("--full", help="show every column of every measure")] = False,
    data: Original = None,
    columns: Annotated[str | None, typer.Option(help="of two files: columns to compare: px,py,pz")] = None,
    weight: Annotated[str | None, typer.Option(help="of two files: the column that weighs the events")] = None,
    where: Annotated[str | None, typer.Option(help="of two files: a condition on rows: pz > 10")] = None,
    layout: Layout = None,
    per: Per = None,
    train: Annotated[str | None, typer.Option(help="of two files: rows of the training, to test for copies")] = None,
    context: Annotated[str | None, typer.Option(help="of two files: columns the generator was given: id")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="of two files: folder for the report (judged)")] = None,
) -> None:
    """Say how far a run is from its original, on rows it never saw; or one file of events from another."""
    from calque.names import split_names
    from calque.pipeline import judge_files, judge_folders

    chosen = "quick" if quick else measures
    wanted = list(split_names(columns)) if columns else None
    reading = {"columns": wanted, "weight": weight, "where": where, "layout": layout, "per": parse_per(per)}
    given = {name: value for name, value in reading.items() if value is not None}
    of_files = {**given, **{name: value for name, value in {"train": train, "context": context, "out": out}.items()
                            if value is not None}}
    if is_folder(samples[0]):
        refuse_options("two files", "a run", of_files)
        for told in judge_folders(samples, data, chosen, views, full):
            typer.echo(told)
    else:
        refuse_options("a run", "two files", {"data": data} if data else {})
        contexts = list(split_names(context)) if context else []
        typer.echo(judge_files(samples, train, given, contexts, chosen, views, out or "judged", full))


def refuse_options(belong: str, asked: str, given: dict[str, Any]) -> None:
    """Raise ConfigError for options that would be ignored."""
    from calque.errors import ConfigError

    if given:
        raise ConfigError(f"--{next(iter(given))} belongs to judging {belong}; {asked} has no use for it")


def is_folder(path: str) -> bool:
    """Whether this is a folder, or not there at all without looking like a file."""
    return Path(path).is_dir() or not (Path(path).exists() or Path(path).suffix)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="run folders, or folders of categories")],
    ensemble: Annotated[bool, typer.Option("--ensemble", help="trainings of one kind: how much they disagree")] = False,
) -> None:
    """Rank runs on the same sample, best first; those without a report are judged first."""
    from calque.judging import compare as comparing

    outcome = comparing.ensemble(folders) if ensemble else comparing.compare(folders)
    for category, told in outcome.items():
        typer.echo("\n".join([*([f"\n{category}"] if category else []), told.table()]))
