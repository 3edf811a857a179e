"""Text answers: the same words, exactly or after normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.rewards._common import AnswerReward, missing
from r1hf.verify.text import verify_text


@dataclass(frozen=True)
class TextReward(AnswerReward):
    """1.0 where the final answer is the gold text (or one of a list of them), else 0.0; None without a gold.

    `exact` compares characters; else see `r1hf.verify.text.verify_text` for what does not count.

    Resists: a longer text that contains the gold, a list of guesses, the answer in the thought only, two answers, an
    answer cut off, and what SQuAD's normalisation confuses (3.14 and 314, -5 and 5, "the" and "a").
    """

    exact: bool = False
    __name__ = "text_reward"
    tasks: ClassVar[tuple[str, ...]] = ("text",)

    def judge(self, answer: str | None, gold: Any) -> bool | None:
        if missing(gold):
            return None
        golds = [str(item) for item in gold if not missing(item)] if isinstance(gold, list | tuple) else str(gold)
        return verify_text(answer, golds, exact=self.exact)


text_reward = TextReward()
get_text_reward = TextReward
