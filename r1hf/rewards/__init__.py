"""Judgement: rewards with TRL's signature `(prompts, completions, completion_ids, **columns) -> [float or None]`.

None means "could not judge": a row as a whole, since within a group TRL counts it as a zero. Every reward can be
pickled. docs/rewards.md is the table of them.
Each is imported from its own file when it is asked for.
"""

from __future__ import annotations

from r1hf.core.lazy import lazily

_NAMES = {
    "_common": ("completion_texts", "question_text"),
    "accuracy": ("AccuracyReward", "accuracy_reward", "get_accuracy_reward"),
    "choice": ("ChoiceReward", "choice_reward", "get_choice_reward"),
    "code": ("CodeReward", "code_reward", "get_code_reward"),
    "random_control": ("RandomReward", "get_random_reward", "random_reward"),
    "countdown": ("CountdownReward", "countdown_reward", "get_countdown_reward"),
    "declared": ("Declared", "declared"),
    "format": ("FormatReward", "format_reward", "get_format_reward"),
    "guard": ("GuardedReward", "RewardError", "guarded"),
    "gym": ("GymReward", "get_gym_reward", "gym_reward"),
    "language": ("LanguageConsistencyReward", "get_language_consistency_reward", "language_consistency_reward"),
    "overlong": ("OverlongReward", "get_overlong_reward"),
    "preference": ("PreferenceReward",),
    "repetition": ("RepetitionReward", "get_repetition_reward", "repetition_reward"),
    "routing": ("TaskRouter", "only_for"),
    "table": ("TABLE", "build"),
    "text": ("TextReward", "get_text_reward", "text_reward"),
}
__getattr__, __all__ = lazily(__name__, _NAMES)
