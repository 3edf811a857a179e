"""Samples of task `pair` held against a baseline's answers by a judging model: its keys, their check, the asking."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pyarrow as pa

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.yamlfile import nearest
from r1hf.data.drawing import Drawing
from r1hf.data.rows import Row, write_rows
from r1hf.evaluation.preferences import FIELDS, TASK, TEMPLATE, Preference, as_rows, compared
from r1hf.evaluation.samples import SCHEMA
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import Kind, SamplingConfig, check_sampler, load_sampler
from r1hf.stage.stage import Stage
from r1hf.text import prompt_templates as templates

PREFERENCES = "preferences.jsonl"
_NUMBER = (int, float)
_KEYS: dict[str, Any] = {
    **{"sampler": str, "servers": list, "openai": dict, "vllm": dict, "ray": dict, "workers": int},
    **{"batch_size": int, "server_timeout": _NUMBER, "server_patience": _NUMBER, "model": str},
}


@dataclass(kw_only=True)
class PairKeys(SamplingConfig):
    judge: str | None = field(
        default=None,
        metadata={"input": True, "help": f"a chat model that judges rows of task {TASK} against their `baseline`"},
    )
    judge_template: str = field(default=TEMPLATE, metadata={"help": f"its prompt, with {', '.join(FIELDS)}"})
    judge_retries: int = field(default=2, metadata={"help": "how often a reply without a verdict is asked for again"})
    judge_max_new_tokens: int = field(default=1024, metadata={"help": "tokens of a reply, with the judge's thought"})
    judge_sampling: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "the judge's engine where it is another than the models': {sampler: openai, servers: [URL]}; "
            "model: what they call a judge that is neither here nor on the Hub, in place of `judge`",
            "request": False,
        },
    )


def fault(row: Row) -> str | None:
    """Why a row of task `pair` could not be judged."""
    if isinstance(baseline := row.get("baseline"), str) and baseline.strip():
        return None
    return (
        f"task {TASK}, and no baseline; name the column with the answer to compare with (columns: {{baseline: NAME}})"
    )


def check_pairs(problems: list[str], config: PairKeys, rows: Sequence[Row]) -> None:
    """Adds what is wrong with the judge's keys. rows: those that can be read before the start."""
    judge = judge_of(config)
    if judge is None:
        problems += lacks_judge(config, rows)
        if config.judge_sampling:
            problems.append("judge_sampling: would not be read: name the model that judges (judge: MODEL)")
        return
    if rows and all(row["task"] != TASK for row in rows):
        problems.append(f"judge: {judge} would not be asked: no row has task {TASK}")
    check_chat_template(problems, "judge", config.judge)
    try:
        templates.load(config.judge_template, FIELDS)
    except ConfigError as error:
        problems += [f"judge_template: {problem}" for problem in error.problems]
    wrong = [f"{key} is unknown; {nearest(key, list(_KEYS))}" for key in config.judge_sampling if key not in _KEYS]
    for key, value in config.judge_sampling.items():
        if key in _KEYS and (not isinstance(value, _KEYS[key]) or isinstance(value, bool)):
            wrong.append(f"{key}: {value!r} is of the wrong kind")
    if (sampler := config.judge_sampling.get("sampler", config.sampler)) not in get_args(Kind):
        wrong.append(f"sampler: {nearest(str(sampler), list(get_args(Kind)))}")
    if not wrong:
        own = _judges(config)
        check_sampler(wrong, own)
        if "model" in config.judge_sampling and (own.sampler, own.openai.get("api")) != ("openai", "chat"):
            wrong.append("model: only servers know it; write sampler: openai and openai: {api: chat}")
        if "model" in config.judge_sampling and config.judge is not None:
            wrong.append(f"model: judge names {config.judge} already; leave one of them out")
    problems += [f"judge_sampling: {text}" for text in wrong] if config.judge_sampling else []


def judge_of(config: PairKeys) -> str | None:
    """The model that judges, by its directory or Hub id, or as servers call it."""
    return config.judge or config.judge_sampling.get("model")


def lacks_judge(config: PairKeys, rows: Sequence[Row]) -> list[str]:
    if judge_of(config) is not None or all(row["task"] != TASK for row in rows):
        return []
    return [f"judge: rows of task {TASK} are judged by a model; name one that gave no reward (judge: MODEL)"]


def _judges(config: PairKeys) -> PairKeys:
    """The configuration as the judge's sampler reads it: of its own engine alone, where it has one."""
    own = {key: value for key, value in config.judge_sampling.items() if key != "model"}
    others: dict[str, Any] = {"servers": [], "openai": {}, "vllm": {}, "ray": {}, "workers": None}
    return dataclasses.replace(config, **((others | own) if "sampler" in own else own))


def held_against(stage: Stage, config: PairKeys, samples: pa.Table) -> pa.Table:
    """The samples with the judge's verdicts on those of task `pair`: a clear win is right, a tie or a loss is not.

    Each preference is kept in preferences.jsonl. Raises DataError where the judge gave no verdict at all.
    """
    lines = samples.to_pylist()
    rows = [json.loads(line["row"]) for line in lines]
    places = [place for place, row in enumerate(rows) if row["task"] == TASK]
    judge = judge_of(config)
    if not places or judge is None:
        return samples
    own = _judges(config)
    with load_sampler(own, judge) as sampler:
        found, faults = compared(
            Drawing(stage, own).asking(sampler),
            [rows[place] for place in places],
            [lines[place]["completion"] for place in places],
            template=config.judge_template,
            retries=config.judge_retries,
            max_new_tokens=config.judge_max_new_tokens,
            seed=config.seed + 1,
        )
    if all(one.value is None for one in found):
        raise DataError(f"judge: {judge} gave no verdict on any of {len(found)} pairs: {faults}")
    if faults:
        stage.note("judge", judge, faults)
        stage.say(f"judge: replies without a verdict, after {config.judge_retries} more tries: {faults}")
    for place, one in zip(places, found, strict=True):
        lines[place] |= _verdict(one)
    where = [{key: lines[place][key] for key in ("model", "part", "question", "sample")} for place in places]
    write_rows(stage.work / PREFERENCES, as_rows(where, found))
    return pa.Table.from_pylist(lines, schema=SCHEMA)


def _verdict(one: Preference) -> dict[str, Any]:
    if one.value is None:
        return {"correct": None, "why": f"the judge: no verdict ({one.fault})"}
    said = "better" if one.value > 0.5 else "worse" if one.value < 0.5 else "a tie"
    return {"correct": one.value > 0.5, "why": f"the judge: {said}; {one.reason}"}
