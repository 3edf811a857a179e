"""A function that may never end, tried in a fork of this process: it answers in time and memory, or is ended."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn

CPU = 1.0  # seconds of the processor's time: a busy machine takes none of it away
_WALL = 10.0
_MEMORY = 1 << 30  # beyond what this process has
_LONGEST = 16 << 20  # bytes of an answer


def bounded(function: Callable[[], str]) -> str:
    """What `function` returns. Raises RuntimeError that says how it failed, or that it had to be ended.

    It must touch no device and no lock of another thread: nothing of this process but its memory is there.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _answer(function, writer)
    os.close(writer)
    try:
        answer = _read(reader)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not answer:
        raise RuntimeError(f"it did not end within {CPU:g} s, or asked for more than {_MEMORY >> 30} GiB of memory")
    text = answer[1:].decode("utf-8", "surrogatepass")
    if answer[:1] != b"+":
        raise RuntimeError(text)
    return text


def _answer(function: Callable[[], str], writer: int) -> NoReturn:
    try:
        for number in (signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _limit()
        answer = b"+" + function().encode("utf-8", "surrogatepass")
    except MemoryError:
        answer = b""
    except BaseException as error:
        answer = b"-" + f"{type(error).__name__}: {error}"[:2000].encode("utf-8", "surrogatepass")
    with contextlib.suppress(BaseException):
        while answer:
            answer = answer[os.write(writer, answer) :]
    os._exit(0)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, CPU)  # its signal ends the process, which no C code holds up
    with contextlib.suppress(OSError, ValueError):  # no /proc: the processor's time is limited all the same
        with open("/proc/self/statm", encoding="ascii") as stream:
            now = int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))


def _read(reader: int) -> bytes:
    """All that is written until the other end is closed; nothing if that takes too long or is too much."""
    pieces: list[bytes] = []
    size, end = 0, time.monotonic() + _WALL
    while size <= _LONGEST and select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    return b""
