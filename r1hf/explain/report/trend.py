"""How a logged number moved over a stage, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.explain.report.text import number


def trend(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float] | None:
    """(rise, errors): from the mean of the first tenth of the steps to that of the last, as a share of the first, and
    in standard errors of the difference. None with fewer than ten logged steps, or where the first are not above
    zero."""
    values = [value for row in rows if (value := number(row.get(key))) is not None]
    ends = max(3, len(values) // 10)
    if len(values) < 10:
        return None
    begin, end = values[:ends], values[-ends:]
    first, last = statistics.fmean(begin), statistics.fmean(end)
    if first <= 0:
        return None
    error = math.sqrt((statistics.variance(begin) + statistics.variance(end)) / ends)
    return last / first - 1, (last - first) / error if error else math.copysign(math.inf, last - first)
