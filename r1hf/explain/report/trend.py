"""How a logged number moved over a stage: a straight line through it, and how sure its slope is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.explain.report.text import number


def trend(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """(rise, errors): from the mean of the first tenth of the steps to that of the last, as a share of the first, and
    the slope of a line through all of them in standard errors of its own. None with fewer than ten logged steps, or
    where the first are not above zero."""
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
    ends = max(3, len(points) // 10)
    first, last = (sum(value for _, value in part) / ends for part in (points[:ends], points[-ends:]))
    return (last / first - 1, slope / error if error else math.copysign(math.inf, slope)) if first > 0 else None
