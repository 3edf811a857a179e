"""Format: is the completion a thought and then an answer, and nothing else? (DeepSeek-R1 §2.2.2)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, completion_texts
from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import Mode


@dataclass(frozen=True)
class FormatReward:
    """`value` for a well-formed completion, else 0.0 (see `r1hf.text.forms.is_well_formed` for the modes).

    Resists: an empty or invisible thought or answer; nested, repeated or reordered tags; text before, between or
    after the blocks; tags that are never closed; a second thought; a `<think>` repeated after a prefilled one.
    The paper's reward looks at the thought only (`mode="think_only"`); its template asks for both.
    """

    mode: Mode = "think_answer"
    prefilled: bool = False
    value: float = 1.0
    __name__ = "format_reward"
    aspect: ClassVar[str] = "format"

    def __post_init__(self) -> None:
        is_well_formed("", self.mode)  # an unknown mode fails here, not in training

    @property
    def bounds(self) -> Bounds:
        return min(0.0, self.value), max(0.0, self.value)

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        texts = completion_texts(completions, prefilled=self.prefilled)
        return [self.value if is_well_formed(text, self.mode, prefilled=self.prefilled) else 0.0 for text in texts]


format_reward = FormatReward()
get_format_reward = FormatReward
