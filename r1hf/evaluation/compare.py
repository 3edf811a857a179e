"""Two results of the same questions and settings, question by question."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from r1hf.core.errors import ConfigError, StageError
from r1hf.core.files import read_object
from r1hf.core.yamlfile import nearest
from r1hf.evaluation.judged import Judged, Reading
from r1hf.evaluation.pairs import preferences, win_shares
from r1hf.evaluation.run import FORMAT, RESULTS
from r1hf.evaluation.samples import SAMPLES, chosen, groups_of, read_table
from r1hf.evaluation.statistics import Difference, Needed, needed, paired
from r1hf.stage.directory import sibling
from r1hf.stage.manifest import read_manifest, verify

# What a number depends on so much that two of them with another value are not about the same thing.
BINDING = ("questions", "temperature", "top_p", "max_new_tokens", "instruction", "reading", "force_think")
JUDGES = {"prompts": "judge", "general_prompts": "general_judge"}  # of a part: the model that judged it, if one did
NAMED = ("k", "general_k", "seed", "sampler", "engine", "judges", "batch_size")  # what is said, and is no obstacle


@dataclass(frozen=True)
class Metric:
    """part: whose questions. task: of which rows, None for all. value: of a sample, None where it does not count; of
    pairs there is no such function, as their values are kept beside the samples."""

    part: str
    value: Callable[[Judged], float | None] | None
    task: str | None = None


def _verdict(item: Judged) -> float | None:
    return None if item.correct is None else float(item.correct)


METRICS = {
    "pass_at_1": Metric("prompts", _verdict),
    "format_rate": Metric("prompts", lambda item: float(item.well_formed)),
    "language_consistency": Metric("prompts", lambda item: item.language_share),
    "truncation_rate": Metric("prompts", lambda item: float(item.completion.truncated)),
    "helpful_rate": Metric("general_prompts", _verdict, "helpful"),
    "harmless_rate": Metric("general_prompts", _verdict, "harmless"),
    "win_rate": Metric("prompts", None),
}


@dataclass(frozen=True)
class Result:
    """One model's result in a finished evaluation."""

    place: Path
    model: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    samples: pa.Table = field(repr=False)

    @property
    def label(self) -> str:
        return f"{self.place}:{self.model}"

    def shares(self, metric: Metric) -> dict[int, tuple[float, int]]:
        """Question -> (mean over its samples, how many counted)."""
        if metric.value is None:
            return win_shares(preferences(self.place, self.model, metric.part))
        table = chosen(self.samples, self.model, metric.part)
        rows, groups = groups_of(table)
        numbers = sorted(set(table["question"].to_pylist()))
        found = {}
        for number, row, group in zip(numbers, rows, groups, strict=True):
            values = [value for item in group if (value := metric.value(item)) is not None]
            if values and metric.task in (None, row["task"]):
                found[number] = sum(values) / len(values), len(values)
        return found


def load_results(places: Sequence[str]) -> list[Result]:
    """`DIR:MODEL`, `DIR` where it holds one model, or `:MODEL` of the directory before; several directories' models.

    Raises StageError for a half-finished or an old evaluation, ConfigError for a model that is not in it.
    """
    results, last = [], ""
    for text in places:
        whole = Path(text).is_dir() or ":" not in text
        directory, _, model = (text, "", "") if whole else text.rpartition(":")
        last = directory or last
        if not last:
            raise ConfigError(f"{text}: no directory stands before it; write DIR:MODEL")
        results.append(load_result(Path(last), model or None))
    return results


def load_result(place: Path, model: str | None = None) -> Result:
    content = read_results(place)
    models = content["models"]
    if model is None and len(models) > 1:
        raise ConfigError(f"{place} holds several models: name one, {place}:{next(iter(models))}; {', '.join(models)}")
    name = model or next(iter(models))
    if name not in models:
        raise ConfigError(f"{place} holds no model '{name}'; {nearest(name, list(models))}")
    return Result(place, name, content["settings"], models[name], read_table(place / SAMPLES))


def read_results(place: Path) -> dict[str, Any]:
    """results.json of a finished evaluation whose files are proved. Raises StageError or IntegrityError."""
    if read_manifest(place) is None:
        if sibling(place, "partial").exists():
            raise StageError(
                f"{place} is half finished and is not compared; repeat the command that made it: it goes on with the "
                "samples that it has"
            )
        raise StageError(f"{place} holds no finished evaluation; recipes/evaluate.py or r1hf evaluate makes one")
    manifest = verify(place)
    if RESULTS not in manifest.outputs:
        raise StageError(f"{place} is not an evaluation: it holds no {RESULTS}; {manifest.recipe} made it")
    content = read_object(place / RESULTS)
    if content.get("format", 1) != FORMAT or SAMPLES not in manifest.outputs:
        raise StageError(
            f"{place} is of an earlier version, which kept no samples: its numbers can be read in {RESULTS}, but "
            "nothing can be compared question by question; evaluate again"
        )
    models = content.get("models")
    tables = [content.get("settings"), models, *(models.values() if isinstance(models, dict) else ())]
    sound = models and all(isinstance(table, dict) for table in tables)
    if not sound or content["settings"].get("reading") not in get_args(Reading):
        raise StageError(f"{place / RESULTS} is no result of an evaluation; evaluate again")
    return content


def differing(first: Result, second: Result, keys: Sequence[str]) -> list[str]:
    """`temperature 0.6 and 1.0`, for each setting that the results do not share."""
    pairs = [(key, first.settings.get(key), second.settings.get(key)) for key in keys]
    return [f"{key} {_shown(one)} and {_shown(two)}" for key, one, two in pairs if one != two]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


@dataclass(frozen=True)
class Comparison:
    """Second minus first. unpaired: questions that only one of them has a verdict on, which are left out."""

    metric: str
    first: Result
    second: Result
    found: Difference
    unpaired: int
    notes: list[str]
    needed: Needed | None

    @property
    def verdict(self) -> str:
        if not self.found.shown:
            return "no difference shown"
        return f"{self.second.model} is {'higher' if self.found.difference > 0 else 'lower'}"


def compare(first: Result, second: Result, metric: str = "pass_at_1", difference: float | None = None) -> Comparison:
    """The two on the questions that both have. difference: also say what would be needed to see so much.

    Raises ConfigError for other settings, StageError where they share no question with a verdict.
    """
    apart = differing(first, second, (*BINDING, JUDGES[METRICS[metric].part]))
    if apart:
        raise ConfigError(
            [
                f"{first.label} and {second.label} are of different settings and are not compared: {item}"
                for item in apart
            ]
        )
    one, two = first.shares(METRICS[metric]), second.shares(METRICS[metric])
    common = sorted(set(one) & set(two))
    if not common:
        raise StageError(f"{first.label} and {second.label} share no question with {metric}")
    before, after = [one[number][0] for number in common], [two[number][0] for number in common]
    k = min(round(sum(found[number][1] for number in common) / len(common)) for found in (one, two))
    want = None
    if difference is not None and len(common) > 1:
        want = needed(before, after, k, difference)
    unpaired = len(set(one) ^ set(two))
    return Comparison(metric, first, second, paired(before, after), unpaired, differing(first, second, NAMED), want)
