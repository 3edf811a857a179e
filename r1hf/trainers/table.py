"""Rows as the table that a trainer reads: what no table can hold is named by its row and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset

from r1hf.core.errors import DataError
from r1hf.data.rows import Row

_FAULTS = (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError, RecursionError)


def table(rows: Sequence[Row]) -> Dataset:
    """`Dataset.from_list`. Raises DataError that names the first row and column that do not fit, and the value.

    Such as a whole number beyond 64 bits, text with half of a surrogate pair, or two types in one column.
    """
    try:
        return Dataset.from_list(list(rows))
    except _FAULTS as error:
        raise DataError(_place(rows) or f"the rows make no table: {error}") from error


def _place(rows: Sequence[Row]) -> str | None:
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if _fits(values):
            continue
        low, high = 0, len(values)  # the first `low` fit, the first `high` do not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _fits(values[:middle]) else (low, middle)
        row = rows[high - 1]
        asked = row.get("question", row.get("prompt", ""))
        return (
            f"row {high} of {len(rows)} ({asked!r:.60}): column '{name}' is {_shown(row[name])}, which no table can "
            "hold beside those before it; mend the row, or leave the column out"
        )
    return None


def _fits(values: list[Any]) -> bool:
    try:
        pa.array(values)
    except _FAULTS:
        return False
    return True


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60} ({type(value).__name__})"
    except (ValueError, RecursionError):  # a number of more digits than Python prints
        return f"a value of type {type(value).__name__}"
