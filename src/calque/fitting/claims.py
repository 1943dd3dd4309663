"""Whose folder it is: a training goes on only with the settings and the data that it was begun with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calque.config import Config, load_config, to_toml
from calque.errors import ConfigError, DataError, FileError
from calque.folder import CONFIG, PREPARATION, is_run
from calque.run import Run

SECTIONS = ("read", "prepare", "fit")  # what comes after a training may change
REMEDY = "resume with the same, or choose another folder with --out"


def claim(run: Run, folder: Path | None, resume: bool) -> None:
    """Take a folder for a training; raises CalqueError rather than overwrite one, or go on with another."""
    if folder is None:
        return
    if is_run(folder):
        if not resume:
            raise FileError(f"{folder} holds a run already; go on with --resume, or choose another folder with --out")
        check_settings(run.config, folder)
        check_data(run, folder)
    run.save_setup(folder)


def check_settings(config: Config, folder: Path) -> None:
    """Raise ConfigError where a training was begun with another seed, or other settings of what comes before it."""
    saved = load_config(folder / CONFIG)
    if saved.seed != config.seed:
        raise ConfigError(f"{folder} was begun with seed = {saved.seed}, now it is {config.seed}; {REMEDY}")
    for section in SECTIONS:
        if getattr(saved, section) != getattr(config, section):
            theirs, ours = (to_toml(getattr(c, section).model_dump()).splitlines() for c in (saved, config))
            changed = next((line for line in (*theirs, *ours) if (line in theirs) != (line in ours)), section)
            raise ConfigError(f"{folder} was begun with other settings in [{section}] ({changed}); {REMEDY}")


def check_data(run: Run, folder: Path) -> None:
    """Raise DataError where a training was begun with other data: other files, or another preparation of them."""
    try:
        text = (folder / PREPARATION).read_text()
        saved = dict(json.loads(text))
    except FileNotFoundError:
        return  # it was killed before it had begun
    except (ValueError, TypeError, RecursionError):
        warnings.warn(f"{folder / PREPARATION} is damaged: it is made anew from the data", stacklevel=4)
        return
    ours = json.loads(run.describe_setup())
    check_inputs(saved.get("inputs", []), ours["inputs"], run.config, folder)
    for name in ("preparation", "context"):
        if json.dumps(saved.get(name)) != json.dumps(ours[name]):  # as text, for NaN is never equal
            raise DataError(f"{folder} was begun with other data (their {name} differs); {REMEDY}")


def check_inputs(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], config: Config,
                 folder: Path) -> None:
    """Raise DataError where input files are not those that a training was begun with; names the file."""
    theirs, ours = ([entry.get("sha256") for entry in entries] for entries in (saved, now))
    if not theirs or not ours or theirs == ours:
        return
    if len(theirs) != len(ours):
        raise DataError(f"{folder} was begun with {len(theirs)} input files, now there are {len(ours)}; {REMEDY}")
    place = next(at for at, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1])
    files = config.read.files if isinstance(config.read.files, str) else ", ".join(config.read.files)
    which = f"file {place + 1} of {len(ours)}" if len(ours) > 1 else "its contents"
    raise DataError(f"{folder} was begun with other data: {files} has changed since ({which}); {REMEDY}")
