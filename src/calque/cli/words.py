"""From words to an exit code: what a user can mend is one line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from calque.cli.options import app
from calque.errors import CalqueError

STOPPED, BROKEN = 130, 141
UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # newer typers have no other name for it


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    An error that a user can mend is one line and exit code 2, any other one line and exit code 1; `--debug` shows the
    traceback.
    """
    given = sys.argv[1:] if arguments is None else arguments
    wanted = [word for word in given if word != "--debug"]  # it may stand anywhere
    keep_streams()
    try:
        with plain_warnings():
            code = app(wanted, prog_name="calque", standalone_mode=False)
            sys.stdout.flush()
    except UsageError as error:
        code = refuse(misused(error))
    except BrokenPipeError:
        return silence()
    except (CalqueError, OSError) as error:
        if "--debug" in given:
            raise
        code = refuse(str(error))
    except Exception as error:
        if "--debug" in given:
            raise
        code = fail(error)
    return stopped() if code == STOPPED else int(code or 0)


def keep_streams() -> None:
    """Where the output or the errors were closed, they go nowhere: no file may take their number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def silence() -> int:
    """Nobody reads what is printed any more, as behind `| head`: no complaint, and the code of a broken pipe."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return BROKEN


def fail(error: Exception) -> int:
    """One line for what nobody thought of; 2 where the memory was too small for what was asked."""
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return refuse(f"not enough memory ({first or 'MemoryError'}); smaller networks, batches or samples need less")
    told = ": ".join(part for part in (type(error).__name__, first) if part)
    refuse(f"{told}; this is a fault of calque: --debug shows where, for a report")
    return 1


def misused(error: Any) -> str:
    """What is wrong with a command line, and where its options are listed."""
    command = error.ctx.command_path if error.ctx else "calque"
    wrong = error.format_message().rstrip(".?") or "name a command"
    return f"{wrong}; {command} --help lists what there is"


def refuse(message: str) -> int:
    """Print one line, whatever the message is made of."""
    line = " ".join(message.split()).encode(errors="backslashreplace").decode()  # file names need not be UTF-8
    typer.echo(f"calque: {line}", err=True)
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
