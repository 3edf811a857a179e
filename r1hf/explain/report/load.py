"""Read a run directory as it is: what is missing or damaged becomes a note, not a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import DataError, IntegrityError
from r1hf.core.files import parse_json, read_bytes, reason_of
from r1hf.stage.contents import DEEPEST, depth
from r1hf.stage.manifest import verify

Row = dict[str, Any]
_LARGEST = 1 << 30  # bytes of a log: a million steps


@dataclass
class RunData:
    """Everything that the report reads. `notes` says what was missing or skipped."""

    run_dir: Path
    graph: dict[str, list[str]]
    manifests: dict[str, Row] = field(default_factory=dict)
    logs: dict[str, list[Row]] = field(default_factory=dict)
    settings: Row = field(default_factory=dict)
    models: dict[str, Row] = field(default_factory=dict)
    samples: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tiny(self) -> bool:
        """Whether this is the tiny world, which pretrains its base; others bring theirs."""
        recipe = self.manifests.get("base", {}).get("recipe", "recipes/base.py")
        return "base" in self.graph and Path(str(recipe)).stem == "base"

    @property
    def missing(self) -> list[str]:
        """Stages of the graph that have no readable manifest."""
        return [stage for stage in self.graph if stage not in self.manifests]


def load_run(run_dir: Path, graph: Mapping[str, Sequence[str]]) -> RunData:
    """Read manifests, logs and evaluation of `run_dir`.

    Raises DataError if `run_dir` is no directory.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise DataError(f"no run directory at {run_dir}: run the pipeline first, or give the directory it wrote")
    run = RunData(run_dir, {stage: list(upstream) for stage, upstream in graph.items()})
    for stage in run.graph:
        manifest = _read_object(run_dir / stage / "manifest.json", run.notes)
        if manifest is not None:
            run.manifests[stage] = manifest
            _note_changes(run_dir / stage, run.notes)
        rows = _read_rows(stage_place(run_dir, stage) / "log.jsonl", run.notes)
        # A stage that trains several models marks the rows of all but its main one.
        for name in dict.fromkeys(row.get("run") for row in rows):
            own = [row for row in rows if row.get("run") == name]
            run.logs[stage if name is None else f"{stage}: {name}"] = _by_step(own)
    if run.missing:
        run.notes.insert(0, f"Not finished, so without a manifest: {', '.join(run.missing)}.")
    _load_evaluation(run)
    return run


def stage_place(run_dir: Path, stage: str) -> Path:
    """A stage's directory, or, while it is not finished, the one that it writes in."""
    finished = run_dir / stage
    partial = run_dir / f"{stage}.partial"
    return partial if partial.is_dir() and not (finished / "manifest.json").exists() else finished


def _load_evaluation(run: RunData) -> None:
    folder = run.run_dir / "evaluate"
    results = _read_object(folder / "results.json", run.notes)
    if results is None:
        run.notes.append("No evaluation (evaluate/results.json), so no model has scores.")
    else:
        settings, models = results.get("settings"), results.get("models")
        run.settings = settings if isinstance(settings, dict) else {}
        if isinstance(models, dict):
            run.models = {str(name): row for name, row in models.items() if isinstance(row, dict)}
        if not run.models:
            run.notes.append("evaluate/results.json holds no model.")
    run.samples = _read_rows(folder / "samples.jsonl", run.notes)
    if not run.samples:
        run.notes.append("No sample answers (evaluate/samples.jsonl).")


def _note_changes(directory: Path, notes: list[str]) -> None:
    """Says where a stage is not what its manifest lists; of the evaluation, whose numbers are shown, every byte."""
    try:
        verify(directory, contents=directory.name == "evaluate")
    except IntegrityError as error:
        text = str(error).replace(f"{directory.parent}/", "")  # a page that is shown says nothing of this machine
        notes.append(f"{directory.name} is not what its stage made: {text}.")


def _text(path: Path, notes: list[str]) -> str | None:
    """The content of a file; None, with a note, where it is no file or cannot be read."""
    name = f"{path.parent.name}/{path.name}"
    try:
        return read_bytes(path, _LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.append(f"{name} could not be read: {reason_of(error)}.")
        return None


def _parsed(text: str) -> Any:
    """The JSON value. Raises ValueError, also where it is nested deeper than anything that r1hf writes."""
    value = parse_json(text)
    if value is None or depth(value) > DEEPEST:
        raise ValueError("it is null or nested too deep")
    return value


def _read_object(path: Path, notes: list[str]) -> Row | None:
    name = f"{path.parent.name}/{path.name}"
    text = _text(path, notes)
    if text is None:
        return None
    try:
        value = _parsed(text)
    except ValueError as error:
        notes.append(f"{name} could not be read: {error}.")
        return None
    if not isinstance(value, dict):
        notes.append(f"{name} is not a JSON object and was skipped.")
        return None
    return value


def _read_rows(path: Path, notes: list[str]) -> list[Row]:
    name = f"{path.parent.name}/{path.name}"
    text = _text(path, notes) or ""
    rows: list[Row] = []
    skipped = 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            row = _parsed(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            skipped += 1
    if skipped:
        unit = "line" if skipped == 1 else "lines"
        notes.append(f"{name}: {skipped} unreadable {unit} skipped (a killed process can cut a line).")
    return rows


def _by_step(rows: list[Row]) -> list[Row]:
    """A stage that went on from a checkpoint logs some steps again; the later line counts."""
    merged: dict[Any, Row] = {}
    for index, row in enumerate(rows):
        step = row.get("step")
        key = step if isinstance(step, int | float) else ("line", index)
        merged[key] = {**merged.get(key, {}), **row}
    return list(merged.values())
