"""Views: the same rows in other columns, because one view is not a verdict."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.table import Array, Table


@dataclass(frozen=True)
class View:
    """A named map from a table to a table of the same rows."""

    name: str
    transform: Callable[[Table], Table]

    def __call__(self, table: Table) -> Table:
        """Look at a table; the weights stay."""
        return self.transform(table)

    @classmethod
    def of_expressions(cls, name: str, expressions: Mapping[str, str]) -> View:
        """View of derived columns, as `derive` makes them."""
        return cls(name, lambda table: derive(table, expressions))


def as_they_are(table: Table) -> Table:
    """Give the columns as they are."""
    return table


def invariants(table: Table) -> Table:
    """Replace (px, py) by pT, (x, y) by r, and add the angle between both (radians, 0 to π).

    The physics of a beam knows no azimuth; a generator that gets each column right may still miss these.
    Other columns stay. Raises DataError where px and py are absent.
    """
    table.require(["px", "py"])
    px, py = (table[name].astype(np.float64) for name in ("px", "py"))
    new, units = {"pT": np.hypot(px, py)}, {"pT": table.units.get("px", "")}
    gone = {"px", "py"}
    if {"x", "y"} <= set(table.features):
        x, y = (table[name].astype(np.float64) for name in ("x", "y"))
        new |= {"r": np.hypot(x, y), "angle": np.abs(np.arctan2(x * py - y * px, x * px + y * py))}
        units |= {"r": table.units.get("x", ""), "angle": "rad"}
        gone |= {"x", "y"}
    return table.select([name for name in table.names if name not in gone]).with_columns(new, units)


RAW = View("raw", as_they_are)
DERIVED = View("derived", invariants)
VIEWS = {view.name: view for view in (RAW, DERIVED)}


def view(asked: str | View, own: Mapping[str, View] | None = None) -> View:
    """Find a view by its name, the caller's own ones first; raises ConfigError that names the nearest."""
    if isinstance(asked, View):
        return asked
    known = VIEWS | dict(own or {})
    if asked not in known:
        raise ConfigError(unknown("view", asked, known))
    return known[asked]


def natural_views(table: Table) -> tuple[View, ...]:
    """Views that a table allows: raw always, derived where there is a transverse momentum."""
    return (RAW, DERIVED) if {"px", "py"} <= set(table.features) else (RAW,)


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "hypot": np.hypot, "arctan2": np.arctan2, "sqrt": np.sqrt, "log": np.log, "exp": np.exp, "abs": np.abs,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "arcsinh": np.arcsinh, "arccos": np.arccos,
    "minimum": np.minimum, "maximum": np.maximum,
}


def derive(table: Table, expressions: Mapping[str, str]) -> Table:
    """Make a table of derived columns, e.g. {"pT": "hypot(px, py)", "pz": "pz"}; the weight column stays.

    Arithmetic, columns, numbers, `pi` and a few functions only: nothing is executed. Raises ConfigError for
    anything else, DataError for a column that does not exist.
    """
    new = {name: evaluate(text, table) for name, text in expressions.items()}
    units = {name: table.units[name] for name, text in expressions.items() if text.strip() == name in table.units}
    weight = {} if table.weight is None else {table.weight: table.weights}
    return Table.of({**new, **weight}, units, table.weight, table.source)


def evaluate(text: str, table: Table) -> Array:
    """Evaluate one expression for every row, in double precision."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"cannot read the expression {text!r}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ConfigError(f"cannot read the expression {text[:60]!r}…: it is nested too deep or too long") from None
    try:
        with np.errstate(all="ignore"):  # non-finite results are reported with their rows by the judge
            return np.broadcast_to(np.asarray(visit(tree, table, text), dtype=np.float64), (len(table),)).copy()
    except (RecursionError, OverflowError):
        raise ConfigError(f"cannot evaluate {text[:60]!r}…: it is nested too deep, or its numbers are too large"
                          ) from None


def visit(node: ast.AST, table: Table, text: str) -> Any:
    """Evaluate one node of an expression."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id="pi") if "pi" not in table.columns:
            return np.pi
        case ast.Name(id=name):
            return flat_column(table, name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](visit(left, table, text), visit(right, table, text))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](visit(operand, table, text))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in FUNCTIONS:
                raise ConfigError(unknown("function", name, FUNCTIONS, f"for {text!r}"))
            return apply(name, [visit(argument, table, text) for argument in arguments], text)
    raise ConfigError(f"{ast.unparse(node)!r} in {text!r} is not arithmetic on columns")


def apply(name: str, arguments: list[Any], text: str) -> Any:
    """Call one of the functions; a wrong number of arguments is the user's."""
    try:
        return FUNCTIONS[name](*arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"cannot evaluate {name} in {text!r}: {error}") from None


def flat_column(table: Table, name: str) -> Array:
    """Column of one number a row, in double precision."""
    column = table[name]
    if column.ndim != 1:
        raise DataError(f"column {name!r} of {table.source} is an image of shape {column.shape[1:]}, not a number")
    return column.astype(np.float64)
