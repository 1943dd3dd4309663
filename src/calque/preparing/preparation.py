"""An ordered list of steps from physical columns to the vector a network sees, and back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError, nearest, unknown
from calque.preparing.step import Step, find, side_by_side
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

    `columns` are the physical columns; dtypes and units travel with them, so that `inverse` gives back what
    was trained on. Fitted in float64; `float()` it for drawing.
    """

    def __init__(self, steps: Sequence[Step], columns: Sequence[str], dtypes: Mapping[str, str],
                 units: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.columns = tuple(columns)
        self.dtypes, self.units = dict(dtypes), dict(units)
        left = dict.fromkeys(self.columns)
        for step in steps:
            left = follow(left, step)
        self.layout = Layout(tuple(left), tuple(shapes.get(name, ()) for name in left))

    @classmethod
    def fit(cls, table: Table, steps: Sequence[str], weights: Array, noise: np.random.Generator) -> Preparation:
        """Fit steps one after another on training rows of `table`, weighted."""
        w = torch.as_tensor(weights, dtype=torch.float64)
        values = to_tensors(table, table.names)
        fitted: list[Step] = []
        for text in steps:
            step = parse_step(text, list(values))
            x = stack(values, step)
            step.fit(x, w)
            y = step(x, normals(noise, len(x), step.forward_noise))
            fitted.append(step)
            values = replace_columns(values, step, y)
            check_finite(values, step)
        dtypes = {name: str(table[name].dtype) for name in table.names}
        shapes = {name: table[name].shape[1:] for name in table.names}
        return cls(fitted, table.names, dtypes, table.units, shapes)

    @property
    def inverse_noise(self) -> int:
        """Standard normals per event that `inverse` consumes."""
        return sum(step.inverse_noise for step in self.typed_steps())

    @property
    def forward_noise(self) -> int:
        """Standard normals per event that `forward` consumes."""
        return sum(step.forward_noise for step in self.typed_steps())

    def typed_steps(self) -> list[Step]:
        """The steps, for a type checker."""
        return [step for step in self.steps if isinstance(step, Step)]

    def forward(self, columns: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Physical columns → packed (N, D) and the log |Jacobian| (N,)."""
        values, jacobian, used = dict(columns), torch.zeros(len(noise), dtype=noise.dtype), 0
        for step in self.typed_steps():
            x = stack(values, step)
            y = step(x, noise[:, used : used + step.forward_noise])
            used += step.forward_noise
            jacobian = jacobian + step.log_abs_det_jacobian(x, y)
            values = replace_columns(values, step, y)
        return self.layout.pack(values), jacobian

    def inverse(self, packed: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Packed (N, D) and normals (N, inverse_noise) → physical columns."""
        values, used = self.layout.unpack(packed), self.inverse_noise
        for step in reversed(self.typed_steps()):
            used -= step.inverse_noise
            y = side_by_side([values.pop(name) for name in step.outputs]) if step.outputs else packed[:, :0]
            x = step.inverse(y, noise[:, used : used + step.inverse_noise])
            values.update(zip(step.columns, x.unbind(1), strict=True))
        return {name: values[name] for name in self.columns}

    def encode(self, table: Table, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Table → packed float32 (N, D) and log |Jacobian| (N,) float64, in blocks of bounded memory."""
        packed = torch.empty(len(table), self.layout.size)
        jacobian = torch.empty(len(table), dtype=torch.float64)
        table.require(self.columns)
        for start in range(0, len(table), BLOCK):
            part = table.rows(slice(start, start + BLOCK))
            y, slope = self(to_tensors(part, self.columns), normals(noise, len(part), self.forward_noise))
            packed[start : start + BLOCK], jacobian[start : start + BLOCK] = y, slope
        return packed, jacobian

    def decode(self, packed: Tensor, noise: Tensor) -> dict[str, Array]:
        """Packed (N, D) → physical columns in their own dtypes."""
        return {name: restore(column, np.dtype(self.dtypes[name]))
                for name, column in self.inverse(packed, noise).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {"columns": self.columns, "dtypes": self.dtypes, "units": self.units,
                "shapes": dict(zip(self.layout.names, self.layout.shapes, strict=True)),
                "steps": [step.to_dict() for step in self.typed_steps()]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Preparation:
        """Rebuild from `to_dict`."""
        shapes = {name: tuple(shape) for name, shape in saved["shapes"].items()}
        steps = [Step.from_dict(step) for step in saved["steps"]]
        return cls(steps, saved["columns"], saved["dtypes"], saved["units"], shapes)


BLOCK = 50_000


def follow(names: dict[str, None], step: Step) -> dict[str, None]:
    """Names after a step: what it takes goes, what it makes comes."""
    rest = {name: None for name in names if name not in step.columns}
    clash = [name for name in step.outputs if name in rest]
    if clash:
        raise ConfigError(f"step '{step.kind}' makes a column {clash[0]!r}, which is there already; name it with '->'")
    return {**rest, **dict.fromkeys(step.outputs)} if step.outputs != step.columns else names


def replace_columns(values: dict[str, Tensor], step: Step, y: Tensor) -> dict[str, Tensor]:
    """Columns after a step."""
    new = dict(zip(step.outputs, y.unbind(1), strict=True))
    return {name: new.get(name, values.get(name, y)) for name in follow(dict.fromkeys(values), step)}


def stack(values: Mapping[str, Tensor], step: Step) -> Tensor:
    """The step's columns side by side (N, k)."""
    missing = [name for name in step.columns if name not in values]
    if missing:
        raise DataError(f"no column {missing[0]!r} for step '{step.kind}'; {nearest(missing[0], values)}")
    return side_by_side([values[name] for name in step.columns])


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
