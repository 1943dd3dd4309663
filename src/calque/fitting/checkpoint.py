"""A checkpoint: one file with all tensors of a training and its counters; the one before it stays beside it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from calque.atomic import replacing
from calque.errors import FileError
from calque.fitting.loop import Loop
from calque.folder import contiguous
from calque.reading.formats import first_line


def save_checkpoint(path: Path, loop: Loop, watched: Mapping[str, Any], best: Mapping[str, Tensor]) -> None:
    """Write the loop's state, what was watched (plain numbers) and the best weights so far."""
    tensors = {f"objective/{name}": tensor for name, tensor in loop.objective.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    for player, optimiser in loop.optimisers.items():
        for number, state in optimiser.state_dict()["state"].items():
            kept = {key: value for key, value in state.items() if value is not None}
            tensors |= {f"optimiser/{player}/{number}/{key}": torch.as_tensor(value) for key, value in kept.items()}
    if loop.average is not None:
        tensors |= {f"average/{number}": tensor for number, tensor in enumerate(loop.average.values)}
    tensors |= {f"sums/{player}": total for player, total in loop.sums.items()}
    averaged = loop.average.count if loop.average else 0
    counters = {"step": loop.step, "moves": loop.moves, "average": averaged, **watched}
    store(path, contiguous(tensors), json.dumps(counters))


def store(path: Path, tensors: dict[str, Tensor], counters: str) -> None:
    """Write a checkpoint with its hash; the one that was there becomes the one before it."""
    content = save(tensors, {"counters": counters, "sha256": hash_of(tensors, counters)})
    with replacing(path) as beside:
        beside.write_bytes(content)
        if path.is_file():
            os.replace(path, previous_of(path))


def hash_of(tensors: Mapping[str, Tensor], counters: str) -> str:
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


def load_checkpoint(path: Path, loop: Loop) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put a loop back to where it was saved; returns what was watched and the best weights.

    Where the checkpoint is damaged, the one before it is taken, with a warning. Raises FileError where none is whole,
    or what is there belongs to another training.
    """
    counters, tensors = read_newest(path)
    try:
        restore(loop, counters, tensors)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"the checkpoint {path} does not fit this training: {first_line(error)}; "
                        "remove the folder, or choose another with --out") from error
    return counters, part_of(tensors, "best/")


def read_newest(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Counters and tensors of the newest checkpoint that is whole."""
    faults = []
    for place in (path, previous_of(path)):
        try:
            found = read_checked(place)
        except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
            faults.append(f"{place.name}: {first_line(error)}")
            continue
        if faults:
            warnings.warn(f"the newest checkpoint in {path.parent} is damaged or missing ({faults[0]}); going on from "
                          f"the one before it, at step {found[0]['step']}", stacklevel=3)
        return found
    raise FileError(f"no checkpoint in {path.parent} is whole ({'; '.join(faults)}); remove that folder to train from "
                    "the start with --resume, or choose another with --out")


def read_checked(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Counters and tensors of a checkpoint; raises ValueError where its hash differs."""
    with safe_open(path, "pt") as archive:
        described = archive.metadata()
        tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    counters = described["counters"]
    if "sha256" in described and described["sha256"] != hash_of(tensors, counters):
        raise ValueError("its hash differs from what was saved")
    found = json.loads(counters)
    return {**found, "step": int(found["step"])}, tensors


def restore(loop: Loop, counters: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Networks, optimisers, averages and the step."""
    loop.objective.load_state_dict(part_of(tensors, "objective/"))
    for player, optimiser in loop.optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in part_of(tensors, f"optimiser/{player}/").items():
            number, name = key.split("/")
            state.setdefault(int(number), {})[name] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    if loop.average is not None:
        loop.average.count = counters["average"]
        for place, value in enumerate(loop.average.values):
            value.copy_(tensors[f"average/{place}"])
    loop.step, loop.moves = counters["step"], moves_of(loop, counters)
    loop.sums = {player: total.to(loop.batches.device) for player, total in part_of(tensors, "sums/").items()}


def moves_of(loop: Loop, counters: Mapping[str, Any]) -> dict[str, int]:
    """How often each player moved since its last mean loss; older checkpoints count steps."""
    if "moves" in counters:
        return dict(counters["moves"])
    turns = loop.objective.turns
    return {player: counters["counted"] * turns.count(player) for player in loop.players}


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
