"""The command line: parses, calls, prints; no logic."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from calque.errors import CalqueError

STOPPED = 130
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # newer typers have no other name for it

app = typer.Typer(
    name="calque", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Learn a simulation from its own events, draw new ones, and say how good they are.",
)

Toml = Annotated[str, typer.Argument(help="a TOML file, or the name of a recipe that ships with calque")]
Settings = Annotated[list[str], typer.Option("--set", help="override a setting: --set read.files=mine.root")]
Out = Annotated[str | None, typer.Option("--out", "-o", help="where it goes")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with what was interrupted")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


def version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        from calque import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    shown: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="print it")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
) -> None:
    """read → prepare → fit → judge → produce."""


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
    measures: Annotated[str | None, typer.Option(help="some measures: trees,columns,fpd")] = None,
    full: Annotated[bool, typer.Option("--full", help="show every column of every measure")] = False,
    data: Annotated[str | None, typer.Option("--data", help="where the original of a run moved to")] = None,
    columns: Annotated[str | None, typer.Option(help="of two files: columns to compare: px,py,pz")] = None,
    weight: Annotated[str | None, typer.Option(help="of two files: the column that weighs the events")] = None,
    where: Annotated[str | None, typer.Option(help="of two files: a condition on rows: pz > 10")] = None,
    train: Annotated[str | None, typer.Option(help="of two files: rows of the training, to test for copies")] = None,
    context: Annotated[str | None, typer.Option(help="of two files: columns the generator was given: id")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="of two files: folder for the report (judged)")] = None,
) -> None:
    """Say how far a run is from its original, on rows it never saw; or one file of events from another."""
    from calque.pipeline import judge_files, judge_folders

    chosen = "quick" if quick else measures.split(",") if measures is not None else None
    reading = {"columns": columns.split(",") if columns else None, "weight": weight, "where": where}
    given = {name: value for name, value in reading.items() if value is not None}
    of_files = {**given, **{name: value for name, value in {"train": train, "context": context, "out": out}.items()
                            if value is not None}}
    if is_folder(samples[0]):
        refuse_options("two files", "a run", of_files)
        for told in judge_folders(samples, data, chosen, full):
            typer.echo(told)
    else:
        refuse_options("a run", "two files", {"data": data} if data else {})
        typer.echo(judge_files(samples, train, given, context.split(",") if context else [], chosen, out or "judged",
                               full))


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


@app.command()
def produce(
    runs: Annotated[list[Path], typer.Argument(help="run folders, mixed by their rates")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write; its suffix is the format")],
    n: Annotated[float | None, typer.Option("-n", help="expected number of events; one per row of --contexts")] = None,
    context: Annotated[list[str], typer.Option("--context", help="fix a context: --context id=13")] = [],  # noqa: B006
    contexts: Annotated[str | None, typer.Option(help="a file of contexts: n / rows events for each row")] = None,
    where: Annotated[str | None, typer.Option(help="a region, until n events lie in it: pz > 100")] = None,
    way: Annotated[str, typer.Option(help="into the region: rejection or latent")] = "rejection",
    data: Annotated[str | None, typer.Option("--data", help="where the original of a run moved to, for latent")] = None,
    seed: Annotated[int, typer.Option(help="which events")] = 0,
    first_event: Annotated[int, typer.Option(help="go on after an earlier production of this seed")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="exactly n events, not a Poisson number")] = False,
    order: Annotated[str, typer.Option(help="shuffled or sorted by run")] = "shuffled",
    tree: Annotated[str | None, typer.Option(help="name of the tree or group")] = None,
    compression: Annotated[str, typer.Option(help="none, lz4, zstd or zlib, with a level: zstd-5")] = "lz4",
    layout: Annotated[str | None, typer.Option(help="calogan, hits, …, or its TOML table: { name = … }")] = None,
    workers: Annotated[int, typer.Option(help="threads that draw")] = 2,
    precision: Annotated[str, typer.Option(help="float32 or bf16")] = "float32",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Draw events into a file."""
    from calque.producing import produce as produce_events
    from calque.producing.sources import chosen

    typer.echo(produce_events(
        list(runs), n, out=out, context=chosen(context, contexts), where=where, way=way, data=data,  # type: ignore[arg-type]
        seed=seed, first_event=first_event, exact=exact, order=order, tree=tree,  # type: ignore[arg-type]
        compression=compression, layout=layout, workers=workers, precision=precision,  # type: ignore[arg-type]
        resume=resume, quiet=quiet,
    ))


@app.command()
def tune(
    emulator: Annotated[Path, typer.Argument(help="a run folder: an emulator of the simulation")],
    data: Annotated[str, typer.Argument(help="a file of images whose parameters are to be found")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the answer")] = Path("tuned"),
    settings: Settings = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Find the parameters that made data, through an emulator of the simulation."""
    from calque.config import section_settings
    from calque.tuning import tune as find

    typer.echo(find(emulator, data, out=out, seed=seed, resume=resume, quiet=quiet,
                    **section_settings("tune", settings)))


@app.command()
def look(
    files: Annotated[list[str], typer.Argument(help="files of events; FILE:TREE for one tree")],
    tree: Annotated[str | None, typer.Option(help="only this tree")] = None,
    layout: Annotated[str | None, typer.Option(help="calogan, hits, …, or its TOML table: { name = … }")] = None,
) -> None:
    """Show what is inside a file: trees, columns, types, ranges."""
    from calque.reading import look as look_into

    for path in files:
        typer.echo(look_into(path, tree, layout=layout))


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help="fixed-target, lines, circles, pulse, light-map, module:function of "
                                             "your own, or a TOML file with [simulate]")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write")],
    pot: Annotated[int | None, typer.Option(help="protons on target, of fixed-target")] = None,
    n: Annotated[int | None, typer.Option("-n", help="images, of the others")] = None,
    seed: Annotated[int | None, typer.Option(help="which events")] = None,
    parameters: Annotated[str | None, typer.Option(help="of images: prior or truth")] = None,
    photons: Annotated[int | None, typer.Option(help="of light-map: followed from each position")] = None,
    space: Annotated[list[str], typer.Option("--space", help="of images: range of a parameter: m=0:2.5")] = [],  # noqa: B006
    setting: Annotated[list[str], typer.Option("--setting", help="the simulator's own: hard=true")] = [],  # noqa: B006
    workers: Annotated[int | None, typer.Option(help="of images: processes")] = None,
    quiet: Quiet = False,
) -> None:
    """Make a training sample with a real simulation."""
    from calque.config import named_simulator
    from calque.progress import progress
    from calque.simulating import simulate as make
    from calque.simulating import simulator

    given = {"pot": pot, "n": n, "parameters": parameters, "photons": photons, "seed": seed,
             "workers": workers}
    name, settings = named_simulator(name, given, space, setting)
    chosen = simulator(name, **settings)
    with progress(f"simulate {name}", chosen.total, quiet) as bar:
        rows = make(chosen, out, progress=bar)
    typer.echo(f"{rows} events in {out}")


@app.command()
def recipes() -> None:
    """List the recipes that ship with calque."""
    from calque.recipes import describe_recipes

    for line in describe_recipes():
        typer.echo(line)


@app.command()
def models() -> None:
    """List the kinds of generators, their papers and what they can do; every kind takes conditions.

    DENSITY: it has a log_prob. SIGNED: it learns from negative weights. PASSES: of its network for one draw of D
    columns with T transforms.
    """
    from calque.kinds import describe_kinds

    for line in describe_kinds(shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000):
        typer.echo(line)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; an error a user can mend is one line and exit code 2."""
    given = sys.argv[1:] if arguments is None else arguments
    wanted = [word for word in given if word != "--debug"]  # it may stand anywhere
    try:
        with plain_warnings():
            code = app(wanted, prog_name="calque", standalone_mode=False)
    except UsageError as error:
        code = refuse(misused(error))
    except (CalqueError, OSError) as error:
        if "--debug" in given:
            raise
        code = refuse(str(error))
    return stopped() if code == STOPPED else int(code or 0)


def misused(error: Any) -> str:
    """What is wrong with a command line, and where its options are listed."""
    command = error.ctx.command_path if error.ctx else "calque"
    wrong = error.format_message().rstrip(".?") or "name a command"
    return f"{wrong}; {command} --help lists what there is"


def refuse(message: str) -> int:
    """Print one line, whatever the message is made of."""
    typer.echo(f"calque: {' '.join(message.split())}", err=True)
    return 2


def stopped() -> int:
    """Ctrl-C where nothing has to be kept."""
    typer.echo("calque: stopped", err=True)
    return STOPPED


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show a warning as one line without the code it comes from."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"calque: note: {message}", err=True)
        yield
