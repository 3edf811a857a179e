"""Rows by which a reward can judge nothing, told before anything is trained on them.

A reward with such rows has a method `fault(row) -> str | None`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.core.errors import DataError
from r1hf.data.bad import named

Row = dict[str, Any]


def row_fault(reward: Any, row: Mapping[str, Any]) -> str | None:
    """Why `reward` could judge no completion of the row; None where it can, or where it leaves the row to others."""
    while reward is not None:
        if hasattr(reward, "known_tasks") and row.get(reward.column) not in reward.tasks:
            return None
        if (fault := getattr(reward, "fault", None)) is not None:
            return fault(row)
        reward = getattr(reward, "reward", None)  # a router's or a guard's
    return None


def judged_rows(
    rows: Sequence[Row], rewards: Mapping[str, Any], allowed: float, notes: list[str]
) -> tuple[list[Row], int]:
    """The rows by which every reward can judge, and how many others there are; `notes` gets a sentence about those.

    Raises DataError where they are more than the share `allowed`, or all.
    """
    faults = {
        number: f"question {row.get('question')!r:.60}, reward '{name}': {fault}"
        for number, row in enumerate(rows)
        for name, reward in rewards.items()
        if (fault := row_fault(reward, row)) is not None
    }
    if not faults:
        return list(rows), 0
    count = f"{len(faults)} of {len(rows)} rows cannot be judged"
    shown = named(list(faults.values()), "\n  - ")
    if len(faults) == len(rows) or len(faults) > allowed * len(rows):
        raise DataError(
            f"{count}, and max_bad_rows is {allowed:g}; mend them, or leave them out "
            f"(`r1hf check --only rewards` names files and lines):\n  - {shown}"
        )
    notes.append(f"{count}, left out:\n  - {shown}")
    return [row for number, row in enumerate(rows) if number not in faults], len(faults)
