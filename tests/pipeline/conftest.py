"""Runs of the dummy graph: not begun, and complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, Run


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    """Stages find this checkout, and no pipeline around the tests is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.delenv("R1HF_PIPELINE_PID", raising=False)
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(tmp_path)
    monkeypatch.setenv("PULSE", str(run.pulse))
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, found: None) -> Run:
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    run()
    return run


@pytest.fixture
def complete(run: Run, undisturbed: Run) -> Run:
    """A run that is complete: a run directory can be copied."""
    shutil.copytree(undisturbed.dir, run.dir)
    return run
