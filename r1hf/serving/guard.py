"""Runs one command and makes sure that nothing of it outlives this process's parent.

python -m r1hf.serving.guard [--remove PATH] -- COMMAND...

An engine such as vLLM starts processes of its own, which may survive it. The guard adopts them (Linux: as their
subreaper) and ends them all when the command ends, when it is told to stop (SIGTERM), or when its standard input
closes: the other end is held by `r1hf serve` and closes however that ends, SIGKILL included.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

GRACE = 6.0  # seconds between asking and killing
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36  # prctl(2)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_guard() -> None:
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def _reap() -> None:
    """Collects adopted processes that have ended; the command itself is left to `Popen`."""
    for process in psutil.Process().children():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            continue


def _signal_all(number: int) -> bool:
    """Sends a signal to every descendant; False if none is left."""
    found = False
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                process.send_signal(number)
                found = True
        except psutil.Error:
            continue
    return found


def _end_all(command: subprocess.Popen[bytes]) -> None:
    """Asks the command to end, then kills whatever is left of it."""
    if command.poll() is None:
        command.terminate()
        deadline = time.monotonic() + GRACE
        while command.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    while _signal_all(signal.SIGKILL):
        time.sleep(0.02)
        if command.poll() is not None:
            _reap()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--remove",
        type=Path,
        action="append",
        default=[],
        help="a socket to delete at the end; its directory too, if the parent is gone",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    parent = os.getppid()
    _prctl(_SET_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    asked = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    arguments = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, preexec_fn=_die_with_guard)
    while command.poll() is None and not asked:
        readable, _, _ = select.select([0, wake], [], [], 60)
        if wake in readable:
            os.read(wake, 4096)
        if 0 in readable and not os.read(0, 4096):
            break
    signal.set_wakeup_fd(-1)
    ended_itself = command.poll() is not None
    _end_all(command)
    for path in options.remove:
        path.unlink(missing_ok=True)
        if os.getppid() != parent:
            with contextlib.suppress(OSError):  # others' sockets may still be there
                path.parent.rmdir()
    code = command.wait()
    return 0 if not ended_itself else code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
