"""The first process inside: enters the sandbox, then has a keeper for each case, which forks the case itself.

Only the keeper ever sees what a case is given and what it says, and it ends with the case: the next one is forked
from a process that knows nothing of it. No limit depends on what is expected.

Frames on both pipes: a length of 4 bytes, then the bytes. In: `marshal` data of the parent, whose interpreter is the
same. Out: text or fixed fields, never anything that the parent would have to unmarshal.
"""

from __future__ import annotations

import marshal
import os
import select
import struct
import time

from . import case, enter, frame, packages

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Filter = tuple[bytearray, list[int]]

READY, FAILED = b"R", b"E"
ENDED, TIMED_OUT, FLOODED = 0, 1, 2
HEADER = struct.Struct("<iBBddQIII")  # status, end, dirty, wall s, cpu s, peak memory kB, lengths of three outputs
ASIDE = 1 << 20  # bytes of each output that is not the one asked for
KEPT = 1 << 16  # bytes of each output of a case that failed; the last ones of stderr

_CHUNK = 1 << 16
_SIGKILL = 9


def main() -> None:
    """Serve one program until the parent closes its pipe."""
    config = _receive()
    if config is not None:
        try:
            layers = enter.enter(config)
            packages.offer(config["packages"], config["code"])
            if config["call"]:
                frame.warm()
            _serve(config, READY + "\n".join(layers).encode())
        except OSError as error:
            _fail(error)
    os._exit(0)  # saves the 2 ms of an orderly end


def _serve(config: dict[str, Any], greeting: bytes) -> None:
    """A keeper for each case. The first one is there before its case, since it tells whether the sandbox works."""
    calls = enter.call_filter(config)
    asked = select.poll()
    asked.register(0, select.POLLIN)
    while greeting or asked.poll()[0][1] & select.POLLIN:
        keeper = enter.fork(config)
        if not keeper:
            _keep(config, calls, greeting)
        if os.waitpid(keeper, 0)[1]:
            return
        greeting = b""


def _keep(config: dict[str, Any], calls: Filter, greeting: bytes) -> NoReturn:
    """Look after one case. The exit status tells whether there may be another."""
    try:
        enter.settle(config)
        if greeting:
            _send(greeting)
        if (request := _receive()) is not None:
            _send(_run(config, calls, request))
            os._exit(0)
    except OSError as error:  # no memory or process to be had
        _fail(error)
    finally:
        os._exit(1)


def _fail(error: OSError) -> None:
    _send(FAILED + str(error).encode("utf-8", "replace"))


def _receive() -> dict[str, Any] | None:
    head = _read(4)
    return marshal.loads(_read(int.from_bytes(head, "little"))) if len(head) == 4 else None


def _read(count: int) -> bytes:
    parts = []
    while count and (part := os.read(0, min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _send(data: bytes) -> None:
    view = memoryview(len(data).to_bytes(4, "little") + data)
    while view:
        view = view[os.write(1, view) :]


def _run(config: dict[str, Any], calls: Filter, request: dict[str, Any]) -> bytes:
    stdin = os.memfd_create("stdin")
    view = memoryview(request["stdin"])
    while view:
        view = view[os.write(stdin, view) :]
    os.lseek(stdin, 0, 0)
    pipes = [os.pipe() for _ in range(3)]
    start = time.monotonic()
    child = os.fork()
    if not child:
        (_, out), (_, err), (_, result) = pipes
        case.run(config, calls, request, (stdin, out, err), result)
    for _, writer in pipes:
        os.close(writer)
    os.close(stdin)
    readers = [reader for reader, _ in pipes]
    aside = min(ASIDE, config["output"])
    caps = (config["output"], aside, aside) if request["function"] is None else (aside, aside, config["output"])
    outputs, end = _watch(child, readers, start + config["wall"], caps)
    status, used = _reap(child, adopt=config["backend"] == "none")
    wall = time.monotonic() - start
    if end == ENDED and not _drain(readers, outputs, caps):
        end = FLOODED
    if end != ENDED or status:
        outputs = [outputs[0][:KEPT], outputs[1][-KEPT:], outputs[2][:KEPT]]
    sizes = [len(output) for output in outputs]
    dirty = config["backend"] == "none" and _is_dirty(config["work"])
    head = HEADER.pack(status, end, dirty, wall, used.ru_utime + used.ru_stime, used.ru_maxrss, *sizes)
    return READY + head + b"".join(outputs)


def _watch(child: int, readers: list[int], deadline: float, caps: tuple[int, ...]) -> tuple[list[bytearray], int]:
    """Collect output until the child ends, the time is up or an output passes its cap."""
    outputs = [bytearray() for _ in readers]
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, 0)  # reports only that the parent is gone
    for reader in readers:
        os.set_blocking(reader, False)
        poll.register(reader, select.POLLIN)
    try:
        while (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == 0:
                    os.kill(child, _SIGKILL)
                    os._exit(1)
                if descriptor == ended:
                    return outputs, ENDED
                index = readers.index(descriptor)
                if not (part := os.read(descriptor, _CHUNK)):
                    poll.unregister(descriptor)
                elif not _add(outputs[index], part, caps[index]):
                    return outputs, FLOODED
        return outputs, TIMED_OUT
    finally:
        os.close(ended)


def _add(output: bytearray, part: bytes, cap: int) -> bool:
    output += part[: cap + 1 - len(output)]
    return len(output) <= cap


def _drain(readers: list[int], outputs: list[bytearray], caps: tuple[int, ...]) -> bool:
    for reader, output, cap in zip(readers, outputs, caps, strict=True):
        try:
            while part := os.read(reader, _CHUNK):
                if not _add(output, part, cap):
                    return False
        except BlockingIOError:  # a process that outlived the case holds the pipe: only without a process namespace
            pass
    return True


def _reap(child: int, *, adopt: bool) -> tuple[int, Any]:
    """End every process of the case, and collect them all."""
    for kill, target in ((os.killpg, child), (os.kill, -1 if os.getpid() == 1 else child)):
        try:
            kill(target, _SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    _, status, used = os.wait4(child, 0)
    try:
        while True:
            if adopt:
                _kill_adopted()
            os.waitpid(-1, 0)
    except ChildProcessError:
        return status, used


def _kill_adopted() -> None:
    """Orphans come to this process, which is a subreaper."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        for pid in file.read().split():
            os.kill(int(pid), _SIGKILL)


def _is_dirty(work: str) -> bool:
    """True if the next case would find something left in the working directory."""
    try:
        return bool(os.listdir(work))
    except OSError:
        return True
