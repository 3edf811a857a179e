"""What the code imports is what `pyproject.toml` asks for: an installation without extras runs every recipe."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"r1hf", "recipes", "r1chat", "r1review", "app"}
# What a function imports only where it is there.
IF_PRESENT = {"triton", "deepspeed", "vllm"}
OF_AN_EXTRA = {"r1hf/serving/": "serve", "r1hf/verify/gym_worker.py": "gym"}


def _names(requirements: list[str]) -> set[str]:
    return {_canonical(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in requirements}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(top-level module, whether it is imported with the file)."""

    def walk(node: ast.AST, with_file: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name.partition(".")[0], with_file) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.level == 0:
                yield (child.module or "").partition(".")[0], with_file
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            else:
                inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, with_file and not inner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def _undeclared(folder: str, declared: set[str], in_functions: set[str]) -> list[str]:
    """`FILE: MODULE` of each import that is neither ours nor of a declared package."""
    owners = importlib.metadata.packages_distributions()
    found = set()
    for path in sorted((ROOT / folder).rglob("*.py")):
        local = {item.stem for item in path.parent.iterdir()}
        for module, with_file in _imports(path):
            if module in OURS or module in sys.stdlib_module_names or module in local:
                continue
            name = str(path.relative_to(ROOT))
            more = set().union(*(EXTRAS[extra] for start, extra in OF_AN_EXTRA.items() if name.startswith(start)))
            allowed = declared | more if with_file else in_functions | IF_PRESENT
            if not {_canonical(owner) for owner in owners.get(module, [module])} & allowed:
                found.add(f"{name}: {module}")
    return sorted(found)


CORE = _names(PROJECT["dependencies"])
EXTRAS = {name: _names(items) for name, items in PROJECT["optional-dependencies"].items()}


@pytest.mark.parametrize("folder", ["r1hf", "recipes"])
def test_the_library_imports_what_it_asks_for(folder: str) -> None:
    assert _undeclared(folder, CORE, CORE.union(*EXTRAS.values())) == []


def test_the_chat_imports_what_its_extra_asks_for() -> None:
    assert _undeclared("app", CORE | EXTRAS["app"], CORE | EXTRAS["app"]) == []
