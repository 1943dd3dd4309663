"""An ordered list of steps from physical columns to the vector a network sees, and back."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError, unknown
from calque.preparing.folding import Folding, at_once
from calque.preparing.precision import (
    follow_double,
    is_long,
    needs_double,
    refuse_long,
    remedy_for_long,
    restore,
    take_apart,
    to_tensor,
)
from calque.preparing.step import Shape, Step, find
from calque.table import Array, Layout, Table


def parse_step(text: str, available: Sequence[str]) -> Step:
    """Read `kind column… [-> name…] [given=column,…] [setting=value…]`; `*` stands for all columns there are.

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
    given = tuple(filter(None, settings.pop("given", "").split(",")))
    step = build_step(kind, columns, outputs, settings)
    if len(given) != step.gifts:
        raise ConfigError(f"step {text!r} is given {', '.join(given) or 'nothing'}; '{kind}' needs "
                          + ("given=COLUMN: what it depends on" if step.gifts else "nothing given"))
    step.given = given
    return step


def is_whole(text: str) -> bool:
    """Whether a step sees events whole."""
    return find(text.split()[0]).whole if text.split() else False


def parse_steps(text: str, shapes: Mapping[str, Shape]) -> list[Step]:
    """Read as `parse_step` does, of columns with shapes; with `*` there is a step for every shape.

    A step that sees events whole takes all columns at once, numbers before images.

    >>> [step.columns for step in parse_steps("standardise *", {"m": (), "image": (28, 28), "c": ()})]
    [('m', 'c'), ('image',)]
    """
    if "*" not in shlex.split(text):
        return [parse_step(text, list(shapes))]
    if is_whole(text):
        return [parse_step(text, sorted(shapes, key=lambda name: bool(shapes[name])))]
    return [parse_step(text, [name for name, found in shapes.items() if found == shape])
            for shape in dict.fromkeys(shapes.values())]


def columns_for(text: str, shapes: Mapping[str, Shape], values: Mapping[str, Tensor]) -> Mapping[str, Shape]:
    """Columns that a step may take: those of one value for `constant *`, which may be none; else all."""
    if shlex.split(text) != ["constant", "*"]:
        return shapes
    return {name: shape for name, shape in shapes.items() if bool((values[name] == values[name].reshape(-1)[0]).all())}


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
    float64; `float()` it for drawing: steps of columns in `doubles` stay in double precision. Columns in `long` hold
    integers beyond 2⁵³ and are never rounded. `clipped` has (column, count) wherever `decode` put draws to an end of
    what a column's type holds, and `draws` the number of events of each call; `take_clipped` sums them up.
    """

    def __init__(self, steps: Sequence[Step], columns: Sequence[str], dtypes: Mapping[str, str],
                 units: Mapping[str, str], shapes: Mapping[str, Shape], doubles: Collection[str] = (),
                 long: Collection[str] = ()) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.columns = tuple(columns)
        self.dtypes, self.units = dict(dtypes), dict(units)
        self.shapes = {name: shapes.get(name, ()) for name in self.columns}
        self.doubles, self.long = tuple(doubles), tuple(long)
        self.clipped: list[tuple[str, int]] = []
        self.draws: list[int] = []
        self.foldings, left = [], self.shapes
        for step in steps:
            doubles = follow_double(step, doubles)
            self.foldings.append(Folding.of(step, left, step.given))
            left = self.foldings[-1].follow(left)
        self.layout = Layout(tuple(left), tuple(left.values()))

    @classmethod
    def fit(cls, table: Table, steps: Sequence[str], weights: Array, noise: np.random.Generator,
            rows: Mapping[Shape, Array] | None = None, context: Sequence[str] = ()) -> Preparation:
        """Fit steps one after another on `table` with weights (N,); of columns of a shape only `rows[shape]` count.

        Columns of the `context` are not prepared: steps may be given them.
        """
        shapes = {name: table[name].shape[1:] for name in table.names}
        looked = {shape: (rows or {}).get(shape, np.arange(len(table))) for shape in {(), *shapes.values()}}
        columns = {name: table[name][looked[shape]] for name, shape in shapes.items()}
        wide = long = [name for name, column in columns.items() if is_long(column)]
        values = {name: to_tensor(column, name in long) for name, column in columns.items()}
        exact = double = {name for name, column in columns.items() if name not in long and needs_double(column)}
        shapes = left = {name: shape for name, shape in shapes.items() if name not in context}
        fitted: list[Step] = []
        for text in steps:
            parsed = parse_steps(text, columns_for(text, left, values))
            for step in [part for whole in parsed for part in take_apart(whole, double, left)]:
                refuse_long(step, wide)
                double = follow_double(step, double)
                folding = Folding.of(step, left, context)
                step.pixels = folding.pixels
                x = folding.fold(values, step.columns, torch.empty(0))
                shares = torch.as_tensor(weights[looked.get(folding.taken[0], looked[()])]).double()
                step.fit(x, shares.repeat_interleave(step.pixels))
                values |= folding.forward(values, normals(noise, len(x), step.forward_noise))[0]
                check_finite(values, step)
                fitted.append(step)
                left = folding.follow(left)
                wide = [name for name in wide if name not in step.columns]
                values = {name: values[name] for name in (*left, *context)}
        check_taken(wide, left)
        dtypes = {name: str(table[name].dtype) for name in shapes}
        return cls(fitted, tuple(shapes), dtypes, table.units, shapes, sorted(exact),
                   [name for name in long if name in shapes])

    @property
    def inverse_noise(self) -> int:
        """Standard normals per event that `inverse` consumes."""
        return sum(folding.step.inverse_noise * folding.pixels for folding in self.foldings)

    @property
    def forward_noise(self) -> int:
        """Standard normals per event that `forward` consumes."""
        return sum(folding.step.forward_noise * folding.pixels for folding in self.foldings)

    @property
    def given(self) -> tuple[str, ...]:
        """Columns that steps are given and that are not prepared: the context's."""
        made = {*self.columns, *(name for step in self.typed_steps() for name in step.outputs)}
        return tuple(dict.fromkeys(name for step in self.typed_steps() for name in step.given if name not in made))

    def require_density(self) -> None:
        """Raise DataError where a step leaves events without a density."""
        for step in self.typed_steps():
            if not step.density:
                raise DataError(f"events prepared by the step '{step.kind}' have no density in physical units; judge "
                                "by a measure that needs none")

    def typed_steps(self) -> list[Step]:
        """The steps, for a type checker."""
        return [step for step in self.steps if isinstance(step, Step)]

    def forward(self, columns: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Physical columns, and those given, → packed (N, D) and the log |Jacobian| (N,)."""
        values, jacobian, used = dict(columns), torch.zeros(len(noise), dtype=noise.dtype), 0
        for folding in self.foldings:
            made, slope = folding.forward(values, folding.share(noise, used, folding.step.forward_noise))
            used += folding.step.forward_noise * folding.pixels
            jacobian = jacobian + slope
            values |= made
        return self.layout.pack(values), jacobian

    def inverse(self, packed: Tensor, noise: Tensor, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Packed (N, D), normals (N, inverse_noise) and columns given → physical columns."""
        values, used = {**self.layout.unpack(packed), **(given or {})}, self.inverse_noise
        for folding in reversed(self.foldings):
            used -= folding.step.inverse_noise * folding.pixels
            values |= folding.inverse(values, folding.share(noise, used, folding.step.inverse_noise))
        return {name: values[name] for name in self.columns}

    def encode(self, table: Table, noise: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Table → packed float32 (N, D) and log |Jacobian| (N,) float64, in blocks of bounded memory."""
        packed = torch.empty(len(table), self.layout.size)
        jacobian = torch.empty(len(table), dtype=torch.float64)
        names = (*self.columns, *self.given)
        table.require(names)
        rows = self.at_once
        for start in range(0, len(table), rows):
            part = table.rows(slice(start, start + rows))
            y, slope = self(to_tensors(part, names, self.long), normals(noise, len(part), self.forward_noise))
            packed[start : start + rows], jacobian[start : start + rows] = y, slope
        return packed, jacobian

    @property
    def at_once(self) -> int:
        """Events that are encoded together."""
        return at_once(self.layout.size + self.forward_noise)

    def decode(self, packed: Tensor, noise: Tensor, context: Table | None = None) -> dict[str, Array]:
        """Packed (N, D) → physical columns in their own dtypes; `context` has the columns that steps are given."""
        if self.given and context is None:
            raise DataError(f"steps are given {', '.join(self.given)}: it takes a context to undo them")
        given = {} if context is None else to_tensors(context, self.given)
        given = {name: column if name in self.doubles else column.to(packed) for name, column in given.items()}
        columns = {}
        self.draws.append(len(packed))
        for name, column in self.inverse(packed, noise, given).items():
            columns[name], clipped = restore(column, np.dtype(self.dtypes[name]))
            if clipped:
                self.clipped.append((name, clipped))
        return columns

    def take_clipped(self) -> tuple[int, dict[str, int]]:
        """Sum up, and begin to count anew.

        Returns
        -------
        draws : int
            Events that were decoded since this was called last.
        counts : dict of str to int
            By column, how many of their values were clipped to what its type holds; only those
            where there were any.
        """
        draws, clipped = self.draws, self.clipped
        self.draws, self.clipped = [], []
        counts = Counter[str]()
        for name, count in clipped:
            counts[name] += count
        return sum(draws), dict(counts)

    def float(self) -> Self:
        """Single precision, for drawing; steps of columns that would lose digits stay as they are."""
        for step in self.typed_steps():
            if not step.precise:
                step.float()
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return {"columns": self.columns, "dtypes": self.dtypes, "units": self.units,
                "shapes": self.shapes, "doubles": self.doubles, "long": self.long,
                "steps": [step.to_dict() for step in self.typed_steps()]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Preparation:
        """Rebuild from `to_dict`."""
        shapes = {name: tuple(shape) for name, shape in saved["shapes"].items()}
        steps = [Step.from_dict(step) for step in saved["steps"]]
        return cls(steps, saved["columns"], saved["dtypes"], saved["units"], shapes, saved.get("doubles", ()),
                   saved.get("long", ()))


def check_finite(values: Mapping[str, Tensor], step: Step) -> None:
    """Raise DataError where a step made something that is no number."""
    for name in step.outputs:
        bad = ~torch.isfinite(values[name])
        if bad.any():
            rows = torch.nonzero(bad).flatten()[:3].tolist()
            raise DataError(f"step '{step.kind}' of {' '.join(step.columns)} gives non-finite values in "
                            f"{int(bad.sum())} training rows (first {rows}); choose another step")


def check_taken(long: Sequence[str], left: Mapping[str, Shape]) -> None:
    """Raise DataError where integers beyond 2⁵³ are left without a step."""
    for name in long:
        if name in left:
            raise DataError(f"column {name!r} holds integers beyond 2^53, and no step takes it; "
                            f"{remedy_for_long(name)}")


def to_tensors(table: Table, names: Sequence[str], long: Collection[str] = ()) -> dict[str, Tensor]:
    """Columns in double precision, or as 64-bit integers."""
    return {name: to_tensor(table[name], name in long) for name in names}


def normals(stream: np.random.Generator, rows: int, width: int) -> Tensor:
    """Standard normals (rows, width) in double precision."""
    return torch.from_numpy(stream.standard_normal((rows, width)))
