"""Completions in the form that models are trained to write."""

from __future__ import annotations

from collections.abc import Iterable

from r1hf.data.rows import Row
from r1hf.text.forms import convert
from r1hf.text.grammar import TAGS, Response, parse


def as_targets(rows: Iterable[Row]) -> list[Row]:
    """Rows with their completions rewritten as think and answer where they are in the cold-start form, or a thought
    and an answer without tags, as published traces of R1 are. Others, such as answers without a thought, stay.

    White space that one begins with goes: it would become one token with the line break that ends a prompt, and be
    learned after a prompt that is never asked.
    """
    made = []
    for row in rows:
        text = row["completion"]
        response = parse(text)
        if response.form == "cold_start" or _untagged(response):
            text = convert(response, "think_answer")
        made.append({**row, "completion": text.lstrip()})
    return made


def _untagged(response: Response) -> bool:
    """A closed thought and an answer that no tag encloses, and no tag within them."""
    parts = (response.reasoning, response.answer)
    plain = all(part and not any(tag in part for tag in TAGS) for part in parts)
    return response.form == "inline" and plain and not response.answer_tagged and not response.leading
