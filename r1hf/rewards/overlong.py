"""Overlong: a soft punishment of completions that come near the limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, token_counts


@dataclass(frozen=True)
class OverlongReward:
    """TRL's own `get_soft_overlong_punishment` (DAPO, arXiv 2503.14476, eq. 13), which is right: it counts tokens.

    0.0 up to `max_completion_len - soft_punish_cache` tokens, then falling in a line to -1.0 at `max_completion_len`,
    and -1.0 beyond. Added here: a ConfigError where the cache is no part of the length (TRL then punishes the empty
    completion, or divides by less than zero), and what it declares.

    Resists: filling the context; says nothing about short completions.
    """

    max_completion_len: int
    soft_punish_cache: int
    __name__ = "overlong_reward"
    aspect: ClassVar[str] = "length"
    bounds: ClassVar[Bounds] = (-1.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 <= self.soft_punish_cache <= self.max_completion_len or self.max_completion_len < 1:
            raise ConfigError(
                f"soft_punish_cache {self.soft_punish_cache} must lie between 0 and max_completion_len "
                f"{self.max_completion_len}"
            )

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        from trl.rewards import get_soft_overlong_punishment

        token_counts(completion_ids, len(completions), self.__name__)
        return get_soft_overlong_punishment(self.max_completion_len, self.soft_punish_cache)(
            completion_ids=completion_ids
        )


get_overlong_reward = OverlongReward
