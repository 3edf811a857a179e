"""The keys by which a stage takes leaks of benchmarks and near-duplicates out of its rows, and the taking out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.source import MAX_BAD, Source
from r1hf.data.cleaning import Leaks, Removed, Rows, counts, removable
from r1hf.data.near_duplicates import check_near_duplicates
from r1hf.data.rows import check_rows, write_rows
from r1hf.evaluation.tasks import questions_of
from r1hf.stage.stage import Stage

REMOVED = "removed.jsonl"


@dataclass(kw_only=True)
class CleaningKeys:
    near_duplicates: float | None = field(
        default=None,
        metadata={"help": "rows at least so like an earlier one are left out, by their words (0.8); none: all stay"},
    )
    decontaminate: Source | None = field(
        default=None,
        metadata={
            "input": True,
            "named": questions_of,
            "help": "rows that hold a question of these are left out: benchmarks by name (gsm8k), or sources",
        },
    )


def check_cleaning(problems: list[str], config: CleaningKeys, max_bad: float = MAX_BAD) -> None:
    """Adds what is wrong with the keys."""
    check_near_duplicates(problems, config.near_duplicates)
    check_rows(problems, "decontaminate", config.decontaminate, max_bad=max_bad)


def found_in(
    config: Any, rows: Rows, report: Path, read: Sequence[int] | None = None
) -> tuple[list[Removed], dict[str, int], str]:
    """(the rows to leave out, how many of each reason, a sentence); the file `report` says of each what it repeats.

    config: with CleaningKeys; rows: with question and completion; read: their numbers, see `Removed.told`.
    """
    source = config.decontaminate
    leaks = None if source is None else Leaks(source, config.seed, config.max_bad_rows)
    removed = removable(rows, leaks, config.near_duplicates)
    write_rows(report, (one.told(rows, read) for one in removed))
    found = counts(removed)
    shown = ", ".join(f"{count} {reason.replace('_', '-')}s" for reason, count in found.items()) or "none"
    where = f" ({report.name} says which)" if removed else ""
    return removed, {"of": len(rows), **found}, f"removed of {len(rows)} rows: {shown}{where}"


def cleaned(stage: Stage, config: CleaningKeys, rows: Rows) -> list[Removed]:
    """`found_in`, told on the terminal and in the manifest; nothing where the keys are off."""
    if config.decontaminate is None and config.near_duplicates is None:
        return []
    removed, found, said = found_in(config, rows, stage.work / REMOVED)
    stage.note("removed", "rows", found)
    stage.say(said)
    return removed
