"""Countdown, the puzzle of TinyZero and others: an expression that makes the target out of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.rewards._common import AnswerReward, column
from r1hf.verify.countdown import verify_countdown


@dataclass(frozen=True)
class CountdownReward(AnswerReward):
    """1.0 where the final answer is an expression over the row's numbers that equals its target, else 0.0.

    Columns: `numbers` (a list) and `target`; TinyZero's data calls the first `nums`. Each number is to be used
    exactly once, or, with `use_all=False`, at most once.

    Resists: code and powers that never end (`99**98**97`), numbers used twice, joined, left out or made up, the target
    written down with nothing behind it, a wrong "= 24" after a right expression, two expressions, rounding.
    """

    use_all: bool = True
    numbers_column: str = "numbers"
    target_column: str = "target"
    __name__ = "countdown_reward"
    tasks: ClassVar[tuple[str, ...]] = ("countdown",)

    def golds(self, columns: Mapping[str, Any], count: int) -> Sequence[Any]:
        names = (self.numbers_column, self.target_column)
        return list(zip(*(column(columns, name, count, self.__name__) for name in names), strict=True))

    def judge(self, answer: str | None, gold: Any) -> bool | None:
        return verify_countdown(answer, *gold, use_all=self.use_all)


countdown_reward = CountdownReward()
get_countdown_reward = CountdownReward
