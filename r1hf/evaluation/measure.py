"""How often a judge is wrong, on rows whose answers people have labelled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from r1hf.core.errors import DataError
from r1hf.core.source import MAX_BAD, Source
from r1hf.data.rows import Row, check_rows
from r1hf.evaluation.judge import Judge, Judgement
from r1hf.evaluation.statistics import wilson

LABELLED = ("question", "answer", "completion", "correct")
_LABELS = {"true": True, "false": False, "1": True, "0": False, "correct": True, "incorrect": False}
FEW = 50  # rows below which a rate says little


def labels(rows: Sequence[Row]) -> list[bool]:
    """The column `correct` as truth values. Raises DataError for another value, with its row."""
    found = []
    for number, row in enumerate(rows, 1):
        value = _LABELS.get(str(row["correct"]).strip().lower())
        if value is None:
            raise DataError(f"labelled row {number}: correct is {row['correct']!r:.60}, neither true nor false")
        found.append(value)
    return found


def check_labelled(problems: list[str], source: Source, columns: Sequence[str], max_bad: float = MAX_BAD) -> list[Row]:
    """The rows of `judge_labelled` as far as they can be read before the start; what is wrong with them is added."""
    rows = check_rows(problems, "judge_labelled", source, columns, max_bad=max_bad)
    try:
        labels(rows)
    except DataError as error:
        problems.append(f"judge_labelled: {error}")
    return rows


def measure(judge: Judge, rows: Sequence[Row]) -> tuple[dict[str, Any], list[Judgement]]:
    """The judge's errors on labelled rows, and its judgements. A rate is of the rows with a verdict; the others are
    counted beside it, under what was wrong with the replies."""
    right = labels(rows)
    before = judge.counts.copy()
    found = judge.judge(rows, [row["completion"] for row in rows])
    counts = judge.counts - before
    pairs = [(one.right, label) for one, label in zip(found, right, strict=True) if one.right is not None]
    wrong = sum(said != label for said, label in pairs)
    accepted = sum(1 for said, label in pairs if said and not label)
    incorrect = sum(not label for _, label in pairs)
    figures = {
        "labelled": len(rows),
        "labelled_correct": sum(right),
        "judged": len(pairs),
        "undecided": len(rows) - len(pairs),
        "errors": wrong,
        **_rate("error", wrong, len(pairs)),
        **_rate("wrong_called_correct", accepted, incorrect),
        **_rate("right_called_incorrect", wrong - accepted, len(pairs) - incorrect),
        "replies": dict(counts),
    }
    return figures, found


def _rate(name: str, count: int, total: int) -> dict[str, Any]:
    """A share with the bounds of its 95% interval; None of nothing."""
    if not total:
        return {f"{name}_rate": None}
    low, high = wilson(count / total, total)
    return {f"{name}_rate": count / total, f"{name}_interval": [round(float(low), 4), round(float(high), 4)]}


def written(judgements: Sequence[Judgement], rows: Sequence[Row]) -> list[Row]:
    """Each row with what the judge said of it."""
    return [row | {"judged": dataclasses.asdict(one)} for row, one in zip(rows, judgements, strict=True)]


def told(figures: dict[str, Any]) -> str:
    """The figures in a sentence."""
    if not figures["judged"]:
        return f"the judge gave no verdict on any of {figures['labelled']} labelled rows: {figures['replies']}"
    low, high = figures["error_interval"]
    few = f"; fewer than {FEW} rows say little" if figures["judged"] < FEW else ""
    return (
        f"the judge is wrong on {figures['errors']} of {figures['judged']} labelled rows "
        f"({figures['error_rate']:.1%}, 95% interval {low:.1%} to {high:.1%}), and gave no verdict on "
        f"{figures['undecided']}{few}"
    )
