"""Rows made up in the columns that the recipes read, from the tiny world."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

from r1hf.core.source import paths_of
from r1hf.data.bad import named
from r1hf.data.rows import NO_GOLD, Row, load_rows, usable, without_gold, write_rows
from r1hf.text.forms import to_think_answer
from r1hf.world.arithmetic import Problem, training_problems
from r1hf.world.corpus import thinking
from r1hf.world.general import training_prompts


def made_up(field: str, count: int, languages: Collection[str] | None = None) -> list[Row]:
    """`count` rows for an input field: general prompts where its name says so, else problems with all columns that
    any recipe reads. languages: only these, where a prompt template knows no other.
    """
    if field == "decontaminate":  # not what the other fields get, or nothing would be left
        return [{"question": "Which question stands in none of the rows that were made up for this rehearsal?"}]
    if field.startswith("general") or field == "judge_labelled":
        rows = [_general(prompt.row()) for prompt in training_prompts()]
    else:
        rows = [_reasoning(problem) for problem in training_problems()]
    kept = [row for row in rows if not languages or row["language"] in languages]
    return list(itertools.islice(itertools.cycle(kept or rows), count))


def _reasoning(problem: Problem) -> Row:
    steps = problem.steps()
    thought = thinking(steps, [problem.language] * len(steps))
    right = to_think_answer(thought, problem.answer)
    wrong = to_think_answer(thought, f"{problem.answer}1")
    row: Row = dict(problem.row())
    return row | {"completion": right, "chosen": right, "rejected": wrong, "response": right, "safe": 1}


def _general(row: Row) -> Row:
    answer = str(row.get("reference") or row.get("required") or "yes")
    return row | {"completion": to_think_answer("yes", answer), "correct": True}


def local(source: Any) -> bool:
    """Whether all files of a field are on this machine."""
    paths = paths_of(source)
    return bool(paths) and all(Path(path).is_file() for path in paths)


def first_rows(source: Any, count: int, seed: int, max_bad: float) -> tuple[list[Row], list[str]]:
    """The first rows that a stage would read of its own files, and sentences that name those it leaves out.

    Raises DataError.
    """
    notes: list[str] = []
    rows = load_rows(source, (), seed, notes=notes, max_bad=max_bad)
    lost = [(number, row["answer"]) for number, row in enumerate(rows, 1) if without_gold(row)]
    if not lost or len(lost) == len(rows):
        return usable(rows)[:count], notes
    gone = {number for number, _ in lost}
    judged = [row for number, row in enumerate(rows, 1) if number not in gone]
    shown = named([f"row {number} ({answer!r:.40})" for number, answer in lost], ", ")
    return usable(judged)[:count], [*notes, f"{len(lost)} of {len(rows)} have {NO_GOLD} and are left out: {shown}"]


def write_source(directory: Path, field: str, rows: list[Row]) -> str:
    """The rows as a file that the field can name."""
    path = directory / f"{field}.jsonl"
    write_rows(path, rows)
    return str(path)
