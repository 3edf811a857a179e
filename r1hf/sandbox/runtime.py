"""What of the host a Python interpreter needs to see, and the program that it starts with."""

from __future__ import annotations

import functools
import importlib.util
import marshal
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from r1hf.core.errors import ConfigError

PACKAGES = ("numpy",)  # what programs may import beside the standard library
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# each after what it imports
_MODULES = ("codec", "kernel", "landlock", "calls", "seccomp", "enter", "frame", "packages", "case", "supervisor")

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
    """The interpreter behind the running one (behind its virtual environment, too), and the paths it reads.

    packages: name and file of what programs may import beside the standard library.
    """

    executable: str
    readable: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]
    packages: tuple[tuple[str, str], ...] = ()

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
def find_runtime(packages: tuple[str, ...] = PACKAGES) -> Runtime:
    """The runtime of this process, with the packages named. Raises ConfigError for one that is not installed."""
    places = _find_packages(packages)
    executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    prefix = os.path.realpath(sys.base_prefix)
    wanted = [
        *_LIBRARIES,
        *(os.path.join(prefix, name) for name in ("lib", "lib64")),
        os.path.realpath(sysconfig.get_path("stdlib")),
        # Python's own, and not the virtual environment's, which holds all that is installed
        os.path.realpath(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix})),
        executable,
        *(path for _, place in places for path in _files_of(place)),
    ]
    links = tuple((path, os.readlink(path)) for path in wanted if os.path.islink(path))
    readable: list[str] = []
    for path in sorted({os.path.realpath(path) for path in wanted if os.path.exists(path)}):
        if not any(path.startswith(parent + "/") for parent in readable):
            readable.append(path)
    devices = tuple(path for path in _DEVICES if os.path.exists(path))
    return Runtime(executable, tuple(readable), links, devices, places)


def _find_packages(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and file (`__init__.py`, or the one module) of each; what belongs to Python itself needs none."""
    places, problems = [], []
    for name in names:
        if name in sys.stdlib_module_names:
            continue
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
            problems.append(f"packages: {name!r} is not an installed package that can be imported by that name")
        else:
            places.append((name, os.path.realpath(spec.origin)))
    if problems:
        raise ConfigError(problems)
    return tuple(places)


def _files_of(place: str) -> list[str]:
    """What importing the package reads: its directory, and the libraries that its wheel brought along."""
    if os.path.basename(place) != "__init__.py":
        return [place]
    directory = os.path.dirname(place)
    return [directory, *([f"{directory}.libs"] if os.path.isdir(f"{directory}.libs") else [])]
