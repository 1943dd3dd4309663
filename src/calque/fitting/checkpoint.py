"""A checkpoint of a training: what a loop is put back to where it was with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from calque.checkpoints import part_of, read_newest, store
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
