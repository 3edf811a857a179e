"""One line of the doctor's table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Item:
    """status: fail: it would fail, or train the wrong thing; warn: it would run, and perhaps not as meant; skip: could
    not be checked here. what: the check. found: the value. advice: what to do.
    """

    status: Status
    what: str
    found: str
    advice: str = ""


def passed(items: Iterable[Item]) -> bool:
    """False if any line fails."""
    return all(item.status != "fail" for item in items)
