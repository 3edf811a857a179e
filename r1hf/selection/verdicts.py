"""Verdicts by rule for the row's task: maths, choice, code in the sandbox, reasoning-gym."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1hf.core.errors import DataError, R1Error
from r1hf.data.filters import Verdict
from r1hf.data.rows import Row
from r1hf.evaluation.judged import verdicts_of
from r1hf.rewards import AccuracyReward
from r1hf.sandbox import check_sandbox
from r1hf.verify.code_cases import parse_tests
from r1hf.verify.code_layouts import ROW_KEYS

MATHS = frozenset(AccuracyReward.tasks)
RULED = MATHS | {"choice", "code", "gym"}
NOBODY = Verdict(None, None, "nobody")
_NEEDED = {"choice": "answer", "code": "tests", "gym": "gym"}


def by_rules(rows: Sequence[Row], texts: Sequence[str]) -> list[Verdict]:
    """A verdict on each text by the rule of its row's task; `NOBODY` where there is none, or the row lacks what the
    rule reads. Raises SandboxError where code is to be judged and no sandbox works."""
    faulty = _Faulty()
    ruled = [place for place, row in enumerate(rows) if row.get("task") in RULED and not faulty(row)]
    asked = [rows[place] | {"task": "reasoning"} if rows[place]["task"] in MATHS else rows[place] for place in ruled]
    verdicts = [NOBODY] * len(rows)
    for place, (right, answer, _) in zip(ruled, verdicts_of(asked, [texts[i] for i in ruled]), strict=True):
        verdicts[place] = Verdict(right, answer)
    return verdicts


def check_rules(problems: list[str], rows: Sequence[Row], judged: bool) -> None:
    """Adds what is wrong with the tasks of rows. judged: a judging model takes those without a rule."""
    if any(row.get("task") == "code" for row in rows):
        try:
            check_sandbox()
        except R1Error as error:
            problems.append(f"prompts: task code: {error}")
    strange = sorted({str(row.get("task")) for row in rows} - RULED)
    if strange and not judged:
        problems.append(
            f"prompts: no rule judges task {', '.join(strange)} (rules: {', '.join(sorted(RULED))}); leave the "
            "rows out, or in rejection sampling name a model that judges them: judge: MODEL"
        )


class _Faulty:
    """Whether a row lacks what its rule reads; each row is looked at once, however many samples it has."""

    def __init__(self) -> None:
        self.known: dict[int, bool] = {}

    def __call__(self, row: Row) -> bool:
        if id(row) not in self.known:
            self.known[id(row)] = _is_faulty(row)
        return self.known[id(row)]


def _is_faulty(row: Row) -> bool:
    value: Any = row.get(_NEEDED.get(row["task"], "answer"))
    if value is None:
        return True
    try:
        if row["task"] == "code":
            parse_tests(value, {key: row.get(key) for key in ROW_KEYS})
        elif row["task"] == "gym":
            verdicts_of([row], ["<answer>0</answer>"])
    except (DataError, KeyError, TypeError, ValueError):
        return True
    return False
