"""What code may use, what running it gave, and what went wrong with the sandbox itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from r1hf.core.errors import ConfigError, R1Error

MIB = 1 << 20
_LEAST_MEMORY = 64 * MIB  # the interpreter's own address space, and a little


class SandboxError(R1Error):
    """No sandbox can be had here, or the one asked for does not work. Says what is missing."""


class Verdict(StrEnum):
    """How a run ended. Only SANDBOX_FAILURE says nothing about the code."""

    OK = "ok"
    WRONG = "wrong"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    RUNTIME_ERROR = "runtime_error"
    SANDBOX_FAILURE = "sandbox_failure"


@dataclass(frozen=True)
class Limits:
    """Caps on one run of a program; sizes in bytes, times in seconds.

    `wall` and `cpu` (None: the next whole second above `wall`) hold for each case, `total` for all cases of a program.
    `memory` is the address space of a process, the interpreter's own 30 MiB included. `output` holds for what is
    judged, stdout or a function's value, and must be above every expected one, since the program can see it; the rest
    may take 1 MiB each. `disk` and `files` size the working directory. `processes` counts processes and threads
    together; processes can be started at all only with `fork`, each with its own `memory`.
    """

    wall: float = 10.0
    cpu: float | None = None
    total: float = 120.0
    memory: int = 512 * MIB
    output: int = 16 * MIB
    disk: int = 16 * MIB
    files: int = 256
    processes: int = 32
    fork: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{field.name} must be a positive number, not {value!r}"
            for field in fields(self)
            if field.name != "fork" and (value := getattr(self, field.name)) is not None and not _is_positive(value)
        ]
        if not problems and self.memory < _LEAST_MEMORY:
            problems.append(f"memory must be at least {_LEAST_MEMORY} bytes (64 MiB), not {self.memory}")
        if problems:
            raise ConfigError([f"limits: {problem}" for problem in problems])

    @property
    def cpu_seconds(self) -> int:
        """The CPU cap as the kernel takes it: whole seconds, at least one."""
        return math.ceil(self.wall if self.cpu is None else self.cpu)


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


@dataclass(frozen=True)
class Result:
    """One run. `verdict` is OK where the code ended by itself without an error; no output has been judged yet.

    `value` is what a called function returned, as plain data. `stdout` and `stderr` are cut at the limit.
    `peak_memory` is resident memory in bytes. `detail` says in a few words why the verdict is not OK.
    """

    verdict: Verdict
    stdout: str = ""
    stderr: str = ""
    value: Any = None
    exit_code: int | None = None
    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0
    detail: str = ""
