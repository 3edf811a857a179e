"""What a stage is to read, looked at before it starts: is it there, is it finished, and which stage makes it."""

from __future__ import annotations

import os
from pathlib import Path

from r1hf.core.config import Parsed
from r1hf.core.files import sibling
from r1hf.core.source import gym_name, is_hub_id, package_name
from r1hf.stage.manifest import MANIFEST


def preflight_inputs(parsed: Parsed) -> None:
    """Adds a problem for each input that is neither a path here nor a Hub id; call it before `parsed.check()`."""
    for name, text in parsed.input_paths:
        path = Path(text)
        if name in parsed.planned:
            continue
        if sibling(path, "partial").exists() and not (path / MANIFEST).exists():
            parsed.problems.append(f"{name}: the stage that makes {text} did not finish; run it again")
        elif package_name(text) is not None or gym_name(text) is not None:
            continue  # installed or not, which the reader says
        elif not path.exists() and (parsed.said.made_by_the_graph(name) or not is_hub_id(text)):
            parsed.problems.append(f"{name}: {text} does not exist; {_who_makes(name, path, parsed)}")
        elif path.is_dir() and not any(path.iterdir()):
            parsed.problems.append(f"{name}: the directory {text} is empty")


def _who_makes(name: str, path: Path, parsed: Parsed) -> str:
    lost = next(part for part in (*reversed(path.parents), path) if not part.exists())
    if (lost.parent / MANIFEST).exists():
        return f"the stage in {lost.parent} made no '{lost.name}'"
    told = parsed.said
    if told.made_by_the_graph(name) and told.run_dir is not None and path.is_relative_to(told.run_dir):
        maker = path.relative_to(told.run_dir).parts[0]
        command = f"python recipes/pipeline.py {told.pipeline} --until {maker}"
        return f"the stage '{maker}' of {told.graph} makes it: {command}; or give --{name} a directory or a Hub id"
    return "run the stage that makes it first, or give a directory or a Hub id (org/name)"


def stamps(parsed: Parsed) -> dict[str, tuple[int, ...]]:
    """Of every file below the inputs, what changes when it is written or replaced: cheaper than its hash."""
    found = {}
    for _, text in parsed.input_paths:
        for folder, _, names in os.walk(text):
            for path in (Path(folder), *(Path(folder) / name for name in names)):
                found[str(path)] = _stamp(path)
        found[text] = _stamp(Path(text))
    return found


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    # A directory's times change with what others put beside; its number tells whether it is another one.
    return (seen.st_ino,) if path.is_dir() else (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
