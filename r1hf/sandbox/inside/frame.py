"""What LeetCode puts around a solution: names that are there without an import, linked lists and binary trees.

The names are added to the builtins, so that whatever the program defines or imports wins, and its line numbers stay.
"""

from __future__ import annotations

import builtins
import re
import sys

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

RECURSION = 50_000  # LiveCodeBench's limit for functions
# All their names, and the modules themselves: a later module wins over an earlier one, and a module over a name.
_MODULES = (
    *("typing", "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json"),
)


class ListNode:
    """LeetCode's linked list."""

    def __init__(self, val: Any = 0, next: ListNode | None = None):
        self.val = val
        self.next = next


class TreeNode:
    """LeetCode's binary tree."""

    def __init__(self, val: Any = 0, left: TreeNode | None = None, right: TreeNode | None = None):
        self.val = val
        self.left = left
        self.right = right


_known: dict[str, Any] = {}


def warm() -> None:
    """Import, once for all cases of a program, what `provide` gives: 12 ms."""
    if _known:
        return
    modules = {name: __import__(name) for name in _MODULES}
    for module in modules.values():
        public = getattr(module, "__all__", None) or [word for word in vars(module) if word[:1] != "_"]
        _known.update({word: getattr(module, word) for word in public})
    _known.update({**modules, "ListNode": ListNode, "TreeNode": TreeNode})


def provide() -> None:
    """Add the names to the builtins, and allow deep recursion."""
    for name, value in _known.items():
        vars(builtins).setdefault(name, value)
    sys.setrecursionlimit(RECURSION)


def call(function: Callable[..., Any], namespace: dict[str, Any], arguments: Any, keywords: Any) -> Any:
    """The value of the call, with lists for LeetCode's nodes on both sides, by the function's annotations.

    A function that says that it returns None works in place: its first argument is the value.
    """
    hints = dict(getattr(function, "__annotations__", {}))
    wanted = hints.pop("return", "")
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    names = list(code.co_varnames[hasattr(function, "__self__") : code.co_argcount]) if code else []
    arguments = [
        _built(value, hints.get(name), namespace)
        for name, value in zip([*names, *[""] * len(arguments)], arguments, strict=False)
    ]
    keywords = {name: _built(value, hints.get(name), namespace) for name, value in keywords.items()}
    value = function(*arguments, **keywords)
    if value is None and wanted in (None, "None") and arguments:
        value = arguments[0]
    return _plain(value, wanted)


def _node(hint: Any) -> str | None:
    """The kind of node that an annotation, or the text of one, is about."""
    found = re.search(r"\b(ListNode|TreeNode)\b", hint if isinstance(hint, str) else repr(hint))
    return found[1] if found else None


def _built(value: Any, hint: Any, namespace: dict[str, Any]) -> Any:
    kind = _node(hint)
    if kind is None or not isinstance(value, list):
        return value
    if re.search(r"\blist\[", hint if isinstance(hint, str) else repr(hint), re.IGNORECASE):
        return [_make(kind, one, namespace) if isinstance(one, list) else one for one in value]
    return _make(kind, value, namespace)


def _make(kind: str, values: list[Any], namespace: dict[str, Any]) -> Any:
    node = namespace.get(kind) or globals()[kind]
    return (_linked if kind == "ListNode" else _tree)(values, node)


def _linked(values: list[Any], node: Any) -> Any:
    first = None
    for value in reversed(values):
        made = node(value)
        made.next, first = first, made
    return first


def _tree(values: list[Any], node: Any) -> Any:
    """From LeetCode's form: level by level, None for a child that is not there."""
    nodes = [None if value is None else node(value) for value in values]
    children = iter(nodes[1:])
    for parent in nodes:
        if parent is not None:
            parent.left, parent.right = next(children, None), next(children, None)
    return nodes[0] if nodes else None


def _plain(value: Any, wanted: Any) -> Any:
    kind = type(value).__name__
    if kind == "ListNode":
        return list(_values(value))
    if kind == "TreeNode":
        return _levels(value)
    if value is None and _node(wanted):
        return []
    return [_plain(one, wanted) for one in value] if isinstance(value, list) and _node(wanted) else value


def _values(node: Any) -> Iterable[Any]:
    while node is not None:
        yield node.val
        node = node.next


def _levels(root: Any) -> list[Any]:
    values, nodes = [], [root]
    for node in nodes:
        values.append(None if node is None else node.val)
        if node is not None:
            nodes += [node.left, node.right]
    while values and values[-1] is None:
        values.pop()
    return values
