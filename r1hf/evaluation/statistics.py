"""Intervals and differences whose unit is the question: the samples of one question are not independent.

Values are shares from 0 to 1, one a question, such as the share of right ones among its k samples. All intervals are
of 95%. docs/evaluation.md has the coverage that benchmarks/intervals.py measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Z = 1.959963984540054  # of 95%, both sides
Z_POWER = 0.8416212335729143  # of 80%
# Questions that must carry the mean before the spread that they show is believed; the benchmark chose it.
BELIEVED = 3.0
FEWEST = 4  # questions with which a spread says nothing: their interval would be endless


class Interval(NamedTuple):
    """A mean over questions, or over nothing (None), and its 95% interval."""

    mean: float | None
    low: float | None
    high: float | None


class Difference(NamedTuple):
    """Second minus first. `shown`: whether the 95% interval leaves zero out. `spread`: of the questions' own."""

    questions: int
    difference: float
    low: float
    high: float
    shown: bool
    spread: float


def interval(values: Sequence[float], k: float = 1) -> Interval:
    """The mean of the questions' shares and its interval. k: samples a question."""
    if not len(values):
        return Interval(None, None, None)
    mean, low, high = bounds(np.asarray(values, dtype=float), k)
    return Interval(float(mean), float(low), float(high))


def bounds(values: Any, k: float = 1) -> tuple[Any, Any, Any]:
    """(mean, low, high) over the last axis of an array of shares.

    Wilson's interval with as many independent draws as the questions' spread amounts to: n where each is all right or
    all wrong, n * k where all are alike. Where few questions carry the mean, their spread says little (a rare question
    that is always solved may not be among them), and the count is drawn towards n, the safe one.
    """
    n = values.shape[-1]
    mean = values.mean(-1)
    variance = values.var(-1, ddof=1) if n > 1 else mean * (1 - mean)
    both = mean * (1 - mean)
    ratio = np.clip(np.divide(variance, both, out=np.ones_like(both), where=both > 0), 0.1 / k, 1.0)
    carried = np.minimum(_carriers(values), _carriers(1 - values))
    belief = carried**2 / (carried**2 + BELIEVED**2)
    draws = n / ratio**belief
    low, high = wilson(mean, draws)
    return mean, np.minimum(low, mean), np.maximum(high, mean)  # rounding must not part them at 0 and 1


def _carriers(values: Any) -> Any:
    """How many questions the sum is spread over: all where they are alike, 1 where one has all of it, 0 of nothing."""
    squares = (values**2).sum(-1)
    return np.divide(values.sum(-1) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)


def wilson(mean: Any, draws: Any) -> tuple[Any, Any]:
    """Wilson's score interval of a share of `draws` independent draws."""
    centre = (mean + Z**2 / (2 * draws)) / (1 + Z**2 / draws)
    half = Z * np.sqrt(mean * (1 - mean) / draws + (Z / (2 * draws)) ** 2) / (1 + Z**2 / draws)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def amount(values: Sequence[float]) -> Interval:
    """The mean of what is no share, such as tokens, and its interval over questions; no bounds where they are few."""
    if not len(values):
        return Interval(None, None, None)
    array = np.asarray(values, dtype=float)
    mean, n = float(array.mean()), len(array)
    if n < FEWEST:
        return Interval(mean, None, None)
    half = _half(float(array.std()), n)
    return Interval(mean, mean - half, mean + half)


def _half(spread: float, n: int) -> float:
    """All d with |mean - d| <= Z * sqrt(E[(value - d)^2] / n): the test of d takes the spread about d, not the mean.

    At d = 0 and one sample a question that is McNemar's test.
    """
    return Z * spread / math.sqrt(n - Z**2)


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The second model minus the first on the same questions, in the same order; shares from 0 to 1.

    Raises ValueError for lists of different length, or of nothing.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} questions cannot be compared in pairs")
    values = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    n, mean, spread = len(values), float(values.mean()), float(values.std())
    half = 2.0 if n < FEWEST else _half(spread, n)
    if spread < 1e-12:  # all alike, mostly no difference at all: that n questions saw none does not say that none is
        half = max(half, Z**2 / (n + Z**2)) if n >= FEWEST else 2.0
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return Difference(n, mean, low, high, low > 0 or high < 0, spread)


class Needed(NamedTuple):
    """What would show a difference four times in five. samples: None where no number of samples of these questions
    would. smallest: the difference that the present questions and samples show four times in five."""

    questions: int
    samples: int | None
    smallest: float


def needed(first: Sequence[float], second: Sequence[float], k: int, difference: float) -> Needed:
    """Questions (at k samples each), or samples of each of these questions, to see `difference` (0.02: two points).

    The spread of the differences is what the questions themselves differ by, and what k samples leave of chance; the
    second part shrinks with more samples, the first with more questions only. Needs two questions or more; with k = 1
    the parts cannot be told apart, and samples are not predicted.
    """
    if difference <= 0:
        raise ValueError(f"a difference of {difference} is none to be seen; give a positive share, such as 0.02")
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n, total = len(a), float((b - a).var(ddof=1))
    reach = (Z + Z_POWER) ** 2
    questions = max(FEWEST + 1, math.ceil(reach * total / difference**2))
    samples = None
    if k > 1:
        chance = float((a * (1 - a) + b * (1 - b)).mean()) / (k - 1)  # of k samples, without bias
        own = max(0.0, total - chance)
        left = n * difference**2 / reach - own
        samples = max(1, math.ceil(k * chance / left)) if left > 0 else None
    return Needed(questions, samples, math.sqrt(reach * total / n))
