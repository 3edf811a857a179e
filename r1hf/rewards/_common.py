"""What every reward needs: the text of a completion in any of TRL's shapes, and the question in a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1hf.errors import DataError
from r1hf.grammar import THINK_CLOSE, THINK_OPEN

Rewards = list[float | None]
RewardFunction = Callable[..., Rewards]
Message = Mapping[str, Any]

_QUESTION = re.compile(
    r"(?:User|用户|用戶|Problem|Question|问题|問題)\s*[:：]\s*"
    r"(?P<question>.+?)[.。]?\s*(?:(?:Assistant|助手|Solution|Answer|答案|解答)\s*[:：]\s*)?$",
    re.DOTALL,
)
_SPEAKER = re.compile(r"(?:User|用户|用戶|Problem|Question|问题|問題)\s*[:：]")


def completion_texts(completions: Sequence[str | Sequence[Message]], *, prefilled: bool = False) -> list[str]:
    """One text per completion, thought included, whether TRL hands over strings or messages.

    Of a conversation the last assistant message counts. A thought that the tokenizer has split off (`reasoning` or
    `reasoning_content`) is written back as `<think>…</think>`, without the opening tag if `prefilled`.
    """
    return [text if isinstance(text, str) else _message_text(text, prefilled) for text in completions]


def _message_text(messages: Sequence[Message], prefilled: bool) -> str:
    message = next((message for message in reversed(messages) if message.get("role") == "assistant"), None)
    if message is None:
        return ""
    content = content_text(message.get("content"))
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    if not reasoning:
        return content
    opening = "" if prefilled else THINK_OPEN
    return f"{opening}{reasoning}{THINK_CLOSE}{content}" if content.strip() else f"{opening}{reasoning}"


def content_text(content: Any) -> str:
    """The text of a message's content: a string, a list of parts, or None."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if isinstance(part, Mapping))


def question_text(prompt: str | Sequence[Message]) -> str:
    """The question in a prompt: the last user message, or what follows the last "User:" (用户：, Problem: …) label.

    A prompt without such a label is the question itself.
    """
    if not isinstance(prompt, str):
        users = [message for message in prompt if message.get("role") == "user"]
        return content_text(users[-1].get("content")) if users else ""
    labels = list(_SPEAKER.finditer(prompt))
    match = _QUESTION.match(prompt, labels[-1].start()) if labels else None
    return match["question"] if match else prompt


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
