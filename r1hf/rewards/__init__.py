"""Judgement: rewards with TRL's signature `(prompts, completions, completion_ids, **columns) -> [float or None]`.

None means "could not judge" and is never a zero. Every reward can be pickled. docs/rewards.md is the table of them.
"""

from r1hf.rewards._common import completion_texts, question_text
from r1hf.rewards.accuracy import AccuracyReward, accuracy_reward, get_accuracy_reward
from r1hf.rewards.choice import ChoiceReward, choice_reward, get_choice_reward
from r1hf.rewards.code import CodeReward, code_reward, get_code_reward
from r1hf.rewards.control import RandomReward, get_random_reward, random_reward
from r1hf.rewards.countdown import CountdownReward, countdown_reward, get_countdown_reward
from r1hf.rewards.format import FormatReward, format_reward, get_format_reward
from r1hf.rewards.guard import GuardedReward, RewardError, guarded
from r1hf.rewards.gym import GymReward, get_gym_reward, gym_reward
from r1hf.rewards.language import (
    LanguageConsistencyReward,
    get_language_consistency_reward,
    language_consistency_reward,
)
from r1hf.rewards.length import CosineReward, get_cosine_reward, get_overlong_reward
from r1hf.rewards.repetition import RepetitionReward, get_repetition_reward, repetition_reward
from r1hf.rewards.routing import TaskRouter, only_for, route
from r1hf.rewards.text import TextReward, get_text_reward, text_reward

__all__ = [
    "AccuracyReward",
    "ChoiceReward",
    "CodeReward",
    "CosineReward",
    "CountdownReward",
    "FormatReward",
    "GuardedReward",
    "GymReward",
    "LanguageConsistencyReward",
    "RandomReward",
    "RepetitionReward",
    "RewardError",
    "TaskRouter",
    "TextReward",
    "accuracy_reward",
    "choice_reward",
    "code_reward",
    "completion_texts",
    "countdown_reward",
    "format_reward",
    "get_accuracy_reward",
    "get_choice_reward",
    "get_code_reward",
    "get_cosine_reward",
    "get_countdown_reward",
    "get_format_reward",
    "get_gym_reward",
    "get_language_consistency_reward",
    "get_overlong_reward",
    "get_random_reward",
    "get_repetition_reward",
    "get_text_reward",
    "guarded",
    "gym_reward",
    "language_consistency_reward",
    "only_for",
    "question_text",
    "random_reward",
    "repetition_reward",
    "route",
    "text_reward",
]
