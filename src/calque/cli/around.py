"""Commands around runs: files, simulations, and lists of what ships."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Layout, Per, Quiet, app, parse_per


@app.command()
def look(
    files: Annotated[list[str], typer.Argument(help="files of events; FILE:TREE for one tree")],
    tree: Annotated[str | None, typer.Option(help="only this tree")] = None,
    layout: Layout = None,
    per: Per = None,
) -> None:
    """Show what is inside a file: trees, columns, types, ranges."""
    from calque.reading import look as look_into

    for path in files:
        typer.echo(look_into(path, tree, layout=layout, per=parse_per(per)))


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help="fixed-target, lines, circles, pulse, light-map, module:function of "
                                             "your own, or a TOML file with [simulate]")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write")],
    pot: Annotated[int | None, typer.Option(help="protons on target, of fixed-target")] = None,
    n: Annotated[int | None, typer.Option("-n", help="images, of the others")] = None,
    seed: Annotated[int | None, typer.Option(help="which events")] = None,
    parameters: Annotated[str | None, typer.Option(help="of images: prior, truth, or a file of parameters")] = None,
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
