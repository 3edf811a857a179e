"""The options of a question as text."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any

from r1hf.data.sources import Row

LETTERS = string.ascii_uppercase


def options_text(choices: Any) -> str:
    """A) …, one a line; nothing without choices."""
    return "\n".join(f"{label}) {text}" for label, text in _options(choices))


def with_options_shown(rows: Iterable[Row]) -> list[Row]:
    """Rows of task `choice` whose question leaves out an option of `choices` get them below it: public sets keep them
    apart, and a model that never sees them can only guess a letter."""
    return [_shown(row) if row.get("task") == "choice" else row for row in rows]


def _shown(row: Row) -> Row:
    options = _options(row.get("choices"))
    if all(text in row["question"] for _, text in options):
        return row
    return {**row, "question": f"{row['question'].rstrip()}\n{options_text(row['choices'])}"}


def _options(choices: Any) -> list[tuple[str, str]]:
    """Letter and text of each; a mapping is {letter: text}, or ARC's {"label": […], "text": […]}."""
    if isinstance(choices, Mapping):
        labels, texts = choices.get("label") or list(choices), choices.get("text") or list(choices.values())
        return [(str(label), str(text)) for label, text in zip(labels, texts, strict=True)]
    return [(letter, str(text)) for letter, text in zip(LETTERS, choices or (), strict=False)]
