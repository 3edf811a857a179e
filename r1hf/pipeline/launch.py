"""Starting a stage as its own process: a new Python, or a fork of one that has imported the libraries already.

A stage that runs beside others prints into a pipe, and its lines come out whole with its name before them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from r1hf.stage.locks import PARENT_VARIABLE, identity


class Running(Protocol):
    """A stage under way. A session of its own: Ctrl-C reaches it once, from us, with the launcher's whole family."""

    pid: int

    def wait(self) -> int:
        """Its exit status once it has ended; minus the number of the signal that ended it."""


def start(command: list[str], label: str | None = None) -> Running:
    """Starts `command` in a new process; with a label, its lines are printed behind it."""
    with Lines(label) as lines:
        process = subprocess.Popen(
            command, env=_environment(), start_new_session=True, stdout=lines.number, stderr=lines.number
        )
    return _Beside(process, lines)


def warm_up(modules: Iterable[str]) -> None:
    """Has the process that stages are forked from import `modules`, once; before the first `fork`."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))


def fork(script: Path, arguments: list[str], label: str | None = None) -> Running:
    """Runs a Python script in a fork of the warm process: seven seconds of imports less for each stage.

    Not for a GPU: CUDA does not survive a fork.
    """
    context = multiprocessing.get_context("forkserver")
    with Lines(label) as lines:
        process = context.Process(target=_run, args=(str(script), arguments, _environment(), lines.end))
        process.start()
    return _Beside(_Forked(process), lines)


class Lines:
    """The end of a pipe that a stage writes to, while a thread prints what comes out, line by line behind the label.

    Without a label there is no pipe, and the stage prints for itself.
    """

    def __init__(self, label: str | None):
        self.end: Connection | None = None
        if label is not None:
            out, self.end = multiprocessing.Pipe(duplex=False)
            self._printer = threading.Thread(target=_print_lines, args=(out, label), daemon=True)
            self._printer.start()

    @property
    def number(self) -> int | None:
        return None if self.end is None else self.end.fileno()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        if self.end is not None:
            self.end.close()  # the stage has its own; the pipe ends with the last of its family

    def finish(self) -> None:
        """Waits a moment for the last lines; what a stage left running may hold the pipe open."""
        if self.end is not None:
            self._printer.join(timeout=1.0)


class _Beside:
    """A stage whose lines come through a pipe, if it has one."""

    def __init__(self, process: Running, lines: Lines):
        self._process, self._lines = process, lines
        self.pid = process.pid

    def wait(self) -> int:
        status = self._process.wait()
        self._lines.finish()
        return status


def _print_lines(out: Connection, label: str) -> None:
    with open(os.dup(out.fileno()), encoding="utf-8", errors="replace", newline=None) as stream:
        out.close()
        for line in stream:
            if line.strip():
                print(f"    {label} │ {line.rstrip()}", flush=True)


class _Forked:
    def __init__(self, process: multiprocessing.process.BaseProcess):
        self._process = process
        self.pid: int = process.pid or 0

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


def _environment() -> dict[str, str]:
    return {**os.environ, PARENT_VARIABLE: identity(os.getpid()) or "", "PYTHONUNBUFFERED": "1"}


def _run(script: str, arguments: list[str], environment: dict[str, str], end: Connection | None) -> None:
    os.setsid()
    if end is not None:
        for number in (1, 2):
            os.dup2(end.fileno(), number)
        end.close()
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
