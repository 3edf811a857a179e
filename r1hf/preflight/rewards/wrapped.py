"""What a reward wraps, and which rows it judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def innermost(reward: Any) -> Any:
    """What a router or another wrapper holds in its attribute `reward`."""
    while hasattr(reward, "reward"):
        reward = reward.reward
    return reward


def applies(reward: Any, row: Mapping[str, Any]) -> bool:
    """False where a router gives rows of this task to other rewards, or where a row lacks the tests that it needs."""
    tests = getattr(innermost(reward), "tests_column", None)
    if tests is not None and not row.get(tests):
        return False
    tasks = getattr(reward, "tasks", None)
    return tasks is None or row.get(getattr(reward, "column", "task")) in tasks
