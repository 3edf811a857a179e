"""Whether a test would be skipped on this machine, as far as can be known without running it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parent


def file_of(module: str) -> Path:
    return next(TESTS.rglob(f"{module}.py"), TESTS / f"{module}.py")


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def skipped(module: str, name: str) -> str | None:
    """Why a test would not run on this machine, as far as can be known without running it."""
    path = file_of(module)
    if not (found := _imported(path)):
        return "its module is skipped"
    marks = [*_marks(found), *_marks(getattr(found, name))]
    for mark in marks:
        if mark.name == "skip" or (mark.name == "skipif" and mark.args and mark.args[0]):
            return f"marked {mark.name}: {mark.kwargs.get('reason', '')}"
    known = {**functions(TESTS / "conftest.py"), **functions(path.parent / "conftest.py"), **functions(path)}
    return next(skips(name, known), None)


def _imported(path: Path) -> ModuleType | None:
    for folder in (path.parent, TESTS.parent / "app"):  # where pytest and the chat's own conftest put them
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        return importlib.import_module(path.stem)
    except pytest.skip.Exception:
        return None


def _marks(item: Any) -> list[Any]:
    marks = getattr(item, "pytestmark", [])
    return marks if isinstance(marks, list) else [marks]


def skips(name: str, known: dict[str, ast.FunctionDef], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """What in a test, its fixtures and what they call skips: a package that is not here, or a call whose condition is
    its own."""
    if name not in known or name in seen:
        return
    node = known[name]
    for argument in node.args.args:
        yield from skips(argument.arg, known, seen | {name})
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        called = ast.unparse(call.func)
        if called.endswith("importorskip"):
            package = str(ast.literal_eval(call.args[0]))
            if importlib.util.find_spec(package.partition(".")[0]) is None:
                yield f"{name} needs {package}"
        elif called == "pytest.skip":
            yield f"{name} may skip"
        else:
            yield from skips(called, known, seen | {name})
