"""Repetition: a penalty for text that goes round in circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, completion_texts
from r1hf.text.repetition import repeated_share


@dataclass(frozen=True)
class RepetitionReward:
    """0.0 for text that does not repeat itself, down to `max_penalty` for one that does nothing else.

    The share of n-grams that occurred before (arXiv 2502.03373, C.2), less what is `allowed`, scaled to
    `max_penalty`. Units are words, signs, and single characters where a script has no spaces. Stands in for TRL's
    `get_repetition_penalty_reward`, which counts token ids: with a byte-level tokenizer a Chinese character is three
    tokens, so a character that occurs twice is a repeated 3-gram; and its 3-grams charge honest derivations, which
    say "= 2x + 1" many times (docs/rewards.md has both measured). Text of fewer than `ngram_size` units costs nothing.

    Resists: loops of words, lines, signs or letters without spaces, in any script, in the thought or after it. Not
    rambling in ever new words.
    """

    ngram_size: int = 10
    max_penalty: float = -1.0
    allowed: float = 0.2
    __name__ = "repetition_reward"
    aspect: ClassVar[str] = "repetition"

    def __post_init__(self) -> None:
        problems = []
        if self.ngram_size < 1:
            problems.append(f"ngram_size {self.ngram_size} of the repetition reward must be at least 1")
        if self.max_penalty > 0:
            problems.append(f"max_penalty {self.max_penalty} of the repetition reward must not be positive")
        if not 0 <= self.allowed < 1:
            problems.append(f"allowed {self.allowed} of the repetition reward must be a share from 0 to below 1")
        if problems:
            raise ConfigError(problems)

    @property
    def bounds(self) -> Bounds:
        return self.max_penalty, 0.0

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        return [self._score(text) for text in completion_texts(completions)]

    def _score(self, text: str) -> float:
        over = repeated_share(text, self.ngram_size) - self.allowed
        return self.max_penalty * over / (1 - self.allowed) if over > 0 else 0.0


repetition_reward = RepetitionReward()
get_repetition_reward = RepetitionReward
