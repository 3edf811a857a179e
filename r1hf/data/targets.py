"""Completions in the form that models are trained to write."""

from __future__ import annotations

from collections.abc import Iterable

from r1hf.data.rows import Row
from r1hf.grammar import convert, parse


def as_targets(rows: Iterable[Row]) -> list[Row]:
    """Rows with cold-start completions rewritten as think and answer; other completions stay as they are."""
    made = []
    for row in rows:
        text = row["completion"]
        if parse(text).form == "cold_start":
            text = convert(text, "think_answer")
        made.append({**row, "completion": text})
    return made
