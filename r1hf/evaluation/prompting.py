"""What a model is asked: rows made ready for their verdict, and the text of the question."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from typing import Any, Literal

from r1hf.core.errors import DataError
from r1hf.data.options import LETTERS, options_text
from r1hf.data.rows import Row
from r1hf.models.sampling import Sampler
from r1hf.text.grammar import THINK_OPEN, opening

Gold = Literal["answer", "place"]


def with_options(row: Row, options: Sequence[str], gold: Gold) -> Row:
    """A row of task `choice` with its options in `choices` and its gold as a letter.

    options: the columns that hold them, in order. Where `answer` is one of these, its text is the right option, and
    they are shuffled, by the question alone. gold "place": `answer` is the right option's number from 0. Raises
    DataError for a row that lacks a column, or whose answer names no option.
    """
    if row["task"] != "choice":
        return row
    if lacking := [name for name in options if row.get(name) is None]:
        raise DataError(f"no option in {', '.join(lacking)}: {row['question']!r:.60}; columns: {', '.join(row)}")
    texts: Any = [str(row[name]).strip() for name in options] or row.get("choices")
    if "answer" in options:
        right = texts[list(options).index("answer")]
        random.Random(hashlib.sha256(row["question"].encode("utf-8", "replace")).digest()).shuffle(texts)
        return {**row, "choices": texts, "answer": LETTERS[texts.index(right)]}
    if gold == "place":
        place = str(row["answer"])
        if not isinstance(texts, Sequence) or not place.isdecimal() or int(place) >= len(texts):
            raise DataError(f"answer {place} is not the position of an option: {row['question']!r:.60}")
        return {**row, "choices": texts, "answer": LETTERS[int(place)]}
    return {**row, "choices": texts} if texts else row


def question_text(row: Row, instruction: str | None) -> str:
    """The user's turn: the instruction with `{question}`, `{options}`, … in it; its other braces are LaTeX's."""
    if instruction is None:
        return str(row["question"])
    shown = row.get("shown_tests") or ""
    named = {
        "question": row["question"],
        "options": options_text(row.get("choices")),
        "starter_code": row.get("starter_code") or "",
        "shown_tests": shown if isinstance(shown, str) else "\n".join(map(str, shown)),
    }
    return re.sub(r"\{(\w+)\}", lambda found: str(named.get(found[1], found[0])), instruction).strip()


def prompts_of(
    sampler: Sampler, rows: Sequence[Row], instruction: str | None, force_think: bool, template: str | None = None
) -> list[str]:
    """The prompts as the model reads them, through its chat template or a named text template.

    With `force_think` each ends in `<think>`, as the paper's did.
    """
    prompts = sampler.chat([question_text(row, instruction) for row in rows], template)
    if not force_think:
        return prompts
    return [prompt if opening(prompt) else f"{prompt}{THINK_OPEN}\n" for prompt in prompts]
