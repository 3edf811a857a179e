"""Answers held against a baseline's by a judging model, in the form of AlpacaEval and Arena-Hard.

Each answer is shown twice, as A and as B, since judges favour a place; the mean of the two verdicts counts (a win 1, a
tie 1/2, a loss 0). A reply without a verdict is asked for again, then counted, and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1hf.data.rows import Row, load_rows
from r1hf.evaluation.judge import Asker, Key, shown_answer, ticket
from r1hf.evaluation.length_control import length_controlled
from r1hf.evaluation.replies import Reply
from r1hf.evaluation.statistics import Interval, interval
from r1hf.text import prompt_templates as templates
from r1hf.text.quoting import quoted

PREFERENCES = "preferences.jsonl"
TASK = "pair"  # of rows whose answers are held against the column `baseline`
FIELDS = ("question", "first", "second", "ticket")
TEMPLATE = "judge_pair"
OF_THE_FIRST = {"a": 1.0, "b": 0.0, "tie": 0.5}  # verdict -> what the answer that is shown first has won


@dataclass(frozen=True)
class Preference:
    """One answer against the baseline's.

    value: the mean of both orders, None where the judge said nothing that counts in one, and `fault` says why. as_a,
    as_b: what the answer won where it was shown first and second. length, baseline_length: characters that were shown.
    """

    value: float | None
    reason: str = ""
    fault: str = ""
    as_a: float | None = None
    as_b: float | None = None
    length: int = 0
    baseline_length: int = 0


@dataclass
class PairJudge(Asker):
    """template: a prompt by name or file, with FIELDS."""

    template: str = TEMPLATE

    def judge(self, rows: Sequence[Row], answers: Sequence[str]) -> list[Preference]:
        """A preference for each answer against `baseline` of its row. What is no answer loses unasked."""
        own = [shown_answer(answer) for answer in answers]
        others = [_shown_baseline(row) for row in rows]

        def prompt(key: Key, seed: int) -> tuple[str, str]:
            place, order = key
            question, pair = rows[place]["question"], [own[place], others[place]]
            code = ticket(question, "".join(pair), seed)
            first, second = reversed(pair) if order else pair
            return templates.fill(
                self.template, question=quoted(question), first=first, second=second, ticket=code
            ), code

        asked = [place for place, text in enumerate(own) if text]
        replies = self.replies([(place, order) for place in asked for order in (0, 1)], prompt, OF_THE_FIRST)
        self.counts.update(reply.fault for reply in replies.values() if reply.fault)
        found = []
        for place, (text, other) in enumerate(zip(own, others, strict=True)):
            one = _preferred(replies[place, 0], replies[place, 1]) if text else Preference(0.0, "there is no answer")
            found.append(replace(one, length=len(text), baseline_length=len(other)))
        return found


def _preferred(first: Reply, second: Reply) -> Preference:
    """What two replies say: in the first the answer stood first, in the second the baseline did."""
    as_a, as_b = first.verdict, None if second.verdict is None else 1 - second.verdict
    value = None if as_a is None or as_b is None else (as_a + as_b) / 2
    reason = " / ".join(one.reason for one in (first, second) if one.reason)
    return Preference(value, reason, first.fault or second.fault, as_a, as_b)


def _shown_baseline(row: Row) -> str:
    """As an answer is shown, without its thought; one that is nothing but a thought is shown whole."""
    return shown_answer(str(row["baseline"])) or quoted(str(row["baseline"]))


def fault(row: Row) -> str | None:
    """Why a row of task `pair` could not be judged."""
    if isinstance(baseline := row.get("baseline"), str) and baseline.strip():
        return None
    return (
        f"task {TASK}, and no baseline; name the column with the answer to compare with (columns: {{baseline: NAME}})"
    )


def preferences(folder: Path, model: str, part: str) -> list[Row]:
    """What is kept of the pairs of one model and one part of an evaluation; nothing where it has none."""
    path = folder / PREFERENCES
    rows = load_rows(str(path)) if path.exists() else []
    return [row for row in rows if (row["model"], row["part"]) == (model, part)]


def win_metrics(rows: Sequence[Row]) -> dict[str, Any]:
    """Of one model's kept pairs: the win rate, plain and length controlled, and how far the place decided.

    first_place_rate: what the answer shown first won, a half of a judge that does not look at the place. orders_agree:
    the share of pairs with the same verdict in both orders. Intervals are over prompts.
    """
    judged = [row for row in rows if row["value"] is not None]
    asked = [row for row in judged if row["as_a"] is not None]
    numbers = {
        "win_rate": _over_prompts(judged, lambda row: row["value"]),
        "length_controlled_win_rate": length_controlled(
            [row["value"] for row in judged],
            [row["length"] - row["baseline_length"] for row in judged],
            [row["question"] for row in judged],
        )
        if judged
        else Interval(None, None, None),
        "first_place_rate": _over_prompts(asked, lambda row: (row["as_a"] + 1 - row["as_b"]) / 2),
        "orders_agree": _over_prompts(asked, lambda row: float(row["as_a"] == row["as_b"])),
    }
    return {
        **{name: found.mean for name, found in numbers.items()},
        **{"pairs": len(rows), "pairs_unjudged": len(rows) - len(judged)},
        "mean_length": sum(row["length"] for row in judged) / max(1, len(judged)),
        "baseline_mean_length": sum(row["baseline_length"] for row in judged) / max(1, len(judged)),
        "intervals": {name: [found.low, found.high] for name, found in numbers.items() if found.mean is not None},
    }


def win_shares(rows: Sequence[Row]) -> dict[int, tuple[float, int]]:
    """Question -> (the mean of its pairs' values, how many have one)."""
    groups: dict[int, list[float]] = {}
    for row in rows:
        if row["value"] is not None:
            groups.setdefault(row["question"], []).append(row["value"])
    return {question: (sum(group) / len(group), len(group)) for question, group in groups.items()}


def _over_prompts(rows: Sequence[Row], value: Callable[[Row], float]) -> Interval:
    shares = win_shares([{"question": row["question"], "value": value(row)} for row in rows])
    return interval([mean for mean, _ in shares.values()], len(rows) / len(shares) if shares else 1)
