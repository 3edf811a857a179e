"""`r1hf serve`: the gateway and its engines from start to end, in one process that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1hf.core.environment import child_environment
from r1hf.core.errors import ConfigError
from r1hf.core.packaged import packaged

if TYPE_CHECKING:  # aiohttp may be missing, which `serve` says in a sentence
    from r1hf.serving.engine import Engine
    from r1hf.serving.fleet import Fleet
    from r1hf.serving.models import ServedModel

DEFAULT_PORT = 8000
_OF_THE_CHAT = ("R1HF_", "GRADIO_", "SPACE_ID", "SPACE_HOST")  # variables that it reads
PORTS_TRIED = 20
SHARE = 0.8  # of the free memory, where no budget is given
NOTE_EVERY = 15.0  # seconds between signs of life while something loads, where there is no terminal
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class Options:
    """What the command line says. port None: the first free one from DEFAULT_PORT on."""

    models: Sequence[str]
    host: str = "127.0.0.1"
    port: int | None = None
    engine: str = "auto"
    device: str = "auto"
    memory: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = None
    max_requests: int = 64
    reasoning_parser: str = "auto"
    engine_args: str = ""
    log_dir: str | None = None
    chat: bool = False
    allow_host: Sequence[str] = ()


def serve(options: Options) -> int:
    """Serves until Ctrl-C or SIGTERM (status 0). Status 1 if nothing can be served any more.

    Raises ConfigError for what cannot be served, before anything is started.
    """
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise ConfigError(
            "aiohttp is not installed, which `r1hf serve` needs: make install EXTRAS=dev,serve"
        ) from None
    from r1hf.serving.engine_plan import Settings, find_device, make_plan, parse_arguments
    from r1hf.serving.fleet import Fleet
    from r1hf.serving.models import primary, resolve

    chat = _chat_script() if options.chat else None
    hosts = _host_names(options.allow_host)
    models = resolve(options.models)
    listener = _listen(options.host, options.port)
    port = listener.getsockname()[1]
    logs = Path(options.log_dir).expanduser() if options.log_dir else _cache() / str(port)
    logs.mkdir(parents=True, exist_ok=True)
    device = find_device() if options.device == "auto" else options.device
    settings = Settings(
        memory=budget(options.memory, device),
        engine=options.engine,  # type: ignore[arg-type]
        device=device,  # type: ignore[arg-type]
        dtype=options.dtype,
        max_model_len=options.max_model_len,
        max_requests=options.max_requests,
        reasoning_parser=options.reasoning_parser,
        engine_args=parse_arguments(options.engine_args),
        files=logs,
    )
    first = primary(models, options.models)
    plan = make_plan(models, first, settings)
    sockets = Path(tempfile.mkdtemp(prefix="r1hf-"))
    try:
        for log in logs.glob("*.log"):
            log.unlink()
        fleet = Fleet(models, plan, settings, sockets, logs)
        return asyncio.run(_Run(fleet, first, listener, logs, chat, hosts).main())
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def budget(text: str | None, device: str) -> int:
    """Bytes that engines may hold: `12GiB`, `60%` of what is free now; without text, 80% of it.

    Of the GPU's memory where the models run on one. Raises ConfigError.
    """
    import psutil

    from r1hf.serving.engine_plan import gpu_memory

    gpu = gpu_memory() if device == "cuda" else None
    free = gpu[0] if gpu else psutil.virtual_memory().available
    if text is None:
        return int(free * SHARE)
    match = re.fullmatch(r"\s*([\d.]+)\s*(%|([kmgt]?i?)b?)\s*", text.lower())
    try:
        number = float(match[1]) if match else -1.0
    except ValueError:
        number = -1.0
    if match is None or number <= 0 or (match[2] != "%" and match[3] not in _UNITS):
        raise ConfigError(f"--memory {text!r} is not an amount: write 12GiB, or 60% (of what is free)")
    return int(free * number / 100) if match[2] == "%" else int(number * _UNITS[match[3]])


def _host_names(given: Sequence[str]) -> list[str]:
    """The names that requests may call the server by. Raises ConfigError."""
    from r1hf.serving.door import host_name

    names = {name: host_name(name) for name in given}
    hint = "is not a host name: give one like models.example.org"
    if wrong := [f"--allow-host {name!r} {hint}" for name, host in names.items() if host is None]:
        raise ConfigError(wrong)
    return [host for host in names.values() if host]


def _listen(host: str, port: int | None) -> socket.socket:
    """A bound socket. Raises ConfigError if the port asked for is taken."""
    candidates = [port] if port is not None else list(range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED))
    for candidate in candidates:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(256)
        except OSError as error:
            listener.close()
            if candidate == candidates[-1]:
                where = f"{host}:{port}" if port is not None else f"{host}, ports {candidates[0]} to {candidates[-1]}"
                raise ConfigError(
                    f"cannot listen on {where}: {error.strerror or error}; stop the other server or give another "
                    "--port (0 for any free one)"
                ) from error
            continue
        if port is None and candidate != DEFAULT_PORT:
            print(f"Port {DEFAULT_PORT} is in use; taking {candidate}", flush=True)
        return listener
    raise AssertionError("no candidate")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "r1hf" / "serve"


def _chat_script() -> Path:
    """app/app.py, of the checkout or package that r1hf is installed from, or in the working directory."""
    import importlib.util

    places = [packaged("app"), Path("app").resolve()]
    script = next((place / "app.py" for place in places if (place / "app.py").is_file()), None)
    if script is None:
        raise ConfigError("--chat: app/app.py is not here; run it in a checkout of r1hf, or start the app yourself")
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError(
            "--chat: gradio is not installed: pip install 'r1hf[serve,app]', or in a checkout "
            "make install EXTRAS=dev,serve,app"
        )
    return script


class _Run:
    """One run: what is printed, what is awaited, and the end."""

    def __init__(
        self,
        fleet: Fleet,
        first: ServedModel,
        listener: socket.socket,
        logs: Path,
        chat: Path | None,
        hosts: Sequence[str] = (),
    ):
        self.fleet, self.first, self.listener, self.logs, self.chat = fleet, first, listener, logs, chat
        self.chat_key = secrets.token_urlsafe(24)  # tells the chat's requests from others of this machine
        host, port = listener.getsockname()[:2]
        self.hosts = [*hosts, host]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/v1"
        self.stop = asyncio.Event()
        self._app: asyncio.subprocess.Process | None = None
        self._keep: int | None = None
        self._announced = False

    async def main(self) -> int:
        from r1hf.serving.connections import Connections, most_connections
        from r1hf.serving.gateway import Gate, make_app
        from r1hf.serving.http import listen, make_runner

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        self.fleet.on_change(self._report)
        connections = Connections(most_connections(share=2))  # a request takes one more, to its engine
        key = os.environ.get("R1HF_API_KEY")
        gate = Gate(key, self.chat_key, self.hosts, connections)
        runner = make_runner(make_app(self.fleet, self.first.name, gate))
        await runner.setup()
        server = await listen(runner, connections, self.listener)
        try:
            for note in self.fleet.plan.notes:
                self._say(note)
            for model in self.fleet.models.values():
                for note in model.notes:
                    self._say(f"{model.name}: {note}")
            self._say(f"Logs of the engines: {self.logs}")
            for engine in self.fleet.engines_of(self.first.name):
                self.fleet.begin(engine)
            if self.chat:
                await self._start_chat(self.chat)
            await self._wait()
            return 1 if self.fleet.failed else self._app_status()
        finally:
            self._say("Stopping")
            await self._stop_chat()
            await self.fleet.stop()
            server.close()
            await runner.cleanup()

    def _asked_to_stop(self) -> None:
        if self.stop.is_set():
            os._exit(130)  # asked twice: the guards end what is left
        self.stop.set()

    async def _wait(self) -> None:
        """Returns when asked to stop, when nothing can be served any more, or when the chat has ended."""
        began = noted = time.monotonic()
        while not self.stop.is_set() and not self.fleet.failed:
            if self._app is not None and self._app.returncode is not None:
                self._say(f"The chat ended with status {self._app.returncode}")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 0.5)
            waiting = [engine.spec.name for engine in self.fleet.engines.values() if engine.state == "loading"]
            if waiting and not self._announced and time.monotonic() - noted > NOTE_EVERY:
                noted = time.monotonic()
                self._say(f"{', '.join(waiting)}: loading, {noted - began:.0f} s so far")

    def _report(self, engine: Engine, text: str) -> None:
        self._say(f"{engine.spec.name}: {text}")
        if engine.state == "ready" and self.first.name in engine.spec.models and not self._announced:
            self._announced = True
            names = ", ".join(self.fleet.models)
            self._say(f"Ready: {self.url}  (models: {names})  Ctrl-C stops it")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(text, flush=True)

    async def _start_chat(self, script: Path) -> None:
        more = {"R1HF_BACKEND": self.url, "R1HF_BACKEND_KEY": self.chat_key}
        more |= {"GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"}
        theirs, self._keep = os.pipe()
        command = [sys.executable, "-m", "r1hf.serving.guard", "--", sys.executable, str(script)]
        try:
            self._app = await asyncio.create_subprocess_exec(
                *command, stdin=theirs, env=child_environment(more, _OF_THE_CHAT), start_new_session=True
            )
        finally:
            os.close(theirs)

    async def _stop_chat(self) -> None:
        if self._keep is not None:
            os.close(self._keep)
            self._keep = None
        if self._app is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._app.wait(), 15)

    def _app_status(self) -> int:
        return self._app.returncode or 0 if self._app is not None and not self.stop.is_set() else 0
