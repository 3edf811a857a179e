"""Chat templates rendered in a process of their own, which a template that loops or fills the memory ends alone.

A template comes with a model, so it is foreign text that runs: Jinja's sandbox keeps it from files, not from a loop
without an end, a division by zero, or a text of a billion characters.

python -m r1hf.text.renderer: the process. It reads requests from its input, each a length in four bytes and JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import IO, Any

from r1hf.core.environment import worker_environment
from r1hf.core.errors import DataError

SECONDS = 0.5  # of computing, for one conversation
PATIENCE = 10.0  # seconds by the clock, for a machine that is busy
MEMORY = 256 * 2**20  # bytes of address space beyond what the process starts with
LARGEST = 64 * 2**20  # bytes of an answer


class Runaway(DataError):
    """A template that takes more time or memory than any conversation needs."""


def render(template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
    """The text that a chat template makes of `messages`, as Transformers renders it. Raises DataError if it fails.

    A template can also go on for ever: `render_safely` is for those that come with a model.
    """
    values = {"bos_token": "", "eos_token": "", "tools": None, "add_generation_prompt": True, **variables}
    try:
        text = _compiled(template).render(messages=messages, **values)
        text.encode()  # half a character is no text
        return text
    except MemoryError as error:
        raise DataError("the chat template cannot be rendered: it fills the memory") from error
    except Exception as error:  # a template is a program: it can fail in every way that one can
        reason = str(error)[:200] or type(error).__name__
        raise DataError(f"the chat template cannot be rendered: {reason}") from error


@lru_cache(8)
def _compiled(template: str) -> Any:
    from jinja2 import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what is trained on; here it means nothing."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    now = datetime.now
    environment.globals.update(raise_exception=raise_exception, strftime_now=lambda form: now().strftime(form))
    return environment.from_string(template)


class Renderer:
    """One such process, started when it is needed and again after a template has ended it. Not for two threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
        """The text of a conversation, as `render` gives it. Raises DataError, Runaway where it is no end."""
        request = json.dumps({"template": template, "messages": list(messages), "variables": variables}).encode()
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-P", "-m", "r1hf.text.renderer"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment()
            )
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(struct.pack(">I", len(request)) + request)
            self._process.stdin.flush()
            answer = json.loads(_receive(self._process.stdout, time.monotonic() + PATIENCE))
        except (OSError, EOFError, TimeoutError):
            self.close()
            raise Runaway(
                f"the chat template takes more than {SECONDS:g} s or {MEMORY // 2**20} MiB for this conversation"
            ) from None
        if "error" in answer:
            raise DataError(answer["error"])
        return str(answer["text"])

    def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what it was being sent
                    stream and stream.close()


_shared, _lock = Renderer(), threading.Lock()
atexit.register(_shared.close)


def render_safely(template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
    """`Renderer.render`, in one process that all callers in this one share, one after the other."""
    with _lock:
        return _shared.render(template, messages, **variables)


def _receive(stream: IO[bytes], deadline: float) -> bytes:
    (size,) = struct.unpack(">I", _exactly(stream, 4, deadline))
    if size > LARGEST:
        raise EOFError
    return _exactly(stream, size, deadline)


def _exactly(stream: IO[bytes], size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        piece = stream.raw.read(size - len(data))  # type: ignore[attr-defined]
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _answer(request: bytes) -> bytes:
    asked = json.loads(request)
    try:
        text = render(asked["template"], asked["messages"], **asked["variables"])
        answer = json.dumps({"text": text}).encode()
        if len(answer) <= LARGEST:
            return answer
        return json.dumps({"error": "the chat template writes too much for this conversation"}).encode()
    except DataError as error:
        return json.dumps({"error": str(error)[:500]}).encode()


def main() -> None:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which closes this process's input
    while head := sys.stdin.buffer.read(4):
        request = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process, in the middle of C code too
        answer = _answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
