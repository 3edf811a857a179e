"""Tasks of reasoning-gym, paid as the task's own scorer says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.rewards._common import AnswerReward, Ids, Prompts, Replies, Rewards, column, missing, optional_column
from r1hf.text.grammar import ANSWER_OPEN, parse
from r1hf.verify.gym import check_installed, score_gym, verify_gym


@dataclass(frozen=True)
class GymReward(AnswerReward):
    """1.0 where the task's own scorer gives the full mark, else 0.0; `partial` pays the scorer's mark as it is.

    The column `gym` holds the task (`r1hf.verify.gym.gym_rows` makes it); without it the columns `metadata` (a dict or
    JSON, with reasoning-gym's `source_dataset`) and `answer` do. Needs the extra `gym`. None where the scorer fails on
    the task's own answer.

    Resists: answers that are code or never end (scored in a process with `eval` taken away, under limits); the part
    of the mark that many scorers give for a wrong answer, or for one that contains the right one (`partial` pays
    it); two answers, an answer in the thought only or cut off. No better than the scorer otherwise: puzzle24's takes
    any four numbers of its range.
    """

    partial: bool = False
    gym_column: str = "gym"
    __name__ = "gym_reward"
    tasks: ClassVar[tuple[str, ...]] = ("gym",)

    def __post_init__(self) -> None:
        check_installed()  # before training

    def golds(self, columns: Mapping[str, Any], count: int) -> Sequence[Any]:
        if columns.get(self.gym_column) is not None or columns.get("metadata") is None:
            return column(columns, self.gym_column, count, self.__name__)
        names = (column(columns, "metadata", count, self.__name__), optional_column(columns, "dataset", count, ""))
        answers = column(columns, self.answer_column, count, self.__name__)
        questions = optional_column(columns, "question", count, self.__name__)
        return [_task(*row) for row in zip(*names, answers, questions, strict=True)]

    def answer(self, text: str) -> str | None:
        """All of a closed `<answer>`: a grid or a plan has lines that look like statements."""
        response = parse(text, prefilled=self.prefilled)
        twice = ANSWER_OPEN in response.trailing or ANSWER_OPEN in response.visible
        if response.answer_tagged and response.answer_closed and not twice and "\\boxed" not in response.visible:
            return response.answer
        return super().answer(text)

    def is_idle(self, gold: Any) -> bool:
        return missing(gold)  # its scorer takes a process, too long for every row

    def judge(self, answer: str | None, gold: Any) -> bool | float | None:
        if missing(gold):
            return None
        return score_gym(answer, gold) if self.partial else verify_gym(answer, gold)


def _task(metadata: Any, dataset: str | None, answer: Any, question: Any) -> dict[str, Any] | None:
    if missing(metadata):
        return None
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    name = dataset or metadata.get("source_dataset")
    return {"dataset": name, "entry": {"question": question, "answer": answer, "metadata": metadata}}


def gym_reward(prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
    """`GymReward` with its defaults."""
    return GymReward()(prompts, completions, completion_ids, **columns)


get_gym_reward = GymReward
