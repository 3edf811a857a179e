"""One engine process: started under the guard, watched, warmed up, restarted with growing pauses, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from r1hf.core.environment import child_environment
from r1hf.core.redaction import redact

State = Literal["stopped", "loading", "ready", "failed"]
Kind = Literal["vllm", "transformers"]
UNLOADABLE = 78  # the status of an engine that will fail at each start; its log's last line says why
TRIES = 4  # starts without success before an engine is given up
LONGEST_PAUSE = 30.0  # seconds
SETTLED = 60.0  # seconds of health after which earlier failures are forgotten
POLL = 0.1  # seconds between two looks at an engine that starts
LOOK = 2.0  # and at one that runs
TAIL = 15  # lines of the log that a message shows


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is started with.

    command: makes the command line for a Unix socket's path. memory: bytes that it is expected to need.
    """

    name: str
    kind: Kind
    models: tuple[str, ...]
    command: Callable[[Path], list[str]]
    environment: Mapping[str, str]
    memory: int
    start_timeout: float = 900.0


class Engine:
    """The life of one engine process. All methods run on the gateway's event loop.

    in_flight: requests that it is answering now. last_used: monotonic time of the last one's end.
    """

    def __init__(self, spec: EngineSpec, socket: Path, log: Path, start_lock: asyncio.Lock | None = None):
        self.spec, self.socket, self.log = spec, socket, log
        self.state: State = "stopped"
        self.error = ""
        self.in_flight = 0
        self.last_used = 0.0
        self.loading_since = 0.0
        self.load_seconds = 30.0 if spec.kind == "vllm" else 8.0  # what the next start is expected to take
        self.restarts = 0
        self.changed: Callable[[Engine, str], None] = lambda engine, text: None
        self.session: aiohttp.ClientSession | None = None
        self._start_lock = start_lock or asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keep: int | None = None
        self._hopeless = False
        self._suspected = asyncio.Event()

    @property
    def running(self) -> bool:
        """True while it holds memory, or is about to."""
        return self._task is not None and not self._task.done()

    @property
    def retry_after(self) -> int:
        """Seconds until it is expected to be ready."""
        gone = time.monotonic() - self.loading_since if self.state == "loading" else 0.0
        return max(1, round(self.load_seconds - gone))

    def start(self) -> None:
        """Starts it in the background, unless it runs already."""
        if not self.running:
            self.state, self.error, self.loading_since = "loading", "", time.monotonic()
            self._task = asyncio.create_task(self._run(), name=f"engine {self.spec.name}")

    async def stop(self) -> None:
        """Ends the process and everything that it started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._end()
        self.state = "stopped" if self.state != "failed" else "failed"

    async def _run(self) -> None:
        """Keeps the process alive until it is stopped or given up."""
        failures = 0
        while True:
            async with self._start_lock:
                reason = await self._launch()
            started = time.monotonic()
            if not reason:
                self.state = "ready"
                self.load_seconds = max(1.0, started - self.loading_since)
                self.changed(self, f"ready after {self.load_seconds:.0f} s")
                reason = await self._watch()
            failures = 1 if time.monotonic() - started > SETTLED else failures + 1
            await self._end()
            if failures >= TRIES or self._hopeless:
                times = "" if self._hopeless else f", {failures} times in a row"
                self.state, self.error = "failed", f"{reason}{times}; its log: {self.log}"
                self.changed(self, f"given up: {self.error}\n{self.tail()}")
                return
            pause = min(LONGEST_PAUSE, 0.5 * 2 ** (failures - 1))
            self.state, self.loading_since = "loading", time.monotonic()
            self.restarts += 1
            self.changed(self, f"{reason}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _launch(self) -> str:
        """Starts the process and waits until it answers. Returns what went wrong, or nothing."""
        self.loading_since = time.monotonic()
        self.changed(self, "starting")
        self.socket.unlink(missing_ok=True)
        guard = [sys.executable, "-m", "r1hf.serving.guard", "--remove", str(self.socket), "--"]
        theirs, self._keep = os.pipe()  # our end closes with us, however we end
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *guard,
                    *self.spec.command(self.socket),
                    stdin=theirs,
                    stdout=log,
                    stderr=log,
                    env=child_environment(self.spec.environment),
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self.socket), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        )
        deadline = time.monotonic() + self.spec.start_timeout
        while self._process.returncode is None:
            if self.socket.exists() and await self._health() == 200:
                return await self._warm_up()
            if time.monotonic() > deadline:
                return f"did not answer within {self.spec.start_timeout:.0f} s"
            await asyncio.sleep(POLL)
        if self._process.returncode == UNLOADABLE:
            self._hopeless = True
            return (self.tail().splitlines() or ["it cannot start"])[-1].strip()
        return f"ended with status {self._process.returncode} while starting"

    async def _health(self) -> int | None:
        """The HTTP status of /health, None without an answer."""
        assert self.session is not None
        try:
            async with self.session.get("http://engine/health", timeout=aiohttp.ClientTimeout(total=10)) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def _warm_up(self) -> str:
        """One short completion: what an engine compiles or allocates lazily is done before people wait for it."""
        assert self.session is not None
        for model in self.spec.models:
            body = {"model": model, "prompt": "1", "max_tokens": 2, "temperature": 0.6, "top_p": 0.95}
            try:
                async with self.session.post("http://engine/v1/completions", json=body) as answer:
                    if answer.status != 200:
                        return f"cannot generate with {model} (HTTP {answer.status}: {(await answer.text())[:200]})"
            except (aiohttp.ClientError, OSError) as error:
                return f"ended during its first completion ({type(error).__name__})"
        return ""

    def suspect(self) -> None:
        """To be called when a request was cut off: no more are sent to it until its health has been looked at."""
        if self.state == "ready":
            self.state, self.loading_since = "loading", time.monotonic()
            self._suspected.set()

    async def _watch(self) -> str:
        """Returns when the process ends, stops answering, or says of itself that its engine is dead."""
        assert self._process is not None and self.session is not None
        gone = asyncio.ensure_future(self._process.wait())
        try:
            while True:
                look = asyncio.ensure_future(self._suspected.wait())
                ended, _ = await asyncio.wait({gone, look}, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                look.cancel()
                if gone in ended:
                    return f"ended with status {self._process.returncode}"
                suspected = self._suspected.is_set()
                self._suspected.clear()
                status = await self._health()
                if status == 503:
                    return "reports that its engine is dead"
                if status is None and suspected:
                    return "does not answer any more"
                if self.state == "loading":
                    self.state = "ready"
        finally:
            gone.cancel()

    async def _end(self) -> None:
        """Closes the guard's input, which ends the whole tree, and waits for that."""
        if self.session is not None:
            await self.session.close()
            self.session = None
        if self._keep is not None:
            os.close(self._keep)
            self._keep = None
        if self._process is not None:
            process, self._process = self._process, None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 15)
            # Whatever is left of the session: only if the guard itself was killed.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        self.socket.unlink(missing_ok=True)

    def tail(self) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - 20000))
                lines = stream.read().decode("utf-8", "replace").splitlines()[-TAIL:]
                return "\n".join(f"    {redact(line)}" for line in lines)
        return ""

    def status(self) -> dict[str, Any]:
        """For /health: what a person may know of it."""
        shown = {"kind": self.spec.kind, "state": self.state, "restarts": self.restarts, "in_flight": self.in_flight}
        return {**shown, "error": self.error} if self.error else shown
