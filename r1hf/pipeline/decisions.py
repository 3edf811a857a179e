"""Which stages have to run, and why: the graph compared with the manifests on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.files import parse_json, read_bytes, sibling
from r1hf.core.graph import Graph
from r1hf.core.places import EVENTS
from r1hf.pipeline.check import Checked
from r1hf.pipeline.schedule import Load
from r1hf.stage.manifest import MANIFEST, Manifest, git_state, input_records, verify, versions

Action = Literal["done", "run", "refused", "left out"]


@dataclass(frozen=True)
class Decision:
    """What happens to one stage. `notes` tell of differences that are no reason to run again."""

    stage: str
    action: Action
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Planner:
    """Decides stage by stage. Files are hashed once; `forget` a stage after it ran."""

    def __init__(
        self, graph: Graph, checked: Mapping[str, Checked], selected: Collection[str], forced: Collection[str] = ()
    ):
        self.graph = graph
        self.checked = checked
        self.selected = [name for name in graph.stages if name in selected]
        self.forced = set(forced)
        self._proved: dict[str, Manifest | None] = {}

    def plan(self) -> list[Decision]:
        """A decision for every stage before anything runs.

        What follows from a stage to run counts as to run; `decide` then skips it if its inputs came out the same.
        """
        decisions: list[Decision] = []
        pending: set[str] = set()
        for name in self.graph.stages:
            decision = self.decide(name, pending) if name in self.selected else Decision(name, "left out")
            if decision.action == "run":
                pending.add(name)
            decisions.append(decision)
        return decisions

    def decide(self, name: str, pending: Collection[str] = ()) -> Decision:
        """The decision for one stage, while the stages in `pending` are still to run."""
        parents = self.graph.stages[name].parents
        waits = [parent for parent in parents if parent in pending]
        refused = self._refusals(name, [parent for parent in parents if parent not in pending])
        if refused:
            return Decision(name, "refused", tuple(refused))
        if name in self.forced:
            return Decision(name, "run", ("forced",))
        manifest = self.proved(name)
        if manifest is None:
            unfinished = sibling(self.graph.output_dir(name), "partial").exists()
            return Decision(name, "run", ("unfinished" if unfinished else "not made yet",))
        reasons = self._changes(name, manifest, waits)
        return Decision(name, "run" if reasons else "done", tuple(reasons), tuple(self._notes(manifest)))

    def proved(self, name: str) -> Manifest | None:
        """The stage's manifest, its files proved; None if it is not complete. Raises IntegrityError."""
        if name not in self._proved:
            directory = self.graph.output_dir(name)
            self._proved[name] = verify(directory) if (directory / MANIFEST).exists() else None
        return self._proved[name]

    def forget(self, name: str) -> None:
        """Reads a stage that has just run anew."""
        self._proved.pop(name, None)
        self.forced.discard(name)

    def seconds(self, name: str) -> float | None:
        """How long the stage took last time in this run directory, or what the graph says."""
        return self.loads[name].seconds

    @cached_property
    def loads(self) -> dict[str, Load]:
        """What each stage takes: its own threads, and time and memory of the last time, or what the graph says."""
        rows = read_events(self.graph.run_dir)
        last = {row["stage"]: row for row in rows if row.get("event") == "finished"}
        found = {}
        for name, spec in self.graph.stages.items():
            threads, known = self.checked[name].request.get("num_threads"), last.get(name, {})
            memory, seconds = known.get("peak_rss_mb", spec.memory_mb), known.get("seconds", spec.seconds)
            found[name] = Load(threads, memory, seconds)
        return found

    def _refusals(self, name: str, parents: Iterable[str]) -> list[str]:
        """Why the stage can neither stand nor run: an edited output, or an input that this run will not make."""
        refusals = []
        for one in (name, *parents):
            try:
                if one not in self.forced and self.proved(one) is None and one != name:
                    refusals.append(f"needs '{one}', which is not complete and not among the stages to run")
            except IntegrityError as error:
                own = one == name or one not in self.selected
                refusals.append(str(error) if own else f"needs '{one}', which is refused")
        return refusals

    def _changes(self, name: str, manifest: Manifest, waits: Collection[str]) -> list[str]:
        checked = self.checked[name]
        recipe = self.graph.stages[name].recipe
        changes = [f"after {', '.join(waits)}"] if waits else []
        if manifest.recipe != f"{recipe.parent.name}/{recipe.name}":
            changes.append(f"recipe: {manifest.recipe} → {recipe.parent.name}/{recipe.name}")
        changes += _differences(manifest.request, checked.request)
        ready = {key: value for key, value in checked.inputs.items() if not self._awaited(name, key, waits)}
        try:
            records = input_records(ready, check=False)
        except StageError as error:
            return [*changes, str(error)]
        for key in {**manifest.inputs, **records}:
            if key in checked.inputs and key not in records:
                continue  # awaited
            if _fingerprints(manifest.inputs.get(key)) != _fingerprints(records.get(key)):
                changes.append(f"input {key} changed ({_short(checked.inputs.get(key))})")
        return changes

    def _awaited(self, name: str, key: str, waits: Collection[str]) -> bool:
        value = self.graph.stages[name].inputs.get(key, [])
        references = value if isinstance(value, list) else [value]
        return any(reference.split("/")[0] in waits for reference in references)

    def _notes(self, manifest: Manifest) -> list[str]:
        notes = []
        old, new = manifest.git.get("revision"), self._revision
        if old and new and old != new:
            notes.append(f"made at revision {old[:10]}, now {new[:10]}")
        for package in sorted(set(manifest.versions) & set(self._versions)):
            if manifest.versions[package] != self._versions[package]:
                notes.append(f"made with {package} {manifest.versions[package]}, now {self._versions[package]}")
        return notes

    @cached_property
    def _versions(self) -> dict[str, str]:
        return versions()

    @cached_property
    def _revision(self) -> str | None:
        recipe = next(iter(self.graph.stages.values())).recipe
        return git_state(recipe.parent)["revision"]


def read_events(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of the pipeline's event log; a row that a kill cut short is left out."""
    rows = []
    try:
        lines = read_bytes(run_dir / EVENTS).splitlines()
    except OSError:
        return []
    for line in lines:
        with contextlib.suppress(ValueError):
            rows.append(parse_json(line))
    return [row for row in rows if isinstance(row, dict)]


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: {_short(old.get(key, 'unset'))} → {_short(new.get(key, 'unset'))}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _fingerprints(records: Any) -> Any:
    """The fingerprints of one input field, whose paths may differ: a run directory can be moved."""
    if isinstance(records, list):
        return [record["fingerprint"] for record in records]
    return records and records["fingerprint"]


def _short(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
