"""Groups of completions, and their log-probabilities, as a person hands them to `r1hf explain`."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import parse_json, read_text, reason_of
from r1hf.core.yamlfile import nearest
from r1hf.data.golds import gold_text
from r1hf.explain.groups import POLICIES, Group, Logps

GROUP_KEYS = ("question", "answer", "language", "completions", *POLICIES)
COMPLETION_KEYS = ("completion", *POLICIES)


def read_groups(source: str, question: str, answer: str | None, language: str | None) -> list[Group]:
    """The groups in a JSON or JSONL file, or on standard input ("-").

    An item is a completion (a text, or `{"completion": …}` with its log-probabilities), all of them answers to
    `question`; or a whole group, `{"question": …, "answer": …, "completions": […]}`. Raises DataError naming the
    line or the item.
    """
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else read_text(Path(source))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read: {reason_of(error)}") from None
    items = _items(text, name)
    if not items:
        raise DataError(f"{name} holds no completions")
    if any(isinstance(item, dict) and "completions" in item for _, item in items):
        return [_group(where, item) for where, item in items]
    return [_one_group(items, question, answer, language)]


def add_logprobs(groups: Sequence[Group], given: Mapping[str, str | None]) -> list[Group]:
    """The groups with the log-probabilities of the command line: JSON text, or a file that holds it.

    Raises ConfigError with every mistake: not JSON, another number of completions or tokens, no finite number.
    """
    problems: list[str] = []
    parts: dict[str, Logps] = {}
    count = sum(len(group.completions) for group in groups)
    for policy, text in given.items():
        if text is None:
            continue
        option = "--" + policy.replace("_", "-")
        if any(policy in group.logps for group in groups):
            problems.append(f"{option}: the completions bring their own {policy}; give them in one place")
            continue
        try:
            parts[policy] = logps_of(_json(text, option), count, option)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    made = []
    start = 0
    for group in groups:
        stop = start + len(group.completions)
        logps = {**group.logps, **{policy: part[start:stop] for policy, part in parts.items()}}
        made.append(Group(group.question, group.answer, group.completions, group.language, logps))
        start = stop
    check_lengths(made)
    return made


def logps_of(value: Any, count: int, where: str) -> Logps:
    """`count` log-probabilities, each a number or a list of numbers, as lists. Raises DataError."""
    if not isinstance(value, list) or len(value) != count:
        found = f"{len(value)} of them" if isinstance(value, list) else type(value).__name__
        raise DataError(f"{where}: expected a list with one entry for each of the {count} completions, found {found}")
    return [_tokens(entry, f"{where}, completion {number}") for number, entry in enumerate(value, 1)]


def check_lengths(groups: Sequence[Group]) -> None:
    """Raises ConfigError where the policies count the tokens of a completion differently."""
    problems = []
    for place, group in enumerate(groups, 1):
        if group.logps and POLICIES[0] not in group.logps:
            problems.append(f"group {place}: {', '.join(group.logps)} need {POLICIES[0]} beside them")
            continue
        for policy, part in group.logps.items():
            for number, (tokens, own) in enumerate(zip(part, group.logps[POLICIES[0]], strict=True), 1):
                if len(tokens) != len(own):
                    problems.append(
                        f"group {place}, completion {number}: {len(own)} log-probabilities in {POLICIES[0]} but "
                        f"{len(tokens)} in {policy}"
                    )
    if problems:
        raise ConfigError(problems)


def _tokens(entry: Any, where: str) -> list[float]:
    numbers = entry if isinstance(entry, list) else [entry]
    if not numbers:
        raise DataError(f"{where}: no log-probabilities; a completion has at least one token")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise DataError(f"{where}: {number!r} is not a finite number")
        if number > 0:
            raise DataError(f"{where}: {number!r} is above 0, which no log-probability is")
    return [float(number) for number in numbers]


def _json(text: str, option: str) -> Any:
    if not text.lstrip().startswith("["):
        try:
            text = read_text(Path(text))
        except (OSError, UnicodeDecodeError):
            raise DataError(f"{option}: {text[:60]!r} is neither a JSON list nor a file that can be read") from None
    try:
        return parse_json(text)
    except ValueError as error:
        raise DataError(f"{option}: not JSON ({error}): {text[:60]!r}") from None


def _items(text: str, name: str) -> list[tuple[str, Any]]:
    """(where, item) for each item of a JSON list, each line of JSONL, or one JSON object."""
    try:
        value = parse_json(text)
    except ValueError:
        return _lines(text, name)
    values = value if isinstance(value, list) else [value]
    return [(f"{name}, item {number}", item) for number, item in enumerate(values, 1)]


def _lines(text: str, name: str) -> list[tuple[str, Any]]:
    items = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                items.append((f"{name}:{number}", parse_json(line)))
            except ValueError as error:
                raise DataError(f"{name}:{number}: not JSON ({error}): {line[:60]!r}") from None
    return items


def _group(where: str, item: Any) -> Group:
    _known(where, item, GROUP_KEYS)
    completions = item.get("completions")
    if not isinstance(completions, list) or not all(isinstance(text, str) for text in completions):
        raise DataError(f"{where}: 'completions' must be a list of texts")
    question = _text(where, item, "question")
    if question is None:
        raise DataError(f"{where}: no 'question'")
    logps = {
        policy: logps_of(item[policy], len(completions), f"{where}, {policy}") for policy in POLICIES if policy in item
    }
    return Group(question, _text(where, item, "answer"), tuple(completions), _text(where, item, "language"), logps)


def _one_group(items: Sequence[tuple[str, Any]], question: str, answer: str | None, language: str | None) -> Group:
    texts: list[str] = []
    logps: dict[str, Logps] = {}
    for where, item in items:
        if not isinstance(item, str):
            _known(where, item, COMPLETION_KEYS)
        text = item if isinstance(item, str) else _text(where, item, "completion")
        if text is None:
            raise DataError(f"{where}: no 'completion'")
        for policy in POLICIES:
            if isinstance(item, dict) and policy in item:
                logps.setdefault(policy, []).append(_tokens(item[policy], f"{where}, {policy}"))
        texts.append(text)
        if any(len(part) != len(texts) for part in logps.values()):
            raise DataError(f"{where}: give each log-probability for every completion or for none")
    return Group(question, answer, tuple(texts), language, logps)


def _known(where: str, item: Any, keys: Sequence[str]) -> None:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected a text or a JSON object, found {type(item).__name__}")
    for key in item:
        if key not in keys:
            raise DataError(f"{where}: unknown key '{key}'; {nearest(key, keys)}")


def _text(where: str, item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    if key == "answer" and not isinstance(value, str):
        try:
            return gold_text(value)
        except ValueError as error:
            raise DataError(f"{where}: 'answer' is {value!r:.60}, {error}") from None
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}: '{key}' must be text, found {type(value).__name__}")
    return value
