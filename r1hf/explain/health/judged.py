"""What r1hf's own verifier says of a foreign run's completions, where a gold answer was logged."""

from __future__ import annotations

import ast
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from r1hf.explain.runs.columns import messages_of
from r1hf.explain.runs.table import Rollout
from r1hf.rewards._common import question_text
from r1hf.text.grammar import closes_unopened, opening
from r1hf.verify.extract import gold_answer, read_answer
from r1hf.verify.math import verify_math_batch
from r1hf.verify.numeric import parse_number

MOST = 600  # completions that are judged, spread over the run
_LONGEST = 4000
_T = TypeVar("_T")
_SUM = re.compile(r"[-(]?\d[\d\s+*/().-]{0,80}")
_SAID = re.compile(r"\d|target|using|make|equation|=", re.I)  # then the sum is not what is asked for
_WORDS = 12  # beside the sum: more are instructions or a story
_MAYBE_RANGE = re.compile(r"\d+(?:\.\d+)?\s*[-/]\s*\d+(?:\.\d+)?(?:\s*[-/]\s*\d+)?")
_ASKS = re.compile(
    r"(?:^|[:：]|[\u3040-\u9fff]|\b(?:is|what's|whats|compute|calculate|evaluate|solve|find|simplify|subtract|divide|"
    r"does|of|out|ist|sind|vaut|calcule|cuánto es))\s*$",
    re.I,
)
_THEN_WORDS = re.compile(r"\s*(?!equals?\b|and\b|please\b|ergibt\b)[^\W\d_]+")  # "2 - 3 sentences"
_SIGNS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def judge(rollouts: Sequence[Rollout]) -> list[str]:
    """Sets `right` of a spread of the rollouts that have a gold answer, or whose question is a sum of numbers.

    Answers in words are only ever found right, never wrong: another wording may be as good. Gives notes on where gold
    answers come from.
    """
    notes = []
    if _echo(rollouts):
        for one in rollouts:
            one.gold = None
        notes.append("the gold answers are left out: they are what the completions themselves answer")
    if not any(one.gold for one in rollouts):
        for one in rollouts:
            one.gold = _worked_out(one.prompt)
        if any(one.gold for one in rollouts):
            notes.append("no gold answers are logged: those of questions that are a sum were worked out")
    asked = [one for one in spread(rollouts, MOST) if one.gold and len(one.gold) <= _LONGEST]
    answers = [answer_of(one) for one in asked]
    verdicts = verify_math_batch(answers, [one.gold for one in asked])
    for one, verdict in zip(asked, verdicts, strict=True):
        one.right = verdict if verdict or _is_exact(one.gold or "") else None
    return notes


def _echo(rollouts: Sequence[Rollout]) -> bool:
    """Whether the column of gold answers is what the model said: it differs within prompts as the answers do."""
    golds: dict[str, set[str]] = defaultdict(set)
    for one in rollouts:
        if one.gold is not None:
            golds[one.prompt].add(one.gold)
    asked = spread([one for one in rollouts if len(golds[one.prompt]) > 1], 200)
    same = sum((one.gold or "").strip() in (answer_of(one), one.completion.strip()) for one in asked)
    return same > len(asked) / 2


def answer_of(one: Rollout) -> str | None:
    """The answer as a person would read it, in whatever form."""
    text = one.completion[-20_000:]
    return read_answer(text, prefilled=bool(opening(one.prompt)) or closes_unopened(text))


@lru_cache(maxsize=4096)
def _worked_out(prompt: str) -> str | None:
    """The value of the one sum that a question of few words asks for."""
    question = question_text(messages_of(prompt))[-2000:]
    found = [text for text in _SUM.findall(question) if re.search(r"[\d)] [-+*/] [\d(]", text)]
    if len(found) != 1:
        return None
    before, _, after = question.partition(found[0])
    beside = f"{before} {after}"
    if _SAID.search(beside) or len(beside.split()) > _WORDS or _is_range(before, found[0], after):
        return None
    try:
        return str(_value(ast.parse(found[0].strip(), mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _is_range(before: str, text: str, after: str) -> bool:
    """`2 - 3 sentences`, `in 1914 - 1918`, a date: two or three numbers that are not asked for as a sum."""
    return bool(
        _MAYBE_RANGE.fullmatch(text.strip(" .()\n")) and (_THEN_WORDS.match(after) or not _ASKS.search(before))
    )


def _value(node: ast.AST) -> Fraction:
    """Raises ValueError for what is no sum of numbers."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) < 1e12:
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("no sum of numbers")


def spread(items: Sequence[_T], most: int) -> list[_T]:
    """At most `most` items, evenly from all."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]


def _is_exact(gold: str) -> bool:
    answer = gold_answer(gold)
    return answer is not None and (parse_number(answer) is not None or ("\\" in answer and len(answer) <= 80))
