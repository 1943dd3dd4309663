"""Columns of images as rows of pixels: a step sees (N, k), whatever the shape of an event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from calque.errors import ConfigError, DataError, nearest
from calque.preparing.step import Step, side_by_side

Shape = tuple[int, ...]
ROWS = 50_000  # of a block
NUMBERS = 2_000_000  # of a block: 16 MB in double precision


def at_once(size: int) -> int:
    """Events of `size` numbers each that are prepared together: memory stays bounded.

    >>> at_once(6), at_once(28 * 28)
    (50000, 2551)
    """
    return max(1, min(ROWS, NUMBERS // max(size, 1)))


def common(shapes: Mapping[str, Shape], step: Step) -> Shape:
    """The one shape of a step's columns; raises DataError for a column that is not there, ConfigError for several."""
    missing = [name for name in step.columns if name not in shapes]
    if missing:
        raise DataError(f"no column {missing[0]!r} for step '{step.kind}'; {nearest(missing[0], shapes)}")
    found = {name: shapes[name] for name in step.columns}
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name} {shape or 'a number'}" for name, shape in found.items())
        raise ConfigError(f"step '{step.kind}' takes columns of one shape: {told}; give each shape a step of its own")
    return next(iter(found.values()), ())


def follow(shapes: Mapping[str, Shape], step: Step) -> dict[str, Shape]:
    """Names and shapes after a step: what it takes goes, what it makes comes."""
    if step.outputs == step.columns:
        return dict(shapes)
    rest = {name: shape for name, shape in shapes.items() if name not in step.columns}
    clash = [name for name in step.outputs if name in rest]
    if clash:
        raise ConfigError(f"step '{step.kind}' makes a column {clash[0]!r}, which is there already; name it with '->'")
    return {**rest, **dict.fromkeys(step.outputs, common(shapes, step))}


def fold(columns: Sequence[Tensor], like: Tensor) -> Tensor:
    """Columns (N, *shape) as rows (N · pixels, k); none as (rows of `like`, 0)."""
    return side_by_side([column.flatten() for column in columns]) if columns else like[:, :0]


def unfold(rows: Tensor, shape: Shape) -> list[Tensor]:
    """Rows (N · pixels, k) as columns (N, *shape)."""
    return [column.reshape(-1, *shape) for column in rows.unbind(1)]


def share(noise: Tensor, used: int, each: int, shape: Shape) -> Tensor:
    """A step's part of normals (N, …) from place `used` on: `each` of them for every pixel (N · pixels, each)."""
    pixels = math.prod(shape)
    return noise[:, used : used + each * pixels].reshape(len(noise) * pixels, each)
