"""The parts of the page that need more than a lookup: samples side by side, data stages, provenance."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from r1hf.explain.report.load import RunData
from r1hf.explain.report.stages import DATA_STAGES, StageInfo, info
from r1hf.explain.report.text import cut, duration, number, percent, plain, visible, words
from r1hf.text.grammar import parse

MAX_QUESTIONS = 8
MAX_SHOWN, MAX_RAW = 300, 2000
RATES = ("rate", "accuracy", "share", "ratio", "consistency", "pass_at")


@dataclass
class Answer:
    """One model's completion of one question, split for reading."""

    raw: str
    raw_cut: int
    reasoning: str = ""
    reasoning_cut: int = 0
    answer: str = ""
    answer_cut: int = 0
    correct: bool | None = None
    well_formed: bool | None = None
    language_share: float | None = None


@dataclass
class Question:
    """A question that every model was asked, and their answers."""

    text: str
    gold: str | None
    language: str
    answers: dict[str, Answer] = field(default_factory=dict)


def questions(run: RunData) -> tuple[list[Question], int]:
    """The questions in file order, at most MAX_QUESTIONS, and how many were left out."""
    found: dict[str, Question] = {}
    for row in run.samples:
        text, model = visible(row.get("question", "")), str(row.get("model", ""))
        gold, language = row.get("answer"), row.get("language")
        gold = None if gold is None else visible(gold)
        question = found.setdefault(text, Question(text, gold, str(language or "")))
        question.answers.setdefault(model, split(row))
    kept = list(found.values())[:MAX_QUESTIONS]
    return kept, len(found) - len(kept)


def split(row: dict[str, Any]) -> Answer:
    """A row of samples.jsonl, its completion split into thinking and answer by the grammar."""
    completion = row.get("completion")
    completion = completion if isinstance(completion, str) else ""
    correct, well_formed = row.get("correct"), row.get("well_formed")
    shown = Answer(
        *cut(visible(completion), MAX_RAW),
        correct=correct if isinstance(correct, bool) else None,
        well_formed=well_formed if isinstance(well_formed, bool) else None,
        language_share=number(row.get("language_share")),
    )
    response = parse(completion)
    shown.reasoning, shown.reasoning_cut = cut(visible(response.reasoning or "").strip(), MAX_SHOWN)
    shown.answer, shown.answer_cut = cut(visible(response.answer or "").strip(), MAX_SHOWN)
    return shown


@dataclass
class Bars:
    """Numbers of one group: (label, text, share of the bar or None)."""

    title: str
    rows: list[tuple[str, str, float | None]]


@dataclass
class DataStage:
    """What a data stage reports about itself."""

    stage: str
    info: StageInfo
    seconds: str
    facts: list[tuple[str, str]]
    groups: list[Bars]


def data_stages(run: RunData, drawn: Collection[str] = ()) -> list[DataStage]:
    """The data stages that have finished, without the evaluation: that has a table of its own.

    What stands elsewhere on the page is left out: how the judge errs, and the reasons of the stages whose funnel is
    `drawn`.
    """
    found = []
    for stage in run.graph:
        manifest = run.manifests.get(stage)
        if manifest is None or stage not in DATA_STAGES or stage == "evaluate":
            continue
        metrics = manifest.get("metrics")
        apart = {"judge", "rejected"} if stage in drawn else {"judge"}
        own = {key: value for key, value in metrics.items() if key not in apart} if isinstance(metrics, dict) else {}
        facts, groups = metric_groups(own)
        found.append(DataStage(stage, info(stage), duration(manifest.get("seconds")), facts, groups))
    return found


def metric_groups(metrics: dict[str, Any], title: str = "") -> tuple[list[tuple[str, str]], list[Bars]]:
    """Single numbers as facts, each dict of numbers as a bar list; deeper dicts carry their path as title."""
    facts: list[tuple[str, str]] = []
    groups: list[Bars] = []
    for key, value in metrics.items():
        name = visible(words(str(key)))
        if not isinstance(value, dict):
            facts.append((name, metric_text(str(key), value)))
            continue
        path = f"{title}: {name}" if title else name
        numbers = {str(label): item for label, item in value.items() if number(item) is not None}
        if numbers:
            groups.append(_bars(path, numbers))
        rest = {label: item for label, item in value.items() if str(label) not in numbers}
        inner_facts, inner_groups = metric_groups(rest, path)
        facts += [(f"{path}: {label}", text) for label, text in inner_facts]
        groups += inner_groups
    return facts, groups


def _bars(title: str, numbers: dict[str, Any]) -> Bars:
    rate = {label: is_rate(label, item) or is_rate(title, item) for label, item in numbers.items()}
    mixed = len(set(rate.values())) > 1
    largest = max(abs(float(item)) for item in numbers.values()) or 1.0
    rows: list[tuple[str, str, float | None]] = []
    for label, item in numbers.items():
        share = float(item) if rate[label] else None if mixed else abs(float(item)) / largest
        rows.append((visible(words(label)), percent(item) if rate[label] else plain(item), share))
    return Bars(title, rows)


def is_rate(name: str, value: Any) -> bool:
    """Whether a number is a share of one, by its name and its range."""
    amount = number(value)
    return amount is not None and 0 <= amount <= 1 and any(part in name.replace(" ", "_").lower() for part in RATES)


def metric_text(name: str, value: Any) -> str:
    """One metric in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_rate(name, value):
        return percent(value)
    if isinstance(value, list):
        return visible(", ".join(metric_text(name, item) for item in value[:12]) + (", …" if len(value) > 12 else ""))
    return cut(visible(plain(value)), 200)[0]


def headline(run: RunData, stage: str) -> str:
    """The one number of a stage that stands in its box of the graph."""
    if stage in run.models:
        share = number(run.models[stage].get("pass_at_1"))
        return "" if share is None else f"{percent(share)} right"
    if stage not in run.manifests:
        return "not finished"
    metrics = run.manifests[stage].get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    accuracies = [text for key, text in _flat(metrics) if "accuracy" in key][:2]
    if accuracies:
        return " · ".join(accuracies)
    for key in ("kept", "rows", "examples", "total"):
        if number(metrics.get(key)) is not None:
            return f"{plain(metrics[key])} {'rows' if key == 'total' else key}"
    return ""


def _flat(metrics: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in metrics.items():
        name = f"{path}/{key}"
        if isinstance(value, dict):
            found += _flat(value, name)
        elif is_rate(name, value):
            found.append((name, percent(value, 0)))
    return found


def commands(run: RunData) -> tuple[str | None, list[tuple[str, str]]]:
    """The command of the whole pipeline, where it can be told, and each stage's own command."""
    stages, whole = [], None
    for stage, manifest in run.manifests.items():
        command = manifest.get("command")
        if not isinstance(command, list) or not command:
            continue
        parts = [visible(part) for part in command]
        stages.append((stage, shlex.join(parts)))
        if whole is None and "--config" in parts[:-1]:
            folder = PurePosixPath(parts[parts.index("--config") + 1]).parent
            seed = manifest.get("seed")
            whole = f"python recipes/pipeline.py --config {shlex.quote(str(folder / 'pipeline.yaml'))}"
            whole += f" --seed {seed}" if isinstance(seed, int) else ""
    return whole, stages


def provenance(run: RunData) -> list[tuple[str, str]]:
    """Revision, time and versions as the manifests have them; several values if the stages differ."""
    revisions: dict[str, None] = {}
    versions: dict[str, dict[str, None]] = {}
    created = []
    for manifest in run.manifests.values():
        git, packages = manifest.get("git"), manifest.get("versions")
        if isinstance(git, dict) and git.get("revision"):
            revisions[str(git["revision"])[:12] + (" with local changes" if git.get("dirty") else "")] = None
        for name, version in packages.items() if isinstance(packages, dict) else ():
            versions.setdefault(str(name), {})[str(version)] = None
        if isinstance(manifest.get("created"), str):
            created.append(manifest["created"])
    facts = [("git revision", ", ".join(revisions) or "unknown")]
    if created:
        facts.append(("last stage written", max(created)))
    text = ", ".join(f"{name} {' / '.join(found)}" for name, found in versions.items())
    return [*facts, ("versions", text or "unknown")]


def short_path(path: Path) -> str:
    """The last two parts of a path: enough to find the files, nothing about the machine."""
    return "/".join(Path(path).resolve().parts[-2:])
