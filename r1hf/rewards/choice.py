"""Multiple choice: is the right option chosen, and only that one? (DeepSeek-R1 §2.2.2, option match)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.rewards._common import AnswerReward, column, missing, optional_column
from r1hf.verify.choice import names_option, verify_choice
from r1hf.verify.extract import gold_answer, stated_answers


@dataclass(frozen=True)
class ChoiceReward(AnswerReward):
    """1.0 where the final answer chooses the gold option, else 0.0; None where the gold names no option.

    Gold: the column `answer` (see `r1hf.verify.choice.verify_choice` for its forms); the options: the column
    `choices`, if there is one.

    Resists: several options ("A or B", "A, B", all of them), another option's text beside the right label, the option
    in the thought only, a letter that is a word ("A cat"), negation ("not B"), two answers, an answer cut off.
    """

    choices_column: str = "choices"
    __name__ = "choice_reward"
    tasks: ClassVar[tuple[str, ...]] = ("choice",)

    def golds(self, columns: Mapping[str, Any], count: int) -> Sequence[Any]:
        golds = column(columns, self.answer_column, count, self.__name__)
        return list(zip(golds, optional_column(columns, self.choices_column, count, self.__name__), strict=True))

    def answer(self, text: str) -> Any:
        return stated_answers(text, prefilled=self.prefilled)

    def judge(self, answer: Any, gold: Any) -> bool | None:
        right, choices = gold
        if missing(right) and not choices:  # an option's own text may read like a hole: "Unknown"
            return None
        right = gold_answer(right) if isinstance(right, str) else right
        # A box that names no option is working ("\boxed{E = mc^2}"); all answers that name one must be right.
        named = [text for text in answer if names_option(text, choices)] or answer[-1:]
        verdicts = [verify_choice(text, right, choices) for text in named or [""]]
        return None if None in verdicts else all(verdicts)


choice_reward = ChoiceReward()
get_choice_reward = ChoiceReward
