"""Language consistency: the share of target-language words in the thought (DeepSeek-R1 §2.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, column, completion_texts, question_text
from r1hf.text.forms import has_content
from r1hf.text.grammar import parse
from r1hf.text.language import target_of, target_share

Scope = Literal["thinking", "all"]


@dataclass(frozen=True)
class LanguageConsistencyReward:
    """Share, 0.0 to 1.0, of words in the row's target language; None where there is no thought.

    The target is the column `language` (ISO 639-1), and where it is missing, None, NaN or blank, the language of the
    question. A language that `r1hf.text.language.language_code` does not know is judged None: no row ends a training.
    `scope="thinking"` is the paper's, "all" also reads the answer and text outside the tags. `empty` is the reward
    of a thought that shows something but no words ("3 * 4 = 12"): 1.0, as nothing in it is of another language. None
    would abstain, and be left out of that completion's sum alone: a policy would be paid for adding words to formulas.
    A thought of fewer than `min_words` words, but not of none, is None; 1 by default, so that one word is judged.

    Resists: no thought, or a blank one, to dodge the measure (None, never `empty`); words of the other
    language inside `$…$`, quotes, code, identifiers, paths, capitals, invented commands or full-width letters. Hardly
    sees one or two foreign words among many of the same script.
    """

    scope: Scope = "thinking"
    empty: float | None = 1.0
    prefilled: bool = False
    language_column: str = "language"
    min_words: int = 1
    __name__ = "language_consistency_reward"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    aspect: ClassVar[str] = "language"

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise ConfigError(f"scope {self.scope!r} is unknown; use one of {', '.join(get_args(Scope))}")
        if self.min_words < 1:
            raise ConfigError(f"min_words is {self.min_words}; it must be at least 1")

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        targets: Sequence[Any] = [None] * len(completions)
        if columns.get(self.language_column) is not None:
            targets = column(columns, self.language_column, len(completions), self.__name__)
        texts = completion_texts(completions, prefilled=self.prefilled)
        return [
            self._score(text, target_of(target, question_text(prompt)))
            for prompt, text, target in zip(prompts, texts, targets, strict=True)
        ]

    def _score(self, text: str, target: str | None) -> float | None:
        if target is None:
            return None
        response = parse(text, prefilled=self.prefilled)
        thought = response.reasoning or ""
        if not has_content(thought if self.scope == "thinking" else f"{thought} {response.visible}"):
            return None
        text = thought if self.scope == "thinking" else text
        share = target_share(text, target)
        if share is None:
            return self.empty
        return share if self.min_words == 1 else target_share(text, target, min_words=self.min_words)


get_language_consistency_reward = LanguageConsistencyReward
language_consistency_reward = LanguageConsistencyReward()
