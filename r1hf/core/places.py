"""Where a stage may write: nowhere that it, or what it replaces, would take something of a person's away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import r1hf
from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object

MANIFEST = "manifest.json"  # in every directory that a stage made
EVENTS = "pipeline.jsonl"  # in a pipeline's run_dir: what it did, and when
BESIDE = ("partial", "old")  # r1hf/stage/directory.py: what a stage writes, and what it replaces


def holds(outer: Path, inner: Path) -> bool:
    """Whether `inner` is `outer` or lies in it, under whatever names: links, mounts, and case where it does not count.

    Both are real paths; they need not exist.
    """
    chain = (inner, *inner.parents)
    if outer in chain:
        return True
    try:
        place = outer.stat()
    except OSError:
        return False
    return any(os.path.samestat(place, part.stat()) for part in chain if os.path.exists(part))


def output_problems(
    output_dir: str, inputs: Iterable[tuple[str, str]] = (), files: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """What is wrong with writing a stage to `output_dir`. inputs and files: (what it is, path) of all that is read;
    a file's own directory may hold the output, an input may not.
    """
    if not output_dir.strip() or output_dir.startswith("~"):
        return [f"output_dir: {output_dir!r} is not the path of a directory; write it out (~ is the shell's)"]
    try:
        place = Path(os.path.realpath(output_dir))
        place.exists()
    except (OSError, ValueError) as error:  # too long a name, a null character
        return [f"output_dir: {output_dir[:60]!r} is not the path of a directory: {getattr(error, 'strerror', error)}"]
    problems = protected(place)
    problems += [text for what, path in inputs if "\0" not in path and (text := _clash(place, what, path))]
    real = [(what, path, Path(os.path.realpath(path))) for what, path in files]
    problems += [f"holds {what} ({path})" for what, path, where in real if holds(place, where)]
    problems += [text for parent in place.parents if (text := _of_a_stage(parent))]
    advice = "the stage would replace it, or be replaced with it; choose another directory"
    return [f"output_dir: {output_dir} {problem}: {advice}" for problem in dict.fromkeys(problems)]


def paths_in(value: Any) -> list[str]:
    """Every text in a value that names a file, or with a slash a directory, that is here."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [text for item in value for text in paths_in(item)]
    found = isinstance(value, str) and (os.path.isfile(value) or ("/" in value and os.path.isdir(value)))
    return [value] if found else []


def protected(place: Path) -> list[str]:
    """Which directories that no run may replace `place` is or holds."""
    own = Path(r1hf.__file__).resolve().parent
    kept = {
        "the root of the file system": Path("/"),
        "your home directory": Path(os.path.expanduser("~")),
        "the working directory": Path.cwd(),
        "the repository": own.parent,
        "the Python environment": Path(sys.prefix),
    }
    found = [_is_or_holds(place, path, what) for what, path in kept.items() if holds(place, path.resolve())]
    return [*found, "lies in r1hf's own code"] if holds(own, place) else found


def _is_or_holds(place: Path, path: Path, what: str) -> str:
    return f"is {what}" if holds(path.resolve(), place) else f"holds {what} ({path})"


def _clash(place: Path, what: str, path: str) -> str | None:
    where = Path(os.path.realpath(path))
    if holds(place, where):
        return f"is the input {what}" if holds(where, place) else f"holds the input {what} ({path})"
    if holds(where, place):
        return f"lies in the input {what} ({path})"
    for ending in BESIDE:
        if holds(place.with_name(f"{place.name}.{ending}"), where):
            return f"has its work written to {place.name}.{ending}, which holds the input {what} ({path})"
    return None


def _of_a_stage(directory: Path) -> str | None:
    try:
        made = read_object(directory / MANIFEST)
    except (ConfigError, OSError):
        return None  # none, or anybody's file of that name
    name = made.get("stage")
    whole = isinstance(name, str) and isinstance(made.get("outputs"), dict)
    return f"lies in the output of the stage {name} ({directory})" if whole else None
