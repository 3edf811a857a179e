"""One thing that a check found, and how grave it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Grade = Literal["error", "warning", "note", "ok", "skipped"]
GRADES: tuple[Grade, ...] = ("error", "warning", "note", "ok", "skipped")


@dataclass(frozen=True)
class Finding:
    """grade: error: it would fail, or train the wrong thing; warning: it would run, and perhaps not as meant; note:
    to know, nothing to mend; ok: looked at and sound; skipped: could not be looked at here. what: the check. found:
    what is so, with the value. advice: what to do next. where: file and line, where one is to be named.
    """

    grade: Grade
    what: str
    found: str
    advice: str = ""
    where: str = ""


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each grade."""
    grades = [finding.grade for finding in findings]
    return {grade: grades.count(grade) for grade in GRADES}
