"""Rows by which a reward can judge nothing, told before anything is trained on them.

A reward with such rows has a method `fault(row) -> str | None`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.core.errors import DataError

_NAMED = 10


def row_fault(reward: Any, row: Mapping[str, Any]) -> str | None:
    """Why `reward` could judge no completion of the row; None where it can, or where it leaves the row to others."""
    while reward is not None:
        if hasattr(reward, "known_tasks") and row.get(reward.column) not in reward.tasks:
            return None
        if (fault := getattr(reward, "fault", None)) is not None:
            return fault(row)
        reward = getattr(reward, "reward", None)  # a router's or a guard's
    return None


def check_judged(rows: Sequence[Mapping[str, Any]], rewards: Mapping[str, Any]) -> None:
    """Raises DataError that counts the rows by which a reward can judge nothing, and names the first of them."""
    faults = [
        f"question {row.get('question')!r:.60}, reward '{name}': {fault}"
        for row in rows
        for name, reward in rewards.items()
        if (fault := row_fault(reward, row)) is not None
    ]
    if faults:
        more = [f"and {len(faults) - _NAMED} more"] if len(faults) > _NAMED else []
        named = "\n".join(f"  - {text}" for text in [*faults[:_NAMED], *more])
        raise DataError(
            f"{len(faults)} of {len(rows)} rows cannot be judged; mend them, or leave them out "
            f"(`r1hf check --only rewards` names files and lines):\n{named}"
        )
