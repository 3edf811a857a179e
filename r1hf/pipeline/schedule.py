"""Which stages run side by side: those whose inputs are complete, as far as cores and memory carry them.

A stage's threads are fixed in its YAML (`num_threads`), so its result does not depend on what runs beside it. One
that leaves them open takes all cores, and so runs alone where the number of jobs is left to this machine.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil


@dataclass(frozen=True)
class Load:
    """What a stage takes while it runs; None where nobody knows."""

    threads: int | None = None
    memory_mb: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Capacity:
    """What all stages at one time may take together. `most`: how many stages; None: as many as fit."""

    most: int | None
    cores: int | None
    memory_mb: float

    def carries(self, running: Sequence[Load], one: Load) -> bool:
        """Whether `one` fits beside those that run. A stage alone always does: it has to run at some time."""
        if not running:
            return True
        loads = [*running, one]
        if self.most is not None and len(loads) > self.most:
            return False
        if self.cores is not None and sum(load.threads or self.cores for load in loads) > self.cores:
            return False
        unknown = self.memory_mb / 2
        return sum(unknown if load.memory_mb is None else load.memory_mb for load in loads) <= self.memory_mb


def capacity(jobs: int | None, loads: Iterable[Load], one_at_a_time: bool = False) -> Capacity:
    """What this machine carries of these stages: `jobs` at once whatever the cores say, or None, as many as fit.

    one_at_a_time: not more than one where that is left to the machine; for stages that take whole GPUs.
    """
    memory = psutil.virtual_memory().available / 2**20
    alone = one_at_a_time or shutil.which("nvidia-smi") is not None
    found = Capacity(jobs, None, memory) if jobs else Capacity(1 if alone else None, cores(), memory)
    pairs = itertools.combinations(loads, 2)
    return found if any(found.carries([one], other) for one, other in pairs) else replace(found, most=1)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def urgency(links: Mapping[str, Iterable[str]], loads: Mapping[str, Load]) -> dict[str, float]:
    """Seconds from a stage's start to the end of the last one that waits for it; `links` are in a working order."""
    after: dict[str, float] = {}
    for name in reversed(list(links)):
        after[name] = after.get(name, 0.0) + (loads[name].seconds or 1.0)
        for parent in links[name]:
            after[parent] = max(after.get(parent, 0.0), after[name])
    return after


def startable(
    waiting: Sequence[str],
    links: Mapping[str, Iterable[str]],
    running: Sequence[str],
    loads: Mapping[str, Load],
    allowed: Capacity,
) -> str | None:
    """The stage to start now, None if all have to wait: as written where one runs at a time, else the most urgent.

    `waiting` holds the stages that have not begun; one whose parents are there or in `running` is not ready.
    """
    busy = {*waiting, *running}
    ready = [name for name in waiting if not busy & set(links[name])]
    if allowed.most != 1:
        after = urgency(links, loads)
        ready.sort(key=lambda name: -after[name])
    at_work = [loads[name] for name in running]
    return next((name for name in ready if allowed.carries(at_work, loads[name])), None)


def makespan(
    names: Sequence[str], links: Mapping[str, Iterable[str]], loads: Mapping[str, Load], allowed: Capacity
) -> float:
    """Seconds that these stages take together, each as long as its load says, in the order of `startable`."""
    waiting, ends, now = list(names), dict[str, float](), 0.0
    while waiting or ends:
        while (name := startable(waiting, links, list(ends), loads, allowed)) is not None:
            waiting.remove(name)
            ends[name] = now + (loads[name].seconds or 0.0)
        first = min(ends, key=lambda name: ends[name])
        now = ends.pop(first)
    return now
