"""Format: is the completion a thought and then an answer, and nothing else? (DeepSeek-R1 §2.2.2)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.grammar import Mode, is_well_formed
from r1hf.rewards._common import Message, Rewards, completion_texts


@dataclass(frozen=True)
class FormatReward:
    """`value` for a well-formed completion, else 0.0 (see `r1hf.grammar.is_well_formed` for the modes).

    Resists: an empty or invisible thought or answer; nested, repeated or reordered tags; text before, between or
    after the blocks; tags that are never closed; a second thought; a `<think>` repeated after a prefilled one.
    """

    mode: Mode = "think_answer"
    prefilled: bool = False
    value: float = 1.0
    __name__ = "format_reward"

    def __post_init__(self) -> None:
        is_well_formed("", self.mode)  # an unknown mode fails here, not in training

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> Rewards:
        texts = completion_texts(completions, prefilled=self.prefilled)
        return [self.value if is_well_formed(text, self.mode, prefilled=self.prefilled) else 0.0 for text in texts]


def get_format_reward(*, mode: Mode = "think_answer", prefilled: bool = False, value: float = 1.0) -> FormatReward:
    """A format reward. The paper's looks at the thought only (`mode="think_only"`); the template asks for both."""
    return FormatReward(mode, prefilled, value)


def format_reward(
    prompts: Sequence[Any],
    completions: Sequence[str | Sequence[Message]],
    completion_ids: Sequence[Any] | None = None,
    **columns: Any,
) -> Rewards:
    """`FormatReward` with its defaults."""
    return FormatReward()(prompts, completions, completion_ids, **columns)
