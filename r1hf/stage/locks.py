"""Locks between processes, signals that ask a stage to stop, and the watch that ends one whose pipeline is gone."""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from r1hf.core.errors import StageError

PARENT_VARIABLE = "R1HF_PIPELINE_PID"
PARENT_GONE = 3
# Asked to stop by a terminal that closes, or by a scheduler before it kills: Slurm, LSF and SGE send these.
STOPS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


_TRIES = 50


class FileLock:
    """An exclusive lock that dies with its process (flock), so a killed owner never blocks a later run."""

    def __init__(self, path: Path, what: str):
        self.path = path
        self.what = what
        self._handle: int | None = None

    def acquire(self, wait: float = 0.0) -> None:
        """Takes the lock within `wait` seconds. Raises StageError that names the process holding it."""
        deadline = time.monotonic() + wait
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                owner = self._owner() or "unknown"
                raise StageError(f"{self.what} is in use by process {owner}; wait for it or stop it, then repeat")
            time.sleep(0.1)

    def _owner(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").strip()[:20]
        except OSError:
            return ""  # it has just let go

    def _open(self) -> int:
        """Makes the file if need be; where somebody deletes its directory at the same time, again."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                return self._made()
            time.sleep(0.001)
        return self._made()

    def _made(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)

    def try_acquire(self) -> bool:
        """Takes the lock if it is free now."""
        try:
            handle = self._open()
        except OSError as error:
            raise StageError(f"{self.path}, the lock of {self.what}, cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last owner may have deleted the file between our open and our lock.
            if os.stat(self.path).st_ino != os.fstat(handle).st_ino:
                raise FileNotFoundError
            if not stat.S_ISREG(os.fstat(handle).st_mode) or os.read(handle, 20).strip(b"0123456789\n"):
                raise StageError(f"{self.path} is not a lock of r1hf: {self.what} needs that name, so move it away")
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"{os.getpid()}\n".encode())
        except (BlockingIOError, FileNotFoundError):
            os.close(handle)
            return False
        except StageError:
            os.close(handle)
            raise
        except OSError as error:
            os.close(handle)
            raise StageError(f"{self.path}, the lock of {self.what}, cannot be written: {error.strerror}") from error
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


def heed_stops() -> None:
    """Takes each of `STOPS`, whose default is to end the process at once, for SIGTERM: work is saved, locks let go.

    One that is ignored (nohup) or has a handler stays as it is. Outside the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in STOPS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _as_sigterm)


def _as_sigterm(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        leave_terminal()
    os.kill(os.getpid(), signal.SIGTERM)


def leave_terminal() -> None:
    """Sends to nowhere what would be written to a terminal that is gone: a failing print must not end the work."""
    for handle in (1, 2):
        try:
            os.write(handle, b"")
            os.tcgetpgrp(handle)
        except OSError as error:
            if error.errno == errno.EIO:  # anything else is a file, a pipe, or another session's terminal
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, handle)
                os.close(nowhere)


def watch_parent(every: float = 0.3) -> None:
    """Ends this process soon after what started it, a pipeline or torchrun, is killed: no writer is left behind.

    What asks it to stop is heeded from here on (`heed_stops`).
    """
    heed_stops()
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


def distributed_group() -> Any:
    """torch.distributed, where this process has started it."""
    module = sys.modules.get("torch.distributed")
    return module if module is not None and module.is_available() and module.is_initialized() else None


def end_at_once(error: BaseException | None) -> NoReturn:
    """Ends this process as the interpreter would after `error`, but without taking its objects apart.

    A thread of Gloo drops its last tensors when the machine gives it time, and needs the GIL for that. If the process
    group is destroyed before, the process waits for that thread for ever, or aborts after the work is done
    (https://github.com/pytorch/pytorch/issues/56297, https://github.com/pytorch/pytorch/pull/179291).
    """
    status: object = error.code if isinstance(error, SystemExit) else error
    try:
        if isinstance(status, BaseException):
            sys.excepthook(type(status), status, status.__traceback__)
        elif isinstance(status, str):
            print(status, file=sys.stderr)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # also where the terminal is gone
        os._exit(status if isinstance(status, int) else 0 if status is None else 1)
