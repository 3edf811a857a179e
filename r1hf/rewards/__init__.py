"""Judgement: rewards with TRL's signature `(prompts, completions, completion_ids, **columns) -> [float or None]`.

None means "could not judge" and is never a zero. Every reward can be pickled.
"""

from r1hf.rewards._common import completion_texts, question_text
from r1hf.rewards.accuracy import AccuracyReward, accuracy_reward, get_accuracy_reward
from r1hf.rewards.control import RandomReward, get_random_reward, random_reward
from r1hf.rewards.format import FormatReward, format_reward, get_format_reward
from r1hf.rewards.language import (
    LanguageConsistencyReward,
    get_language_consistency_reward,
    language_consistency_reward,
)
from r1hf.rewards.routing import TaskRouter, only_for, route

__all__ = [
    "AccuracyReward",
    "FormatReward",
    "LanguageConsistencyReward",
    "RandomReward",
    "TaskRouter",
    "accuracy_reward",
    "completion_texts",
    "format_reward",
    "get_accuracy_reward",
    "get_format_reward",
    "get_language_consistency_reward",
    "get_random_reward",
    "language_consistency_reward",
    "only_for",
    "question_text",
    "random_reward",
    "route",
]
