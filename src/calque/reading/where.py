"""Conditions on columns, such as "pz > 10 and abs(px) < 2", parsed against a short list of what is allowed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from calque.errors import ConfigError, DataError, unknown
from calque.table import Array

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "log": (np.log, 1),
    "exp": (np.exp, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "arctan2": (np.arctan2, 2),
    "hypot": (np.hypot, 2),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Mod: np.mod,
    ast.Pow: np.float_power,  # never integers: they wrap, or grow without end
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ALLOWED = f"columns, numbers, comparisons, and, or, not, + - * / % **, {', '.join(FUNCTIONS)}"
LONGEST = 2000


class Where:
    """A condition that can be asked of columns.

    >>> condition = Where("pz > 10 and abs(px) < 2")
    >>> sorted(condition.names), condition.mask({"pz": np.array([5, 20]), "px": np.array([0, -1])}).tolist()
    (['px', 'pz'], [False, True])
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ConfigError(f"a condition of {len(text)} letters; at most {LONGEST} are read")
        try:
            self.tree = ast.parse(text.strip(), mode="eval").body
            self.names = frozenset(self._check(self.tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"cannot parse the condition {text!r}; allowed: {ALLOWED}") from error

    def mask(self, columns: Mapping[str, Array], source: str = "") -> Array:
        """Rows (N,) for which it holds; NaN compares as false."""
        for name in self.names - columns.keys():
            raise DataError(unknown("column", name, columns, f"for the condition {self.text!r} {source}".strip()))
        rows = len(next(iter(columns.values())))
        try:
            with np.errstate(all="ignore"):
                held = np.asarray(self._value(self.tree, columns))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ConfigError(f"cannot work out the condition {self.text!r}: {error}") from error
        if held.dtype != bool or held.shape not in {(), (rows,)}:
            raise ConfigError(f"the condition {self.text!r} is not true or false for each row, as 'pz > 10' is")
        return np.broadcast_to(held, (rows,))

    def _check(self, node: ast.expr) -> Iterable[str]:
        """Names used; ConfigError at the first thing that is not allowed."""
        match node:
            case ast.Name():
                yield node.id
            case ast.Constant() if type(node.value) in {int, float}:
                return
            case ast.BoolOp() | ast.Compare() | ast.BinOp() | ast.UnaryOp() if self._known(node):
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        yield from self._check(child)
            case ast.Call(func=ast.Name(id=name), args=inputs, keywords=[]) if (
                name in FUNCTIONS and len(inputs) == FUNCTIONS[name][1]
            ):
                for child in inputs:
                    yield from self._check(child)
            case _:
                raise ConfigError(
                    f"{ast.unparse(node)!r} is not allowed in the condition {self.text!r}; allowed: {ALLOWED}"
                )

    @staticmethod
    def _known(node: ast.BoolOp | ast.Compare | ast.BinOp | ast.UnaryOp) -> bool:
        match node:
            case ast.BinOp():
                return type(node.op) in ARITHMETIC
            case ast.Compare():
                return all(type(op) in COMPARISONS for op in node.ops)
            case ast.UnaryOp():
                return not isinstance(node.op, ast.Invert)
        return True

    def _value(self, node: ast.expr, columns: Mapping[str, Array]) -> Any:
        match node:
            case ast.Name():
                column = columns[node.id]
                small = column.dtype.kind in "iu" and column.dtype.itemsize < 8
                return column.astype(np.int64) if small else column
            case ast.Constant():
                return node.value
            case ast.Call(func=ast.Name(id=name)):
                return FUNCTIONS[name][0](*(self._value(one, columns) for one in node.args))
            case ast.BinOp():
                left, right = self._value(node.left, columns), self._value(node.right, columns)
                return ARITHMETIC[type(node.op)](left, right)
            case ast.UnaryOp(op=ast.Not()):
                return ~self._truth(node.operand, columns)
            case ast.UnaryOp():
                value = self._value(node.operand, columns)
                return np.negative(value) if isinstance(node.op, ast.USub) else value
            case ast.BoolOp():
                join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return reduce(join, (self._truth(one, columns) for one in node.values))
            case ast.Compare():
                values = [self._value(one, columns) for one in (node.left, *node.comparators)]
                pairs = zip(node.ops, values, values[1:], strict=False)
                return reduce(np.logical_and, (COMPARISONS[type(op)](a, b) for op, a, b in pairs))
        raise ConfigError(f"{type(node).__name__} in a condition")  # _check lets nothing else pass

    def _truth(self, node: ast.expr, columns: Mapping[str, Array]) -> Any:
        value = np.asarray(self._value(node, columns))
        if value.dtype != bool:
            raise ConfigError(f"{ast.unparse(node)!r} in the condition {self.text!r} is a number, not true or false")
        return value
