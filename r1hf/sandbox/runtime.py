"""What of the host a Python interpreter needs to see, and the program that it starts with."""

from __future__ import annotations

import functools
import marshal
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_MODULES = ("codec", "kernel", "landlock", "seccomp", "enter", "case", "supervisor")  # each after what it imports

# Modules come down the pipe, compiled: no file of ours has to be seen inside, and none is compiled at every start.
_START = """
import marshal, os, sys
def read(count):
    data = b""
    while len(data) < count and (part := os.read(0, count - len(data))):
        data += part
    return data
package = sys.modules["inside"] = type(sys)("inside")
package.__path__ = []
for name, code in marshal.loads(read(int.from_bytes(read(4), "little"))):
    module = sys.modules["inside." + name] = type(sys)("inside." + name)
    module.__package__ = "inside"
    setattr(package, name, module)
    exec(code, module.__dict__)
module.main()
"""


@dataclass(frozen=True)
class Runtime:
    """The interpreter behind the running one (behind its virtual environment, too), and the paths it reads."""

    executable: str
    readable: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]

    def command(self) -> list[str]:
        """Starts the supervisor, after `supervisor_code` on its stdin. No site packages, no user settings."""
        return [self.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _START]


@functools.cache
def supervisor_code() -> bytes:
    """The modules of `inside`, compiled, as the interpreter expects them first: with their length in front."""
    directory = Path(__file__).parent / "inside"
    names = [(name, directory / f"{name}.py") for name in _MODULES]
    modules = [(name, compile(path.read_bytes(), f"inside/{name}.py", "exec", optimize=2)) for name, path in names]
    data = marshal.dumps(modules)
    return len(data).to_bytes(4, "little") + data


@functools.cache
def find_runtime() -> Runtime:
    """The runtime of this process."""
    executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    prefix = os.path.realpath(sys.base_prefix)
    wanted = [
        *_LIBRARIES,
        *(os.path.join(prefix, name) for name in ("lib", "lib64")),
        os.path.realpath(sysconfig.get_path("stdlib")),
        os.path.realpath(sysconfig.get_path("platstdlib")),
        executable,
    ]
    links = tuple((path, os.readlink(path)) for path in wanted if os.path.islink(path))
    readable: list[str] = []
    for path in sorted({os.path.realpath(path) for path in wanted if os.path.exists(path)}):
        if not any(path.startswith(parent + "/") for parent in readable):
            readable.append(path)
    return Runtime(executable, tuple(readable), links, tuple(path for path in _DEVICES if os.path.exists(path)))
