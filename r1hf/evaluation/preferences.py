"""Answers held against a baseline's by a judging model, in the form of AlpacaEval and Arena-Hard.

Each answer is shown twice, as A and as B, since judges favour a place; the mean of the two verdicts counts (a win 1, a
tie 1/2, a loss 0). A reply without a verdict is asked for again, then counted, and never guessed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from r1hf.data.drawing import Asking
from r1hf.data.rows import Row
from r1hf.evaluation.judge import Key, asked_for, shown_answer, ticket
from r1hf.evaluation.statistics import interval, wilson
from r1hf.models.sampling import Limits
from r1hf.text import prompt_templates as templates
from r1hf.text.quoting import quoted

TASK = "pair"  # of rows whose answers are held against the column `baseline`
FIELDS = ("question", "first", "second", "ticket")
TEMPLATE = "judge_pair"
ORDERS = ({"a": 1.0, "b": 0.0, "tie": 0.5}, {"a": 0.0, "b": 1.0, "tie": 0.5})  # the answer is A, then B
RIDGE = 1e-2  # keeps the regression finite where all are won or lost


@dataclass(frozen=True)
class Preference:
    """One answer against the baseline's. value: 1 where it is better in both orders, 0 where worse; None where the
    judge said nothing that counts, and `fault` says why. length, baseline_length: characters that were shown."""

    value: float | None
    reason: str = ""
    fault: str = ""
    length: int = 0
    baseline_length: int = 0


def compared(
    ask: Asking,
    rows: Sequence[Row],
    answers: Sequence[str],
    *,
    template: str = TEMPLATE,
    retries: int = 2,
    max_new_tokens: int = 1024,
    seed: int = 0,
    name: str = "judge",
) -> tuple[list[Preference], dict[str, int]]:
    """A preference for each answer against `baseline` of its row, and how many replies had which fault.

    An answer that is none loses without being asked about.
    """
    pairs = [(shown_answer(answer), quoted(str(row["baseline"]))) for row, answer in zip(rows, answers, strict=True)]
    counts: Counter[str] = Counter()

    def prompt(key: Key, seed: int) -> tuple[str, str]:
        question, (own, baseline) = rows[key[0]]["question"], pairs[key[0]]
        code = ticket(question, own + baseline, seed)
        first, second = (own, baseline) if key[1] == 0 else (baseline, own)
        return templates.fill(template, question=quoted(question), first=first, second=second, ticket=code), code

    asked = [place for place, (own, _) in enumerate(pairs) if own]
    limits, replies = Limits(max_new_tokens=max_new_tokens), {}
    for order, verdicts in enumerate(ORDERS):
        keys = [(place, order) for place in asked]
        named = f"{name}_{order + 1}"
        replies |= asked_for(ask, prompt, keys, limits, seed + 1000 * order, retries, named, counts, verdicts)
    counts.update(reply.fault for reply in replies.values() if reply.fault)
    found = []
    for place, (own, baseline) in enumerate(pairs):
        lengths = {"length": len(own), "baseline_length": len(baseline)}
        if not own:
            found.append(Preference(0.0, "there is no answer", **lengths))
            continue
        both = [replies[place, order] for order in range(len(ORDERS))]
        fault = next((reply.fault for reply in both if reply.fault), "")
        value = None if fault else sum(reply.verdict for reply in both) / len(both)
        found.append(Preference(value, " / ".join(reply.reason for reply in both), fault, **lengths))
    return found, dict(counts)


def as_rows(places: Sequence[Mapping[str, Any]], found: Sequence[Preference]) -> list[Row]:
    """Preferences as they are kept. places: model, question and sample of each."""
    return [{**place, **asdict(one)} for place, one in zip(places, found, strict=True)]


def win_metrics(rows: Sequence[Row]) -> dict[str, Any]:
    """Of one model's kept preferences: the win rate, plain and length controlled, with intervals over prompts."""
    judged = [row for row in rows if row["value"] is not None]
    metrics: dict[str, Any] = {"pairs": len(rows), "pairs_unjudged": len(rows) - len(judged)}
    if not judged:
        return {"win_rate": None, "length_controlled_win_rate": None, **metrics}
    groups: dict[int, list[float]] = {}
    for row in judged:
        groups.setdefault(row["question"], []).append(row["value"])
    plain = interval([sum(group) / len(group) for group in groups.values()], len(judged) / len(groups))
    rate, low, high = length_controlled(
        [row["value"] for row in judged],
        [row["length"] - row["baseline_length"] for row in judged],
        [row["question"] for row in judged],
    )
    return {
        **{"win_rate": plain.mean, "length_controlled_win_rate": rate, **metrics},
        "mean_length": sum(row["length"] for row in judged) / len(judged),
        "baseline_mean_length": sum(row["baseline_length"] for row in judged) / len(judged),
        "intervals": {"win_rate": [plain.low, plain.high], "length_controlled_win_rate": [low, high]},
    }


def length_controlled(
    values: Sequence[float], longer: Sequence[float], clusters: Sequence[int]
) -> tuple[float, float, float]:
    """(share, low, high): the win rate that a logistic regression gives for answers as long as the baseline's.

    As AlpacaEval 2 (Dubois et al., arXiv 2404.04475): win ~ model + tanh(difference of lengths / its spread), without
    its term for a prompt's difficulty, which needs many models. values: from 0 to 1. longer: characters. clusters:
    the prompt of each. The interval is Wilson's, with the draws that the sandwich estimate over prompts amounts to, no
    more than there are prompts: it behaves near 0 and 1.
    """
    y, difference = np.asarray(values, dtype=float), np.asarray(longer, dtype=float)
    spread = difference.std()
    slope = np.tanh(difference / spread) if spread > 0 else np.zeros_like(difference)
    x = np.stack([np.ones_like(slope), slope], axis=1)
    weights = logistic(x, y, RIDGE)
    p = 1 / (1 + np.exp(-x @ weights))
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    scores = np.zeros((len(numbers), 2))
    np.add.at(scores, [numbers[cluster] for cluster in clusters], x * (y - p)[:, None])
    inverse = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(2))
    n = len(numbers)
    variance = (inverse @ scores.T @ scores @ inverse)[0, 0] * n / max(n - 1, 1)
    share = float(1 / (1 + math.exp(-weights[0])))
    both = share * (1 - share)
    low, high = wilson(share, 1 / max(variance * both, 1 / n))
    return share, min(float(low), share), max(float(high), share)


def logistic(x: Any, y: Any, ridge: float) -> Any:
    """The weights of a logistic regression with a ridge, by Newton's method. x: [rows, columns], y: from 0 to 1."""
    weights = np.zeros(x.shape[1])

    def loss(at: Any) -> float:
        z = x @ at
        return float((np.logaddexp(0, z) - y * z).sum() + ridge * (at @ at) / 2)

    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - y) + ridge * weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(x.shape[1]), gradient)
        before, rate = loss(weights), 1.0
        while loss(weights - rate * step) > before and rate > 1e-6:
            rate /= 2
        weights = weights - rate * step
        if np.abs(rate * step).max() < 1e-10:
            break
    return weights
