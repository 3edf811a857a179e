"""Imports run downward only, and docs/architecture.md shows them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import architecture


def test_imports_run_downward() -> None:
    assert architecture.faults() == []


def test_the_page_is_of_today() -> None:
    text = architecture.PAGE.read_text("utf-8")
    assert architecture.page(text, set(architecture.arrows())) == text, "run python scripts/architecture.py"


@pytest.mark.parametrize(
    "line",
    [
        "import r1hf.commands.main",
        "from r1hf.commands.main import main",
        "from r1hf.commands import main",
        "def later():\n    from r1hf.commands import main",
        'import importlib\nrun = importlib.import_module("r1hf.commands.main")',
        'COMMAND = ["python", "-m", "r1hf.commands.main"]',
    ],
)
def test_an_import_that_runs_up_is_named(tmp_path: Path, line: str) -> None:
    for name in architecture.ROOMS:
        (tmp_path / "r1hf" / name).mkdir(parents=True)
        (tmp_path / "r1hf" / name / "__init__.py").write_text("")
    (tmp_path / "r1hf/commands/main.py").write_text("from r1hf.core import low\n")
    low = tmp_path / "r1hf/core/low.py"
    low.write_text("import json\n")
    assert architecture.faults(tmp_path) == []
    low.write_text(f"{line}\n")
    (fault,) = architecture.faults(tmp_path)
    assert "r1hf.core.low, line" in fault and "r1hf.commands" in fault
    (tmp_path / "r1hf/attic").mkdir()
    (tmp_path / "r1hf/attic/old.py").write_text("")
    assert any("r1hf/attic is not a room" in fault for fault in architecture.faults(tmp_path))
