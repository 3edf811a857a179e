"""Arithmetic thinking, written tidily: numbered steps in one language, then a summary.

`rewrite` stands in for the paper's human annotators, who turned R1-Zero's readable outputs into clear ones: it takes
the equations out of the thinking, or what is left of a sum after each step, checks each, and writes them again. It
adds no step that the model did not find, and leaves out what the model took back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from r1hf.data.sums import OPERATIONS, parse, value

# Not the end of a longer expression (2 + 3 * 4 = 12), nor the start of a longer number (12.5).
_EQUATION = re.compile(r"(?<![\d.*+-])(?<![*+-] )(\d{1,20}) ([*+-]) (\d{1,20}) = (-?\d{1,40})(?!\d|\.\d)")
_SUM = re.compile(r"(?<![\w.])\({0,9}\d+(?:[()+* -]+\d+)*\)*(?!\w|\.\d)")
_NUMBERED = re.compile(r"Step \d:")
_TAKEN_BACK = re.compile(r"\bwait\b|等等")
_LONGEST = 80  # characters of a sum
_STEP = {"en": "Step {}: {}. ", "zh": "第{}步：{}。"}
_NUMBERS = {"en": "1 2 3 4 5 6 7 8 9".split(), "zh": "一 二 三 四 五 六 七 八 九".split()}
_CHECK = {"en": "Check: multiply first.", "zh": "检查：先乘后加减。"}
_SUMMARY = {"en": "The answer is {}.", "zh": "答案是 {}。"}
LANGUAGES = tuple(_STEP)


def numbered_steps(steps: Sequence[str], language: str, verify: bool = False) -> str:
    """Steps as one tidy paragraph, with a closing check where asked."""
    text = "".join(_STEP[language].format(n, s) for n, s in zip(_NUMBERS[language], steps, strict=False))
    return (text + _CHECK[language]).strip() if verify else text.strip()


def summary(answer: str, language: str) -> str:
    return _SUMMARY[language].format(answer)


def rewrite(reasoning: str, answer: str, language: str) -> tuple[str, str] | None:
    """(thinking, summary) in `language`, or None where a step is wrong or they do not lead to `answer`."""
    if language not in LANGUAGES:
        return None
    steps = _equations(reasoning, answer) if "=" in reasoning else _remains(reasoning, answer)
    if not steps or len(steps) > len(_NUMBERS["en"]):
        return None
    return numbered_steps(steps, language), summary(answer, language)


def _equations(reasoning: str, answer: str) -> list[str] | None:
    """Right equations of two numbers, the last one with the answer."""
    found = _EQUATION.findall(reasoning)
    if not found or len(found) != reasoning.count("="):  # an equation that is not understood might be a false one
        return None
    for left, sign, right, result in found:
        if OPERATIONS[sign](int(left), int(right)) != int(result):
            return None
    if found[-1][-1] != answer:
        return None
    return [f"{left} {sign} {right} = {result}" for left, sign, right, result in found]


def _remains(reasoning: str, answer: str) -> list[str] | None:
    """A sum and what is left of it step by step: all have the answer as their value, the last is the answer."""
    last = _TAKEN_BACK.split(_NUMBERED.sub(" ", reasoning))[-1]
    found = [one.strip() for one in _SUM.findall(last)]
    if len(found) < 2 or found[-1] != answer or any(str(_value(one)) != answer for one in found):
        return None
    return found


def _value(written: str) -> int | None:
    """The value of sums and products in digits; None for other text."""
    try:
        return value(parse(written)) if len(written) <= _LONGEST else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
