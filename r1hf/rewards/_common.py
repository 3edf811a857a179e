"""What every reward needs: the text of a completion in any of TRL's shapes, and the question in a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.core.errors import DataError
from r1hf.rewards.question import asked
from r1hf.text.grammar import THINK_CLOSE, THINK_OPEN
from r1hf.verify.extract import final_answer
from r1hf.verify.placeholder import is_placeholder

Rewards = list[float | None]
RewardFunction = Callable[..., Rewards]
Message = Mapping[str, Any]
Prompts = Sequence[Any]
Replies = Sequence[str | Sequence[Message]]
Ids = Sequence[Any] | None  # of a completion's tokens
Bounds = tuple[float, float]

_REASONING = ("reasoning_content", "reasoning", "thinking")  # what TRL's and transformers' response parsers call it


def completion_texts(completions: Replies, *, prefilled: bool = False) -> list[str]:
    """One text per completion, thought included, whether TRL hands over strings or messages.

    Of a conversation the last assistant message counts. A thought that the tokenizer has split off (`reasoning`,
    `reasoning_content` or `thinking`) is written back as `<think>…</think>`, without the opening tag if `prefilled`.
    """
    return [text if isinstance(text, str) else _message_text(text, prefilled) for text in completions]


def _message_text(messages: Sequence[Message], prefilled: bool) -> str:
    message = next((message for message in reversed(messages) if message.get("role") == "assistant"), None)
    if message is None:
        return ""
    content = content_text(message.get("content"))
    reasoning = next((text for name in _REASONING if (text := content_text(message.get(name)))), "")
    if not reasoning:
        return content
    opening = "" if prefilled else THINK_OPEN
    return f"{opening}{reasoning}{THINK_CLOSE}{content}" if content.strip() else f"{opening}{reasoning}"


def content_text(content: Any) -> str:
    """The text of a message's content: a string, a list of parts (strings, or dicts with `text`), or None."""
    if isinstance(content, str):
        return content
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in content or ())
    return "".join(part for part in parts if isinstance(part, str))


def question_text(prompt: str | Sequence[Message]) -> str:
    """The question in a prompt: the last user message, or that of a prompt which is rendered already.

    The marks of the usual chat templates are known, and labels such as "User:" (用户：, Problem: …). A prompt without
    any is the question itself.
    """
    if isinstance(prompt, str):
        return asked(prompt)
    users = [message for message in prompt if message.get("role") == "user"]
    return content_text(users[-1].get("content")) if users else ""


def column(columns: Mapping[str, Any], name: str, count: int, needed_by: str) -> Sequence[Any]:
    """The data set's column `name`, one value a row. Raises DataError naming the columns there are."""
    values = columns.get(name)
    if not isinstance(values, Sequence) or isinstance(values, str):
        lists = sorted(key for key, value in columns.items() if isinstance(value, list))
        raise DataError(
            f"{needed_by} needs the column {name!r}, but the data set has only "
            f"{', '.join(lists) or 'the prompt'}: add it, or name another column"
        )
    if len(values) != count:
        raise DataError(f"{needed_by}: column {name!r} has {len(values)} values for {count} completions")
    return values


def optional_column(columns: Mapping[str, Any], name: str, count: int, needed_by: str) -> Sequence[Any]:
    """`column`, or a None for each row where the data set has no such column."""
    return [None] * count if columns.get(name) is None else column(columns, name, count, needed_by)


def token_counts(completion_ids: Sequence[Sequence[int]] | None, count: int, needed_by: str) -> list[int]:
    """Tokens of each completion. Raises DataError where TRL's `completion_ids` are missing."""
    if completion_ids is None or len(completion_ids) != count:
        found = "none" if completion_ids is None else len(completion_ids)
        raise DataError(
            f"{needed_by} measures length in tokens and needs `completion_ids` for each of {count} "
            f"completions; it got {found}"
        )
    return [len(ids) for ids in completion_ids]


def function_name(reward: Any) -> str:
    """The name TRL gives the reward in its metrics."""
    while hasattr(reward, "func") and not hasattr(reward, "__name__"):
        reward = reward.func  # functools.partial
    return getattr(reward, "__name__", type(reward).__name__)


def missing(value: Any) -> bool:
    """Whether a gold value is a hole, or a word that stands for one (`r1hf.verify.placeholder`)."""
    return is_placeholder(value)


@dataclass(frozen=True)
class AnswerReward:
    """Base of rewards for a final answer: 1.0 right, 0.0 wrong or missing, None where the gold cannot be judged.

    A subclass says what it reads from the data set (`golds`, one value a row) and compares (`judge`).
    """

    prefilled: bool = False
    answer_column: str = "answer"
    __name__ = "answer_reward"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    outcome: ClassVar[bool] = True

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        golds = self.golds(columns, len(completions))
        texts = completion_texts(completions, prefilled=self.prefilled)
        verdicts = [self.judge(self.answer(text), gold) for text, gold in zip(texts, golds, strict=True)]
        return [None if verdict is None else float(verdict) for verdict in verdicts]

    def golds(self, columns: Mapping[str, Any], count: int) -> Sequence[Any]:
        return column(columns, self.answer_column, count, self.__name__)

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Why no completion can be judged by a row; None where one can."""
        try:
            (gold,) = self.golds({name: [value] for name, value in row.items()}, 1)
        except DataError as error:
            return str(error)
        return f"{gold!r:.80} is nothing to compare an answer with" if self.is_idle(gold) else None

    def is_idle(self, gold: Any) -> bool:
        """Whether a gold leaves every answer unjudged."""
        return self.judge(self.answer(""), gold) is None

    def answer(self, text: str) -> str | None:
        return final_answer(text, prefilled=self.prefilled)

    def judge(self, answer: str | None, gold: Any) -> bool | float | None:
        raise NotImplementedError
