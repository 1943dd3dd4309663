"""What identifies the source of a simulator: its code, not how it is written down."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path


class Bare(ast.NodeTransformer):
    """Takes annotations and docstrings away; the parser has left comments and layout out."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A constant by itself does nothing."""
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """The annotation of an argument."""
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """The annotation of a name; a bare one stays, as it may be a field of a dataclass."""
        node.annotation = ast.Constant(...)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """What a function is said to return."""
        node.returns = None
        return self.generic_visit(node)


def digest(path: str | None) -> str:
    """What identifies a source file: the beginning of the SHA-256 of its code; of its bytes, where it is compiled.

    The whole file counts, not only the function or class of the simulator: that calls helpers and reads constants
    beside it, and which of them cannot be told from outside.
    """
    if not path or not Path(path).is_file():
        return ""
    content = Path(path).read_bytes()
    if path.endswith(".py"):
        content = ast.unparse(Bare().visit(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()[:16]
