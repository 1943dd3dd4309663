"""An ordered list of steps from physical columns to the vector a network sees, and back."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError, unknown
from calque.preparing.folding import Shape, at_once, common, fold, follow, share, unfold
from calque.preparing.step import Step, find
from calque.table import Array, Layout, Table


def parse_step(text: str, available: Sequence[str]) -> Step:
    """Read `kind column… [-> name…] [setting=value…]`; `*` stands for all columns there are.

    >>> parse_step("polar px py -> pt phi", ["px", "py"]).outputs
    ('pt', 'phi')
    """
    kind, *words = shlex.split(text)
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word]
    columns, outputs = names, None
    if "->" in names:
        columns, outputs = names[: names.index("->")], names[names.index("->") + 1 :]
    columns = list(available) if columns == ["*"] else columns
    for name in columns:
        if name not in available:
            raise ConfigError(unknown("column", name, available, f"for step {text!r}"))
    return build_step(kind, columns, outputs, settings)


def parse_steps(text: str, shapes: Mapping[str, Shape]) -> list[Step]:
    """Read as `parse_step` does, of columns with shapes; with `*` there is a step for every shape.

    >>> [step.columns for step in parse_steps("standardise *", {"m": (), "image": (28, 28), "c": ()})]
    [('m', 'c'), ('image',)]
    """
    if "*" not in shlex.split(text):
        return [parse_step(text, list(shapes))]
    return [parse_step(text, [name for name, found in shapes.items() if found == shape])
            for shape in dict.fromkeys(shapes.values())]


def build_step(kind: str, columns: Sequence[str], outputs: Sequence[str] | None, settings: Mapping[str, str]) -> Step:
    """Make a step, its settings converted to the types of its constructor."""
    step = find(kind)
    annotations = {name: value for name, value in step.__init__.__annotations__.items()
                   if name not in ("columns", "outputs", "return")}
    values: dict[str, float | int] = {}
    for name, value in settings.items():
        if name not in annotations:
            raise ConfigError(unknown(f"setting of step '{kind}'", name, annotations))
        try:
            values[name] = int(value) if annotations[name] == "int" else float(value)
        except ValueError as error:
            raise ConfigError(f"step '{kind}': {name}={value} is not a number") from error
    return step(columns, outputs, **values)


class Preparation(nn.Module):
    """Steps in order; columns they leave are packed into (N, D) by `layout`.

    `columns` are the physical columns; dtypes, units and shapes travel with them, so that `inverse` gives back what
    was trained on. A step takes columns of one shape and treats every pixel alike, as a row of its own. Fitted in
    float64; `float()` it for drawing.
    """

    def __init__(self, steps: Sequence[Step], columns: Sequence[str], dtypes: Mapping[str, str],
                 units: Mapping[str, str], shapes: Mapping[str, Shape]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.columns = tuple(columns)
        self.dtypes, self.units = dict(dtypes), dict(units)
        self.shapes = {name: shapes.get(name, ()) for name in self.columns}
        self.of_steps, left = [], self.shapes
        for step in steps:
            self.of_steps.append(common(left, step))
            left = follow(left, step)
        self.layout = Layout(tuple(left), tuple(left.values()))

    @classmethod
    def fit(cls, table: Table, steps: Sequence[str], weights: Array, noise: np.random.Generator,
            rows: Mapping[Shape, Array] | None = None) -> Preparation:
        """Fit steps one after another on `table` with weights (N,); of columns of a shape only `rows[shape]` count."""
        shapes = left = {name: table[name].shape[1:] for name in table.names}
        looked = {shape: (rows or {}).get(shape, np.arange(len(table))) for shape in shapes.values()}
        values = {name: torch.from_numpy(table[name][looked[shape]].astype(np.float64))
                  for name, shape in shapes.items()}
        fitted: list[Step] = []
        for text in steps:
            for step in parse_steps(text, left):
                shape = common(left, step)
                x = fold([values[name] for name in step.columns], torch.empty(0))
                step.pixels = math.prod(shape)
                step.fit(x, torch.as_tensor(weights[looked[shape]]).double().repeat_interleave(step.pixels))
                y = step(x, normals(noise, len(x), step.forward_noise))
                fitted.append(step)
                left = follow(left, step)
                values = renewed(values, step, unfold(y, shape), left)
                check_finite(values, step)
        dtypes = {name: str(table[name].dtype) for name in table.names}
        return cls(fitted, table.names, dtypes, table.units, shapes)

    @property
    def inverse_noise(self) -> int:
        """Standard normals per event that `inverse` consumes."""
        return sum(step.inverse_noise * math.prod(shape) for step, shape in self.shaped_steps())

    @property
    def forward_noise(self) -> int:
        """Standard normals per event that `forward` consumes."""
        return sum(step.forward_noise * math.prod(shape) for step, shape in self.shaped_steps())

    def typed_steps(self) -> list[Step]:
        """The steps, for a type checker."""
        return [step for step in self.steps if isinstance(step, Step)]

    def shaped_steps(self) -> list[tuple[Step, Shape]]:
        """The steps, each with the shape of its columns."""
        return list(zip(self.typed_steps(), self.of_steps, strict=True))

    def forward(self, columns: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Physical columns → packed (N, D) and the log |Jacobian| (N,)."""
        values, jacobian, used = dict(columns), torch.zeros(len(noise), dtype=noise.dtype), 0
        for step, shape in self.shaped_steps():
            x = fold([values[name] for name in step.columns], noise)
            y = step(x, share(noise, used, step.forward_noise, shape))
            used += step.forward_noise * math.prod(shape)
            jacobian = jacobian + step.log_abs_det_jacobian(x, y).reshape(len(noise), -1).sum(1)
            values |= dict(zip(step.outputs, unfold(y, shape), strict=True))
        return self.layout.pack(values), jacobian

    def inverse(self, packed: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Packed (N, D) and normals (N, inverse_noise) → physical columns."""
        values, used = self.layout.unpack(packed), self.inverse_noise
        for step, shape in reversed(self.shaped_steps()):
            used -= step.inverse_noise * math.prod(shape)
            normals = share(noise, used, step.inverse_noise, shape)
            y = fold([values[name] for name in step.outputs], normals)
            values |= dict(zip(step.columns, unfold(step.inverse(y, normals), shape), strict=True))
        return {name: values[name] for name in self.columns}

    def encode(self, table: Table, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Table → packed float32 (N, D) and log |Jacobian| (N,) float64, in blocks of bounded memory."""
        packed = torch.empty(len(table), self.layout.size)
        jacobian = torch.empty(len(table), dtype=torch.float64)
        table.require(self.columns)
        rows = self.at_once
        for start in range(0, len(table), rows):
            part = table.rows(slice(start, start + rows))
            y, slope = self(to_tensors(part, self.columns), normals(noise, len(part), self.forward_noise))
            packed[start : start + rows], jacobian[start : start + rows] = y, slope
        return packed, jacobian

    @property
    def at_once(self) -> int:
        """Events that are encoded together."""
        return at_once(self.layout.size + self.forward_noise)

    def decode(self, packed: Tensor, noise: Tensor) -> dict[str, Array]:
        """Packed (N, D) → physical columns in their own dtypes."""
        return {name: restore(column, np.dtype(self.dtypes[name]))
                for name, column in self.inverse(packed, noise).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {"columns": self.columns, "dtypes": self.dtypes, "units": self.units,
                "shapes": self.shapes,
                "steps": [step.to_dict() for step in self.typed_steps()]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Preparation:
        """Rebuild from `to_dict`."""
        shapes = {name: tuple(shape) for name, shape in saved["shapes"].items()}
        steps = [Step.from_dict(step) for step in saved["steps"]]
        return cls(steps, saved["columns"], saved["dtypes"], saved["units"], shapes)


def renewed(values: Mapping[str, Tensor], step: Step, made: Sequence[Tensor], left: Mapping[str, Shape]
            ) -> dict[str, Tensor]:
    """Columns that are left after a step."""
    new = {**values, **dict(zip(step.outputs, made, strict=True))}
    return {name: new[name] for name in left}


def check_finite(values: Mapping[str, Tensor], step: Step) -> None:
    """Raise DataError where a step made something that is no number."""
    for name in step.outputs:
        bad = ~torch.isfinite(values[name])
        if bad.any():
            rows = torch.nonzero(bad).flatten()[:3].tolist()
            raise DataError(f"step '{step.kind}' of {' '.join(step.columns)} gives non-finite values in "
                            f"{int(bad.sum())} training rows (first {rows}); choose another step")


def to_tensors(table: Table, names: Sequence[str]) -> dict[str, Tensor]:
    """Columns in double precision."""
    return {name: torch.from_numpy(table[name].astype(np.float64)) for name in names}


def normals(stream: np.random.Generator, rows: int, width: int) -> Tensor:
    """Standard normals (rows, width) in double precision."""
    return torch.from_numpy(stream.standard_normal((rows, width)))


def restore(column: Tensor, dtype: np.dtype[Any]) -> Array:
    """A tensor in the dtype its column came in."""
    array = column.numpy()
    return np.rint(array).astype(dtype) if dtype.kind in "biu" else array.astype(dtype, copy=False)
