"""Where a run comes from, and the hashes by which its files are known: what is opened is what was trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calque.atomic import write_bytes
from calque.config import Config, to_toml
from calque.errors import FileError
from calque.folder import CONFIG, CONTEXTS, MODEL, PREPARATION, PROVENANCE, SPLIT, is_run, read_config

SEALED = (CONFIG, PREPARATION, MODEL, SPLIT, CONTEXTS)
FILES, OWN = "files", "sha256"  # keys of the provenance: hashes of the other files, and its own
REMEDY = "--resume makes it anew from the checkpoint, or train it again"


def write_provenance(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the provenance, with the hashes of a folder's files and its own; it marks the folder complete.

    Parameters
    ----------
    folder
        The run folder, or the folder of categories, all of its other files in place.
    content
        What else is to be known, as plain values.
    """
    found = {name: hash_of((folder / name).read_bytes()) for name in SEALED if (folder / name).is_file()}
    write_sealed(folder, {**content, FILES: found})


def write_sealed(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the provenance with a hash of its own."""
    plain = {key: value for key, value in content.items() if key != OWN}
    write_bytes(folder / PROVENANCE, json.dumps({**plain, OWN: hash_of(canonical(plain))}, indent=1))


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of a folder.

    Returns
    -------
    dict
        Its content; a folder from before there were hashes has none.

    Raises
    ------
    FileError
        Where it is damaged or cannot be read.
    """
    path = folder / PROVENANCE
    try:
        content = dict(json.loads(path.read_text()))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise FileError(f"{path} is damaged; {REMEDY}") from error
    plain = {key: value for key, value in content.items() if key != OWN}
    if content.get(OWN, "") != (hash_of(canonical(plain)) if OWN in content else ""):
        raise FileError(f"{path} is not what was written (its hash differs); {REMEDY}")
    if FILES in content and OWN not in content:
        raise FileError(f"{path} is damaged (no {OWN} in it); {REMEDY}")
    return content


def check_contents(folder: Path, provenance: Mapping[str, Any], name: str, content: bytes) -> bytes:
    """The content of one of a folder's files; raises FileError where its hash is not that of the training."""
    known = provenance.get(FILES)
    if known is None:
        return content
    hashes = known.get(name, [])
    if hash_of(content) not in ([hashes] if isinstance(hashes, str) else hashes):
        raise FileError(f"{folder / name} is not what was trained (its hash differs); {REMEDY}")
    return content


def read_checked(folder: Path, provenance: Mapping[str, Any], name: str) -> bytes:
    """The content of one of a folder's files, as it was trained; raises FileError otherwise."""
    return check_contents(folder, provenance, name, (folder / name).read_bytes())


def open_config(folder: Path) -> Config:
    """The configuration of a run folder or a folder of categories, as it was trained; raises FileError otherwise."""
    if is_run(folder) and (folder / PROVENANCE).is_file():
        read_checked(folder, read_provenance(folder), CONFIG)
    return read_config(folder)


def unsealed(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance without its hashes."""
    return {key: value for key, value in provenance.items() if key not in (FILES, OWN)}


def is_finished(folder: Path) -> bool:
    """Whether a training in this folder came to its end, and all that it left is whole."""
    if not (folder / PROVENANCE).is_file():
        return False
    try:
        provenance = read_provenance(folder)
        for name in provenance.get(FILES, ()):
            read_checked(folder, provenance, name)
    except (FileError, FileNotFoundError):
        return False
    return bool(provenance)


def save_categories(config: Config) -> None:
    """Mark the folder of a configuration complete: all its categories are trained."""
    save_config(Path(config.out), config)


def save_config(folder: Path, config: Config) -> None:
    """Put another configuration into a finished folder, for what comes after the training.

    The provenance knows the new one before it is there: the folder is whole at every moment.
    """
    content = (to_toml(config.tables()) + "\n").encode()
    old = (folder / CONFIG).read_bytes() if is_run(folder) else None
    if content == old:
        return
    provenance = read_provenance(folder) if (folder / PROVENANCE).is_file() else {FILES: {}}
    if FILES in provenance:
        hashes = [hash_of(text) for text in (old, content) if text is not None]
        write_sealed(folder, {**provenance, FILES: {**provenance[FILES], CONFIG: hashes}})
    write_bytes(folder / CONFIG, content)


def hash_of(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def canonical(content: Mapping[str, Any]) -> bytes:
    """One spelling of plain values."""
    return json.dumps(content, sort_keys=True).encode()
