"""The graph of a run that lies in a directory, from its manifests and the pipeline's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1hf.core.files import is_file, parse_json, read_text
from r1hf.core.places import EVENTS, MANIFEST

Graph = dict[str, list[str]]


def is_run(directory: Path) -> bool:
    """Whether a directory holds stages, and is not one itself."""
    return directory.is_dir() and not is_file(directory / MANIFEST) and bool(_planned(directory) or _made(directory))


def read_graph(run_dir: Path) -> Graph:
    """stage -> the stages of the run that it reads; planned stages first, in the pipeline's order.

    A stage that has not been made is above nothing and below nothing: only its manifest says what it reads.
    """
    names = list(dict.fromkeys([*_planned(run_dir), *_made(run_dir)]))
    graph: Graph = {}
    for name in names:
        inputs = _object(run_dir / name / MANIFEST).get("inputs")
        found = [(part, path) for path in map(Path, _paths(inputs)) for part in path.parts if part in names]
        own = [part for part, path in found if part != name and not _of_world(path, part)]
        graph[name] = list(dict.fromkeys(own or (part for part, _ in found if part != name)))
    return _ordered(graph)


def _of_world(path: Path, stage: str) -> bool:
    """Prompts that the base's stage laid beside its model: every stage reads them, and none is made from them."""
    return path.parts[path.parts.index(stage) + 1 :][:1] == ("data",)


def _planned(run_dir: Path) -> list[str]:
    """The stages that the pipeline set out to make, from pipeline.jsonl."""
    path = run_dir / EVENTS
    if not is_file(path):
        return []
    found: dict[str, None] = {}
    for line in read_text(path).splitlines():
        try:
            event = parse_json(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "start" and isinstance(event.get("run"), list):
            found |= dict.fromkeys(str(name) for name in event["run"])
    return list(found)


def _made(run_dir: Path) -> list[str]:
    finished = [path.parent for path in run_dir.glob(f"*/{MANIFEST}") if not path.parent.name.endswith(".old")]
    finished.sort(key=lambda path: (str(_object(path / MANIFEST).get("created")), path.name))
    begun = sorted(path for path in run_dir.glob("*.partial") if path.is_dir())
    return list(dict.fromkeys(path.name.removesuffix(".partial") for path in (*finished, *begun)))


def _object(path: Path) -> dict[str, Any]:
    """A manifest's content; empty where it cannot be read: the report says so when it loads the run."""
    try:
        value = parse_json(read_text(path)) if is_file(path) else None
    except (OSError, ValueError):
        value = None
    return value if isinstance(value, dict) else {}


def _paths(inputs: Any) -> list[str]:
    if isinstance(inputs, dict):
        own = [inputs["path"]] if isinstance(inputs.get("path"), str) else []
        return own + [path for value in inputs.values() for path in _paths(value)]
    return [path for value in inputs for path in _paths(value)] if isinstance(inputs, list) else []


def _ordered(graph: Graph) -> Graph:
    """Without edges that would close a circle, which no run of the pipeline has."""
    kept: Graph = {}

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        if start == goal:
            return True
        seen.add(start)
        return any(reaches(above, goal, seen) for above in kept.get(start, ()) if above not in seen)

    for name, above in graph.items():
        kept[name] = []
        for other in above:
            if not reaches(other, name, set()):
                kept[name].append(other)
    return kept
