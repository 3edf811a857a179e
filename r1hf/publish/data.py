"""The data of a run as configurations of one data set: cold start, the mix, preferences, held-out problems."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import StageError
from r1hf.core.source import with_paths
from r1hf.data.audit import FILE
from r1hf.data.cleaning import LEAK, NEAR
from r1hf.data.rows import Row, load_rows
from r1hf.explain.funnel import funnel
from r1hf.publish.files import PROVENANCE, Upload, file
from r1hf.publish.lineage import Made, Parent
from r1hf.stage.manifest import MANIFEST, fingerprint_path, sha256_file, verify

_GOOD = ("duplicate", "not_chosen", NEAR, LEAK)  # samples that passed every filter
HELD_OUT = {"reasoning": "prompts", "general": "general_prompts"}  # configuration -> the evaluation's field


@dataclass
class DataConfig:
    """One configuration of a data set: its rows by split, and what its card says.

    splits: a file of JSON lines, or its content where the rows were selected from other files or mixed. made: the
    stage whose manifest vouches for the rows. generators: the models that wrote them, by input field.
    rejected: how many samples each filter dropped; sampled: how many there were, None where nothing was sampled.
    funnel: how many samples reached each step, from the stage's audit; empty where there is none.
    """

    name: str
    about: str
    made: Made
    splits: dict[str, Path | bytes]
    generators: list[Parent] = field(default_factory=list)
    prompts: list[Parent] = field(default_factory=list)
    sampling: dict[str, Any] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    sampled: int | None = None
    kept: int | None = None
    other_rows: int = 0
    funnel: dict[str, int] = field(default_factory=dict)

    @property
    def pass_rate(self) -> float | None:
        """The share of samples that passed all filters but the one for duplicates."""
        if not self.sampled:
            return None
        return 1 - sum(count for reason, count in self.rejected.items() if reason not in _GOOD) / self.sampled

    @property
    def rows(self) -> dict[str, int]:
        return {split: sum(1 for _ in read(path)) for split, path in self.splits.items()}

    def overlap(self, held_out: set[str]) -> int:
        """How many rows have a question that is among the held-out ones."""
        rows = (row for path in self.splits.values() for row in read(path))
        return sum(normal(row.get("question", "")) in held_out for row in rows)

    def uploads(self) -> list[Upload]:
        """`<config>/<split>.jsonl` and the manifest."""
        found = [Upload(f"{self.name}/{split}.jsonl", rows, _sha256(rows)) for split, rows in self.splits.items()]
        return [*found, file(f"{PROVENANCE}/{self.name}.{MANIFEST}", self.made.directory / MANIFEST)]


def read(source: Path | bytes) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file, or of its content, one at a time."""
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
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
        "reasoning": "Held-out problems. No model of the run was trained on them.",
        "general": "Held-out general prompts with rules to judge the answers by.",
    }
    for name, text in about.items():
        rows = rows_of(evaluation, HELD_OUT[name])
        if rows is not None:
            found.append(DataConfig(name, text, evaluation, {"test": rows}))
    return found


def rows_of(made: Made, name: str) -> Path | bytes | None:
    """The rows that a stage took of a data field: the file it names, or what it selected and mixed, as JSON lines.

    None where the field is empty or a part of it comes from the Hub: that is not to be published again.
    """
    parents = _by_field(made).get(name, [])
    if not parents or any(parent.repo is not None for parent in parents):
        return None
    places = [locate(made, parent) for parent in parents]
    value, config = made.manifest.config.get(name), made.manifest.config
    if len(places) == 1 and places[0].suffix == ".jsonl" and not isinstance(value, dict | list):
        return places[0]
    following = iter(places)
    here = with_paths(value, lambda path: str(next(following)))
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(here, config))
    return "".join(lines).encode()


def _rows(source: Any, config: Mapping[str, Any]) -> list[Row]:
    return load_rows(source, seed=config.get("seed", 42), max_bad=config.get("max_bad_rows", 1.0))


def locate(made: Made, parent: Parent) -> Path:
    """The file or directory behind an input of a stage, which must still be the one that the stage read."""
    origin = made.find(parent)
    path = origin.directory / origin.inside if origin is not None else Path(parent.path)
    if not path.exists():
        raise StageError(f"{made.name} read {parent.path}, which is not here any more; restore it, then push")
    if origin is None and fingerprint_path(path) != parent.fingerprint:
        raise StageError(f"{path} was changed after {made.name} read it; restore it, or make {made.name} again")
    return path


def _sha256(rows: Path | bytes) -> str:
    return hashlib.sha256(rows).hexdigest() if isinstance(rows, bytes) else sha256_file(rows)


def _by_field(made: Made) -> dict[str, list[Parent]]:
    """{field: its inputs}; a mixture has several."""
    found: dict[str, list[Parent]] = {}
    for parent in made.parents:
        found.setdefault(parent.field, []).append(parent)
    return found


def _sampling(made: Made) -> dict[str, Any]:
    keys = ("samples", "temperature", "top_p", "max_new_tokens", "min_language_share", "max_tokens", "seed")
    values = {key: made.manifest.config.get(key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _funnel(made: Made) -> dict[str, int]:
    if FILE not in made.manifest.outputs:
        return {}
    (told,) = funnel(made.directory).values()
    return dict(told["steps"])


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
            [parent for name in ("model", "zero") for parent in inputs.get(name, [])],
            inputs["prompts"],
            _sampling(made),
            rejected,
            metrics["kept"] + sum(rejected.values()),
            metrics["kept"],
            funnel=_funnel(made),
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
            inputs["model"],
            inputs["prompts"],
            _sampling(made),
            dict(metrics["rejected"]),
            metrics["sampled"],
            metrics["kept"],
            metrics.get("general", 0),
            _funnel(made),
        )
    ]


def _preferences(made: Made) -> list[DataConfig]:
    about = {
        "helpful": "Pairs of responses, the better one in the column chosen: the helpfulness model learns from them.",
        "harmless": "Responses marked safe or not: the harmlessness model learns from them.",
    }
    found = []
    for name, text in about.items():
        train, test = rows_of(made, name), rows_of(made, f"{name}_test")
        if train is not None and test is not None:
            found.append(DataConfig(name, text, made, {"train": train, "test": test}))
    return found
