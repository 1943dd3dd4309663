"""The program, and the options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    name="calque", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Learn a simulation from its own events, draw new ones, and say how good they are.",
)

Toml = Annotated[str, typer.Argument(help="a TOML file, or the name of a recipe that ships with calque")]
Settings = Annotated[list[str], typer.Option("--set", help="override a setting: --set read.files=mine.root")]
Out = Annotated[str | None, typer.Option("--out", "-o", help="where it goes")]
Layout = Annotated[str | None, typer.Option(help="calogan, hits, …, or its TOML table: { name = … }")]
Per = Annotated[str | None, typer.Option(help="lists to read, one row per entry: Muon, or branches a,b")]
Original = Annotated[str | None, typer.Option("--data", help="where the original of a run moved to")]
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


def parse_per(text: str | None) -> str | list[str] | None:
    """One name, or a list of those between commas."""
    return text.split(",") if text and "," in text else text
