"""Columns under whatever names people give them, as rollouts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import parse_json
from r1hf.core.yamlfile import nearest
from r1hf.explain.runs.table import Rollout
from r1hf.rewards._common import completion_texts
from r1hf.trainers.rollouts import prompt_text

# The first that is there is taken; names are compared in lower case, without signs between words.
ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "prompts", "input", "inputs", "question", "query", "problem", "instruction", "user"),
    "completion": (
        *("completion", "completions", "output", "outputs", "response", "responses", "generation", "generations"),
        *("generatedtext", "modeloutput", "prediction", "rollout", "assistant", "text"),
    ),
    "reward": ("reward", "rewards", "totalreward", "score", "scores", "totalscore", "finalreward", "return"),
    "step": ("step", "globalstep", "steps", "globalsteps", "trainingstep", "trainstep", "iteration", "iter", "update"),
    "gold": (
        *("gold", "goldanswer", "groundtruth", "gts", "gt", "solution", "target", "reference", "referenceanswer"),
        *("expected", "expectedanswer", "correctanswer", "answer"),
    ),
    "group": ("group", "groupid", "promptid", "uid", "problemid", "questionid", "promptindex"),
    "tokens": ("tokens", "completiontokens", "responselength", "completionlength", "numtokens", "responsetokens"),
    "reason": ("reason", "reasons", "why", "explanation", "feedback", "rewardreason", "critique"),
    "truncated": ("truncated", "istruncated", "clipped", "cutoff", "finishreason"),
    "advantage": ("advantage", "advantages"),
}
_REWARD = re.compile(r"^rewards?[/_.]|[/_.]rewards?$|_reward_|^score_|_score$|_func$", re.I)
_COMPONENT = frozenset(("accuracy", "acc", "format", "correct", "correctness", "language", "length", "repetition"))


def chosen_columns(text: str | None) -> dict[str, str]:
    """prompt=question,completion=answer. Raises ConfigError."""
    found: dict[str, str] = {}
    problems = []
    for part in filter(None, (text or "").split(",")):
        key, sign, name = part.partition("=")
        if not sign or not name:
            problems.append(f"--columns: {part!r} is not WHAT=COLUMN")
        elif key.strip() not in ALIASES:
            problems.append(
                f"--columns: {key.strip()!r} is nothing that is read; {nearest(key.strip(), list(ALIASES))}"
            )
        else:
            found[key.strip()] = name.strip()
    if problems:
        raise ConfigError(problems)
    return found


def plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find(
    names: Sequence[str],
    chosen: Mapping[str, str],
    where: str,
    needed: Sequence[str] = ("prompt", "completion"),
    advice: str = "",
) -> dict[str, str]:
    """What is what: a key of ALIASES -> the column. `chosen` comes from the person and wins. advice: what to do where
    one that is needed is not there, if --columns does not help.

    Raises ConfigError where a chosen column is not there, DataError where one that is needed is not.
    """
    if problems := [
        f"--columns {key}={name}: {where} has no such column; {nearest(name, names)}"
        for key, name in chosen.items()
        if name not in names
    ]:
        raise ConfigError(problems)
    by_plain = {plain_name(name): name for name in reversed(names)}
    found = dict(chosen)
    for key, aliases in ALIASES.items():
        if key not in needed and key in ("prompt", "completion"):
            continue
        free = (by_plain[alias] for alias in aliases if by_plain.get(alias) not in (None, *found.values()))
        if key not in found and (column := next(free, None)) is not None:
            found[key] = column
    if lacking := [key for key in needed if key not in found]:
        raise DataError(
            f"{where}: no column looks like the {' or the '.join(lacking)}; its columns are {', '.join(names)}. "
            + (advice or f"Say which: --columns {','.join(f'{key}=NAME' for key in lacking)}")
        )
    return found


def component_names(row: Mapping[str, Any], found: Mapping[str, str], known: Iterable[str] = ()) -> list[str]:
    """The columns that hold single rewards: those that the log names, else those whose names say so."""
    taken, known = {*found.values()}, {*known}
    if known & row.keys():
        return [name for name in row if name in known]
    return [name for name in row if name not in taken and (_REWARD.search(name) or plain_name(name) in _COMPONENT)]


def rollout(row: Mapping[str, Any], found: Mapping[str, str], components: Sequence[str], place: str) -> Rollout:
    """One row. The reward is what is paid in all: its column, else the sum of the components."""

    def value(key: str) -> Any:
        return row.get(found[key]) if key in found else None

    rewards = {name.removeprefix("rewards/"): number(row.get(name)) for name in components}
    paid = [amount for amount in rewards.values() if amount is not None]
    total = value("reward")
    if isinstance(total, Mapping):  # {"accuracy": 1.0, "format": 0.0}
        rewards |= {str(name): number(amount) for name, amount in total.items()}
        paid, total = [amount for amount in rewards.values() if amount is not None], None
    if isinstance(total, list) and total:  # one a token: their sum is what the completion earned
        total = math.fsum(amount for item in total if (amount := number(item)) is not None)
    reward = number(total)
    if reward is None and "reward" not in found and paid:
        reward = math.fsum(paid)
    if not rewards and "reward" in found:
        rewards = {found["reward"]: reward}
    gold, step = value("gold"), number(value("step"))
    return Rollout(
        step=int(step) if step is not None else 0,
        prompt=as_text(value("prompt")),
        completion=_completion(value("completion")),
        reward=reward if reward is not None or not paid else math.fsum(paid),
        rewards=rewards,
        advantage=number(value("advantage")),
        gold=None if gold is None else gold_of(gold),
        group=None if value("group") is None else str(value("group")),
        tokens=number(value("tokens")),
        truncated=_truncated(value("truncated")),
        reason=reason if isinstance(reason := value("reason"), str) and reason.strip() else None,
        place=place,
    )


def number(value: Any) -> float | None:
    """A finite number, also one written as text; True and "True" are 1. None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = {"true": 1.0, "false": 0.0}.get(value.strip().lower(), value)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def messages_of(prompt: str) -> Any:
    """The messages of a prompt that was one of messages; else the prompt itself."""
    try:
        messages = parse_json(prompt) if prompt.startswith("[") else None
    except ValueError:
        return prompt
    is_chat = isinstance(messages, list) and all(isinstance(one, Mapping) for one in messages)
    return messages if is_chat else prompt


def as_text(value: Any) -> str:
    """A prompt as text; messages are JSON, as in r1hf's own rollouts."""
    if isinstance(value, Mapping):
        value = [value]
    return "" if value is None else prompt_text(_bare(value))


def _bare(value: Any) -> Any:
    """Messages without the holes that Arrow fills where others have a key."""
    if not isinstance(value, list):
        return value if isinstance(value, str) else str(value)
    if not all(isinstance(item, Mapping) for item in value):
        return json.dumps(value, ensure_ascii=False, default=str)
    return [{key: inner for key, inner in item.items() if inner is not None} for item in value]


def _completion(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        bare = [{"role": "assistant", **item} for item in value]
        return completion_texts([bare])[0]
    return "" if value is None else value if isinstance(value, str) else str(value)


def gold_of(value: Any) -> str | None:
    """A gold answer as text, also out of verl's {"ground_truth": …}."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("ground_truth", "answer", "target") if key in value), None)
    return None if value is None or value == "" else str(value)


def _truncated(value: Any) -> bool | None:
    if isinstance(value, str):
        return value.lower() in ("length", "max_tokens") or number(value) == 1
    return None if value is None else bool(value)
