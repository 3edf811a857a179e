"""Rewards of a completion's length in tokens: soft punishment near the limit, and correctness scaled by length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards._common import Bounds, RewardFunction, Rewards, token_counts
from r1hf.rewards.accuracy import accuracy_reward


def get_overlong_reward(max_completion_len: int, soft_punish_cache: int) -> RewardFunction:
    """TRL's own `get_soft_overlong_punishment` (DAPO, arXiv 2503.14476, eq. 13), which is right: it counts tokens.

    0.0 up to `max_completion_len - soft_punish_cache` tokens, then falling in a line to -1.0 at `max_completion_len`,
    and -1.0 beyond. Added here: a ConfigError where the cache is no part of the length (TRL then punishes the empty
    completion, or divides by less than zero), and the range for `r1hf.rewards.guard`.

    Resists: filling the context; says nothing about short completions.
    """
    if not 0 <= soft_punish_cache <= max_completion_len or max_completion_len < 1:
        raise ConfigError(
            f"soft_punish_cache {soft_punish_cache} must lie between 0 and max_completion_len {max_completion_len}"
        )
    from trl.rewards import get_soft_overlong_punishment

    reward: Any = get_soft_overlong_punishment(max_completion_len, soft_punish_cache)
    reward.bounds = (-1.0, 0.0)
    return reward


@dataclass(frozen=True)
class CosineReward:
    """Correctness scaled by length in tokens along half a cosine (arXiv 2502.03373, C.1).

    Right: `right_short` at no length to `right_long` at `max_length` and beyond; wrong: `wrong_short` to `wrong_long`.
    `correct` is the reward that judges, 1.0 for right; where it gives None, so does this. Stands in for TRL's
    `get_cosine_scaled_reward`, whose schedule is the same but which judges the whole text with math-verify: an
    answer in the thought counts, string completions raise TypeError, and a hostile answer off the main thread hangs.

    Resists: rambling on beyond `max_length` (no climbing back, unlike open-r1's), multi-byte text read as longer
    (tokens, not characters), a gold that cannot be judged (None, not 1.0). A wrong answer loses less the longer it
    is, which is the paper's intention and an invitation to ramble: set `wrong_short == wrong_long` to take it back.
    """

    max_length: int
    right_short: float = 1.0
    right_long: float = 0.5
    wrong_short: float = -1.0
    wrong_long: float = -0.5
    correct: RewardFunction = field(default=accuracy_reward)
    __name__ = "cosine_reward"

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"max_length {self.max_length} of the cosine reward must be at least 1 token")

    @property
    def bounds(self) -> Bounds:
        ends = (self.right_short, self.right_long, self.wrong_short, self.wrong_long)
        return min(ends), max(ends)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> Rewards:
        lengths = token_counts(completion_ids, len(completions), self.__name__)
        verdicts = self.correct(prompts=prompts, completions=completions, completion_ids=completion_ids, **columns)
        if len(verdicts) != len(completions):
            raise DataError(f"{self.__name__}: {len(verdicts)} verdicts for {len(completions)} completions")
        return [
            None if verdict is None else self._scaled(verdict == 1.0, length)
            for verdict, length in zip(verdicts, lengths, strict=True)
        ]

    def _scaled(self, right: bool, length: int) -> float:
        short, long = (self.right_short, self.right_long) if right else (self.wrong_short, self.wrong_long)
        progress = min(length / self.max_length, 1.0)
        return long + (short - long) * (1.0 + math.cos(progress * math.pi)) / 2


get_cosine_reward = CosineReward
