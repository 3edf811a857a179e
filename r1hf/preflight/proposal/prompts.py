"""The key `prompts` of a person's file: the file itself where training reads the same rows of it, else a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1hf.core.errors import DataError
from r1hf.data.any_table import Given, Row
from r1hf.data.golds import gold_text
from r1hf.data.rows import NO_GOLD, load_rows
from r1hf.preflight.proposal.columns import Found
from r1hf.preflight.proposal.rows import Judged

_COLUMNS = ("question", "answer", "language", "task")
_COMPARED = (*_COLUMNS, "choices", "tests", "numbers", "target", "gym")


def direct(given: Given, found: Found, judged: Judged) -> dict[str, Any] | None:
    """A mapping that selects the very rows of the file, or None where no mapping does."""
    if given.others or judged.changed or set(judged.lost) - {NO_GOLD}:
        return None
    columns = {role: name for role, name in found.roles.items() if role in _COMPARED}
    values: dict[str, Any] = {name: None for name in ("answer", "language") if name not in columns}
    if not all(
        "task" in row and row["task"] == made["task"] for row, made in zip(given.rows, judged.rows, strict=False)
    ):
        if len(judged.tasks) != 1:
            return None
        values["task"] = next(iter(judged.tasks))
    spec = {"path": str(given.path), "columns": columns} | ({"values": values} if values else {})
    try:
        rows = load_rows(dict(spec), _COLUMNS)
    except DataError:
        return None
    same = len(rows) == len(judged.rows) and all(_same(row, made) for row, made in zip(rows, judged.rows, strict=True))
    return spec if same else None


def _same(row: Row, made: Row) -> bool:
    def text(name: str, value: Any) -> Any:
        if name == "answer":
            return gold_text(value)
        return value.strip() if isinstance(value, str) else value

    return all(text(name, row.get(name)) == text(name, made.get(name)) for name in _COMPARED)


def copied(rows: list[Row]) -> list[Row]:
    """The rows with the same columns each, as tables ask for."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def beside(out: Path) -> Path:
    return out.with_name(f"{out.stem}.rows.jsonl")
