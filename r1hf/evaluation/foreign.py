"""The same checkpoint in another harness: a log of inspect-ai beside a result of r1hf, question by question.

Two things can differ: what was sampled, and how it was judged. So the other harness's samples are judged here as well:
a verdict that is another one on the same text is the harness's, and the rest is the sampling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import read_object
from r1hf.data.rows import Row
from r1hf.evaluation.compare import METRICS, Result
from r1hf.evaluation.judged import Judged, judge_all
from r1hf.evaluation.samples import chosen, groups_of
from r1hf.evaluation.statistics import Difference, Interval, interval, paired
from r1hf.models.sampling import Completion

_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # inspect-ai's: correct, partial, incorrect, no answer
_SETTINGS = {"temperature": "temperature", "top_p": "top_p", "max_new_tokens": "max_tokens"}


@dataclass(frozen=True)
class Sample:
    """One sample of the other harness. asked: the text of the last user's turn. score: from 0 to 1."""

    asked: str
    completion: Completion
    score: float
    answer: str | None


@dataclass(frozen=True)
class Log:
    """What a log says. scorer: whose scores were taken."""

    path: Path
    model: str
    scorer: str
    settings: dict[str, Any]
    samples: list[Sample]


def read_log(path: Path) -> Log:
    """A log of inspect-ai in JSON. Raises ConfigError or DataError for what is none, or did not finish."""
    try:
        content = read_object(path)
    except (UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(
            f"{path} is no log in JSON; inspect log convert --to json makes one of an .eval file"
        ) from error
    samples = content.get("samples")
    if content.get("status") != "success" or not isinstance(samples, list) or not samples:
        raise DataError(f"{path} is no finished log of inspect-ai with its samples (status {content.get('status')!r})")
    try:
        scorer = next(iter(samples[0]["scores"]))
        settings = content.get("plan", {}).get("config") or {}
        return Log(path, content["eval"]["model"], scorer, settings, [_sample(one, scorer) for one in samples])
    except (KeyError, TypeError, IndexError, ValueError, StopIteration, AttributeError) as error:
        raise DataError(f"{path}: a sample has no {error}; a log of inspect-ai with scores is needed") from error


def _sample(one: Mapping[str, Any], scorer: str) -> Sample:
    score, given = one["scores"][scorer], one["input"]
    asked = given if isinstance(given, str) else [turn for turn in given if turn["role"] == "user"][-1]["content"]
    choice = one["output"]["choices"][0]
    usage = one["output"].get("usage") or {}
    text = _text(choice["message"]["content"])
    completion = Completion(text, int(usage.get("output_tokens", 0)), choice.get("stop_reason") == "max_tokens")
    return Sample(_text(asked), completion, float(_VALUES.get(score["value"], score["value"])), score.get("answer"))


def _text(content: Any) -> str:
    """A turn's text; a thought that the server has split off gets its tags back."""
    if isinstance(content, str):
        return content
    parts = [
        f"<think>{part['reasoning']}</think>\n" if part.get("type") == "reasoning" else part.get("text", "")
        for part in content
    ]
    return "".join(parts)


@dataclass(frozen=True)
class Otherwise:
    """A sample that both harnesses have judged, and not alike."""

    question: int
    asked: str
    theirs: float
    ours: Judged
    answer: str | None


@dataclass(frozen=True)
class Beside:
    """Both on the questions that they share. own, other: each with its own samples and verdicts. again: the other's
    samples by r1hf's verdicts. apart: settings that differ."""

    result: Result
    log: Log
    own: Interval
    other: Interval
    again: Interval
    found: Difference
    otherwise: list[Otherwise]
    questions: int
    samples: int
    left_out: int
    apart: list[str]


def beside(result: Result, log: Log) -> Beside:
    """Raises DataError where the log asks none of the result's questions."""
    table = chosen(result.samples, result.model, "prompts")
    numbers = sorted(set(table["question"].to_pylist()))
    rows = dict(zip(numbers, groups_of(table)[0], strict=True))
    shares = {number: share for number, (share, _) in result.shares(METRICS["pass_at_1"]).items()}
    groups = _grouped({number: rows[number] for number in shares}, log)
    if not groups:
        raise DataError(f"{log.path} asks none of the questions of {result.label}: its inputs hold no question of it")
    own = [shares[number] for number in groups]
    other = [sum(one.score for one in group) / len(group) for group in groups.values()]
    again, otherwise = [], []
    for number, group in groups.items():
        judged = judge_all([rows[number]] * len(group), [one.completion for one in group], result.settings["reading"])
        again.append(sum(bool(item.correct) for item in judged) / len(group))
        otherwise += [
            Otherwise(number, rows[number]["question"], one.score, item, one.answer)
            for one, item in zip(group, judged, strict=True)
            if bool(item.correct) != (one.score >= 1.0)
        ]
    total = sum(map(len, groups.values()))
    k = total / len(groups)
    return Beside(
        result,
        log,
        interval(own, result.settings["k"]),
        interval(other, k),
        interval(again, k),
        paired(other, own),
        otherwise,
        len(groups),
        total,
        len(log.samples) - total,
        _apart(result, log),
    )


def _grouped(rows: Mapping[int, Row], log: Log) -> dict[int, list[Sample]]:
    """The log's samples by the question that they were asked: the longest that stands in the input."""
    texts = sorted(((_plain(row["question"]), number) for number, row in rows.items()), key=lambda one: -len(one[0]))
    groups: dict[int, list[Sample]] = {}
    known: dict[str, int | None] = {}
    for sample in log.samples:
        asked = _plain(sample.asked)
        if asked not in known:
            known[asked] = next((number for text, number in texts if text in asked), None)
        if (number := known[asked]) is not None:
            groups.setdefault(number, []).append(sample)
    return dict(sorted(groups.items()))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _apart(result: Result, log: Log) -> list[str]:
    """`temperature 0.6 and 1.0`, for each setting that both name and do not share."""
    pairs = [(own, result.settings.get(own), log.settings.get(other)) for own, other in _SETTINGS.items()]
    return [f"{name} {json.dumps(one)} and {json.dumps(two)}" for name, one, two in pairs if one != two]
