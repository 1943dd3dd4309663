"""How columns become the rows that a step sees: pixels one by one, or events whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from calque.errors import ConfigError, DataError, nearest
from calque.preparing.step import Shape, Step, side_by_side

ROWS = 50_000  # of a block
NUMBERS = 2_000_000  # of a block: 16 MB in double precision


def at_once(size: int) -> int:
    """Events of `size` numbers each that are prepared together: memory stays bounded.

    >>> at_once(6), at_once(28 * 28)
    (50000, 2551)
    """
    return max(1, min(ROWS, NUMBERS // max(size, 1)))


@dataclass(frozen=True)
class Folding:
    """A step beside the shapes of its columns and of its outputs.

    A usual step takes columns of one shape, and sees each pixel as a row of its own. One that sees events whole takes
    columns of any shapes, flat and side by side, behind those that are given to it.
    """

    step: Step
    taken: tuple[Shape, ...]
    made: tuple[Shape, ...]

    @classmethod
    def of(cls, step: Step, shapes: Mapping[str, Shape], context: Iterable[str] = ()) -> Folding:
        """Look a step's columns up; raises DataError for one that is not there, ConfigError for shapes that differ."""
        known = {**shapes, **dict.fromkeys(context, ())}
        for name, there in [*((name, shapes) for name in step.columns), *((name, known) for name in step.given)]:
            if name not in there:
                raise DataError(f"no column {name!r} for step '{step.kind}'; {nearest(name, there)}")
        taken = tuple(shapes[name] for name in step.columns)
        if not step.whole and len(set(taken)) > 1:
            told = ", ".join(f"{name} {shapes[name] or 'a number'}" for name in step.columns)
            raise ConfigError(f"step '{step.kind}' takes columns of one shape: {told}; "
                              "give each shape a step of its own")
        for name in step.given:
            if known[name]:
                raise ConfigError(f"step '{step.kind}' is given images of {name!r}; it takes a number an event")
        return cls(step, taken, step.see(taken))

    @property
    def pixels(self) -> int:
        """Rows of an event."""
        return 1 if self.step.whole else math.prod(self.taken[0])

    def follow(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """Names and shapes after the step: what it takes goes, what it makes comes."""
        new = dict(zip(self.step.outputs, self.made, strict=True))
        if self.step.outputs == self.step.columns:
            return {**shapes, **new}
        rest = {name: shape for name, shape in shapes.items() if name not in self.step.columns}
        clash = [name for name in self.step.outputs if name in rest]
        if clash:
            raise ConfigError(f"step '{self.step.kind}' makes a column {clash[0]!r}, which is there already; name it "
                              "with '->'")
        return {**rest, **new}

    def fold(self, values: Mapping[str, Tensor], names: Sequence[str], like: Tensor) -> Tensor:
        """The step's columns, or its outputs, as it sees them: (rows, k); none as (rows of `like`, 0)."""
        if self.step.whole:
            return torch.cat([flat(values[name]) for name in (*self.step.given, *names)], 1)
        return side_by_side([values[name].flatten() for name in names]) if names else like[:, :0]

    def unfold(self, rows: Tensor, names: Sequence[str], shapes: Sequence[Shape]) -> dict[str, Tensor]:
        """Rows (rows, k) as columns (N, *shape)."""
        sizes = [math.prod(shape) for shape in shapes]
        columns = torch.split(rows, sizes, 1) if self.step.whole else rows.unbind(1)
        return {name: column.reshape(-1, *shape) for name, column, shape in zip(names, columns, shapes, strict=True)}

    def forward(self, values: Mapping[str, Tensor], noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What the step makes of its columns, and its log |Jacobian| (N,): 0 where there is no density."""
        x = self.fold(values, self.step.columns, noise)
        y = self.step(x, noise)
        slope = self.step.log_abs_det_jacobian(x, y) if self.step.density else x.new_zeros(len(x))
        return self.unfold(y, self.step.outputs, self.made), slope.reshape(-1, self.pixels).sum(1)

    def inverse(self, values: Mapping[str, Tensor], noise: Tensor) -> dict[str, Tensor]:
        """The step's columns of its outputs."""
        y = self.fold(values, self.step.outputs, noise)
        if not self.step.precise:
            return self.unfold(self.step.inverse(y, noise), self.step.columns, self.taken)
        columns = self.unfold(self.step.inverse(y.double(), noise.double()), self.step.columns, self.taken)
        return {name: column if name in self.step.doubles else column.to(noise) for name, column in columns.items()}

    def share(self, noise: Tensor, used: int, each: int) -> Tensor:
        """Its part of normals (N, …) from place `used` on: `each` of them for every row (rows, each)."""
        return noise[:, used : used + each * self.pixels].reshape(noise.shape[0] * self.pixels, each)


def flat(column: Tensor) -> Tensor:
    """A column (N, *shape) as numbers side by side (N, K)."""
    return column.flatten(1) if column.ndim > 1 else column[:, None]
