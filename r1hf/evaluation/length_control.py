"""The win rate that answers as long as the baseline's would have: judges favour length (arXiv 2404.04475)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from r1hf.evaluation.statistics import Interval, wilson

RIDGE = 1e-2  # keeps the regression finite where all are won or lost


def length_controlled(values: Sequence[float], longer: Sequence[float], clusters: Sequence[int]) -> Interval:
    """The win rate that a logistic regression gives where the lengths do not differ, and its 95% interval.

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
    p = _sigmoid(x @ weights)
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    n = len(numbers)
    scores = np.zeros((n, 2))
    np.add.at(scores, [numbers[cluster] for cluster in clusters], x * (y - p)[:, None])
    inverse = np.linalg.inv(_curvature(x, p, RIDGE))
    variance = (inverse @ scores.T @ scores @ inverse)[0, 0] * n / max(n - 1, 1)
    share = float(_sigmoid(weights[0]))
    low, high = wilson(share, 1 / max(variance * share * (1 - share), 1 / n))
    return Interval(share, min(float(low), share), max(float(high), share))


def logistic(x: Any, y: Any, ridge: float) -> Any:
    """The weights of a logistic regression with a ridge, by Newton's method. x: [rows, columns], y: from 0 to 1."""
    weights = np.zeros(x.shape[1])

    def loss(at: Any) -> float:
        z = x @ at
        return float((np.logaddexp(0, z) - y * z).sum() + ridge * (at @ at) / 2)

    for _ in range(100):
        p = _sigmoid(x @ weights)
        step = np.linalg.solve(_curvature(x, p, ridge), x.T @ (p - y) + ridge * weights)
        before, rate = loss(weights), 1.0
        while loss(weights - rate * step) > before and rate > 1e-6:
            rate /= 2
        weights = weights - rate * step
        if np.abs(rate * step).max() < 1e-10:
            break
    return weights


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def _curvature(x: Any, p: Any, ridge: float) -> Any:
    return (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(x.shape[1])
