"""Accuracy: is the final answer right? (DeepSeek-R1 §2.2.2)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.data.golds import gold_text
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, column, completion_texts
from r1hf.verify.extract import final_answer
from r1hf.verify.math import verify_math_batch


@dataclass(frozen=True)
class AccuracyReward:
    """1.0 for a right final answer, 0.0 for a wrong or missing one, None where the gold answer cannot be judged.

    Resists: the right number in the thought only; several answers ("14 or 15", two `<answer>`, two boxes);
    a longer number that contains the gold (140, -14); the question repeated as its own answer (2 + 3 * 4);
    an answer cut off in its tag; prose around the number; an answer that hangs or crashes a verifier, which is wrong
    and not unjudged. The gold may be a number, LaTeX, text, or a worked solution that ends in a box or "#### 72".
    """

    prefilled: bool = False
    answer_column: str = "answer"
    __name__ = "accuracy_reward"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    outcome: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("reasoning", "math", "maths", "stem", "logic")

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        golds = column(columns, self.answer_column, len(completions), self.__name__)
        texts = completion_texts(completions, prefilled=self.prefilled)
        # One batch: what needs a worker is shared out over all of them.
        verdicts = verify_math_batch(
            [final_answer(text, prefilled=self.prefilled) for text in texts],
            [_text(gold) for gold in golds],
        )
        return [None if verdict is None else float(verdict) for verdict in verdicts]

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Why no answer can be compared with a row's gold; None where one can."""
        gold = row.get(self.answer_column)
        return f"{self.answer_column}: {gold!r:.60} is no answer to compare with" if _text(gold) is None else None


def _text(gold: Any) -> str | None:
    """The gold as text; None for a hole in a table, and for what is not one answer."""
    try:
        return gold_text(gold)
    except ValueError:
        return None


get_accuracy_reward = AccuracyReward
accuracy_reward = AccuracyReward()
