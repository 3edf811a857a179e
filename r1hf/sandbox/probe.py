"""The trial of a sandbox: a program in it tries everything that docs/sandbox.md promises it cannot do."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.sandbox.limits import MIB, Limits, Result, SandboxError, Verdict

if TYPE_CHECKING:
    from r1hf.sandbox.backends import Sandbox

_TRIAL = Path(__file__).parent / "inside" / "trial.py"
_LIMITS = Limits(wall=60.0, total=120.0, memory=1024 * MIB)
_TEXT = "for everybody\n"
_FIRST = 1000  # oom_score_adj of what the kernel ends first


def probe(sandbox: Sandbox) -> tuple[str, ...]:
    """The layers of a sandbox that holds. Raises SandboxError naming what does not work, or what code in it can do."""
    from r1hf.sandbox.session import Session

    with _aims() as (aim, harm):
        shown = os.path.dirname(aim["shown"])
        readable = tuple(sorted({*sandbox.runtime.readable, shown}))
        tried = dataclasses.replace(sandbox, runtime=dataclasses.replace(sandbox.runtime, readable=readable))
        aim |= {"environment": list(sandbox.environment()), "memory": _LIMITS.memory}
        with Session(tried, _TRIAL.read_text(encoding="utf-8"), _LIMITS) as session:
            lacking = session.call("lacking", [[name for name, _ in sandbox.runtime.packages]])
            result = session.call("tried", [aim])
            traces = [_answer(sandbox, session.call("traces")) for _ in range(2)]
            last = [pid for pid in session.processes() if _score(pid) != _FIRST]
            layers = session.layers
        reached = _answer(sandbox, result) + harm()
        reached += [] if traces[0] == traces[1] else [f"tell one case from the next ({traces[0]}, {traces[1]})"]
    if missing := _answer(sandbox, lacking):
        what = ", ".join(missing)
        raise SandboxError(f"{sandbox.backend}: code in it cannot {what}; `packages` says what programs may import")
    if sandbox.backend == "none":
        return layers
    if reached:
        raise SandboxError(f"{sandbox.backend}: it starts, but code in it can {'; '.join(reached)}")
    if last:
        raise SandboxError(
            f"{sandbox.backend}: it starts, but is not the first to end when the machine runs out of memory "
            f"(oom_score_adj of process {last[0]} is {_score(last[0])}; /proc must be there, and writable)"
        )
    return layers


def _answer(sandbox: Sandbox, result: Result) -> list[str]:
    if result.verdict is Verdict.OK and isinstance(result.value, list):
        return result.value
    detail = result.detail
    raise SandboxError(detail if detail.startswith(sandbox.backend) else f"{sandbox.backend}: {detail}")


def _score(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
    except FileNotFoundError:  # it has ended meanwhile
        return _FIRST
    except OSError:
        return None


@contextlib.contextmanager
def _aims() -> Iterator[tuple[dict[str, Any], Any]]:
    """What the trial aims at, open to every user; and a function that tells which of it was hit."""
    with tempfile.TemporaryDirectory(prefix="r1hf-trial-") as directory, contextlib.ExitStack() as stack:
        root = Path(directory)
        files = [root / "secret" / "file", root / "shown" / "file"]
        for file in files:
            file.parent.mkdir()
            file.write_text(_TEXT)
            file.chmod(0o666)
            file.parent.chmod(0o777)
        root.chmod(0o777)
        kinds = {"unix": socket.SOCK_STREAM, "letters": socket.SOCK_DGRAM}
        kinds |= {"abstract": socket.SOCK_STREAM, "hidden": socket.SOCK_DGRAM}
        names = {name: str(root / name) for name in ("unix", "letters")}
        names |= {name: f"r1hf-{secrets.token_hex(8)}" for name in ("abstract", "hidden")}
        listeners = {name: stack.enter_context(socket.socket(socket.AF_UNIX, kind)) for name, kind in kinds.items()}
        for name, listener in listeners.items():
            listener.bind(names[name] if name in ("unix", "letters") else "\0" + names[name])
        for name in ("unix", "letters"):
            os.chmod(names[name], 0o777)
        for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            listeners[name] = stack.enter_context(socket.socket(socket.AF_INET, kind))
            listeners[name].bind(("127.0.0.1", 0))
        for name in ("unix", "abstract", "tcp"):
            listeners[name].listen()
        ports = {name: listeners[name].getsockname()[1] for name in ("tcp", "udp")}
        before = _state(root)

        def harm() -> list[str]:
            got = [name for name, listener in listeners.items() if _was_hit(listener)]
            found = [f"reach the socket {name!r}" for name in got]
            return found + ([] if _state(root) == before else ["change files of the host"])

        yield {"secret": str(files[0]), "shown": str(files[1]), "pid": os.getpid(), **names, **ports}, harm


def _state(root: Path) -> list[tuple[str, int, int, int]]:
    paths = sorted(root.rglob("*"))
    return [(str(path), path.stat().st_mode, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def _was_hit(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        if listener.type == socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
