"""The forms of a completion: the strict check of each, and writing one in another form."""

from __future__ import annotations

import unicodedata
from typing import get_args

from r1hf.core.errors import ConfigError, DataError
from r1hf.text.grammar import (
    ANSWER_CLOSE,
    ANSWER_OPEN,
    BLOCK_GAP,
    SEPARATOR,
    SEPARATORS,
    SUMMARY_LABEL,
    SUMMARY_LABELS,
    TAGS,
    THINK_CLOSE,
    THINK_OPEN,
    Mode,
    Response,
    parse,
)

_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # drawn as nothing, but neither space nor control


def is_well_formed(text: str, mode: Mode = "think_answer", *, prefilled: bool = False) -> bool:
    """Strict check of a whole, finished completion; white space at both ends is allowed.

    - "think_answer" (the paper's template): one `<think>`, one `</think>`, one `<answer>`, one `</answer>`, in this
      order, with non-blank content and nothing else before, between or after.
    - "think_only" (the paper's format reward): one thought at the start and non-blank text after it; answer tags are
      not looked at.
    - "cold_start": two separators, non-blank reasoning and summary, and none of the tags.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"format mode {mode!r} is unknown; use one of {', '.join(get_args(Mode))}")
    text = text.strip()
    if mode == "cold_start":
        parts = SEPARATORS.split(text)
        return (
            len(parts) == 3
            and not parts[0]
            and not any(tag in text for tag in TAGS)
            and has_content(parts[1])
            and has_content(strip_summary_label(parts[2]))
        )
    if text.count(THINK_OPEN) != (0 if prefilled else 1) or text.count(THINK_CLOSE) != 1:
        return False
    if not prefilled and not text.startswith(THINK_OPEN):
        return False
    thought, _, rest = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
    if not has_content(thought):
        return False
    if mode == "think_only":
        return has_content(rest.replace(ANSWER_OPEN, "").replace(ANSWER_CLOSE, ""))
    rest = rest.strip()
    if text.count(ANSWER_OPEN) != 1 or text.count(ANSWER_CLOSE) != 1:
        return False
    if not (rest.startswith(ANSWER_OPEN) and rest.endswith(ANSWER_CLOSE)):
        return False
    return has_content(rest[len(ANSWER_OPEN) : -len(ANSWER_CLOSE)])


def has_content(text: str) -> bool:
    """False for text that shows nothing: white space, control and zero-width characters, blank letters."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK_LETTERS for char in text)


def strip_summary_label(text: str) -> str:
    """`text` without a leading "Summary:" (or 总结：, 總結：)."""
    text = text.strip()
    for label in SUMMARY_LABELS:
        if text[: len(label)].lower() == label:
            return text[len(label) :].lstrip()
    return text


def to_cold_start(reasoning: str, summary: str, *, label: str = SUMMARY_LABEL) -> str:
    """`| special_token | reasoning | special_token | Summary: summary`. Raises DataError on blank or marked text."""
    reasoning, summary = _plain(reasoning, "reasoning"), _plain(strip_summary_label(summary), "summary")
    return f"{SEPARATOR} {reasoning} {SEPARATOR} {label} {summary}"


def to_think_answer(reasoning: str, answer: str) -> str:
    """`<think>reasoning</think> <answer>answer</answer>`. Raises DataError on blank or marked text."""
    reasoning, answer = _plain(reasoning, "reasoning"), _plain(answer, "answer")
    return f"{THINK_OPEN}{reasoning}{THINK_CLOSE}{BLOCK_GAP}{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"


def to_think_only(reasoning: str, summary: str) -> str:
    """`<think>reasoning</think> summary`. Raises DataError on blank or marked text."""
    reasoning, summary = _plain(reasoning, "reasoning"), _plain(summary, "summary")
    return f"{THINK_OPEN}{reasoning}{THINK_CLOSE}{BLOCK_GAP}{summary}"


def convert(completion: str | Response, mode: Mode, *, prefilled: bool = False) -> str:
    """Write a completion in another form. Raises DataError where the thought or the answer is missing or unclosed."""
    writers = {"think_answer": to_think_answer, "think_only": to_think_only, "cold_start": to_cold_start}
    if mode not in writers:
        raise ConfigError(f"format mode {mode!r} is unknown; use one of {', '.join(writers)}")
    response = parse(completion, prefilled=prefilled) if isinstance(completion, str) else completion
    if response.reasoning is None or response.answer is None or response.truncated:
        raise DataError(
            f"cannot convert to {mode}: the {response.form} completion has no closed thought followed by a closed "
            f"answer (thought {_shown(response.reasoning)}, answer {_shown(response.answer)})"
        )
    return writers[mode](response.reasoning, response.answer)


def _plain(text: str, role: str) -> str:
    text = text.strip()
    if not has_content(text):
        raise DataError(f"the {role} is blank: {_shown(text)}")
    marks = [tag for tag in TAGS if tag in text] + SEPARATORS.findall(text)
    if marks:
        raise DataError(f"the {role} holds the mark {marks[0]!r}, which would break the form: {_shown(text)}")
    return text


def _shown(text: str | None) -> str:
    return "none" if text is None else repr(text if len(text) <= 60 else text[:57] + "...")
