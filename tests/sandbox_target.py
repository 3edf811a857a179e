"""What the attacks aim at, and what is looked at afterwards."""

from __future__ import annotations

import os
import secrets
import socket
import string
import tempfile
from pathlib import Path
from typing import Any

import sandbox_attacks
from sandbox_attacks import Attack

from r1hf.sandbox import Result, Sandbox, SandboxError, Session, check_sandbox

MIB = 1 << 20


def first_working() -> str | None:
    """The sandbox that is used here, or None: then nothing that runs code can be tested."""
    try:
        return check_sandbox().backend
    except SandboxError:
        return None


def called(code: str, arguments: list[Any], sandbox: Sandbox | None = None, **keywords: Any) -> Result:
    """A call of the code's function `f`."""
    with Session(sandbox or check_sandbox(), code) as session:
        return session.call("f", arguments, keywords)


class Target:
    """What attacks aim at: a home directory with secrets, listening sockets, this process. A context manager."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="r1hf-target-")
        self.home = Path(self._directory.name)
        self.home.chmod(0o777)
        for name in (".ssh/id_ed25519", ".cache/huggingface/token"):
            path = self.home / name
            path.parent.mkdir(parents=True)
            path.write_text("secret")
        self.orphan = f"orphan{secrets.token_hex(3)}"
        abstract = f"r1hf-{secrets.token_hex(8)}"
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._unix = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
        for listener, address in zip(self._unix, (f"\0{abstract}", str(self.home / "socket")), strict=True):
            listener.bind(address)
            listener.listen()
        hidden = f"r1hf-{secrets.token_hex(8)}"
        self._letters = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
        for letters, address in zip(self._letters, (f"\0{hidden}", str(self.home / "letters")), strict=True):
            letters.bind(address)
        for name in ("socket", "letters"):
            (self.home / name).chmod(0o777)
        self._before = self.files()
        self.names = {
            "home": str(self.home),
            "pid": str(os.getpid()),
            "port": str(self._tcp.getsockname()[1]),
            "abstract": abstract,
            "hidden": hidden,
            "bpf": "321" if os.uname().machine == "x86_64" else "280",
            "userfaultfd": "323" if os.uname().machine == "x86_64" else "282",
            "tests": sandbox_attacks.__file__,
            "orphan": self.orphan,
            "add_key": "248" if os.uname().machine == "x86_64" else "217",
        }
        os.environ["R1HF_CANARY"] = "secret"

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *error: object) -> None:
        os.environ.pop("R1HF_CANARY", None)
        for listener in (self._tcp, *self._unix, *self._letters):
            listener.close()
        self._directory.cleanup()

    def program(self, attack: Attack) -> str:
        """The attack's code, aimed."""
        return string.Template(attack.code).safe_substitute(self.names)

    def files(self) -> dict[str, tuple[int, int]]:
        """Path, mode and modification time of every file in the home directory."""
        paths = sorted(self.home.rglob("*"))
        return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns) for path in paths}

    def damage(self) -> list[str]:
        """What an attack has left behind on the host."""
        found = [] if self.files() == self._before else ["files in the home directory changed"]
        for comm in Path("/proc").glob("[0-9]*/comm"):
            try:
                if comm.read_text().strip() == self.orphan:
                    found.append(f"process {comm.parent.name} is still there")
            except OSError:
                continue
        return found


def reset_peak_memory() -> int:
    """Start a new count of this process's peak memory; returns its resident memory now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The largest resident memory of this process, in bytes, since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
