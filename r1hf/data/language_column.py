"""The languages that rows name, against those that a text can be held to: looked at before a run, not in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1hf.core.config import Parsed
from r1hf.data.rows import Row
from r1hf.text.language import detect, is_listed, language_code, names_none, unknown

_SHOWN = 5


def check_languages(parsed: Parsed, key: str, rows: Sequence[Row], off: str | None) -> None:
    """Adds what is wrong with the column `language` of the rows of `key`, and what is good to know, to `parsed`.

    off: how to do without the measure, which is wanted; None where the rows are measured and nothing hangs on it, so
    that an unknown language is no problem.
    """
    named: dict[Any, list[int]] = {}
    for number, row in enumerate(rows, 1):
        named.setdefault(None if names_none(row.get("language")) else row.get("language"), []).append(number)
    for text, numbers in named.items():
        if text is not None and language_code(text) is None:
            found = f"{key}: {unknown(text)} ({_places(numbers, len(rows))})"
            (parsed.notes if off is None else parsed.problems).append(
                f"{found}: not judged" if off is None else f"{found}, or leave it empty, or {off}"
            )
    parsed.notes += [f"{key}: {note}" for note in (*_open(rows, named.get(None, [])), *_roughly(named, len(rows)))]


def _open(rows: Sequence[Row], numbers: Sequence[int]) -> list[str]:
    if not numbers:
        return []
    lost = [number for number in numbers if detect(str(rows[number - 1].get("question") or "")) is None]
    note = f"no language is named ({_places(numbers, len(rows))}): that of the question is asked for"
    return [f"{note}; {len(lost)} of these are not judged, for their question tells none" if lost else note]


def _roughly(named: dict[Any, list[int]], count: int) -> list[str]:
    """Targets without a word list: text of languages that are not told apart counts as theirs."""
    rows: dict[str, list[int]] = {}
    for text, numbers in named.items():
        code = language_code(text)
        if code is not None and not is_listed(code):
            rows.setdefault(code, []).extend(numbers)
    return [
        f"language {code!r} has no word list ({_places(sorted(numbers), count)}): its share is an estimate, what no "
        "other language claims counts as its own"
        for code, numbers in rows.items()
    ]


def _places(numbers: Sequence[int], count: int) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
    return f"{len(numbers)} of {count} rows: {shown}"
