"""Conditions on columns, such as "pz > 10 and abs(px) < 2", parsed against a short list of what is allowed."""

from __future__ import annotations

import ast
import keyword
import operator
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
DEEPEST = 150  # levels of operators and brackets; each takes some frames of Python's own limit
SHOWN = 120
# a name in backticks or quotes, a plain word, a number, or any other sign
TOKEN = re.compile(r"`([^`]+)`|'([^']+)'|\"([^\"]+)\"|([^\W\d]\w*)|(\d[\w.]*(?:(?<=[eE])[+-]\w+)?)|(.)", re.DOTALL)
WORD_START, WORD_END = re.compile(r"\w"), re.compile(r"\w$")
STAND_IN = re.compile(r"column_\d+_")
WORDS_OF_PYTHON = {"and", "or", "not", "True", "False", "None"}
IN_BACKTICKS = "a column whose name is no plain word stands in backticks, as in `a.b` > 0"


class Where:
    """A condition that can be asked of columns.

    A column whose name is no plain word stands in backticks or quotes.

    >>> condition = Where("pz > 10 and abs(px) < 2")
    >>> sorted(condition.names), condition.mask({"pz": np.array([5, 20]), "px": np.array([0, -1])}).tolist()
    (['px', 'pz'], [False, True])
    >>> Where("`Muon.pt` > 3").mask({"Muon.pt": np.array([1.0, 4.0])}).tolist()
    [False, True]
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise ConfigError(f"a condition of {len(text)} letters; at most {LONGEST} are read")
        self._plain, written = _replace_names(text)
        self._written = written
        self._columns = {stand_in: _strip_quotes(token) for stand_in, token in written.items()}
        try:
            self.tree = ast.parse(self._plain, mode="eval").body
            depth = _measure_depth(self.tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"cannot parse the condition {_shorten(text)!r}; allowed: {ALLOWED}") from error
        if depth > DEEPEST:
            raise ConfigError(
                f"the condition {_shorten(text)!r} has {depth} operators inside one another; at most {DEEPEST} "
                f"are worked out; allowed: {ALLOWED}"
            )
        self.names = frozenset(self._check(self.tree))

    def mask(self, columns: Mapping[str, Array], source: str = "") -> Array:
        """Find the rows for which it holds.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (N,)
            Columns by name; where one is masked, its missing entries compare as NaN does.
        source : str
            Where the columns are from, for messages.

        Returns
        -------
        ndarray of bool, shape (N,)
            NaN compares as false.

        Raises
        ------
        DataError
            Where a column is not there.
        ConfigError
            Where the condition is not true or false for each row.
        """
        for name in self.names:
            if find_column(name, columns) not in columns:
                about = f"for the condition {_shorten(self.text)!r} {source}".strip()
                raise DataError(unknown("column", name, columns, about) + suggest_backticks(columns))
        rows = len(next(iter(columns.values())))
        try:
            with np.errstate(all="ignore"):
                held = np.asarray(self._value(self.tree, columns))
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"cannot work out the condition {_shorten(self.text)!r}: {error}") from error
        if held.dtype != bool or held.shape not in {(), (rows,)}:
            shown = _shorten(self.text)
            raise ConfigError(f"the condition {shown!r} is not true or false for each row, as 'pz > 10' is")
        return np.broadcast_to(held, (rows,))

    def split(self) -> list[Where]:
        """Split at the outermost `and`: the condition holds where all its parts do.

        >>> [part.text for part in Where("`a/b` > 0 and (x < 1 or y < 1)").split()]
        ['`a/b` > 0', 'x < 1 or y < 1']
        """
        tree = self.tree
        if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
            return [Where(self._show(part)) for part in tree.values]
        return [self]

    def _show(self, node: ast.expr) -> str:
        """Show a part of the condition as it was written."""
        part = self._plain[node.col_offset : node.end_col_offset]
        return STAND_IN.sub(lambda found: self._written[found[0]], part)

    def _check(self, node: ast.expr) -> Iterable[str]:
        """Names used; ConfigError at the first thing that is not allowed."""
        match node:
            case ast.Name():
                yield self._columns.get(node.id, node.id)
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
                shown = _shorten(self._show(node))
                remedy = f"; {IN_BACKTICKS}" if isinstance(node, ast.Attribute | ast.Subscript) else ""
                raise ConfigError(
                    f"{shown!r} is not allowed in the condition {_shorten(self.text)!r}{remedy}; allowed: {ALLOWED}"
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
                return columns[find_column(self._columns.get(node.id, node.id), columns)]
            case ast.Constant():
                return node.value
            case ast.Call(func=ast.Name(id=name)):
                return FUNCTIONS[name][0](*(_widen(self._value(one, columns)) for one in node.args))
            case ast.BinOp():
                left, right = self._value(node.left, columns), self._value(node.right, columns)
                return ARITHMETIC[type(node.op)](_widen(left), _widen(right))
            case ast.UnaryOp(op=ast.Not()):
                return ~self._truth(node.operand, columns)
            case ast.UnaryOp():
                value = _widen(self._value(node.operand, columns))
                # a plain number stays one, so that it takes the precision of the column it is compared with
                return -value if isinstance(node.op, ast.USub) else value
            case ast.BoolOp():
                join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return reduce(join, (self._truth(one, columns) for one in node.values))
            case ast.Compare():
                values = [self._value(one, columns) for one in (node.left, *node.comparators)]
                pairs = zip(node.ops, values, values[1:], strict=False)
                return reduce(np.logical_and, (_compare(op, a, b) for op, a, b in pairs))
        raise ConfigError(f"{type(node).__name__} in a condition")  # _check lets nothing else pass

    def _truth(self, node: ast.expr, columns: Mapping[str, Array]) -> Any:
        value = np.asarray(self._value(node, columns))
        if value.dtype != bool:
            shown = _shorten(self._show(node))
            about = f"the condition {_shorten(self.text)!r}"
            raise ConfigError(f"{shown!r} in {about} is a number, not true or false")
        return value


def find_column(name: str, columns: Collection[str]) -> str:
    """Find the column that a name means: itself, or the one column that is the same but for compatible letters.

    Many fonts and keyboards have two letters for one sign, such as the micro sign and the Greek letter.

    >>> find_column("\\u00b5", ["\\u03bc", "x"]) == "\\u03bc"
    True
    """
    if name in columns or name.isascii():
        return name
    plain = unicodedata.normalize("NFKC", name)
    alike = [one for one in columns if unicodedata.normalize("NFKC", one) == plain]
    return alike[0] if len(alike) == 1 else name


def suggest_backticks(columns: Iterable[str]) -> str:
    """Word the remedy for names that a condition cannot spell as plain words; empty where all are plain."""
    odd = next((name for name in columns if _quote(name) != name), None)
    if odd is None:
        return ""
    return f"; a name that is no plain word stands in backticks, as in {_quote(odd)}"


def _replace_names(text: str) -> tuple[str, dict[str, str]]:
    """Give every name that Python would not take as it is a stand-in of plain letters, and say which is which."""
    stand_ins: dict[str, str] = {}
    parts: list[str] = []
    for token in TOKEN.finditer(text.strip()):
        part = " " if token[0].isspace() else token[0]
        if _needs_stand_in(token):
            part = stand_ins.setdefault(token[0], f"column_{len(stand_ins)}_")
        if parts and WORD_END.search(parts[-1]) and WORD_START.match(part):
            parts.append(" ")  # what stood in quotes must not become one word with its neighbour
        parts.append(part)
    return "".join(parts), {stand_in: token for token, stand_in in stand_ins.items()}


def _needs_stand_in(token: re.Match[str]) -> bool:
    """Whether Python cannot read a token as the name that it is."""
    if token[1] or token[2] or token[3]:
        return True
    word = token[4]
    if word is None or word in WORDS_OF_PYTHON or word in FUNCTIONS:
        return False
    return not word.isascii() or keyword.iskeyword(word) or word.startswith("column_")


def _strip_quotes(token: str) -> str:
    return token[1:-1] if token[0] in "`'\"" else token


def _quote(name: str) -> str:
    """A name as it is written in a condition."""
    if re.fullmatch(r"[^\W\d]\w*", name) and name not in WORDS_OF_PYTHON:
        return name
    mark = next((mark for mark in "`'\"" if mark not in name), "`")
    return f"{mark}{name}{mark}"


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"


def _measure_depth(tree: ast.expr) -> int:
    """Count the levels of a tree, without recursion."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        level = [child for node in level for child in _inner(node)]
    return depth


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    return (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _widen(value: Any) -> Any:
    """Integers as numbers that neither wrap nor lose digits of 64 bits, for arithmetic."""
    if getattr(value, "dtype", None) is None or value.dtype.kind not in "iu":
        return value
    # up to 32 bits, sums and products of two are exact in 64
    return value.astype(np.longdouble if value.dtype.itemsize == 8 else np.int64)


def _compare(op: ast.cmpop, left: Any, right: Any) -> Any:
    """Compare; what is missing compares as NaN does: it differs from everything, and nothing else."""
    held = COMPARISONS[type(op)](left, right)
    return np.ma.filled(held, isinstance(op, ast.NotEq)) if np.ma.isMaskedArray(held) else held
