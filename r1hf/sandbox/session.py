"""The parent's side: one sandbox for one program, a case at a time. Expected values never leave this process."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from r1hf.sandbox import cgroup
from r1hf.sandbox.backends import Sandbox
from r1hf.sandbox.inside import case as inside_case
from r1hf.sandbox.inside import codec, supervisor
from r1hf.sandbox.limits import Limits, Result, Verdict
from r1hf.sandbox.runtime import supervisor_code

START_SECONDS = 60.0  # for a machine under full load
_GRACE = 10.0  # the supervisor keeps the time; this is for a supervisor that does not answer
_LEAVE_SECONDS = 2.0
_OVERHEAD = 2 * supervisor.ASIDE + 4096
_REPORTED = 2000
_KEEPERS, _KEEPERS_MEMORY = 4, 192 << 20  # the processes around a case, bubblewrap's too, and what they may take


_Read = Callable[[memoryview], Any]


class _Broken(Exception):
    """The sandbox did not answer as it should; the message says how."""


class Session:
    """A started sandbox with a program in it. Use as a context manager; every case runs in a process of its own.

    A case that leaves files behind gets the next one a fresh sandbox. Whatever happens once the code has started
    counts against the code; only a sandbox that cannot be started gives SANDBOX_FAILURE. Inside, nothing depends on
    what is expected: not the limits, not the order of the cases, not what an earlier one did.
    """

    def __init__(self, sandbox: Sandbox, code: str, limits: Limits | None = None):
        self.sandbox, self.code, self.limits = sandbox, code, limits or Limits()
        self.layers: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._group: cgroup.Group | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._deadline = time.monotonic() + self.limits.total

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, stdin: str | bytes = "", *, most: int | None = None) -> Result:
        """Run the program with `stdin`. More than `most` bytes of output are too much, which inside nobody knows."""
        data = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogatepass")
        return self._ask({"stdin": data, "function": None}, most)

    def call(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
        *,
        most: int | None = None,
        read: _Read = codec.plain,
    ) -> Result:
        """Define the program and call one of its functions, or of a class's methods ("Class.name").

        More than `most` bytes of value are too much, which inside nobody knows. `read` makes the result's `value` of
        what comes back. Raises CodecError if the arguments are no plain data.
        """
        data = codec.encode((list(arguments), dict(keywords or {})))
        return self._ask({"stdin": b"", "function": function, "arguments": data}, most, read)

    def close(self) -> None:
        """End the sandbox and everything in it; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._group is not None:
            cgroup.give(self._group)
            self._group = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def processes(self) -> list[int]:
        """Those of the sandbox, as the host counts them."""
        found, todo = [], [] if self._process is None else [self._process.pid]
        while todo:
            found.append(pid := todo.pop())
            with contextlib.suppress(OSError):  # it has ended
                for file in Path(f"/proc/{pid}/task").glob("*/children"):
                    todo += map(int, file.read_text().split())
        return found

    def _ask(self, request: dict[str, Any], most: int | None, read: _Read = codec.plain) -> Result:
        if (left := self._deadline - time.monotonic()) <= 0:
            return self._too_long()
        if (failure := self._start(call=request["function"] is not None)) is not None:
            return failure
        assert self._process is not None
        try:
            _send(self._process, _frame(request), time.monotonic() + START_SECONDS)
            wait = min(self.limits.wall + _GRACE, left)
            answer = _receive(self._process, time.monotonic() + wait, self.limits.output + _OVERHEAD)
            result, dirty = _read_answer(answer, request["function"], self.limits, most, read)
        except _Broken as problem:
            self.close()
            if time.monotonic() >= self._deadline:
                return self._too_long()
            return Result(Verdict.RUNTIME_ERROR, detail=f"the code broke its sandbox: {problem}")
        if dirty:
            self.close()
        return result

    def _too_long(self) -> Result:
        return Result(Verdict.TIMEOUT, detail=f"all cases together took more than {self.limits.total:g} s")

    def _start(self, *, call: bool) -> Result | None:
        """A result only where the sandbox does not start, at the second attempt either."""
        for _ in range(2):
            if self._process is not None:
                return None
            try:
                self._launch(call)
            except (_Broken, OSError) as problem:
                failure = Result(Verdict.SANDBOX_FAILURE, detail=f"{self.sandbox.backend}: {problem}")
                self.close()
        return None if self._process is not None else failure

    def _launch(self, call: bool) -> None:
        scratch = None
        if self.sandbox.backend == "none":
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="r1hf-unsafe-")
            scratch = self._scratch.name
        limits = self.limits
        memory = limits.memory * (limits.processes if limits.fork else 1) + limits.disk + _KEEPERS_MEMORY
        self._group = cgroup.take(memory, limits.processes + _KEEPERS)
        config = self.sandbox.config(limits, scratch) | {"code": self.code, "call": call, "groups": self._group.files}
        self._process = subprocess.Popen(
            self.sandbox.command(self._group.files),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=self.sandbox.environment(),
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        _send(self._process, supervisor_code() + _frame(config), deadline)
        answer = _receive(self._process, deadline, _OVERHEAD)
        text = _text(answer[1:])
        if answer[:1] != supervisor.READY:
            raise _Broken(text)
        self.layers = tuple(text.splitlines())


def _read_answer(
    answer: memoryview, function: str | None, limits: Limits, most: int | None, read: _Read
) -> tuple[Result, bool]:
    """The result, and whether the sandbox must not be used again."""
    head = supervisor.HEADER
    if answer[:1] == supervisor.FAILED:
        return Result(Verdict.SANDBOX_FAILURE, detail=_text(answer[1:])), True
    if len(answer) < 1 + head.size:
        raise _Broken("a short answer")
    status, end, dirty, wall, cpu, peak, *sizes = head.unpack_from(answer, 1)
    parts, at = [], 1 + head.size
    for size in sizes:
        parts.append(answer[at : at + size])
        at += size
    if at != len(answer):
        raise _Broken("an answer of another length than it says")
    if parts[2][:1] != inside_case.STARTED:
        said = f"{_last_line(_text(parts[1]))} (status {status})"
        return Result(Verdict.SANDBOX_FAILURE, detail=f"the process failed before the code started: {said}"), True
    verdict, detail = _verdict(status, end, cpu, limits)
    if verdict is Verdict.OK and most is not None and len(parts[0 if function is None else 2]) > most:
        verdict, detail = Verdict.RUNTIME_ERROR, f"more than {most} bytes of output"
        parts = [part[: supervisor.KEPT] for part in parts]
    stdout, stderr = map(_text, parts[:2])
    value = None
    if verdict is Verdict.OK and function is not None:
        verdict, detail, value = _value(parts[2][1:], read)
    if verdict is Verdict.RUNTIME_ERROR and not detail:
        detail = _last_line(stderr) or f"exit status {os.waitstatus_to_exitcode(status)}"
    code = os.waitstatus_to_exitcode(status) if end == supervisor.ENDED else None
    return Result(verdict, stdout, stderr, value, code, wall, cpu, peak * 1024, detail), bool(dirty)


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "replace")


def _verdict(status: int, end: int, cpu: float, limits: Limits) -> tuple[Verdict, str]:
    if end == supervisor.TIMED_OUT:
        return Verdict.TIMEOUT, f"more than {limits.wall:g} s"
    if end == supervisor.FLOODED:
        return Verdict.RUNTIME_ERROR, "more bytes of output than the limit"
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        if cpu >= limits.cpu_seconds - 0.5:
            return Verdict.TIMEOUT, f"more than {limits.cpu_seconds} s of CPU time"
        return Verdict.OUT_OF_MEMORY, "killed"
    if code == inside_case.OUT_OF_MEMORY:
        return Verdict.OUT_OF_MEMORY, f"more than {limits.memory} bytes"
    if code < 0:
        return Verdict.RUNTIME_ERROR, f"ended by {signal.Signals(-code).name}"
    return (Verdict.OK if code == 0 else Verdict.RUNTIME_ERROR), ""


def _value(data: memoryview, read: _Read) -> tuple[Verdict, str, Any]:
    """What the child says that its function returned: data, from a process that may say anything."""
    if not data:
        return Verdict.RUNTIME_ERROR, "ended before the function returned", None
    if data[:1] == inside_case.NO_VALUE:
        return Verdict.WRONG, "returned " + _text(data[1:_REPORTED]), None
    try:
        if data[:1] != inside_case.VALUE:
            raise codec.CodecError("broken bytes")
        return Verdict.OK, "", read(data[1:])
    except codec.CodecError as error:
        return Verdict.WRONG, f"returned {error}", None


def _last_line(text: str) -> str:
    lines = text[-2 * _REPORTED :].strip().splitlines()
    return lines[-1][:_REPORTED] if lines else ""


def _frame(message: dict[str, Any]) -> bytes:
    data = marshal.dumps(message)
    return len(data).to_bytes(4, "little") + data


def _send(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert process.stdin is not None
    view, descriptor = memoryview(data), process.stdin.fileno()
    os.set_blocking(descriptor, False)
    try:
        while view:
            _wait(process, descriptor, select.POLLOUT, deadline)
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        raise _Broken(_last_words(process)) from None


def _receive(process: subprocess.Popen[bytes], deadline: float, cap: int) -> memoryview:
    size = int.from_bytes(_read(process, 4, deadline), "little")
    if size > cap:
        raise _Broken(f"an answer of {size} bytes")
    return _read(process, size, deadline)


def _read(process: subprocess.Popen[bytes], count: int, deadline: float) -> memoryview:
    assert process.stdout is not None
    descriptor, data = process.stdout.fileno(), bytearray()
    while len(data) < count:
        _wait(process, descriptor, select.POLLIN, deadline)
        if not (part := os.read(descriptor, min(count - len(data), 1 << 20))):
            raise _Broken(_last_words(process))
        data += part
    return memoryview(data)


def _wait(process: subprocess.Popen[bytes], descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _Broken("no answer in time")


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """Why it died: a line of its stderr, which only the sandbox itself writes to, or its exit status."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    try:
        status: int | None = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        status = None
    text = _last_line((process.stderr.read(1 << 16) or b"").decode("utf-8", "replace"))
    return text or f"it died with status {status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.close()  # the supervisor leaves, and takes its namespace along
    poll = select.poll()
    poll.register(process.stdout.fileno(), 0)  # reports the end of the last process that holds the pipe
    if not poll.poll(_LEAVE_SECONDS * 1000):
        process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()
