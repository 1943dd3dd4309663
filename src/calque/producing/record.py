"""Productions that were completed: what was written and from what, kept beside the file, so that it is known again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calque.atomic import write_bytes
from calque.errors import FileError

PIECE = 2**24  # bytes read at once


def record_of(path: Path) -> Path:
    """Where the record of a complete production lies.

    >>> record_of(Path("o.csv")).name
    '.o.csv.made'
    """
    return path.with_name(f".{path.name}.made")


def write_record(path: Path, plan: Mapping[str, object]) -> None:
    """Keep what a complete file was made from, and what its contents are known by."""
    write_bytes(record_of(path), json.dumps({"plan": plan, **measure_contents(path)}))


def measure_contents(path: Path) -> dict[str, int]:
    """Size [bytes] and checksum (CRC-32) of a file: damage shows, at the speed of the memory."""
    checksum = size = 0
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            checksum, size = zlib.crc32(piece, checksum), size + len(piece)
    return {"size": size, "crc32": checksum}


def check_record(path: Path, plan: Mapping[str, object]) -> None:
    """Raise FileError unless a file is the complete outcome of a plan, as it was written."""
    record = read_record(path)
    made = record["plan"]
    for name, value in json.loads(json.dumps(plan)).items():
        if made.get(name) != value:
            raise FileError(f"{path} is there, but was made with {name} = {made.get(name)}, now it is {value}; "
                            "write it anew without --resume, or choose another name")
    there = measure_contents(path)
    if there["size"] != record["size"]:
        raise FileError(f"{path} has {there['size']} bytes, but {record['size']} were written; write it anew without "
                        "--resume")
    if there["crc32"] != record["crc32"]:
        raise FileError(f"{path} is not what was written (its checksum differs); write it anew without --resume")


def read_record(path: Path) -> dict[str, Any]:
    """The record of a file; raises FileError where there is none that can be read."""
    remedy = "write it anew without --resume, or choose another name"
    try:
        record = json.loads(record_of(path).read_text())
        return {"plan": dict(record["plan"]), "size": int(record["size"]), "crc32": int(record["crc32"])}
    except FileNotFoundError:
        raise FileError(f"{path} is there, but nothing shows that it is this production: no {record_of(path).name} "
                        f"beside it; {remedy}") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"{record_of(path)} is damaged, so that {path} is not known; {remedy}") from error
