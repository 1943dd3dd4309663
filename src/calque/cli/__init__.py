"""The command line: parses, calls, prints; no logic."""

# the commands are listed in the order they are imported in
from calque.cli import runs, answers, around  # noqa: F401, I001
from calque.cli.options import app
from calque.cli.words import main

__all__ = ["app", "main"]
