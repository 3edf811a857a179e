"""Repetition: a penalty for text that goes round in circles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import Bounds, Message, Rewards, completion_texts

# One unit: a character of a script without spaces (Thai, Burmese, Khmer, Japanese, Chinese), a word, or a sign.
# Long words come in pieces, so that "hahaha…" repeats itself too.
_UNIT = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W_]{1,16}|[^\w\s]|_"
)


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

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> Rewards:
        return [self._score(text) for text in completion_texts(completions)]

    def _score(self, text: str) -> float:
        over = repeated_share(text, self.ngram_size) - self.allowed
        return self.max_penalty * over / (1 - self.allowed) if over > 0 else 0.0


def repeated_share(text: str, ngram_size: int) -> float:
    """The share of the n-grams in `text` that occurred before, 0.0 to below 1.0; 0.0 where there is none."""
    units = _UNIT.findall(text.casefold())
    ngrams = list(zip(*(units[start:] for start in range(ngram_size)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


repetition_reward = RepetitionReward()
get_repetition_reward = RepetitionReward
