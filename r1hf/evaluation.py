"""Evaluation: pass@1 over k samples with a standard error, format, language, length; general prompts by rule.

pass@1 is the mean over problems of the share of right samples (arXiv 2501.12948v2, section 4); its standard error is
over problems, whose samples are not independent.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.data.rows import Row
from r1hf.models.sampling import Completion, Sampler
from r1hf.text.grammar import is_well_formed, parse
from r1hf.text.language import target_of, target_share
from r1hf.verify import read_answer, verify_math


@dataclass(frozen=True)
class Judged:
    """What is known of one completion. A value is None where it does not apply."""

    completion: Completion
    correct: bool | None
    well_formed: bool
    language_share: float | None


def judge(row: Row, completion: Completion) -> Judged:
    """One completion against its row: by the gold answer, or by the row's `reference` and `forbidden` text."""
    response = parse(completion.text)
    correct = (
        verify_math(read_answer(completion.text), row["answer"])
        if row["task"] == "reasoning"
        else follows_reference(row, completion.text)
    )
    target = target_of(row["language"], row["question"]) if response.reasoning else None
    share = target_share(response.reasoning or "", target) if target else None
    return Judged(completion, correct, is_well_formed(completion.text), share)


def follows_reference(row: Row, text: str) -> bool:
    """The rule for general prompts, over the columns that a row has.

    reference: the whole answer. required: text in the answer, such as a refusal. forbidden: text that must stand
    nowhere in the response, thinking included. A response that was never closed is not good.
    """
    response = parse(text)
    answer = _plain(response.answer or "")
    reference, required, forbidden = (_plain(row.get(name) or "") for name in ("reference", "required", "forbidden"))
    if response.truncated or not answer or (forbidden and forbidden in _plain(text)):
        return False
    return required in answer and reference in ("", answer)


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def mean_and_error(groups: Sequence[Sequence[float]]) -> tuple[float, float] | tuple[None, None]:
    """The mean of the groups' means and its standard error over groups; None where nothing was judged."""
    means = [sum(group) / len(group) for group in groups if group]
    if not means:
        return None, None
    mean = sum(means) / len(means)
    spread = sum((value - mean) ** 2 for value in means) / max(1, len(means) - 1)
    return mean, math.sqrt(spread / len(means))


def _rate(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def reasoning_metrics(groups: Sequence[Sequence[Judged]]) -> dict[str, float | None]:
    """Metrics of problems (outer) with k samples each (inner)."""
    every = [item for group in groups for item in group]
    pass_at_1, stderr = mean_and_error([[i.correct for i in g if i.correct is not None] for g in groups])
    return {
        "pass_at_1": pass_at_1,
        "stderr": stderr,
        "format_rate": _rate([item.well_formed for item in every]),
        "language_consistency": _rate([item.language_share for item in every if item.language_share is not None]),
        "mean_completion_tokens": _rate([item.completion.tokens for item in every]),
        "truncation_rate": _rate([item.completion.truncated for item in every]),
        "unjudged_rate": _rate([item.correct is None for item in every]),
    }


def general_metrics(rows: Sequence[Row], groups: Sequence[Sequence[Judged]]) -> dict[str, float | None]:
    """Helpful and harmless rates with their errors."""
    found: dict[str, float | None] = {}
    for task in ("helpful", "harmless"):
        own = [group for row, group in zip(rows, groups, strict=True) if row["task"] == task]
        found[f"{task}_rate"], found[f"{task}_stderr"] = mean_and_error([[bool(i.correct) for i in g] for g in own])
    return found


def judge_samples(sampler: Sampler, rows: Sequence[Row], k: int, **sampling: Any) -> list[list[Judged]]:
    """k judged samples of each row."""
    prompts = sampler.chat([row["question"] for row in rows])
    groups = sampler.sample(prompts, k, **sampling)
    return [[judge(row, item) for item in group] for row, group in zip(rows, groups, strict=True)]
