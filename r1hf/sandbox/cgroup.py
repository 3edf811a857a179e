"""A control group for all processes of a sandbox together, where this process may make one.

It counts what no limit of a process does: the kernel's own memory for pipes and sockets, and processes in sum. Mostly
root may make one, and nobody in a container.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import subprocess
import time
from pathlib import Path

_LEAVE_SECONDS = 1.0
_NAME = "r1hf-"
_numbers = itertools.count()


class Group:
    """One sandbox at a time is in it. `files` are what a process writes 0 into to join; none where none can be had."""

    def __init__(self) -> None:
        self.places: list[Path] = []
        name = f"{_NAME}{os.getpid()}-{next(_numbers)}"
        try:
            for parent in _parents():
                (parent / name).mkdir()
                self.places.append(parent / name)
        except OSError:
            self.remove()

    @property
    def files(self) -> list[str]:
        return [str(place / "cgroup.procs") for place in self.places]

    def limit(self, memory: int, processes: int) -> None:
        values = {"memory.limit_in_bytes": memory, "memory.max": memory, "memory.swap.max": 0, "pids.max": processes}
        for place in self.places:
            for name, value in values.items():
                with contextlib.suppress(OSError):  # of the other version
                    with open(place / name, "r+") as file:
                        file.write(str(value))

    def is_left(self) -> bool:
        """Whether its last process has gone, for which it gets a moment."""
        end = time.monotonic() + _LEAVE_SECONDS
        while any(Path(file).read_text() for file in self.files):
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True

    def remove(self) -> None:
        for place in self.places:
            with contextlib.suppress(OSError):
                place.rmdir()
        self.places.clear()


_free: list[Group] = []  # making one takes as long as starting a process


def take(memory: int, processes: int) -> Group:
    """A group with these limits for one sandbox; `give` it back when that has ended."""
    try:
        group = _free.pop()
    except IndexError:
        group = Group()
    group.limit(memory, processes)
    return group


def give(group: Group) -> None:
    if group.is_left():
        _free.append(group)
    else:
        group.remove()


def _remove_all() -> None:
    while _free:
        _free.pop().remove()


atexit.register(_remove_all)
os.register_at_fork(after_in_child=_free.clear)  # they are the parent's


@functools.cache
def _parents() -> tuple[Path, ...]:
    """Directories that groups can be made in and joined: one for each hierarchy that matters."""
    found = _own()
    for parent in found:
        _sweep(parent)
        trial = parent / f"{_NAME}{os.getpid()}-trial"
        try:
            trial.mkdir()
            try:
                script = 'echo 0 > "$0"'
                subprocess.run(["/bin/sh", "-c", script, str(trial / "cgroup.procs")], check=True, capture_output=True)
            finally:
                trial.rmdir()
        except (OSError, subprocess.SubprocessError):
            return ()
    return tuple(found)


def _own() -> list[Path]:
    """This process's own group for memory and the one for numbers of processes, which are one in version 2."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return []
    places = {}
    for _, kinds, path in groups:
        for mount in mounts:
            kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
            if kind == ("cgroup" if kinds else "cgroup2") and set(kinds.split(",")) <= {*options, ""}:
                inner = path.removeprefix(mount[3]) if mount[3] != "/" else path
                places[kinds] = Path(mount[4] + "/" + inner.strip("/"))
    for place in (places[""], places[""].parent) if "" in places else ():
        with contextlib.suppress(OSError):  # the parent: a group with processes in it has no groups with limits below
            if {"memory", "pids"} <= set((place / "cgroup.subtree_control").read_text().split()):
                return [place]
    old = [
        next((place for kinds, place in places.items() if name in kinds.split(",")), None)
        for name in ("memory", "pids")
    ]
    return list(dict.fromkeys(place for place in old if place is not None)) if all(old) else []


def _sweep(parent: Path) -> None:
    """Groups of processes that were killed; one that is in use is not removed."""
    for place in parent.glob(f"{_NAME}*-*"):
        if not Path("/proc", place.name.split("-")[1]).exists():
            with contextlib.suppress(OSError):
                place.rmdir()
