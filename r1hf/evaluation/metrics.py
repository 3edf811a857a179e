"""The numbers of one model: pass@1, pass@k, the majority's vote, format, language, length, each with its interval.

pass@1 is the mean over problems of the share of right samples (arXiv 2501.12948v2, section 4). Errors and intervals
are over problems, whose samples are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from r1hf.data.rows import Row
from r1hf.evaluation import chat
from r1hf.evaluation.judged import GENERAL, VOTING, Judged, same_answer
from r1hf.evaluation.statistics import Interval, amount, interval
from r1hf.evaluation.votes import by_value, majority, pass_at_k

Groups = Sequence[Sequence[Judged]]  # problems (outer), each with its samples (inner)


def mean_and_error(groups: Sequence[Sequence[float]]) -> tuple[float, float] | tuple[None, None]:
    """The mean of the groups' means and its standard error over groups; None where nothing was judged."""
    means = [sum(group) / len(group) for group in groups if group]
    if not means:
        return None, None
    mean = sum(means) / len(means)
    spread = sum((value - mean) ** 2 for value in means) / max(1, len(means) - 1)
    return mean, math.sqrt(spread / len(means))


def right(groups: Groups) -> list[list[float]]:
    """Of each problem, the verdicts of the samples that were judged."""
    return [[float(i.correct) for i in group if i.correct is not None] for group in groups]


def _rate(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _spread(groups: Groups, value: Callable[[Judged], float | None], share: bool = True) -> list[float | None] | None:
    """The 95% interval of a mean over samples, from the problems' means."""
    own = [[found for item in group if (found := value(item)) is not None] for group in groups]
    means = [sum(group) / len(group) for group in own if group]
    if not means:
        return None
    k = sum(map(len, own)) / len(means)
    return list((interval(means, k) if share else amount(means))[1:])


def reasoning_metrics(groups: Groups, rows: Sequence[Row] = ()) -> dict[str, Any]:
    """Metrics of problems with their samples; with `rows`, those of the problems, the majority's vote too.

    intervals: metric -> [low, high], of 95%. questions: those of which a sample was judged.
    """
    every = [item for group in groups for item in group]
    verdicts = [group for group in right(groups) if group]
    pass_at_1, stderr = mean_and_error(verdicts)
    metrics: dict[str, Any] = {
        "pass_at_1": pass_at_1,
        "stderr": stderr,
        "format_rate": _rate([item.well_formed for item in every]),
        "language_consistency": _rate([item.language_share for item in every if item.language_share is not None]),
        "mean_completion_tokens": _rate([item.completion.tokens for item in every]),
        "truncation_rate": _rate([item.completion.truncated for item in every]),
        "unjudged_rate": _rate([item.correct is None for item in every]),
    }
    if not every:
        return metrics
    intervals = {
        "pass_at_1": _spread(groups, _verdict),
        "format_rate": _spread(groups, lambda item: float(item.well_formed)),
        "language_consistency": _spread(groups, lambda item: item.language_share),
        "mean_completion_tokens": _spread(groups, lambda item: item.completion.tokens, share=False),
        "truncation_rate": _spread(groups, lambda item: float(item.completion.truncated)),
    }
    passes = {f"pass_at_{k}": _pass(verdicts, k) for k in _sizes(verdicts)}
    votes, ties = _votes(rows, groups) if rows else (None, None)
    if votes is not None:
        passes[f"cons_at_{max(map(len, verdicts))}"] = votes
        metrics["cons_ties"] = ties
    metrics |= {name: found.mean for name, found in passes.items()}
    intervals |= {name: [found.low, found.high] for name, found in passes.items()}
    kinds = {"by_kind": by_kind(groups, rows)} if any(row.get("kind") for row in rows) else {}
    return metrics | {"questions": len(verdicts), "intervals": intervals, **kinds}


def pass_metrics(groups: Groups) -> dict[str, Any]:
    """pass@1 of some problems with its error and interval. questions: those of which a sample was judged."""
    verdicts = [group for group in right(groups) if group]
    mean, stderr = mean_and_error(verdicts)
    intervals = {"pass_at_1": _spread(groups, _verdict)}
    return {"pass_at_1": mean, "stderr": stderr, "questions": len(verdicts), "intervals": intervals}


def by_kind(groups: Groups, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """`pass_metrics` of the problems of each `kind`; a row without one is of none. counts: of questions of a chat."""
    kinds: dict[str, list[tuple[Row, Sequence[Judged]]]] = {}
    for row, group in zip(rows, groups, strict=True):
        if row.get("kind"):
            kinds.setdefault(str(row["kind"]), []).append((row, group))
    found = {}
    for kind in sorted(kinds):
        chats = [group for row, group in kinds[kind] if row["task"] == chat.TASK]
        counts = {"counts": chat.counted(chats)} if chats else {}
        found[kind] = pass_metrics([group for _, group in kinds[kind]]) | counts
    return found


def _sizes(verdicts: Sequence[Sequence[float]]) -> list[int]:
    """2, 4, 8, … up to the samples of a problem, and that number."""
    most = min(map(len, verdicts), default=1)
    return sorted({k for k in (*(2**i for i in range(1, 11)), most) if 1 < k <= most})


def _pass(verdicts: Sequence[Sequence[float]], k: int) -> Interval:
    return interval([pass_at_k(round(sum(group)), len(group), k) for group in verdicts])


def _votes(rows: Sequence[Row], groups: Groups) -> tuple[Interval, float] | tuple[None, None]:
    """The majority's vote over problems whose answers are values, and the share of problems where several led."""
    votes = []
    for row, group in zip(rows, groups, strict=True):
        judged = [item for item in group if item.correct is not None]
        if row["task"] not in VOTING or not judged:
            continue
        values = by_value([item.answer for item in judged], partial(same_answer, row))
        votes.append(majority(values, [bool(item.correct) for item in judged]))
    if not votes or max(map(len, groups)) < 2:
        return None, None
    return interval([vote.right for vote in votes]), sum(vote.tied > 1 for vote in votes) / len(votes)


def general_metrics(rows: Sequence[Row], groups: Groups) -> dict[str, Any]:
    """Helpful and harmless rates with their errors, and their intervals; what a judge left open, where it did."""
    found: dict[str, Any] = {}
    intervals = {}
    for task in GENERAL:
        own = [group for row, group in zip(rows, groups, strict=True) if row["task"] == task]
        found[f"{task}_rate"], found[f"{task}_stderr"] = mean_and_error(right(own))
        intervals[f"{task}_rate"] = _spread(own, _verdict)
        if lost := sum(item.correct is None for group in own for item in group):
            found[f"{task}_unjudged_rate"] = lost / sum(map(len, own))
    return found | ({"intervals": intervals} if rows else {})


def _verdict(item: Judged) -> float | None:
    return None if item.correct is None else float(item.correct)
