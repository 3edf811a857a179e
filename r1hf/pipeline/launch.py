"""Starting a stage as its own process: a new Python, or a fork of one that has imported the libraries already."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from r1hf.stage.locks import PARENT_VARIABLE, identity


class Running(Protocol):
    """A stage under way. A session of its own: Ctrl-C reaches it once, from us, with the launcher's whole family."""

    pid: int

    def wait(self) -> int:
        """Its exit status once it has ended; minus the number of the signal that ended it."""


def start(command: list[str]) -> Running:
    """Starts `command` in a new process."""
    return subprocess.Popen(command, env=_environment(), start_new_session=True)


def warm_up(modules: Iterable[str]) -> None:
    """Has the process that stages are forked from import `modules`, once; before the first `fork`."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))


def fork(script: Path, arguments: list[str]) -> Running:
    """Runs a Python script in a fork of the warm process: seven seconds of imports less for each stage.

    Not for a GPU: CUDA does not survive a fork.
    """
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_run, args=(str(script), arguments, _environment()))
    process.start()
    return _Forked(process)


class _Forked:
    def __init__(self, process: multiprocessing.process.BaseProcess):
        self._process = process
        self.pid: int = process.pid or 0

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


def _environment() -> dict[str, str]:
    return {**os.environ, PARENT_VARIABLE: identity(os.getpid()) or "", "PYTHONUNBUFFERED": "1"}


def _run(script: str, arguments: list[str], environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
