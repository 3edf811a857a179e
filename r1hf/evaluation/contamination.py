"""Contamination: which of a benchmark's questions stand in the data that the evaluated models were trained on.

That data is what `training_data` names, and what the manifests of the models, of the models that they came from and
of the stages that made their data say was read. What cannot be read any more is named, and not passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r1hf.core.errors import ConfigError, DataError, IntegrityError, StageError
from r1hf.core.source import Source, paths_of
from r1hf.data.overlap import N, Overlap, Questions, texts_of, words
from r1hf.data.rows import Row, load_rows
from r1hf.evaluation.ancestors import ancestors, inputs_of
from r1hf.evaluation.config import EvaluateConfig, sources
from r1hf.stage.hub_refs import repo_type_of
from r1hf.stage.manifest import find_stage, fingerprint_path
from r1hf.stage.stage import Stage

EXAMPLES = 5
_NOT_LEARNED = (
    "held_out",
    "rewards",
    "decontaminate",
    "judge_labelled",
)  # inputs of a training stage that its model does not learn from


class Data(NamedTuple):
    """A data field of a stage that trained a model, or of this evaluation. fingerprints: of its paths, where known."""

    label: str
    source: Source
    seed: int
    fingerprints: dict[str, str]


def looked_for(stage: Stage, config: EvaluateConfig, questions: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """`contamination` of an evaluation's questions, said on the terminal too."""
    data, unknown = learned_from(model for model, _ in sources(config))
    if config.training_data is not None:
        data.append(Data("training_data", config.training_data, config.seed, {}))
    found = contamination(questions, data, unknown)
    for line in sentences(found, questions):
        stage.say(line)
    return found


def learned_from(models: Iterable[str]) -> tuple[list[Data], list[str]]:
    """The data behind models that stages made, and the models of which nothing is known."""
    found: dict[str, Data] = {}
    stages, unknown = ancestors(models)
    for manifest in stages:
        for key, records in inputs_of(manifest).items():
            if repo_type_of(key) == "model" or key in _NOT_LEARNED or key.endswith("_test"):
                continue
            fingerprints = {record["path"]: record["fingerprint"] for record in records}
            source = manifest.config.get(key) or list(fingerprints)
            found.setdefault(repr((source, fingerprints)), Data(key, source, manifest.seed, fingerprints))
    return list(found.values()), unknown


def _rows_of(data: Data) -> list[Row]:
    """Raises DataError where they cannot be read, or are not those of the training."""
    for path, wanted in data.fingerprints.items():
        place = Path(path)
        if place.exists() and find_stage(place) is None and fingerprint_path(place) != wanted:
            raise DataError("changed since the training")
    return load_rows(data.source, seed=data.seed, max_bad=1.0)


def contamination(
    questions: Mapping[str, Sequence[Row]], data: Sequence[Data], unknown: Sequence[str]
) -> dict[str, Any]:
    """What results.json says of it: for each field of questions their number, how many share ten words running with
    the training data, how many stand there whole, and examples; the data, and what could not be read."""
    asked = {key: Questions([row["question"] for row in rows]) for key, rows in questions.items()}
    found = {key: Overlap() for key in questions}
    read, unread = [], [f"what {model} learned from is not known" for model in unknown]
    for one in data:
        label = ", ".join(paths_of(one.source))
        try:
            rows = _rows_of(one)
        except (DataError, ConfigError, StageError, IntegrityError, OSError) as error:
            unread.append(f"{label}: {str(error)[:300]}")
            continue
        read.append({"data": label, "rows": len(rows)})
        for number, row in enumerate(rows, 1):
            for text in texts_of(row):
                marked = words(text)
                for key, those in asked.items():
                    those.look(marked, label, number, found[key])
    parts = {key: _told(rows, found[key]) for key, rows in questions.items()}
    return {"words": N, **parts, "read": read, "unread": unread}


def _told(rows: Sequence[Row], overlap: Overlap) -> dict[str, Any]:
    order = sorted(overlap.places, key=lambda number: (number not in overlap.whole, number))
    examples = [
        {"question": rows[number]["question"][:300], **overlap.places[number]._asdict()} for number in order[:EXAMPLES]
    ]
    count = len(order)
    return {
        "questions": len(rows),
        "overlapping": count,
        "share": count / len(rows) if rows else 0.0,
        "whole": len(overlap.whole),
        "examples": examples,
    }


def sentences(found: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """For the terminal: a line for each field of questions, and one where something could not be read."""
    lines = []
    for key in keys:
        part = found[key]
        lines.append(
            f"{key}: {part['overlapping']} of {part['questions']} questions ({100 * part['share']:.1f}%) share "
            f"{found['words']} words running with the training data, {part['whole']} stand there whole"
        )
    if not found["read"]:
        lines = ["contamination is not known: no training data could be read"]
    return lines + [f"not looked at: {text}" for text in found["unread"]]
