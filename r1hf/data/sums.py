"""Sums and products in digits as trees: `2 + 3 * (4 - 1)`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass

OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


@dataclass(frozen=True)
class Operation:
    """`left sign right`, each side a number or an operation of its own."""

    sign: str
    left: Tree
    right: Tree


Tree = int | Operation


def parse(written: str) -> Tree:
    """The tree of an expression as text, sums and products from left to right. Raises SyntaxError for other text."""
    return _read(ast.parse(written, mode="eval").body)


def _read(node: ast.expr) -> Tree:
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        return Operation(_SIGNS[type(node.op)], _read(node.left), _read(node.right))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    raise SyntaxError(f"{ast.unparse(node)} is no number, and no sum, difference or product")


def value(tree: Tree) -> int:
    if isinstance(tree, int):
        return tree
    return OPERATIONS[tree.sign](value(tree.left), value(tree.right))
