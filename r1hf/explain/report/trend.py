"""How a logged number moved over a stage: a straight line through it, and how sure its slope is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.explain.report.text import number


def trend(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """(rise, errors): the line's rise from the first step to the last, as a share of where it begins, and the slope in
    standard errors of its own. None with fewer than ten logged steps, or where the line begins at zero."""
    points = [
        (step, value)
        for row in rows
        if (step := number(row.get("step"))) is not None and (value := number(row.get(key))) is not None
    ]
    if len(points) < 10:
        return None
    mean_step = sum(step for step, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((step - mean_step) ** 2 for step, _ in points)
    if spread == 0:
        return None
    slope = sum((step - mean_step) * (value - mean) for step, value in points) / spread
    left = sum((value - mean - slope * (step - mean_step)) ** 2 for step, value in points)
    error = math.sqrt(left / (len(points) - 2) / spread)
    start = mean + slope * (points[0][0] - mean_step)
    if start <= 0:
        return None
    return slope * (points[-1][0] - points[0][0]) / start, slope / error if error else math.copysign(math.inf, slope)
