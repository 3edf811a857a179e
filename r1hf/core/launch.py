"""The launch command that opens a stage's YAML: its accelerate file, and how many processes it starts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_text, reason_of
from r1hf.core.yamlfile import read_yaml

_FILE = re.compile(r"(?<!\S)(\S*accelerate/\S+\.ya?ml)(?!\S)")
_PROCESSES = re.compile(r"--num_processes[= ](\d+)")
_NODES = re.compile(r"--nodes[= ](\d+)")
_SERVER = re.compile(r"\S*/slurm/\S*vllm\S*")


def opening(config: Path) -> str:
    """The comment lines before the first key, without their signs. Raises ConfigError where it cannot be read."""
    try:
        lines = read_text(config).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config}: cannot be read: {reason_of(error)}") from None
    comments: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            break
        comments.append(line.lstrip("#").strip())
    return "\n".join(comments)


def launch_of(config: Path) -> tuple[Path | None, int]:
    """(accelerate file, processes) of the command that opens `config`; (None, 1) where it names none.

    The file lies relative to the working directory, or else to the directory that holds `recipes/`. With `--nodes` the
    file's processes are those of one node, and a Slurm script for vLLM keeps one node for its server.
    """
    text = opening(config)
    named = _FILE.search(text)
    file = _find(named[1], config) if named else None
    given, nodes = _PROCESSES.search(text), _NODES.search(text)
    if given:
        return file, int(given[1])
    count = processes_of(file)
    if nodes:
        count *= max(1, int(nodes[1]) - bool(_SERVER.search(text)))
    return file, count


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


def _find(name: str, config: Path) -> Path | None:
    above = [parent.parent for parent in config.resolve().parents if parent.name == "recipes"]
    return next((path / name for path in (Path(), *above) if (path / name).is_file()), None)


def given(argv: list[str]) -> dict[str, str]:
    """The keys of a recipe's command line, `--some-key value` and `--some_key=value` alike; "" for a bare flag."""
    found: dict[str, str] = {}
    key = None
    for word in argv:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            key = name.replace("-", "_")
            found[key] = value
        elif key is not None and not found[key]:
            found[key] = word
    return found


def is_dry(argv: list[str]) -> bool:
    """Whether `--dry_run` is among the words, and not as false."""
    return given(argv).get("dry_run", "false").lower() not in ("false", "no", "off", "0")


def value_of(key: str, argv: list[str]) -> Any:
    """What a recipe's command line gives for `key`: its own word, or the value in its `--config` file, or None."""
    own = given(argv)
    if key in own:
        return own[key]
    return read_yaml(own["config"]).values.get(key) if "config" in own else None


if __name__ == "__main__":  # for shell scripts: python -m r1hf.core.launch KEY WORD ...
    found = value_of(sys.argv[1], sys.argv[2:])
    if found is None:
        sys.exit(1)
    print(found)
