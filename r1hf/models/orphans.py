"""Ends an engine's processes when the one that started it is gone: vLLM's survive a SIGKILL and keep the GPU's memory.

python -m r1hf.models.orphans MARK    # waits until its standard input closes, then kills all that carry MARK
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid

import psutil

MARK = "R1HF_ENGINE"  # in the environment of an engine's processes, however deep
_TRIES = 20  # rounds: a process may be starting another one


class Watch:
    """Marks what this process starts from now on, and has it killed when this process ends, however it does."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        mark = os.environ[MARK] = uuid.uuid4().hex
        command = [sys.executable, "-m", "r1hf.models.orphans", mark]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)

    def close(self) -> None:
        """Ends what is left of the engine."""
        os.environ.pop(MARK, None)
        self._process.communicate()


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or gone
    return found


def main() -> None:
    sys.stdin.buffer.read()
    for _ in range(_TRIES):
        if not (left := _marked(sys.argv[1])):
            return
        for process in left:
            try:
                process.kill()
            except psutil.Error:
                continue
        time.sleep(0.05)


if __name__ == "__main__":
    main()
