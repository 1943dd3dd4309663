"""Files of a checkpoint: all tensors of a training and its counters in one; the one before it stays beside it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from calque.atomic import replacing
from calque.errors import ConfigError, FileError, unknown
from calque.models import Generator
from calque.reading.formats import first_line

Which = Literal["best", "latest"]


def store(path: Path, tensors: dict[str, Tensor], counters: str) -> None:
    """Write a checkpoint with its hash; the one that was there becomes the one before it."""
    content = save(tensors, {"counters": counters, "sha256": hash_tensors(tensors, counters)})
    with replacing(path) as beside:
        beside.write_bytes(content)
        if path.is_file():
            os.replace(path, previous_of(path))


def hash_tensors(tensors: Mapping[str, Tensor], counters: str) -> str:
    """What identifies a checkpoint: names, types, shapes and numbers of its tensors, and its counters."""
    digest = hashlib.sha256(counters.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the one at `path` lies.

    >>> previous_of(Path("run/state.safetensors")).name
    'state.previous.safetensors'
    """
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and the one before it."""
    for place in (path, previous_of(path)):
        place.unlink(missing_ok=True)


def has_checkpoint(path: Path) -> bool:
    """Whether a training left a checkpoint here, or at least the one before it."""
    return path.is_file() or previous_of(path).is_file()


def read_newest(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Counters and tensors of the newest checkpoint that is whole."""
    faults = []
    for place in (path, previous_of(path)):
        try:
            found = read_checkpoint(place)
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
            faults.append(f"{place.name}: {first_line(error)}")
            continue
        if faults:
            warnings.warn(f"the newest checkpoint in {path.parent} is damaged or missing ({faults[0]}); going on from "
                          f"the one before it, at step {found[0]['step']}", stacklevel=3)
        return found
    raise FileError(f"no checkpoint in {path.parent} is whole ({'; '.join(faults)}); remove that folder to train from "
                    "the start with --resume, or choose another with --out")


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Counters and tensors of a checkpoint; raises ValueError where its hash differs."""
    with safe_open(path, "pt") as archive:
        described = archive.metadata() or {"counters": '{"step": 0}'}  # older files of a tuning have none
        tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    counters = described["counters"]
    if "sha256" in described and described["sha256"] != hash_tensors(tensors, counters):
        raise ValueError("its hash differs from what was saved")
    found = json.loads(counters)
    return {**found, "step": int(found["step"])}, tensors


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def load_generator(generator: Generator, tensors: Mapping[str, Tensor], which: Which = "best") -> None:
    """Give a generator the weights that a checkpoint has of it.

    Parameters
    ----------
    generator : Generator
        Of the training's kind and settings.
    tensors : mapping of str to Tensor
        All tensors of a checkpoint.
    which : "best" or "latest"
        Those of the best look so far, where there was one, or of the last step saved, averaged where a training
        averages.

    Raises
    ------
    ConfigError
        For another word.
    """
    if which not in ("best", "latest"):
        raise ConfigError(unknown("weights", which, ["best", "latest"]))
    best = part_of(tensors, "best/")
    if best and which == "best":
        generator.load_state_dict(best)
        return
    state = part_of(tensors, "objective/generator.")
    averages = part_of(tensors, "average/")
    moving = [name for name, tensor in generator.state_dict().items() if tensor.is_floating_point()]
    if averages:
        state |= {name: averages[str(place)] for place, name in enumerate(moving)}
    generator.load_state_dict(state)
