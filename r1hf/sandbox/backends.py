"""Which sandbox works here: each is tried by running code in it that tries to get out."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from r1hf.core.errors import ConfigError
from r1hf.sandbox.limits import Limits, SandboxError
from r1hf.sandbox.probe import probe
from r1hf.sandbox.runtime import PACKAGES, Runtime, find_runtime

Backend = Literal["bwrap", "namespaces", "landlock", "none"]
ORDER: tuple[Backend, ...] = ("bwrap", "namespaces", "landlock")
_MACHINES = ("x86_64", "aarch64")
_WORK = "/sandbox"  # the working directory, and /tmp too unless the interpreter itself lives there
# What `enter` does in the other sandboxes: be the first to end when memory runs out, and join a number of groups.
_STEPS = 'echo 1000 > /proc/self/oom_score_adj; n=$0; while [ $n -gt 0 ]; do echo 0 > "$1"; shift; n=$((n - 1)); done'
_FIRST_STEPS = ("/bin/sh", "-c", _STEPS + '; exec "$@"')
_FIRST_UID = 1 << 30  # far above every real user
_ENVIRONMENT = {
    "HOME": _WORK,
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",  # each further arena takes 64 MiB of the address space
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin",
    "PYTHONHASHSEED": "0",  # the same code, the same reward
    "TMPDIR": _WORK,
}


@dataclass(frozen=True)
class Sandbox:
    """How to start a sandbox; holds no process, so it can be pickled. From `check_sandbox`."""

    backend: Backend
    runtime: Runtime = field(default_factory=find_runtime)
    layers: tuple[str, ...] = ()
    landlock_abi: int | None = None  # the newest that may be used; None: whatever the kernel has

    def command(self, groups: Sequence[str] = ()) -> list[str]:
        """What the parent starts; `groups` are the files of a control group that it is to join."""
        python = self.runtime.command()
        return (
            [*_FIRST_STEPS, str(len(groups)), *groups, *self._bwrap(), *python] if self.backend == "bwrap" else python
        )

    def environment(self) -> dict[str, str]:
        """All that the code sees of an environment."""
        return dict(_ENVIRONMENT)

    def config(self, limits: Limits, scratch: str | None) -> dict[str, Any]:
        """What the supervisor is told; `scratch` is the working directory of the backend "none"."""
        confined = self.backend in ("bwrap", "namespaces")
        return {
            "backend": self.backend,
            "readable": list(self.runtime.readable),
            "links": self._links(),
            "devices": list(self.runtime.devices),
            "packages": dict(self.runtime.packages),
            "work": _WORK if confined else scratch,
            "uid": _FIRST_UID + secrets.randbelow(1 << 29),
            "cpu": limits.cpu_seconds,
            "memory": limits.memory,
            "disk": limits.disk,
            "files": limits.files,
            "processes": limits.processes,
            "output": limits.output,
            "wall": limits.wall,
            "fork": limits.fork and self.backend != "landlock",
            "counted": confined and os.geteuid() != 0,  # are processes counted for this sandbox alone?
            "abi": self.landlock_abi,
        }

    def _links(self) -> list[tuple[str, str]]:
        own_tmp = any(path.startswith("/tmp/") for path in self.runtime.readable)
        return [*self.runtime.links, *([] if own_tmp else [("/tmp", _WORK)])]

    def _bwrap(self) -> list[str]:
        command = [
            shutil.which("bwrap") or "bwrap",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
        ]
        command += ["--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--as-pid-1"]
        kept = ["CAP_SYS_ADMIN"]  # until the working directory is mounted, with its caps
        if os.geteuid() == 0:
            kept += ["CAP_SETUID", "CAP_SETGID"]
        else:
            command += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        command += ["--cap-drop", "ALL"]
        for capability in kept:
            command += ["--cap-add", capability]
        shown = [*self.runtime.readable, *self.runtime.devices]
        above = {str(parent) for path in shown for parent in Path(path).parents[:-1]}
        for path in sorted(above):  # bwrap's own choice may be 0700
            command += ["--perms", "0755", "--dir", path]
        for link, target in self._links():
            command += ["--symlink", target, link]
        for path in self.runtime.readable:
            command += ["--ro-bind", path, path]
        for path in self.runtime.devices:
            command += ["--dev-bind", path, path]
        return [*command, "--dir", _WORK, "--remount-ro", "/", "--chdir", "/", "--"]


def try_backend(backend: Backend, packages: tuple[str, ...] = PACKAGES, landlock_abi: int | None = None) -> Sandbox:
    """The sandbox, tried. Raises SandboxError naming what does not work, or what code in it could do.

    landlock_abi: the newest Landlock that may be used, as on an older kernel.
    """
    if backend == "bwrap" and shutil.which("bwrap") is None:
        raise SandboxError("bwrap: the command is not installed (bubblewrap)")
    sandbox = Sandbox(backend, find_runtime(packages), landlock_abi=landlock_abi)
    return dataclasses.replace(sandbox, layers=probe(sandbox))


@functools.cache
def _first_working(backend: str, unsafe_exec: bool, packages: tuple[str, ...]) -> Sandbox:
    problems = []
    if sys.platform != "linux":
        problems.append(f"there is no sandbox for {platform.system()}, only for Linux")
    elif platform.machine() not in _MACHINES:
        problems.append(f"there is no sandbox for {platform.machine()}, only for {' and '.join(_MACHINES)}")
    else:
        for name in ORDER if backend == "auto" else (backend,):
            try:
                return try_backend(name, packages)  # type: ignore[arg-type]
            except SandboxError as error:
                problems.append(str(error))
    if unsafe_exec:
        return Sandbox("none", find_runtime(packages))
    raise SandboxError(
        "code cannot be judged here, because no sandbox works:\n"
        + "\n".join(f"  - {problem}" for problem in problems)
        + "\nInstall bubblewrap, or allow user namespaces or Landlock to this process. `unsafe_exec=True` "
        "(`--unsafe-exec`) runs the code without any protection: every file and token of this user is then open to it."
    )


def check_sandbox(backend: str = "auto", *, unsafe_exec: bool = False, packages: Sequence[str] = PACKAGES) -> Sandbox:
    """The first backend that works here, of bwrap, namespaces, landlock, or the one named. Tried once in a process.

    `unsafe_exec` allows to run without any where none works; `backend="none"` asks for that. `packages` are the
    installed ones that programs may import; what one of them needs must be named too. Raises SandboxError where none
    works, naming what each lacks, and ConfigError for an unknown backend or package.
    """
    if backend != "auto" and backend not in get_args(Backend):
        raise ConfigError(f"sandbox {backend!r} is unknown; use one of auto, {', '.join(get_args(Backend))}")
    if backend == "none" and not unsafe_exec:
        raise SandboxError("the sandbox 'none' protects nothing, and has to be allowed with `unsafe_exec=True`")
    runtime = find_runtime(tuple(packages))
    return Sandbox("none", runtime) if backend == "none" else _first_working(backend, unsafe_exec, tuple(packages))
