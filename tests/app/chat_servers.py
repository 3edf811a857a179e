"""The servers of these tests as processes: the chat, and one that misbehaves on purpose."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "app"

NO_GRADIO = "gradio is not installed: make install EXTRAS=dev,app"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process at `port` that can be killed and started again at the same address."""

    command: list[str]
    port: int
    ready: str
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    open_files: int | None = None
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, seconds: float = 300) -> Server:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("R1HF_", "GRADIO_"))}

        def limit() -> None:
            if self.open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files, self.open_files))

        self.process = subprocess.Popen(
            self.command,
            env={**own, **self.env},
            cwd=self.cwd,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            preexec_fn=limit,
        )
        return self.wait(seconds)

    @property
    def said(self) -> str:
        """What it wrote to its error output, of all its lives."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait(self, seconds: float = 300) -> Server:
        """Waits until the process answers. Raises RuntimeError if it ends, or not within `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command} ended: {self.said[-2000:]}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(self.url + self.ready, timeout=5)
                return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.command} does not answer at {self.url}")

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(300)
            self.process = None


@contextlib.contextmanager
def faulty_server() -> Iterator[Server]:
    """The server that misbehaves on purpose."""
    for name in ("starlette", "uvicorn"):
        pytest.importorskip(name, reason=NO_GRADIO)
    port = free_port()
    server = Server([sys.executable, str(ROOT / "tests/app/faulty_server.py"), str(port)], port, "/seen").start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def chat(backend: str, open_files: int | None = None, **env: str) -> Iterator[Server]:
    """The chat itself, on a port of its own, with quick health checks."""
    port = free_port()
    own = {
        "PYTHONPATH": str(ROOT),
        "R1HF_BACKEND": f"{backend}/v1",
        "R1HF_CHAT_PORT": str(port),
        "R1HF_HEALTH_INTERVAL": "1",
        "R1HF_TIMEOUT": "4",
        "R1HF_RATE": "0",
    }
    server = Server([sys.executable, str(APP / "app.py")], port, "/", {**own, **env}, open_files=open_files).start()
    try:
        yield server
    finally:
        server.stop(signal.SIGTERM)
