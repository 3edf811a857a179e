"""Language consistency: the share of target-language words in the thought (DeepSeek-R1 §2.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from r1hf.errors import ConfigError
from r1hf.grammar import has_content, parse
from r1hf.language import detect, target_share
from r1hf.rewards._common import Message, Rewards, column, completion_texts, question_text

Scope = Literal["thinking", "all"]


@dataclass(frozen=True)
class LanguageConsistencyReward:
    """Share, 0.0 to 1.0, of words in the row's target language; None where there is nothing to judge.

    The target is the column `language` (ISO 639-1), and where it is missing or None, the language of the question.
    `scope="thinking"` is the paper's, "all" also reads the answer and text outside the tags. `empty` is the reward
    of a thought that shows something but no words ("3 * 4 = 12"): None abstains, 1.0 is the seed's reading of 0/0.

    Resists: no thought, or a blank one, to dodge the measure (None, never `empty`); words of the other
    language inside `$…$`, code spans, invented commands or full-width letters. Does not tell apart languages of one
    script, and does not look into closed code fences.
    """

    scope: Scope = "thinking"
    empty: float | None = None
    prefilled: bool = False
    language_column: str = "language"
    __name__ = "language_consistency_reward"

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise ConfigError(f"scope {self.scope!r} is unknown; use one of {', '.join(get_args(Scope))}")

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[str | Sequence[Message]],
        completion_ids: Sequence[Any] | None = None,
        **columns: Any,
    ) -> Rewards:
        targets: Sequence[Any] = [None] * len(completions)
        if columns.get(self.language_column) is not None:
            targets = column(columns, self.language_column, len(completions), self.__name__)
        texts = completion_texts(completions, prefilled=self.prefilled)
        return [
            self._score(text, target or detect(question_text(prompt)))
            for prompt, text, target in zip(prompts, texts, targets, strict=True)
        ]

    def _score(self, text: str, target: str | None) -> float | None:
        if target is None:
            return None
        if self.scope == "thinking":
            text = parse(text, prefilled=self.prefilled).reasoning or ""
        if not has_content(text):
            return None
        share = target_share(text, target)
        return self.empty if share is None else share


def get_language_consistency_reward(
    *,
    scope: Scope = "thinking",
    empty: float | None = None,
    prefilled: bool = False,
    language_column: str = "language",
) -> LanguageConsistencyReward:
    """A language-consistency reward; its weight is TRL's `reward_weights` (1 in the paper, 0.2 in the seed)."""
    return LanguageConsistencyReward(scope, empty, prefilled, language_column)


def language_consistency_reward(
    prompts: Sequence[Any],
    completions: Sequence[str | Sequence[Message]],
    completion_ids: Sequence[Any] | None = None,
    **columns: Any,
) -> Rewards:
    """`LanguageConsistencyReward` with its defaults."""
    return LanguageConsistencyReward()(prompts, completions, completion_ids, **columns)
