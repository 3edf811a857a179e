"""Locks between processes, and the watch that ends a stage whose pipeline is gone."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from pathlib import Path

from r1hf.errors import StageError

PARENT_VARIABLE = "R1HF_PIPELINE_PID"
PARENT_GONE = 3


class FileLock:
    """An exclusive lock that dies with its process (flock), so a killed owner never blocks a later run."""

    def __init__(self, path: Path, what: str):
        self.path = path
        self.what = what
        self._handle: int | None = None

    def acquire(self, wait: float = 0.0) -> None:
        """Takes the lock within `wait` seconds. Raises StageError that names the process holding it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                owner = self.path.read_text().strip() if self.path.exists() else ""
                raise StageError(
                    f"{self.what} is in use by process {owner or 'unknown'}; wait for it or stop it, then repeat"
                )
            time.sleep(0.1)

    def _try(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last owner may have deleted the file between our open and our lock.
            if not self.path.exists() or self.path.stat().st_ino != os.fstat(handle).st_ino:
                os.close(handle)
                return False
        except BlockingIOError:
            os.close(handle)
            return False
        if os.read(handle, 20).strip(b"0123456789\n"):
            os.close(handle)
            raise StageError(f"{self.path} is no lock that r1hf wrote, and {self.what} needs that name; move it away")
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle
        return True

    def release(self) -> None:
        """Deletes the lock file and lets the lock go."""
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def identity(pid: int) -> str | None:
    """`pid:start time` of a live process, None of a dead one; the start time tells a reused pid apart."""
    try:
        # The command, in brackets, may hold spaces; the state is the first field after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{pid}:{fields[19]}"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return f"{pid}:"


def watch_parent(every: float = 0.3) -> None:
    """Ends this process soon after what started it, a pipeline or torchrun, is killed: no writer is left behind."""
    watched = {}
    if os.environ.get(PARENT_VARIABLE):
        watched[os.environ[PARENT_VARIABLE]] = "pipeline"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        watched[identity(os.getppid()) or ""] = "launcher"
    if not watched:
        return

    def stop_if_gone() -> None:
        for parent, what in watched.items():
            pid = parent.split(":")[0]
            if not pid or identity(int(pid)) != parent:
                print(f"the {what} (process {pid}) is gone; this stage stops", file=sys.stderr)
                sys.stderr.flush()
                os._exit(PARENT_GONE)

    def watch() -> None:
        while True:
            time.sleep(every)
            stop_if_gone()

    stop_if_gone()
    threading.Thread(target=watch, name="r1hf-parent-watch", daemon=True).start()
