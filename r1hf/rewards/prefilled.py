"""Completions of a prompt that ended in `<think>`, given to rewards as if the model had written the tag too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.rewards._common import Bounds, RewardFunction, Rewards, content_text, function_name
from r1hf.text.grammar import THINK_OPEN, opening


@dataclass(frozen=True)
class PrefilledReward:
    """`reward` over whole responses: `start` (a prompt's `opening`) is put before every completion."""

    reward: RewardFunction
    start: str = THINK_OPEN

    @property
    def __name__(self) -> str:
        return function_name(self.reward)

    @property
    def bounds(self) -> Bounds | None:
        return getattr(self.reward, "bounds", None)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:
        whole = [self._whole(completion) for completion in completions]
        return self.reward(prompts=prompts, completions=whole, **columns)

    def _whole(self, completion: Any) -> Any:
        if isinstance(completion, str):
            return self.start + completion
        turns = [dict(message) for message in completion]
        for turn in reversed(turns):
            if turn.get("role") == "assistant":
                # Where a parser has split the thought off, rewards write its tags back themselves.
                if not any(turn.get(name) for name in ("reasoning", "reasoning_content", "thinking")):
                    turn["content"] = self.start + content_text(turn.get("content"))
                break
        return turns


def prefilled(reward: RewardFunction, prompt: str) -> RewardFunction:
    """`reward`, seeing whole responses where `prompt` (as the policy reads it) ends in `<think>`.

    A reward that was made for such prompts (`prefilled=True`) stays as it is.
    """
    start = opening(prompt)
    inner: Any = reward
    while inner is not None:
        if getattr(inner, "prefilled", False):
            return reward
        inner = getattr(inner, "reward", None)  # a router's or a guard's
    return PrefilledReward(reward, start) if start else reward
