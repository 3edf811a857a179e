"""vLLM's own server on this machine's CPU, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import IO, Any

CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


def ask(port: int, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the server answers to a POST."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@contextlib.contextmanager
def vllm(model: str, env: Mapping[str, str], *options: str, length: int = 128) -> Iterator[int]:
    """The port of a server of `model` (a directory or a Hub id), ready; it is ended with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", str(length), *options]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(command, env={**env, **CPU}, stdout=log, stderr=subprocess.STDOUT) as server:
            try:
                _wait(port, server, log)
                yield port
            finally:
                server.terminate()


def _wait(port: int, server: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            log.seek(0)
            raise AssertionError(
                f"vLLM ended with {server.returncode}:\n{log.read().decode(errors='replace')[-3000:]}"
            )
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    raise AssertionError("vLLM did not become healthy in 300 s")
