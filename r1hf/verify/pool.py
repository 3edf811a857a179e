"""Worker processes that judge with math-verify: started when first needed, reused, stopped at the end of a budget.

Callable from any thread, and safe after a fork. The workers are plain subprocesses, so the caller needs no main guard,
and sympy's memory and endless loops stay out of the training process.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from r1hf.core.environment import worker_environment

CPU_SECONDS = 1.0  # budget of one question
WALL_SECONDS = 6.0  # the same on a machine with other work to do
START_SECONDS = 120.0  # a loaded machine imports sympy slowly
MAX_WORKERS = 4
_GRACE_SECONDS = 2.0
_REMEMBERED = 4096

Pair = tuple[str, str]  # prediction, gold


class _Worker:
    """One process with its fork. `ask` starts it, and starts another where it is gone."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.buffer = b""
        self.closed = False

    def ask(self, prediction: str, gold: str) -> bool | None:
        """The verdict; None if the gold could not be read and evaluated within its budget."""
        question = {"gold": gold, "prediction": prediction, "cpu": CPU_SECONDS, "wall": WALL_SECONDS}
        for _ in range(2):  # a worker found dead is not the question's fault
            lines: list[str | None] = []
            try:
                self.send(json.dumps(question).encode() + b"\n")
                deadline = time.monotonic() + WALL_SECONDS + _GRACE_SECONDS
                lines.append(self.line(deadline))
                if lines == ["gold"]:
                    lines.append(self.line(deadline))
                break
            except (OSError, EOFError):
                self.kill()
                if self.closed:
                    return None
        if None in lines:
            self.kill()
        return lines[1] == "true" if len(lines) > 1 else False if lines == ["gold"] else None

    def send(self, question: bytes) -> None:
        process = self.started()
        assert process.stdin is not None
        process.stdin.write(question)
        process.stdin.flush()

    def started(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        self.kill()
        self.buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "r1hf.verify.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(),
            process_group=0,  # its fork ends with it, and Ctrl-C is not for it
        )
        try:
            if self.line(time.monotonic() + START_SECONDS) == "ready":
                return self.process
        except EOFError:
            pass
        self.kill()
        raise RuntimeError(
            f"the math worker did not start: `{sys.executable} -m r1hf.verify.worker {os.getpid()}` shows why "
            "(is math-verify installed?)"
        )

    def line(self, deadline: float) -> str | None:
        """The next line, None at the deadline. Raises EOFError if the process ends."""
        assert self.process is not None and self.process.stdout is not None
        handle = self.process.stdout.fileno()
        poller = select.poll()
        poller.register(handle, select.POLLIN | select.POLLHUP)
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000):
                return None
            piece = os.read(handle, 4096)
            if not piece:
                raise EOFError
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            for stream in (process.stdin, process.stdout):
                try:
                    if stream is not None:
                        stream.close()
                except OSError:
                    pass


class _Pool:
    def __init__(self, size: int):
        self.size = size
        self.idle: list[_Worker] = [_Worker() for _ in range(size)]
        self.free = threading.Condition()
        self.every = list(self.idle)
        self.verdicts: OrderedDict[Pair, bool | None] = OrderedDict()

    def judge(self, prediction: str, gold: str) -> bool | None:
        with self.free:
            if (prediction, gold) in self.verdicts:
                return self.verdicts[prediction, gold]
            while not self.idle:
                self.free.wait()
                if (prediction, gold) in self.verdicts:
                    self.free.notify()
                    return self.verdicts[prediction, gold]
            worker = self.idle.pop()
        verdict = None
        try:
            verdict = worker.ask(prediction, gold)
        except BaseException:
            worker.kill()
            raise
        finally:
            with self.free:
                self.idle.append(worker)
                self.free.notify()
        with self.free:
            self.verdicts[prediction, gold] = verdict
            if len(self.verdicts) > _REMEMBERED:
                self.verdicts.popitem(last=False)
        return verdict

    def close(self) -> None:
        for worker in self.every:
            worker.closed = True
            worker.kill()


_pool: _Pool | None = None
_lock = threading.Lock()


def _shared() -> _Pool:
    global _pool
    with _lock:
        if _pool is None:
            _pool = _Pool(max(1, min(MAX_WORKERS, os.cpu_count() or 1)))
        return _pool


def judge(prediction: str, gold: str) -> bool | None:
    """math-verify's verdict within CPU_SECONDS of a worker.

    None if the gold alone has no reading or takes too long; False if it is the prediction that takes too long.
    Waits for a free worker. Raises RuntimeError if no worker starts.
    """
    return _shared().judge(prediction, gold)


def judge_all(pairs: Sequence[Pair]) -> list[bool | None]:
    """`judge` of many pairs, on all workers at once."""
    if len(pairs) < 2:
        return [judge(*pair) for pair in pairs]
    size = min(len(pairs), _shared().size)
    with ThreadPoolExecutor(size, thread_name_prefix="r1hf-verify") as threads:
        return list(threads.map(lambda pair: judge(*pair), pairs))


def close_workers() -> None:
    """Ends the workers and forgets their verdicts; the next question starts them anew."""
    global _pool
    with _lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def _after_fork() -> None:
    """The workers belong to the parent: a forked child starts its own."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


atexit.register(close_workers)
os.register_at_fork(after_in_child=_after_fork)
