"""What a reward says of itself: nothing is guessed from its name.

A reward (an instance, or a function with attributes) may declare
    outcome  True where it says whether the final answer is right, 1.0 for right
    aspect   what else it looks at: "format", "language", "preference", "length" …
    bounds   (low, high), both included
    tasks    the values of the column `task` whose rows it can judge; none: every row's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RIGHT = 1.0 - 1e-6  # from here on an outcome reward says right


@dataclass(frozen=True)
class Declared:
    """What one reward declares; the defaults are those of a reward that says nothing."""

    outcome: bool = False
    aspect: str | None = None
    bounds: tuple[float, float] | None = None
    tasks: tuple[str, ...] | None = None


def declared(reward: Any) -> Declared:
    """What a reward declares, whatever guards or routes it; a router's own tasks count."""
    inner = innermost(reward)
    tasks = routed(reward) or getattr(inner, "tasks", None)
    return Declared(
        bool(getattr(inner, "outcome", False)),
        getattr(inner, "aspect", None),
        getattr(inner, "bounds", None),
        (tasks,) if isinstance(tasks, str) else tuple(tasks) if tasks else None,
    )


def innermost(reward: Any) -> Any:
    """What a router or another wrapper holds in its attribute `reward`, and a partial in `func`."""
    while True:
        if hasattr(reward, "reward"):
            reward = reward.reward
        elif hasattr(reward, "func") and not hasattr(reward, "__name__"):
            reward = reward.func
        else:
            return reward


def routed(reward: Any) -> tuple[str, ...] | None:
    """The tasks whose rows a router lets through; None where no router is around the reward."""
    while reward is not None:
        if hasattr(reward, "known_tasks"):
            return tuple(reward.tasks)
        reward = getattr(reward, "reward", None)
    return None


def applies(reward: Any, row: Mapping[str, Any]) -> bool:
    """False where a router gives rows of this task to other rewards, or where a row lacks the tests that it needs."""
    tests = getattr(innermost(reward), "tests_column", None)
    if tests is not None and not row.get(tests):
        return False
    tasks = routed(reward)
    return tasks is None or row.get(getattr(reward, "column", "task")) in tasks
