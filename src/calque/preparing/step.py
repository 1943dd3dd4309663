"""The contract of a preparation step: forward beside inverse, fitted numbers as buffers."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError, unknown

STEPS: dict[str, type[Step]] = {}
Shape = tuple[int, ...]
SHORTHANDS = ("showers",)  # names that stand for several steps
READABLE = 10_000  # numbers of a step that are written one by one


def register(kind: str) -> Callable[[type[Step]], type[Step]]:
    """Give a step its name in TOML files."""

    def add(step: type[Step]) -> type[Step]:
        step.kind = kind
        STEPS[kind] = step
        return step

    return add


class Step(nn.Module):
    """An invertible map from `columns` (N, k) to `outputs` (N, m), fitted on training rows.

    `inverse_noise` and `forward_noise` count the standard normals per event that a direction consumes; both
    directions are pure functions of their arguments. `log_abs_det_jacobian` is what has to be added to the
    log density of the outputs to get that of the columns; a step that is no bijection says in its docstring
    what that means, or that there is none (`density` is False).

    A step that sees events `whole` takes columns of several shapes as (N, K). Columns `given` to it, such as the
    incident energy, are read both ways and stay as they are: they come first in x, and first in the y of `inverse`.
    """

    kind: ClassVar[str] = ""
    whole: ClassVar[bool] = False
    density: ClassVar[bool] = True
    gifts: ClassVar[int] = 0  # columns that have to be given
    separable: ClassVar[bool] = False  # acts on each column alone: may be taken apart
    whole_numbers: ClassVar[bool] = False  # may be given one column of 64-bit integers as such
    given: tuple[str, ...] = ()
    exacting: ClassVar[bool] = False  # draws in double precision, whatever its columns
    pixels: int = 1  # rows of an event, while the step is fitted
    precise: bool = False  # draws in double precision
    doubles: tuple[str, ...] = ()  # columns that are drawn in double precision
    inverse_noise: int = 0
    forward_noise: int = 0

    def __init__(self, columns: Sequence[str], outputs: Sequence[str] | None = None) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.outputs = self.default_outputs() if outputs is None else tuple(outputs)
        if len(self.outputs) != len(self.default_outputs()):
            raise ConfigError(
                f"step '{self.kind} {' '.join(self.columns)}' makes {len(self.default_outputs())} columns, "
                f"but {len(self.outputs)} names are given: {' '.join(self.outputs) or 'none'}"
            )

    def default_outputs(self) -> tuple[str, ...]:
        """Names of what comes out where the user gives none."""
        return self.columns

    def see(self, taken: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes of the outputs, from those of the columns; a step may keep them."""
        return (*taken[:1],) * len(self.outputs)

    def fit(self, x: Tensor, weights: Tensor) -> None:
        """Take statistics from x (N, k) float64 and weights (N,); raises DataError outside the domain."""

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Columns (N, k) and normals (N, forward_noise) → outputs (N, m)."""
        raise NotImplementedError

    def inverse(self, y: Tensor, noise: Tensor) -> Tensor:
        """Outputs (N, m) and normals (N, inverse_noise) → columns (N, k)."""
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |∂y/∂x| (N,)."""
        raise NotImplementedError

    def number(self, name: str, value: float | Tensor) -> None:
        """Keep a fitted number, or replace it; 64-bit integers stay such."""
        whole = isinstance(value, Tensor) and value.dtype == torch.int64
        self.register_buffer(name, torch.as_tensor(value, dtype=torch.int64 if whole else torch.float64))

    def settings(self) -> dict[str, Any]:
        """The constructor's keywords, to save and to show."""
        names = [name for name in inspect.signature(type(self).__init__).parameters
                 if name not in ("self", "columns", "outputs")]
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Everything that rebuilds the step, as plain numbers and strings."""
        buffers = {name: written(buffer) for name, buffer in self.named_buffers()}
        return {"kind": self.kind, "columns": self.columns, "outputs": self.outputs, "given": self.given,
                "settings": self.settings(), "buffers": buffers}

    @staticmethod
    def from_dict(saved: dict[str, Any]) -> Step:
        """Rebuild a step from `to_dict`."""
        step = find(saved["kind"])(saved["columns"], saved["outputs"], **saved["settings"])
        step.given = tuple(saved.get("given", ()))
        for name, value in saved["buffers"].items():
            step.number(name, reread(value))
        return step

    def refuse_columns(self, bad: Tensor, why: str, remedy: str) -> None:
        """Raise DataError that names the first column of which `bad` (k,) holds."""
        for column, holds in zip(self.columns, bad.tolist(), strict=True):
            if holds:
                raise DataError(f"step '{self.kind}': column {column!r} {why}; {remedy}")

    def refuse(self, bad: Tensor, why: str, remedy: str) -> None:
        """Raise DataError that names the column and the first rows where `bad` (N, k) holds."""
        for column, rows in zip(self.columns, bad.T, strict=True):
            if rows.any():
                first = sorted(set((torch.nonzero(rows).flatten()[:3] // self.pixels).tolist()))
                raise DataError(f"step '{self.kind}': column {column!r} {why} in {int(rows.sum())} of {len(rows)} "
                                f"{'rows' if self.pixels == 1 else 'pixels'} (training rows {first}…); {remedy}")


def find(kind: str) -> type[Step]:
    """Look up a step by its name; raises ConfigError that names the nearest."""
    if kind not in STEPS:
        raise ConfigError(unknown("step", kind, [*STEPS, *SHORTHANDS]))
    return STEPS[kind]


def written(numbers: Tensor) -> Any:
    """Numbers as lists that a person can read; many of them as the text (base64) of their bytes."""
    if numbers.dtype == torch.int64:
        return {"int64": numbers.tolist()}
    numbers = numbers.double()
    if numbers.numel() <= READABLE:
        return numbers.tolist()
    content = np.ascontiguousarray(numbers.cpu().numpy(), "<f8").tobytes()
    return {"shape": list(numbers.shape), "float64": base64.b64encode(content).decode()}


def reread(saved: Any) -> Tensor:
    """Read what `written` wrote."""
    if not isinstance(saved, dict):
        return torch.tensor(saved, dtype=torch.float64)
    if "int64" in saved:
        return torch.tensor(saved["int64"], dtype=torch.int64)
    content = np.frombuffer(base64.b64decode(saved["float64"]), "<f8")
    return torch.from_numpy(content.astype(np.float64)).reshape(saved["shape"])


def weighted_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Mean of each column of x (N, k)."""
    return (weights[:, None] * x).sum(0) / weights.sum()


def side_by_side(columns: Sequence[Tensor]) -> Tensor:
    """Columns (N, …) as (N, k, …), each whole in memory: steps work column by column, and strides double their time."""
    return torch.stack(list(columns)).movedim(0, 1)
