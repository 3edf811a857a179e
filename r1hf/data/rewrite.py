"""Arithmetic thinking, written tidily: numbered steps in one language, then a summary.

`rewrite` stands in for the paper's human annotators, who turned R1-Zero's readable outputs into clear ones: it takes
the equations out of the thinking, checks each, and writes them again. It adds no step that the model did not find.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

# Not the end of a longer expression (2 + 3 * 4 = 12), nor the start of a longer number (12.5).
_EQUATION = re.compile(r"(?<![\d.*+-])(?<![*+-] )(\d+) ([*+-]) (\d+) = (-?\d+)(?!\d|\.\d)")
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
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
    """(thinking, summary) in `language`, or None where the equations are wrong or do not lead to `answer`."""
    found = _EQUATION.findall(reasoning)
    whole = len(found) == reasoning.count("=")  # an equation that is not understood might be a false one
    if not found or not whole or len(found) > len(_NUMBERS["en"]) or language not in LANGUAGES:
        return None
    for left, sign, right, value in found:
        if _OPERATIONS[sign](int(left), int(right)) != int(value):
            return None
    if found[-1][-1] != answer:
        return None
    steps = [f"{left} {sign} {right} = {value}" for left, sign, right, value in found]
    return numbered_steps(steps, language), summary(answer, language)
