"""GRPO's group-relative advantage (DeepSeek-R1 eq. 3), in plain Python: to explain and to test, not to train with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from r1hf.core.errors import ConfigError, DataError

TRL_EPS = 1e-4  # what TRL adds to the sample standard deviation


def group_advantages(rewards: Sequence[float], *, std: str | float = "sample", eps: float = 0.0) -> list[float]:
    """A_i = (r_i - mean) / (std + eps) over the rewards of one prompt's group; all 0.0 where all rewards are equal.

    `std` is "sample" (divides by n - 1, TRL's, with eps=TRL_EPS), "population" (divides by n), "none" (Dr. GRPO:
    centred only) or a fixed positive number. Raises ConfigError for another `std`, DataError for a reward that is
    not finite.
    """
    for position, reward in enumerate(rewards):
        if not math.isfinite(reward):
            raise DataError(f"reward {position} of the group is {reward}; an advantage needs finite rewards")
    scale = _scale(rewards, std)
    if not rewards or max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    return [(reward - mean) / (scale + eps) for reward in rewards]


def _scale(rewards: Sequence[float], std: str | float) -> float:
    if isinstance(std, int | float) and not isinstance(std, bool) and 0 < std < math.inf:
        return float(std)
    if std == "sample":
        return statistics.stdev(rewards) if len(rewards) > 1 else 1.0
    if std == "population":
        return statistics.pstdev(rewards) if rewards else 1.0
    if std == "none":
        return 1.0
    raise ConfigError(f"std {std!r} is unknown; use 'sample', 'population', 'none' or a positive number")
