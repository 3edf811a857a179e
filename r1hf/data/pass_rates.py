"""How often each prompt was answered rightly: written by rejection sampling, and what RL can choose its prompts by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from r1hf.core.errors import DataError
from r1hf.data.filters import Verdict
from r1hf.data.rows import Row

COLUMN = "pass_rate"


class Bounds(Protocol):
    """A configuration with the two keys."""

    min_pass_rate: float | None
    max_pass_rate: float | None


def with_pass_rate(row: Row, verdicts: Sequence[Verdict]) -> Row:
    """The prompt with `samples`, `right` and `pass_rate`: right ones among those that anybody could judge."""
    judged = [verdict.right for verdict in verdicts if verdict.right is not None]
    rate = sum(judged) / len(judged) if judged else None
    return {**row, "samples": len(verdicts), "right": sum(judged), COLUMN: rate}


def check_bounds(problems: list[str], config: Bounds, rows: Sequence[Row]) -> list[Row]:
    """The rows within the bounds; what is wrong with `min_pass_rate`, `max_pass_rate` or the rows' column is added."""
    least, most = config.min_pass_rate, config.max_pass_rate
    if least is None and most is None:
        return list(rows)
    if least is not None and most is not None and least > most:
        problems.append(f"min_pass_rate {least:g} is above max_pass_rate {most:g}, so that no prompt is left")
    elif rows:
        try:
            return within(rows, least, most)
        except DataError as error:
            problems.append(f"prompts: {error}")
    return list(rows)


def within(rows: Sequence[Row], least: float | None, most: float | None) -> list[Row]:
    """The rows whose `pass_rate` lies within the bounds; those without one are left out.

    Raises DataError where no row has the column, a value is no share, or no row is left.
    """
    if least is None and most is None:
        return list(rows)
    if not any(COLUMN in row for row in rows):
        raise DataError(
            f"no column {COLUMN}, which min_pass_rate and max_pass_rate choose by; rejection sampling writes it: "
            "prompts: RUN/rejection_sampling/prompts.jsonl"
        )
    rates = [_rate(number, row.get(COLUMN)) for number, row in enumerate(rows, 1)]
    low, high = 0.0 if least is None else least, 1.0 if most is None else most
    kept = [row for row, rate in zip(rows, rates, strict=True) if rate is not None and low <= rate <= high]
    if not kept:
        known = [rate for rate in rates if rate is not None]
        there = f"from {min(known):g} to {max(known):g}" if known else "unknown"
        raise DataError(f"no prompt has a {COLUMN} from {low:g} to {high:g}; theirs are {there}")
    return kept


def _rate(number: int, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise DataError(f"row {number}: {COLUMN} is {value!r:.60}, no share from 0 to 1")
    return float(value)
