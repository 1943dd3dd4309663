"""Small games of images, that several tests share."""

from __future__ import annotations

from typing import Any

import torch

from calque.config import build
from calque.fitting.adversarial import Adversarial
from calque.fitting.batches import Batches
from calque.fitting.fit import build_objective
from calque.fitting.loop import Loop
from calque.fitting.objective import Batch
from calque.kinds import KINDS
from calque.run import build_generator
from calque.table import Layout

SHAPES = [(28, 28), (12, 12), (3, 96), (12, 6), (4, 4), (5,), (1, 9), (9, 16), (4, 6, 5)]
SMALL: dict[str, dict[str, Any]] = {"upsampling": {"base": 4}, "layered": {"channels": 2, "nodes": 16},
                                    "progressive": {"base": 4}, "style": {"base": 4, "nodes": 16}}
SHOWER = Layout(("layer_0", "e", "layer_1"), ((3, 10), (), (4, 4)))


def image(*shape: int) -> Layout:
    return Layout(("image",), (shape,))


def objective_of(kind: str, layout: Layout, context: int = 1, model: dict[str, Any] | None = None,
                 **settings: Any) -> Adversarial:
    """A small game of images."""
    torch.manual_seed(0)
    small = SMALL[KINDS[kind].generator]
    tables = {"model": {**small, **(model or {})}, "objective": {"base": 4, **settings}}
    config = build({"fit": {"kind": kind, "preset": "fast", **tables}}, "here")
    objective = build_objective(config, build_generator(config, layout, context))
    assert isinstance(objective, Adversarial)
    return objective.train()


def loop_of(objective: Adversarial, rows: int = 16) -> Loop:
    """Ready to play with images of noise."""
    torch.manual_seed(1)
    size, context = objective.generator.size, objective.generator.context
    batches = Batches(torch.rand(64, size), torch.randn(64, context), torch.ones(64), rows, torch.device("cpu"))
    return Loop(objective, batches, build({"fit": {"kind": "gan", "batch": rows}}, "here").fit, 0)


def batch_of(objective: Adversarial, player: str) -> Batch:
    torch.manual_seed(3)
    return loop_of(objective).batches.draw(objective.noise(player))
