"""Gold answers from the data that a run was trained on, for rollouts that were logged without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from r1hf.core.errors import DataError
from r1hf.explain.runs.columns import as_text, find, gold_of, messages_of
from r1hf.explain.runs.files import numbered_rows
from r1hf.explain.runs.table import RunTable, Sample
from r1hf.rewards._common import question_text

_RENAME = "rename the column of its questions to prompt, and that of its answers to gold"


def add_golds(run: RunTable, data: Path, chosen: Mapping[str, str]) -> None:
    """Gives each rollout the gold answer of the row that asks the same question.

    Raises DataError where the file has no questions and answers, or no prompt of the run is in it.
    """
    if not data.is_file():
        raise DataError(f"--data: there is no file {data}")
    golds: dict[str, str] = {}
    broken: list[str] = []
    found: dict[str, str] = {}
    for _, row in numbered_rows(data, Sample(), broken):
        if row is None:
            continue
        if not found:
            chosen = {key: name for key, name in chosen.items() if name in row}
            found = find(list(row), chosen, str(data), ("prompt", "gold"), _RENAME.capitalize())
        gold = gold_of(row.get(found["gold"]))
        if gold is not None:
            golds[_key(as_text(row.get(found["prompt"])))] = gold
    if not found:
        raise DataError(f"--data: {data} has no row that can be read{': ' + broken[0] if broken else ''}")
    known = 0
    for one in run.rollouts:
        gold = golds.get(_key(one.prompt))
        if gold is not None:
            one.gold, known = gold, known + 1
    if run.rollouts and not known:
        raise DataError(
            f"--data: no prompt of {run.where} asks a question of {data} (its column '{found['prompt']}'); "
            f"is it this run's data? If so, {_RENAME}"
        )
    run.taken.append(("gold", f"{found['gold']} of {data}, for {known} of {len(run.rollouts)} completions"))
    run.notes += [f"--data: {len(broken)} broken lines left out, the first {broken[0]}"] if broken else []


def _key(prompt: str) -> str:
    """The question alone, without its template and its blanks."""
    return " ".join(question_text(messages_of(prompt)).split())
