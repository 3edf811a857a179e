"""The final answer of a completion, found through the grammar and never in the thought; and that of a gold column."""

from __future__ import annotations

import re

from r1hf.errors import ConfigError
from r1hf.grammar import ANSWER_CLOSE, ANSWER_OPEN, Response, parse, strip_summary_label
from r1hf.verify.numeric import Number, normalise, parse_number

_STATEMENT = re.compile(
    r"(?:\bthe\s{1,4})?(?:\bfinal\s{1,4})?\banswer\*{0,2}\s*(?:is\b\s*:?|[:=：])"
    r"|(?:最[终終])?答案\*{0,2}\s*(?:(?:是|为|為)\s*[:：]?|[:：])",
    re.IGNORECASE,
)
_BRACE = re.compile(r"\\f?boxed\s*\{|\\.|[{}]", re.DOTALL)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?")
_SINGLE = re.compile(r"\{(\w)\}")
_HASHES = "####"


def final_answer(completion: str | Response, *, prefilled: bool = False, fallback: str | None = None) -> str | None:
    """The final answer as text, or None where there is none or more than one.

    Looked for in `<answer>` if it is there and closed, else in the text after the thought. Inside: the `\\boxed{}`
    (the same number or text twice is one), else a statement that ends the text ("The answer is X.", "答案是 X。",
    "答案：X"), else all of it. Text without any tag answers only through a box or a statement. An unclosed or a
    second `<answer>` gives None: a cut-off "1" is no "1", and two answers are a hedge.

    `fallback="last_number"` takes the last number of the visible text where there is no box and no statement; it
    is for evaluation of models that know no format, and too easy to hack for a reward.
    """
    if fallback not in (None, "last_number"):
        raise ConfigError(f"fallback {fallback!r} is unknown; use None or 'last_number'")
    response = parse(completion, prefilled=prefilled) if isinstance(completion, str) else completion
    if response.truncated or (response.reasoning is not None and response.answer is None):
        return None
    text = response.visible
    if response.answer_tagged:
        if ANSWER_OPEN in response.trailing or ANSWER_OPEN in text:
            return None
    elif ANSWER_OPEN in text:
        # A summary that holds the tags in its midst.
        _, _, tagged = text.partition(ANSWER_OPEN)
        text, closed, _ = tagged.partition(ANSWER_CLOSE)
        if ANSWER_OPEN in tagged or not closed:
            return None
    return _inside(text.strip(), whole=response.answer is not None, fallback=fallback)


def gold_answer(gold: str) -> str | None:
    """The answer in a gold column that may hold a worked solution; None if it is empty or gives several.

    In this order: the `\\boxed{}`, what follows the last "####" (GSM8K), the content of `<answer>`, the
    last statement ("Therefore, the answer is: 180."), else all of it.
    """
    if "boxed" in gold and (boxes := boxed_answers(gold)):
        return boxes[-1] or None if len(boxes) == 1 else None
    if _HASHES in gold:
        return gold.rpartition(_HASHES)[2].strip() or None
    if ANSWER_OPEN in gold:
        return final_answer(gold)
    heads = list(_STATEMENT.finditer(gold)) if len(gold) > 3 else []
    return (_trim(gold[heads[-1].end() :]) if heads else gold.strip()) or None


def boxed_answers(text: str) -> list[str]:
    """The different contents of the boxes in `text`, in order: the same number or text twice is one."""
    found: dict[Number | str, str] = {}
    for box in _boxes(text):
        key = parse_number(box) or _SINGLE.sub(r"\1", "".join(normalise(box).split()))
        found.pop(key, None)
        found[key] = box
    return list(found.values())


def _inside(text: str, *, whole: bool, fallback: str | None) -> str | None:
    if "boxed" in text and (boxes := boxed_answers(text)):
        return boxes[0] or None if len(boxes) == 1 else None
    heads = list(_STATEMENT.finditer(text))
    if heads:
        ends = [head.start() for head in heads[1:]] + [len(text)]
        stated = {_trim(text[head.end() : end]) for head, end in zip(heads, ends, strict=True)}
        return stated.pop() or None if len(stated) == 1 else None
    text = strip_summary_label(text)
    if fallback and parse_number(text) is None:
        numbers = _NUMBER.findall(text)
        return numbers[-1] if numbers else None
    return text or None if whole else None


def _trim(text: str) -> str:
    return text.rstrip(" \t\r\n.。!！*").lstrip(" \t\r\n*")


def _boxes(text: str) -> list[str]:
    """Contents of every closed outermost `\\boxed{…}`, in one pass."""
    found = []
    open_braces: list[int] = []  # start of the content, or -1 for a brace that opens no box
    boxed = 0
    for match in _BRACE.finditer(text):
        sign = match[0]
        is_box = len(sign) > 2
        if sign[0] == "\\" and not is_box:
            continue  # \\{ and other commands
        if sign != "}":
            open_braces.append(match.end() if is_box else -1)
            boxed += is_box
        elif open_braces:
            start = open_braces.pop()
            if start >= 0:
                boxed -= 1
                if not boxed:
                    found.append(text[start : match.start()].strip())
    return found
