"""Pairs of answers and which of them a judging model prefers, as the paper made its helpful pairs (section 3.1).

Each pair is judged several times, half of them with the answers in the other order, in an order drawn with the seed.
The mean margin decides; a pair that the judge hardly tells apart is left out, and so are, at the end, pairs that would
teach a reward model that longer is better.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from r1hf.data.rows import Row
from r1hf.evaluation.judge import Asker, Key, shown_answer, ticket
from r1hf.evaluation.replies import Reply
from r1hf.text import prompt_templates as templates
from r1hf.text.quoting import quoted

FIELDS = ("question", "first", "second", "ticket")
TEMPLATE = "judge_margin"
MARGINS = {  # of the answer that is shown first; the scale of HelpSteer2-Preference (arXiv 2410.01257)
    **{f"a {word}better": margin for word, margin in (("slightly ", 1.0), ("", 2.0), ("much ", 3.0))},
    "equal": 0.0,
    **{f"b {word}better": -margin for word, margin in (("slightly ", 1.0), ("", 2.0), ("much ", 3.0))},
}


class Pair(NamedTuple):
    """Two completions for a row's question, and what became of them. The judge sees no thought.

    margin: the mean of the first's, None where a judgement failed. fault: why the pair is left out; "" if it is kept.
    """

    row: Row
    first: str
    second: str
    margin: float | None = None
    fault: str = ""

    @property
    def chosen(self) -> str:
        return self.first if (self.margin or 0) > 0 else self.second

    @property
    def rejected(self) -> str:
        return self.second if (self.margin or 0) > 0 else self.first


@dataclass
class MarginJudge(Asker):
    """judgements: of a pair, an even number. least: the mean margin that a kept pair exceeds."""

    template: str = TEMPLATE
    temperature: float = 0.6  # at 0 two judgements of one order would be one
    judgements: int = 4
    least: float = 1.0

    def judge(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs with their margins, and why they are left out."""
        rng = random.Random(self.seed)
        half = self.judgements // 2
        turned = [rng.sample([False] * half + [True] * half, 2 * half) for _ in pairs]  # which way, each time

        def prompt(key: Key, seed: int) -> tuple[str, str]:
            place, time = key
            pair = pairs[place]
            texts = [shown_answer(text) for text in (pair.first, pair.second)]
            texts = texts[::-1] if turned[place][time] else texts
            code = ticket(pair.row["question"], "".join(texts), seed + 1000 * time)
            named = {"question": quoted(pair.row["question"]), "first": texts[0], "second": texts[1]}
            return templates.fill(self.template, **named, ticket=code), code

        asked = [place for place, pair in enumerate(pairs) if not _unfit(pair)]
        replies = self.replies([(place, time) for place in asked for time in range(2 * half)], prompt, MARGINS)
        found = [pair._replace(fault=_unfit(pair)) for pair in pairs]
        for place in asked:
            said = [replies[place, time] for time in range(2 * half)]
            found[place] = self._judged(pairs[place], said, turned[place])
        return found

    def _judged(self, pair: Pair, said: Sequence[Reply], turned: Sequence[bool]) -> Pair:
        if fault := next((one.fault for one in said if one.fault), ""):
            return pair._replace(fault=fault)
        margins = [
            -(one.verdict or 0.0) if turn else one.verdict or 0.0 for one, turn in zip(said, turned, strict=True)
        ]
        margin = sum(margins) / len(margins)
        return pair._replace(margin=margin, fault="" if abs(margin) > self.least else "too_close")


def _unfit(pair: Pair) -> str:
    """Why there is nothing to judge."""
    first, second = shown_answer(pair.first), shown_answer(pair.second)
    if not first or not second:
        return "no_answer"
    return "same_answers" if first == second else ""


def balanced(pairs: Sequence[Pair], tolerance: float) -> list[Pair]:
    """The pairs without those that make the chosen answers longer, or shorter, than the rejected ones.

    tolerance: how far the mean of log(chosen / rejected characters) may be from 0. The most one-sided pairs go first.
    """
    ratios = [math.log(_length(pair.chosen) / _length(pair.rejected)) for pair in pairs]
    left = deque(sorted(range(len(pairs)), key=ratios.__getitem__))
    total = math.fsum(ratios)
    while left and abs(total) > tolerance * len(left):
        total -= ratios[left.pop() if total > 0 else left.popleft()]
    return [pairs[place] for place in sorted(left)]


def _length(text: str) -> int:
    return len(shown_answer(text))
