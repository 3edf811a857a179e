"""A reward that knows nothing, as a control: what improves under it was not learned from the reward."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, completion_texts


@dataclass(frozen=True)
class RandomReward:
    """1.0 with `probability`, else 0.0, decided by a hash of seed, prompt and completion (arXiv 2506.10947).

    The same text always gets the same reward, in any process and any order.
    """

    seed: int = 0
    probability: float = 0.5
    __name__ = "random_reward"
    bounds: ClassVar[Bounds] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability {self.probability} of the random reward is not between 0 and 1")

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        texts = completion_texts(completions)
        return [
            float(self._draw(prompt, text) < self.probability) for prompt, text in zip(prompts, texts, strict=True)
        ]

    def _draw(self, prompt: Any, text: str) -> float:
        digest = hashlib.blake2b(json.dumps([self.seed, prompt, text]).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


random_reward = RandomReward()
get_random_reward = RandomReward
