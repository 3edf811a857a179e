"""The launch command that opens a stage's YAML: its accelerate file, and how many processes it starts."""

from __future__ import annotations

import re
from pathlib import Path

from r1hf.yamlfile import read_yaml

_FILE = re.compile(r"(?<!\S)(\S*accelerate/\S+\.ya?ml)(?!\S)")
_PROCESSES = re.compile(r"--num_processes[= ](\d+)")
_NODES = re.compile(r"--nodes[= ](\d+)")
_SERVER_NODES = re.compile(r"VLLM_NODES=(\d+)")


def opening(config: Path) -> str:
    """The comment lines before the first key, without their signs."""
    lines = config.read_text(encoding="utf-8").splitlines()
    comments: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            break
        comments.append(line.lstrip("#").strip())
    return "\n".join(comments)


def launch_of(config: Path) -> tuple[Path | None, int]:
    """(accelerate file, processes) of the command that opens `config`; (None, 1) where it names none.

    The file lies relative to the working directory, or else to the directory that holds `recipes/`. With `--nodes` the
    file's processes are those of one node; a script whose name holds `vllm` keeps VLLM_NODES (1) of them for servers.
    """
    text = opening(config)
    named = _FILE.search(text)
    file = _find(named[1], config) if named else None
    given, nodes = _PROCESSES.search(text), _NODES.search(text)
    if given:
        return file, int(given[1])
    count = processes_of(file)
    if nodes:
        kept = _SERVER_NODES.search(text)
        servers = (int(kept[1]) if kept else 1) if "vllm" in text else 0
        count *= max(1, int(nodes[1]) - servers)
    return file, count


def processes_of(file: Path | None) -> int:
    """`num_processes` of an accelerate file; 1 without."""
    count = read_yaml(file).values.get("num_processes", 1) if file is not None else 1
    return count if isinstance(count, int) and count > 0 else 1


def _find(name: str, config: Path) -> Path | None:
    above = [parent.parent for parent in config.resolve().parents if parent.name == "recipes"]
    return next((path / name for path in (Path(), *above) if (path / name).is_file()), None)
