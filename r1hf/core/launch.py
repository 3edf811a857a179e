"""`launch:` of a YAML: what a stage is started with, and in how many processes.

launch: python                                       # one process, which is also meant where nothing is said
launch: fork                                         # a fork of one that has imported the libraries: no GPU
launch: {accelerate: ../../accelerate/zero3.yaml}    # `accelerate launch` with this file, relative to the YAML
launch: {accelerate: zero3.yaml, processes: 4}       # and another number of processes than the file's
launch: {accelerate: zero3.yaml, nodes: 64}          # on 64 nodes, on each as many as the file says
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import beside, nearest, read_yaml

LAUNCH = "launch"
PYTHON, FORK = "python", "fork"
_KEYS = ("accelerate", "processes", "nodes")


@dataclass(frozen=True)
class Launch:
    """accelerate: the file for `accelerate launch`, None where it has none. processes: on all nodes that train."""

    accelerate: Path | None = None
    processes: int = 1
    nodes: int = 1
    fork: bool = False
    given: bool = False  # whether the number of processes was written here, and not in accelerate's file

    def start(self) -> list[str]:
        """The words before a recipe's script."""
        if self.accelerate is None and not self.given:
            return [sys.executable]
        words = [sys.executable, "-m", "accelerate.commands.launch"]
        if self.accelerate is not None:
            words += ["--config_file", str(self.accelerate)]
        return [*words, "--num_processes", str(self.processes)] if self.given else words

    def __str__(self) -> str:
        kind = "fork" if self.fork else PYTHON
        if self.accelerate is not None or self.given:
            kind = f"accelerate{f' with {self.accelerate}' if self.accelerate is not None else ''}"
        count = f"{self.processes} process{'es' if self.processes != 1 else ''}"
        return f"{kind}, {count}{f' on {self.nodes} nodes' if self.nodes > 1 else ''}"


def read_launch(value: Any, directory: Path, where: str, problems: list[str]) -> Launch:
    """The value of `launch:` in `where`, its paths relative to `directory`; adds what is wrong to `problems`."""
    if value in (None, PYTHON, FORK):
        return Launch(fork=value == FORK)
    before = len(problems)
    if not isinstance(value, dict) or not value:
        problems.append(f"{where}: {LAUNCH}: {value!r} is not one of python, fork and {{accelerate: FILE}}")
        return Launch()
    for key in value:
        if key not in _KEYS:
            problems.append(f"{where}: {LAUNCH}: unknown key '{key}'; {nearest(str(key), _KEYS)}")
    counts = {key: value[key] for key in ("processes", "nodes") if value.get(key) is not None}
    for key, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            problems.append(f"{where}: {LAUNCH}: {key}: {count!r} is not a number of {key}; write 1 or more")
    file = value.get("accelerate")
    if file is not None and not (isinstance(file, str) and (directory / file).is_file()):
        there = f"there is no file {beside(directory, file)}" if isinstance(file, str) else f"{file!r} is not a file"
        problems.append(f"{where}: {LAUNCH}: accelerate: {there}")
    if len(problems) > before:
        return Launch()
    accelerate = beside(directory, file) if file is not None else None
    nodes = counts.get("nodes", 1)
    try:
        processes = counts.get("processes", processes_of(accelerate) * nodes)
    except ConfigError as error:
        problems += [f"{where}: {LAUNCH}: accelerate: {text}" for text in error.problems]
        return Launch()
    if processes % nodes:
        problems.append(f"{where}: {LAUNCH}: {processes} processes cannot be shared evenly by {nodes} nodes")
    return Launch(accelerate, processes, nodes, given="processes" in counts)


def processes_of(file: Path | None) -> int:
    """`num_processes` of an accelerate file; 1 without. Raises ConfigError where it cannot be read."""
    count = read_accelerate(file).get("num_processes", 1) if file is not None else 1
    return count if isinstance(count, int) and count > 0 else 1


def read_accelerate(file: Path) -> dict[str, Any]:
    """What an accelerate file says. Raises ConfigError where it cannot be read."""
    read = read_yaml(file)
    if read.problems:
        raise ConfigError(read.problems)
    return read.values
