"""Accuracy: is the final answer right? (DeepSeek-R1 §2.2.2)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.rewards._common import Message, Rewards, column, completion_texts
from r1hf.verify import final_answer, verify_math


@dataclass(frozen=True)
class AccuracyReward:
    """1.0 for a right final answer, 0.0 for a wrong or missing one, None where the gold answer cannot be judged.

    Resists: the right number in the thought only; several answers ("14 or 15", two `<answer>`, two boxes);
    a longer number that contains the gold (140, -14); the question repeated as its own answer (2 + 3 * 4);
    an answer cut off in its tag; prose around the number.
    """

    prefilled: bool = False
    answer_column: str = "answer"
    __name__ = "accuracy_reward"

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> Rewards:
        golds = column(columns, self.answer_column, len(completions), self.__name__)
        texts = completion_texts(completions, prefilled=self.prefilled)
        return [self._score(text, gold) for text, gold in zip(texts, golds, strict=True)]

    def _score(self, text: str, gold: Any) -> float | None:
        if gold is None or gold != gold:  # NaN: a hole in a table
            return None
        verdict = verify_math(final_answer(text, prefilled=self.prefilled), str(gold))
        return None if verdict is None else float(verdict)


def get_accuracy_reward(*, prefilled: bool = False, answer_column: str = "answer") -> AccuracyReward:
    """An accuracy reward; `prefilled` where the prompt ends in `<think>`."""
    return AccuracyReward(prefilled, answer_column)


def accuracy_reward(
    prompts: Sequence[Any],
    completions: Sequence[str | Sequence[Message]],
    completion_ids: Sequence[Any] | None = None,
    **columns: Any,
) -> Rewards:
    """`AccuracyReward` with its defaults: the gold answers are the column `answer`."""
    return AccuracyReward()(prompts, completions, completion_ids, **columns)
