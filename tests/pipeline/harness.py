"""A pipeline of four dummy stages, run with real processes."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1hf.commands.recipe import run_script
from r1hf.pipeline import command
from r1hf.stage.manifest import verify

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "tests" / "dummy_recipes"
STARTER = f"""
import sys
from functools import partial
from pathlib import Path
from r1hf.pipeline.command import main
from r1hf.commands.recipe import run
run(partial(main, Path({str(RECIPES)!r})))
"""


class Run:
    """A run directory with a graph of four stages: base → left, base/sub → right, [left, right/sub] → join."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.dir = folder / "runs"
        self.pulse = folder / "pulse"
        for name in ("base", "left", "right", "join"):
            self.config(name, text=name)
        self.graph: dict[str, Any] = {
            "run_dir": str(self.dir),
            "seed": 1,
            "launch": "fork",
            "stages": {
                "base": {"recipe": "make", "config": "base.yaml"},
                "left": {"recipe": "make", "config": "left.yaml", "inputs": {"model": "base"}},
                "right": {"recipe": "make", "config": "right.yaml", "inputs": {"model": "base/sub"}},
                "join": {"recipe": "make", "config": "join.yaml", "inputs": {"models": ["left", "right/sub"]}},
            },
        }

    def config(self, name: str, **values: Any) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(values))

    def write(self) -> Path:
        path = self.folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(self.graph, sort_keys=False))
        return path

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Starts the pipeline as its own process, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-c", STARTER, "--config", str(self.write()), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *argv: str, status: int = 0) -> str:
        """Runs the pipeline here, its stages as processes; returns what it printed."""
        path = self.write()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            with pytest.raises(SystemExit) as stopped:
                run_script(partial(command.main, RECIPES, ["--config", str(path), *argv]))
        assert (stopped.value.code or 0) == status, printed.getvalue()
        return printed.getvalue()

    def ran(self, *argv: str) -> list[str]:
        """The stages that a run really ran."""
        before = len(self.events())
        self(*argv)
        return [row["stage"] for row in self.events()[before:] if row["event"] == "finished"]

    def events(self) -> list[dict[str, Any]]:
        path = self.dir / "pipeline.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def results(self) -> dict[str, Any]:
        manifests = {name: verify(self.dir / name) for name in self.graph["stages"]}
        return {name: (one.metrics, one.fingerprint, one.request) for name, one in manifests.items()}


def wait_for(condition: Any, process: subprocess.Popen[str] | None = None, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def pulsing(run: Run) -> set[int]:
    """The stage processes that were ever busy."""
    return {int(line) for line in run.pulse.read_text().split()} if run.pulse.exists() else set()


def slow(run: Run, sleep: float) -> None:
    for name in run.graph["stages"]:
        run.config(name, text=name, sleep=sleep)
