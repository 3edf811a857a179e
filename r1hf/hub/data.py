"""The data of a run as configurations of one data set: cold start, the mix, preferences, held-out problems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.errors import StageError
from r1hf.hub.files import PROVENANCE, Upload, file
from r1hf.hub.lineage import Made, Parent
from r1hf.manifest import MANIFEST, sha256_file, verify

REASONS = ("truncated", "malformed", "wrong_answer", "unjudged", "mixed_language", "rambling", "code_block")


@dataclass
class DataConfig:
    """One configuration of a data set: its files by split, and what its card says.

    made: the stage whose manifest vouches for the rows. generators: the models that wrote them, by input field.
    rejected: how many samples each filter dropped; sampled: how many there were, None where nothing was sampled.
    """

    name: str
    about: str
    made: Made
    splits: dict[str, Path]
    generators: list[Parent] = field(default_factory=list)
    prompts: Parent | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    sampled: int | None = None
    kept: int | None = None
    other_rows: int = 0

    @property
    def pass_rate(self) -> float | None:
        """The share of samples that passed all filters but the one for duplicates."""
        if not self.sampled:
            return None
        return 1 - sum(count for reason, count in self.rejected.items() if reason != "duplicate") / self.sampled

    @property
    def rows(self) -> dict[str, int]:
        return {split: sum(1 for _ in read(path)) for split, path in self.splits.items()}

    def overlap(self, held_out: set[str]) -> int:
        """How many rows have a question that is among the held-out ones."""
        rows = (row for path in self.splits.values() for row in read(path))
        return sum(normal(row.get("question", "")) in held_out for row in rows)

    def uploads(self) -> list[Upload]:
        """`<config>/<split>.jsonl` and the manifest."""
        found = [Upload(f"{self.name}/{split}.jsonl", path, sha256_file(path)) for split, path in self.splits.items()]
        return [*found, file(f"{PROVENANCE}/{self.name}.{MANIFEST}", self.made.directory / MANIFEST)]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file, one at a time."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def normal(question: str) -> str:
    """A question for comparison: case and spaces do not matter."""
    return " ".join(question.lower().split())


def data_configs(made: Made) -> list[DataConfig]:
    """What a stage has to publish as data; empty for other stages. Its files are proved (IntegrityError)."""
    recipe = Path(made.manifest.recipe).stem
    build = {"cold_start": _cold_start, "rejection_sampling": _mix, "reward_models": _preferences}.get(recipe)
    if build is None:
        return []
    verify(made.directory)
    return build(made)


def held_out(evaluation: Made) -> list[DataConfig]:
    """The held-out problems of an evaluation, where they lie here; empty where they come from the Hub."""
    found = []
    about = {
        "prompts": ("reasoning", "Held-out problems. No model of the run was trained on them."),
        "general_prompts": ("general", "Held-out general prompts with rules to judge the answers by."),
    }
    for parent in evaluation.parents:
        if parent.field in about and parent.repo is None:
            name, text = about[parent.field]
            place = locate(evaluation, parent)
            found.append(DataConfig(name, text, evaluation, {"test": place}))
    return found


def locate(made: Made, parent: Parent) -> Path:
    """The file behind an input of a stage, which must still be the one that the stage read."""
    origin = made.find(parent)
    path = origin.directory / origin.inside if origin is not None else Path(parent.path)
    if not path.is_file():
        raise StageError(f"{made.name} read {parent.path}, which is no file here any more; restore it, then push")
    if origin is None and sha256_file(path) != parent.fingerprint:
        raise StageError(f"{path} was changed after {made.name} read it; restore it, or make {made.name} again")
    return path


def _by_field(made: Made) -> dict[str, Parent]:
    return {parent.field: parent for parent in made.parents}


def _sampling(made: Made) -> dict[str, Any]:
    keys = ("samples", "temperature", "top_p", "max_new_tokens", "min_language_share", "max_tokens", "seed")
    values = {key: made.manifest.config.get(key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _cold_start(made: Made) -> list[DataConfig]:
    inputs, metrics = _by_field(made), made.manifest.metrics
    rejected: dict[str, int] = {}
    for counts in metrics["rejected"].values():
        for reason, count in counts.items():
            rejected[reason] = rejected.get(reason, 0) + count
    return [
        DataConfig(
            "cold_start",
            "Readable solutions with a summary, which the first supervised fine-tuning learns from "
            f"({', '.join(f'{count} by {name}' for name, count in metrics['by_method'].items())}).",
            made,
            {"train": made.directory / "data.jsonl"},
            [inputs[name] for name in ("model", "zero") if name in inputs],
            inputs["prompts"],
            _sampling(made),
            rejected,
            metrics["kept"] + sum(rejected.values()),
            metrics["kept"],
        )
    ]


def _mix(made: Made) -> list[DataConfig]:
    inputs, metrics = _by_field(made), made.manifest.metrics
    return [
        DataConfig(
            "mix",
            "Rejection-sampled reasoning mixed with general rows: what the second supervised fine-tuning and the "
            "students learn from.",
            made,
            {"train": made.directory / "data.jsonl"},
            [inputs["model"]],
            inputs["prompts"],
            _sampling(made),
            dict(metrics["rejected"]),
            metrics["sampled"],
            metrics["kept"],
            metrics.get("general", 0),
        )
    ]


def _preferences(made: Made) -> list[DataConfig]:
    inputs = _by_field(made)
    about = {
        "helpful": "Pairs of responses, the better one as `chosen`: the helpfulness model learns from them.",
        "harmless": "Responses marked safe or not: the harmlessness model learns from them.",
    }
    return [
        DataConfig(
            name,
            text,
            made,
            {"train": locate(made, inputs[name]), "test": locate(made, inputs[f"{name}_test"])},
        )
        for name, text in about.items()
        if name in inputs and inputs[name].repo is None
    ]
