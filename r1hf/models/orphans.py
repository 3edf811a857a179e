"""Ends an engine's processes when the one that started it is gone: vLLM's survive a SIGKILL and keep the GPU's memory.

python -m r1hf.models.orphans MARK    # waits for the end of its parent, then kills what the parent had started, and
                                      # all that carry MARK
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
import uuid

import psutil

MARK = "R1HF_ENGINE"  # in the environment of an engine's processes, however deep
_LOOK = 0.5  # seconds between two looks at what the parent has started
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


def _until_the_parent_ends(parent: int) -> dict[tuple[int, float], psutil.Process]:
    """What the parent had started: an engine that names itself anew writes over its environment, mark and all."""
    seen: dict[tuple[int, float], psutil.Process] = {}
    while os.getppid() == parent and not select.select([sys.stdin], [], [], _LOOK)[0]:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(parent).children(recursive=True):
                if process.pid != os.getpid():
                    seen[process.pid, process.create_time()] = process
    return seen


def _running(seen: dict[tuple[int, float], psutil.Process]) -> list[psutil.Process]:
    return [one for one in seen.values() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def main() -> None:
    parent = os.getppid()
    seen = _until_the_parent_ends(parent)
    time.sleep(_LOOK)  # a killed parent's pipe closes before its children are another's
    parent_is_gone = os.getppid() != parent
    for _ in range(_TRIES):
        left = _marked(sys.argv[1])
        with contextlib.suppress(psutil.Error):
            left += _running(seen) if parent_is_gone else []
        if not left:
            return
        for process in left:
            try:
                process.kill()
            except psutil.Error:
                continue
        time.sleep(0.05)


if __name__ == "__main__":
    main()
