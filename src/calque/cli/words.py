"""From words to an exit code: what a user can mend is one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from calque.cli.options import app
from calque.errors import CalqueError

STOPPED = 130
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # newer typers have no other name for it


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
